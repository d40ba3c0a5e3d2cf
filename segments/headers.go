package segments

import (
	"errors"
	"fmt"
	"path"
)

// headers makes l.segs of the header blocks.
func (op *opening) headers(files []found) error {
	l := op.l
	for i, f := range files {
		s, err := op.header(f)
		var fault headerFault
		if errors.As(err, &fault) {
			if i == len(files)-1 {
				done, err := op.unfinishedFile(f)
				if err != nil {
					return err
				}
				if done {
					continue
				}
			}
			if s = op.headlessSegment(f, fault); s != nil {
				err = nil
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
		if s.base > 1 && !s.starts {
			return &CorruptionError{Path: s.path, SegmentID: s.id, Index: 1, Err: fmt.Errorf("the log doesn't begin here: the file before, with the entries up to %d, is missing", s.base-1)}
		}
		l.first, l.prevTerm, l.start, l.firstConfig = s.base, s.basePrev, s.baseOffset, s.config
	}
	op.at = position{l.first - 1, l.prevTerm, l.start}
	return nil
}

// header holds one header block against the name and the identity.
func (op *opening) header(f found) (*segment, error) {
	l := op.l
	name := path.Join(l.o.Dir, f.name)
	h, err := f.header, f.err
	var newer *VersionError
	switch {
	case errors.As(err, &newer):
		newer.Path = name
		return nil, newer
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
	if f.foot != nil {
		op.feet[s] = f.foot
	}
	return s, nil
}

// unfinishedFile decides about the newest file with a bad header. Its making was
// interrupted if there is nothing behind the header block, since frames are
// written only when header and name are durable; else it is damaged.
func (op *opening) unfinishedFile(f found) (unfinished bool, err error) {
	l := op.l
	name := path.Join(l.o.Dir, f.name)
	file, err := l.o.FS.Open(name)
	if err != nil {
		return false, fmt.Errorf("segments: open %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	size, err := file.Size()
	if err != nil {
		return false, fmt.Errorf("segments: size of %s: %w", name, err)
	}
	w := openWindow(file, size)
	defer w.close()
	r, err := w.search(FileHeaderSize, l.salt, l.salt.forSegment(f.id), 0, 0)
	if err != nil {
		return false, fmt.Errorf("segments: read %s: %w", name, err)
	}
	if r.garbage > 0 {
		return false, nil
	}
	op.unfinished = name
	op.mark = max(op.mark, f.base-1)
	l.maxID = max(l.maxID, f.id)
	return true, nil
}

// headlessSegment is that of a file with a damaged header block: what was in it
// follows from the segment before, or from nothing if it is the first of all entries.
// nil if it is the first file of a log that begins later.
func (op *opening) headlessSegment(f found, why error) *segment {
	l := op.l
	if len(l.segs) == 0 && f.base != 1 {
		return nil
	}
	s := l.newSegment(f.id, f.base, 0, 0)
	s.made, s.trimmed = true, true
	if op.headless == nil {
		op.headless = make(map[*segment]error)
	}
	op.headless[s] = why
	return s
}
