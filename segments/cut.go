package segments

import (
	"errors"
	"fmt"
	"sort"
)

// Each frame proves that those of earlier group commits were durable; nothing proves it
// of the last group commit. When a truncation makes an older one the last, damage in it
// that nobody has noticed would pass for a torn write at the next start, and what was
// acknowledged would be cut off. So what will be the end is read before anything is cut.

// cutEnd is the place where the log ends on disk after a cut.
type cutEnd struct {
	seg     *segment
	pos     int64
	marks   sparse // of the frames below pos and at or behind lazyEnd
	lazyEnd int64  // those before are in the footer
}

// cutEnd returns nil if nothing is cut off, or nothing is left.
func (l *Log) cutEnd() *cutEnd {
	for i := len(l.segs) - 1; i >= 0; i-- {
		s := l.segs[i]
		if !s.made || s.synced == FileHeaderSize {
			continue // nothing on disk
		}
		if !s.cut && len(l.flush.gone) == 0 {
			return nil
		}
		return &cutEnd{seg: s, pos: s.synced, marks: s.marks.below(s.synced), lazyEnd: s.lazyEnd}
	}
	return nil
}

// checkEnd reads the last group commit before the cut. A *CorruptionError leaves
// everything as it is: the next Open finds the damage, and what proves it.
func (l *Log) checkEnd(e *cutEnd) error {
	if e == nil {
		return nil
	}
	if e.lazyEnd != 0 {
		x, err := l.readIndex(e.seg)
		if err != nil {
			x = e.seg.firstMark()
		}
		e.marks = append(x.below(min(e.lazyEnd, e.pos)), e.marks...)
	}
	err := l.readEnd(e)
	if errors.Is(err, ErrCorrupt) {
		err = l.readEnd(e) // memory may fail too
	}
	if err != nil {
		return fmt.Errorf("look at the end of the log before a cut: %w", err)
	}
	return nil
}

func (l *Log) readEnd(e *cutEnd) (err error) {
	f, err := l.o.FS.Open(e.seg.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := uncache(f); err != nil {
		return err
	}
	w := openWindow(f, e.pos)
	defer w.close()
	// What lies before the last mark may belong to the last group commit too: the last
	// frame says where that begins.
	for k := len(e.marks) - 1; ; {
		from := e.marks[k]
		durable, err := l.readFrom(e, w, from)
		if err != nil || k == 0 || durable+1 >= from.index {
			return err
		}
		k = max(sort.Search(k, func(k int) bool { return e.marks[k].index > durable+1 })-1, 0)
	}
}

// readFrom checks the frames from a mark to the end, and returns what the last of them
// proves to have been durable.
func (l *Log) readFrom(e *cutEnd, w *window, from mark) (durable Index, err error) {
	at := position{index: from.index - 1, next: from.offset}
	write := Term(0)
	for pos := from.pos; pos < e.pos; {
		b, reason, err := w.frame(pos, l.salt, e.seg.salt)
		if err != nil {
			return 0, err
		}
		if reason == "" {
			f, loc := getFrame(b), getLocal(b)
			if at.term == 0 {
				at.term = f.PrevTerm
			}
			if reason = fits(&f, &loc, at, write).reason; reason == "" {
				at, write, durable = position{f.Index, f.Term, f.Next()}, loc.WriteTerm, loc.DurableThrough
				pos += int64(len(b))
				continue
			}
		}
		return 0, &CorruptionError{Path: e.seg.path, SegmentID: e.seg.id, Offset: pos, Index: at.index + 1, Err: errors.New(reason)}
	}
	return durable, nil
}
