package segments

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/logq/logq/internal/vfs"
)

// list returns the segment files in order of base index.
func (op *opening) list() ([]found, error) {
	o := &op.l.o
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return nil, err
	}
	var files []found
	for _, name := range names {
		if stem, ok := strings.CutSuffix(name, startSuffix); ok {
			if _, _, ok := parseName(stem); ok {
				op.leftovers = append(op.leftovers, path.Join(o.Dir, name))
				continue
			}
		}
		base, id, ok := parseName(name)
		if !ok {
			op.rec.Warnings = append(op.rec.Warnings, fmt.Sprintf("%s is no segment and was left alone", path.Join(o.Dir, name)))
			continue
		}
		files = append(files, found{name: name, base: base, id: id})
	}
	slices.SortFunc(files, func(a, b found) int { return cmp.Or(cmp.Compare(a.base, b.base), cmp.Compare(a.id, b.id)) })
	return files, nil
}

// begun reads the ends of the files and returns those of the log that was begun last,
// by a Reset or a TrimFront, or all if none was: the file that says so and those with
// higher IDs, which were made after it. The others are leftovers of the log before.
func (op *opening) begun(files []found) ([]found, error) {
	begin := ID(0)
	for i := range files {
		f := &files[i]
		f.err = op.readEnds(f)
		var fault headerFault
		var newer *VersionError
		if f.err != nil && !errors.As(f.err, &fault) && !errors.As(f.err, &newer) {
			return nil, fmt.Errorf("segments: read header of %s: %w", f.name, f.err)
		}
		if h := &f.header; f.err == nil && h.Start && h.ID == f.id && h.Identity == op.l.o.Identity {
			begin = max(begin, f.id)
		}
	}
	var current []found
	for _, f := range files {
		if op.l.maxID = max(op.l.maxID, f.id); f.id < begin {
			op.leftovers = append(op.leftovers, path.Join(op.l.o.Dir, f.name))
			continue
		}
		if n := len(current); n > 0 && current[n-1].base == f.base {
			return nil, &CorruptionError{Path: path.Join(op.l.o.Dir, f.name), SegmentID: f.id, Index: f.base, Err: fmt.Errorf("segment %s begins with the same entry", current[n-1].id)}
		}
		current = append(current, f)
	}
	return current, nil
}

// remove removes the unfinished file.
func (op *opening) remove() error {
	o := &op.l.o
	if err := o.FS.Remove(op.unfinished); err != nil {
		return fmt.Errorf("segments: remove unfinished %s: %w", op.unfinished, err)
	}
	if err := o.FS.SyncDir(o.Dir); err != nil {
		return fmt.Errorf("segments: sync directory %s: %w", o.Dir, err)
	}
	op.rec.Warnings = append(op.rec.Warnings, fmt.Sprintf("%s was unfinished, without entries, and was removed", op.unfinished))
	return nil
}

// removeLeftovers removes what a Reset or a TrimFront was stopped from removing.
func (op *opening) removeLeftovers() error {
	o := &op.l.o
	for _, name := range op.leftovers {
		if err := o.FS.Remove(name); err != nil {
			return fmt.Errorf("segments: remove leftover %s: %w", name, err)
		}
		if err := o.FS.SyncDir(o.Dir); err != nil {
			return fmt.Errorf("segments: sync directory %s: %w", o.Dir, err)
		}
		op.rec.Warnings = append(op.rec.Warnings, fmt.Sprintf("%s lies before the log's start and was removed", name))
	}
	return nil
}

// freshen does so for the newest file, before anything of it is read, the header
// included: it is the only one that may have had a failed sync, since the log goes on
// in another file only when this one is durable.
func (op *opening) freshen(files []found) (err error) {
	if len(files) == 0 {
		return nil
	}
	o := &op.l.o
	newest := slices.MaxFunc(files, func(a, b found) int { return cmp.Compare(a.id, b.id) })
	f, err := o.FS.OpenReadWrite(path.Join(o.Dir, newest.name))
	if err != nil {
		return fmt.Errorf("segments: open %s: %w", newest.name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return fresh(f)
}

// fresh makes what the page cache holds of f durable, or forgets it.
func fresh(f vfs.File) error {
	if err := f.Sync(); err != nil {
		return fmt.Errorf("segments: sync %s: %w", f.Name(), err)
	}
	if err := uncache(f); err != nil {
		return fmt.Errorf("segments: drop cached pages of %s: %w", f.Name(), err)
	}
	return nil
}

// uncache has the next read show what the disk holds.
func uncache(f vfs.File) error {
	if u, ok := f.(vfs.Uncacher); ok {
		return u.Uncache()
	}
	return nil
}
