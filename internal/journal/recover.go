package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/logq/logq/internal/vfs"
)

// create makes both copies with an empty checkpoint of generation 1.
func (w *WAL) create() error {
	names, err := w.o.FS.List(w.o.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: list %s: %w", w.o.Dir, err)
	}
	for _, name := range names {
		if strings.Contains(name, damagedSuffix) {
			return &CorruptionError{Path: filepath.Join(w.o.Dir, name), Generation: 1, Reason: "both copies are gone, but a damaged one is here"}
		}
	}
	if w.o.MustExist {
		return &MissingError{Path: w.o.Dir}
	}
	if err := vfs.MkdirAllSync(w.o.FS, w.o.Dir); err != nil {
		return fmt.Errorf("journal: create %s: %w", w.o.Dir, err)
	}
	rec := appendRecord(nil, kindCheckpoint, 1, w.o.Owner, nil)
	return w.enforce(&verdict{state: newState(), next: 1, rebuild: [2]bool{true, true}}, [2]*scan{}, rec)
}

// recover brings both copies to the newest state.
func (w *WAL) recover(scans [2]*scan) ([]string, error) {
	v, err := decide(scans)
	if err != nil {
		return nil, err
	}
	rec := v.anchor
	if rec == nil {
		rec = appendRecord(nil, kindCheckpoint, v.next, w.o.Owner, v.state.entries())
	}
	return v.warnings, w.enforce(v, scans, rec)
}

// enforce makes rec, a checkpoint of the decided state, the newest record of
// both copies. A crash between any two of its steps leaves a state from which
// the next recovery decides the same; the argument is in doc.go.
func (w *WAL) enforce(v *verdict, scans [2]*scan, rec []byte) error {
	w.state, w.generation, w.since = v.state, v.next, framedSize(len(rec))
	if err := w.build(v, rec); err != nil {
		return err
	}
	if err := w.catchUp(v, scans); err != nil {
		return err
	}
	for i, m := range w.mirrors {
		if m != nil && scans[i].newest != v.next {
			if err := m.append(rec); err != nil {
				return fmt.Errorf("journal: %w", err)
			}
		}
	}
	for i := range w.mirrors {
		if err := w.replace(i, v, scans[i]); err != nil {
			return err
		}
	}
	for _, m := range w.mirrors {
		if err := m.dropBefore(m.last); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		if err := tidy(w.o.FS, m.dir); err != nil {
			return err
		}
	}
	return nil
}

// build makes the replacements of all copies that need one, before anything of
// the old ones is touched.
func (w *WAL) build(v *verdict, rec []byte) error {
	built := false
	for i, rebuild := range v.rebuild {
		if !rebuild {
			continue
		}
		if err := buildCopy(w.o.FS, w.dir(i), rec, w.o.SegmentBytes, w.o.open); err != nil {
			return err
		}
		built = true
	}
	if !built {
		return nil
	}
	return syncParent(w.o.FS, w.dir(0))
}

// catchUp opens the copies that stay. What they hold may be in the page cache
// only, so it is synced; then the second gets the record that only the first
// has, because the first may be written only when both have what it has.
func (w *WAL) catchUp(v *verdict, scans [2]*scan) error {
	for i, s := range scans {
		if v.rebuild[i] || s.pending {
			continue
		}
		m, err := openMirror(w.o.FS, s, w.dir(i), w.o.SegmentBytes, w.o.open)
		if err != nil {
			return err
		}
		w.mirrors[i] = m
		if err := m.log.Sync(); err != nil {
			return fmt.Errorf("journal: sync %s: %w", m.dir, err)
		}
		if err := m.syncDir(); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if b := w.mirrors[1]; b != nil && w.mirrors[0] != nil && v.anchor == nil && scans[1].newest < v.generation {
		if err := b.append(v.newest); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}

// replace puts a built or pending replacement in place and opens it.
func (w *WAL) replace(i int, v *verdict, s *scan) (err error) {
	if w.mirrors[i] != nil {
		return nil
	}
	if err := swapIn(w.o.FS, w.dir(i), v.next); err != nil {
		return err
	}
	if !v.rebuild[i] {
		w.mirrors[i], err = openMirror(w.o.FS, s, w.dir(i), w.o.SegmentBytes, w.o.open)
		return err
	}
	m := &mirror{fs: w.o.FS, dir: w.dir(i), last: 1}
	if err := m.open(w.o.SegmentBytes, w.o.open); err != nil {
		return err
	}
	w.mirrors[i] = m
	return nil
}
