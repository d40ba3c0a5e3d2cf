package segments

import (
	"errors"
	"fmt"

	"github.com/logq/logq/internal/vfs"
)

// segment takes the segment number i: by its footer, or else it reads the frames.
func (op *opening) segment(s *segment, i int) (err error) {
	l := op.l
	if ok, err := op.footed(s, i); ok || err != nil {
		return err
	}
	last := i == len(l.segs)-1
	l.reseal = l.reseal || !last
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
	for {
		end, err := op.scan(s, w, until)
		switch {
		case err != nil:
			return err
		case end.reason == "":
			return nil
		case !last:
			err = op.skip(s, w, end.reason, until)
		default:
			var damage bool
			if damage, err = op.judge(s, f, w, end); err == nil && !damage {
				return nil
			}
			if err == nil {
				err = op.skip(s, w, end.reason, 0)
			}
		}
		if err != nil {
			return err
		}
	}
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
			return ending{}, fmt.Errorf("segments: read %s: %w", s.path, err)
		}
		if reason != "" {
			return ending{reason: reason}, nil
		}
		f, loc := getFrame(b), getLocal(b)
		if end := fits(&f, &loc, op.at, op.write); end.reason != "" {
			return end, nil
		}
		op.take(s, b, &f, &loc)
		if err := op.inForce(s, loc.Config); err != nil {
			return ending{}, err
		}
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
	op.committed(loc.Commit)
	if len(l.loose) == 0 {
		l.looseFirst = f.Index
	}
	l.loose = append(l.loose, place{pos: s.end, offset: f.BaseOffset})
	s.add(b, int64(l.o.IndexInterval))
	op.at, op.write = position{f.Index, f.Term, f.Next()}, loc.WriteTerm
}

// judge decides what lies behind the last frame of the last segment, by the
// table in format.md: damage, or else the end of the log.
func (op *opening) judge(s *segment, f vfs.File, w *window, end ending) (damage bool, err error) {
	s.trimmed = false
	x := op.at.index + 1
	r, err := w.search(s.end, op.l.salt, s.salt, x, op.write)
	switch {
	case err != nil:
		return false, fmt.Errorf("segments: read %s: %w", s.path, err)
	case r.durable >= x:
		return true, nil
	case x <= op.mark:
		return false, op.damaged(s, s.end, fmt.Errorf("%s, but entries up to %d were durable", end.reason, op.mark))
	case r.garbage == 0:
		return false, nil
	case op.headless[s] != nil && s.next == s.base:
		return false, op.damaged(s, 0, op.headless[s]) // nothing says that this is ours
	}
	footer, err := w.footerBegins(s.end)
	if err != nil {
		return false, fmt.Errorf("segments: read %s: %w", s.path, err)
	}
	if err := f.Truncate(s.end); err != nil {
		return false, fmt.Errorf("segments: cut %s: %w", s.path, err)
	}
	if err := f.Sync(); err != nil {
		return false, fmt.Errorf("segments: sync %s: %w", s.path, err)
	}
	switch {
	case footer:
		op.rec.Warnings = append(op.rec.Warnings, fmt.Sprintf("%s: the footer behind entry %d was unfinished or damaged and was cut off; the frames were read", s.path, op.at.index))
		return false, nil
	case end.stale:
		op.rec.StaleSuffix = r.garbage
		return false, nil
	}
	op.rec.Truncated = r.garbage
	op.rec.Warnings = append(op.rec.Warnings, fmt.Sprintf("%s: cut %d bytes of an unfinished write behind entry %d (%s)", s.path, r.garbage, op.at.index, end.reason))
	return false, nil
}
