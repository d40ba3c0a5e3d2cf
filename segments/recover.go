package segments

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/logq/logq/internal/vfs"
)

// Open opens the log in o.Dir, or makes an empty one where there is nothing. It
// reads all frames, checks them, and cuts off what an unfinished group commit
// left (see the returned Recovery). All that it then holds is durable.
//
// Errors: *CorruptionError (errors.Is ErrCorrupt) if something that had been
// durable is damaged or missing, *IdentityError (ErrNotOurs) and *VersionError
// for files that this program must not touch. Nothing is changed on disk then;
// the replica is out of service until it is repaired. Any other error is one of
// the file system.
func Open(o Options) (*Log, Recovery, error) {
	if err := o.setDefaults(); err != nil {
		return nil, Recovery{}, err
	}
	l := &Log{o: o, salt: o.Identity.salt(), first: 1, chunkSize: chunkBytesMin}
	l.chunkMax = min(max(o.TailBytes/4, chunkBytesMin), chunkBytesMax)
	op := &opening{l: l}
	if err := op.open(); err != nil {
		return nil, op.rec, err
	}
	return l, op.rec, nil
}

func (o *Options) setDefaults() error {
	if o.FS == nil || o.Dir == "" {
		return errors.New("segments: Options need FS and Dir")
	}
	o.SegmentBytes = cmp.Or(o.SegmentBytes, DefaultSegmentBytes)
	o.TailBytes = cmp.Or(o.TailBytes, DefaultTailBytes)
	o.IndexInterval = cmp.Or(o.IndexInterval, DefaultIndexInterval)
	if o.SegmentBytes < 0 || o.SegmentBytes > MaxSegmentBytes || o.TailBytes < 0 || o.IndexInterval < 0 {
		return fmt.Errorf("segments: SegmentBytes %d must be in [1,%d], TailBytes %d and IndexInterval %d positive",
			o.SegmentBytes, int64(MaxSegmentBytes), o.TailBytes, o.IndexInterval)
	}
	return nil
}

// opening is the state of one Open.
type opening struct {
	l     *Log
	rec   Recovery
	at    position
	write Term
	// An unfinished new file, to be removed: the entries before it were durable.
	unfinished string
	mark       Index
	leftovers  []string // of a log that was begun anew, to be removed
}

// found is a segment file in the directory.
type found struct {
	name string
	base Index
	id   ID
}

func (op *opening) open() error {
	l := op.l
	files, err := op.list()
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(files) == 0 {
		// A directory with segments is durable: it was before the first was made.
		err = vfs.MkdirAllSync(l.o.FS, l.o.Dir)
	}
	if err != nil {
		return fmt.Errorf("segments: open %s: %w", l.o.Dir, err)
	}
	if err := op.freshen(files); err != nil {
		return err
	}
	if files, err = op.begun(files); err != nil {
		return fmt.Errorf("segments: open %s: %w", l.o.Dir, err)
	}
	op.mark = l.o.DurableMark
	if err := op.headers(files); err != nil {
		return err
	}
	if len(files) > 0 {
		if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
			return fmt.Errorf("segments: sync directory %s: %w", l.o.Dir, err)
		}
	}
	for i, s := range l.segs {
		if err := op.segment(s, i); err != nil {
			return err
		}
	}
	if op.at.index < op.mark {
		// Only an empty directory, or one with nothing but an unfinished file, gets
		// here: the scan of a segment has looked at the mark.
		return &CorruptionError{Path: l.o.Dir, Index: op.at.index + 1, Err: fmt.Errorf("no segments, but entries up to %d were durable", op.mark)}
	}
	if op.unfinished != "" {
		if err := op.remove(); err != nil {
			return err
		}
	}
	if err := op.removeLeftovers(); err != nil {
		return err
	}
	op.finish()
	return nil
}

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
		files = append(files, found{name, base, id})
	}
	slices.SortFunc(files, func(a, b found) int { return cmp.Or(cmp.Compare(a.base, b.base), cmp.Compare(a.id, b.id)) })
	return files, nil
}

// begun returns the files of the log that was begun anew last, or all if none was:
// the file that says so and those with higher IDs, which were made after it. The
// others are leftovers of the log before.
func (op *opening) begun(files []found) ([]found, error) {
	begin := ID(0)
	for _, f := range files {
		h, err := readHeader(op.l.o.FS, path.Join(op.l.o.Dir, f.name))
		var fault headerFault
		var newer *VersionError
		if err != nil && !errors.As(err, &fault) && !errors.As(err, &newer) {
			return nil, fmt.Errorf("segments: read header of %s: %w", f.name, err)
		}
		if err == nil && h.Start && h.ID == f.id && h.Identity == op.l.o.Identity {
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

// headers reads the header blocks and makes l.segs of them.
func (op *opening) headers(files []found) error {
	l := op.l
	for i, f := range files {
		s, err := op.header(f)
		var fault headerFault
		if i == len(files)-1 && errors.As(err, &fault) {
			if err = op.unfinishedFile(f, err); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		l.maxID = max(l.maxID, s.id)
		l.segs = append(l.segs, s)
	}
	if len(l.segs) > 0 {
		s := l.segs[0]
		l.first, l.prevTerm, l.start, l.firstConfig = s.base, s.basePrev, s.baseOffset, s.config
	}
	op.at = position{l.first - 1, l.prevTerm, l.start}
	return nil
}

// header reads one header block and holds it against the name and the identity.
func (op *opening) header(f found) (*segment, error) {
	l := op.l
	name := path.Join(l.o.Dir, f.name)
	h, err := readHeader(l.o.FS, name)
	var fault headerFault
	var newer *VersionError
	switch {
	case errors.As(err, &newer):
		newer.Path = name
		return nil, newer
	case err != nil && !errors.As(err, &fault):
		return nil, fmt.Errorf("segments: read header of %s: %w", name, err)
	case err == nil && h.Identity != l.o.Identity:
		return nil, &IdentityError{Path: name, Got: h.Identity, Want: l.o.Identity}
	case err == nil && (h.ID != f.id || h.BaseIndex != f.base):
		err = fmt.Errorf("header says segment %s with base index %d: the file was renamed or moved", h.ID, h.BaseIndex)
	}
	if err != nil {
		return nil, &CorruptionError{Path: name, SegmentID: f.id, Index: f.base, Err: err}
	}
	s := l.newSegment(h.ID, h.BaseIndex, h.BaseOffset, h.BasePrevTerm)
	s.created, s.made, s.trimmed = h.Created, true, true
	s.config, s.starts = h.Config, h.Start
	return s, nil
}

func readHeader(fsys vfs.FS, name string) (h FileHeader, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return h, err
	}
	w := openWindow(f, min(size, FileHeaderSize))
	defer w.close()
	b, err := w.bytes(0, FileHeaderSize)
	if err != nil {
		return h, err
	}
	return decodeHeader(b)
}

// unfinishedFile decides about the newest file with a bad header. Its making was
// interrupted if there is nothing behind the header block, since frames are
// written only when header and name are durable; else it is damaged.
func (op *opening) unfinishedFile(f found, fault error) (err error) {
	l := op.l
	name := path.Join(l.o.Dir, f.name)
	file, err := l.o.FS.Open(name)
	if err != nil {
		return fmt.Errorf("segments: open %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	size, err := file.Size()
	if err != nil {
		return fmt.Errorf("segments: size of %s: %w", name, err)
	}
	w := openWindow(file, size)
	defer w.close()
	r, err := w.search(FileHeaderSize, l.salt, l.salt.forSegment(f.id), 0, 0)
	if err != nil {
		return fmt.Errorf("segments: read %s: %w", name, err)
	}
	if r.garbage > 0 {
		return fault
	}
	op.unfinished = name
	op.mark = max(op.mark, f.base-1)
	l.maxID = max(l.maxID, f.id)
	return nil
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

// removeLeftovers removes what a Reset was stopped from removing.
func (op *opening) removeLeftovers() error {
	o := &op.l.o
	for _, name := range op.leftovers {
		if err := o.FS.Remove(name); err != nil {
			return fmt.Errorf("segments: remove leftover %s: %w", name, err)
		}
		if err := o.FS.SyncDir(o.Dir); err != nil {
			return fmt.Errorf("segments: sync directory %s: %w", o.Dir, err)
		}
		op.rec.Warnings = append(op.rec.Warnings, fmt.Sprintf("%s belonged to a log that was begun anew and was removed", name))
	}
	return nil
}

// segment scans the segment number i.
func (op *opening) segment(s *segment, i int) (err error) {
	l := op.l
	last := i == len(l.segs)-1
	open := l.o.FS.Open
	if last {
		open = l.o.FS.OpenReadWrite
	}
	f, err := open(s.path)
	if err != nil {
		return fmt.Errorf("segments: open %s: %w", s.path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("segments: size of %s: %w", s.path, err)
	}
	w := openWindow(f, size)
	defer w.close()
	if (position{s.base - 1, s.basePrev, s.baseOffset}) != op.at {
		return op.damaged(s, 0, fmt.Errorf("the segment before ends with entry %d of term %d and offset %d, this one continues entry %d of term %d and offset %d: a segment is missing, or of another time",
			op.at.index, op.at.term, op.at.next, s.base-1, s.basePrev, s.baseOffset))
	}
	until := Index(0)
	if !last {
		until = l.segs[i+1].base
	}
	end, err := op.scan(s, w, until)
	if err != nil {
		return fmt.Errorf("segments: read %s: %w", s.path, err)
	}
	switch {
	case last:
		return op.judge(s, f, w, end)
	case end.reason != "":
		return op.damaged(s, s.end, fmt.Errorf("%s, and a later segment follows", end.reason))
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
	if u, ok := f.(vfs.Uncacher); ok {
		if err := u.Uncache(); err != nil {
			return fmt.Errorf("segments: drop cached pages of %s: %w", f.Name(), err)
		}
	}
	return nil
}

func (op *opening) damaged(s *segment, pos int64, why error) error {
	return &CorruptionError{Path: s.path, SegmentID: s.id, Offset: pos, Index: op.at.index + 1, Err: why}
}

// ending is why a scan ended; the position is the segment's end.
type ending struct {
	reason string // "" at the base index of the next segment
	stale  bool
}

// scan takes the frames of s, up to index until if that is not 0.
func (op *opening) scan(s *segment, w *window, until Index) (ending, error) {
	for op.at.index+1 != until {
		b, reason, err := w.frame(s.end, op.l.salt, s.salt)
		if err != nil {
			return ending{}, err
		}
		if reason != "" {
			return ending{reason: reason}, nil
		}
		f, loc := getFrame(b), getLocal(b)
		if end := fits(&f, &loc, op.at, op.write); end.reason != "" {
			return end, nil
		}
		op.take(s, b, &f, &loc)
	}
	return ending{}, nil
}

// fits says whether a valid frame continues the log. A lower write term or
// another previous term is what an overwritten log left behind: its frames have
// dense indexes and good checksums, and the log they would make never existed.
func fits(f *Frame, loc *Local, at position, write Term) ending {
	switch {
	case loc.WriteTerm < write:
		return ending{fmt.Sprintf("write term %d after %d", loc.WriteTerm, write), true}
	case f.Index != at.index+1:
		return ending{reason: fmt.Sprintf("entry %d in the place of %d", f.Index, at.index+1)}
	case f.PrevTerm != at.term:
		return ending{fmt.Sprintf("previous term %d after term %d", f.PrevTerm, at.term), true}
	case f.BaseOffset != at.next:
		return ending{reason: fmt.Sprintf("base offset %d in the place of %d", f.BaseOffset, at.next)}
	}
	return ending{}
}

// take adds a scanned frame to the log.
func (op *opening) take(s *segment, b []byte, f *Frame, loc *Local) {
	l := op.l
	if n := len(l.terms); n == 0 || l.terms[n-1].Term != f.Term {
		l.terms = append(l.terms, TermStart{Term: f.Term, First: f.Index})
	}
	if f.Kind == KindConfig {
		l.configs = append(l.configs, ConfigAt{f.Index, append([]byte(nil), b[FrameHeaderSize:]...)})
	}
	op.rec.Evidence = max(op.rec.Evidence, loc.DurableThrough)
	if loc.Commit > op.rec.Commit {
		op.rec.Commit = loc.Commit
		n := min(int(max(loc.Commit+1, l.looseFirst)-l.looseFirst), len(l.loose))
		l.loose, l.looseFirst = l.loose[n:], l.looseFirst+Index(n)
	}
	if len(l.loose) == 0 {
		l.looseFirst = f.Index
	}
	l.loose = append(l.loose, place{pos: s.end, offset: f.BaseOffset})
	s.add(b, int64(l.o.IndexInterval))
	op.at, op.write = position{f.Index, f.Term, f.Next()}, loc.WriteTerm
}

// judge decides what lies behind the last frame of the last segment, by the
// table in format.md.
func (op *opening) judge(s *segment, f vfs.File, w *window, end ending) error {
	s.trimmed = false
	x := op.at.index + 1
	r, err := w.search(s.end, op.l.salt, s.salt, x, op.write)
	switch {
	case err != nil:
		return fmt.Errorf("segments: read %s: %w", s.path, err)
	case r.durable >= x:
		return op.damaged(s, s.end, fmt.Errorf("%s, but entries up to %d were durable when later frames were written (the next is entry %d at byte %d)", end.reason, r.durable, r.index, r.pos))
	case x <= op.mark:
		return op.damaged(s, s.end, fmt.Errorf("%s, but entries up to %d were durable", end.reason, op.mark))
	case r.garbage == 0:
		return nil
	}
	if err := f.Truncate(s.end); err != nil {
		return fmt.Errorf("segments: cut %s: %w", s.path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("segments: sync %s: %w", s.path, err)
	}
	if end.stale {
		op.rec.StaleSuffix = r.garbage
		return nil
	}
	op.rec.Truncated = r.garbage
	op.rec.Warnings = append(op.rec.Warnings, fmt.Sprintf("%s: cut %d bytes of an unfinished write behind entry %d (%s)", s.path, r.garbage, op.at.index, end.reason))
	return nil
}

// finish fills the log's fields from what was scanned.
func (op *opening) finish() {
	l := op.l
	for _, s := range l.segs {
		s.taken, s.synced = s.end, s.end
	}
	l.last, l.lastTerm, l.next = op.at.index, op.at.term, op.at.next
	l.write = op.write
	l.taken, l.durable, l.commit = l.last, l.last, op.rec.Commit
	l.loose = append([]place(nil), l.loose...)
	op.rec.WriteTerm = op.write
}
