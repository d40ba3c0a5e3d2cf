package segments

import (
	"errors"
	"fmt"
)

// skip goes on behind what is damaged at the end of what was read of s: to the next
// frame whose header is good, or to the next segment if until is not 0. It gives up,
// with a *CorruptionError, where it is not known which entries are missing: their
// indexes follow from what is around them, and their terms if that has one term, or
// if it is one entry.
func (op *opening) skip(s *segment, w *window, why string, until Index) error {
	if len(op.l.gaps) == gapsMax {
		return op.damaged(s, s.end, fmt.Errorf("%s, and %d places before are damaged too", why, gapsMax))
	}
	x := op.at.index + 1
	if done, err := op.skipPayload(s, w, why); done || err != nil {
		return err
	}
	r, err := w.search(s.end, op.l.salt, s.salt, x, op.write)
	if err != nil {
		return fmt.Errorf("segments: read %s: %w", s.path, err)
	}
	g := &gap{seg: s, lo: x, pos: s.end, end: openEnd, before: op.at, write: op.write, reason: why}
	var term Term
	switch {
	case r.frames > 0 && (until == 0 || r.index < until):
		b, err := w.bytes(r.pos, FrameHeaderSize)
		if err != nil {
			return fmt.Errorf("segments: read %s: %w", s.path, err)
		}
		f := getFrame(b)
		g.hi, g.end, g.next, term = f.Index, r.pos, f.BaseOffset, f.PrevTerm
	case until != 0:
		n := op.l.segs[op.number(s)+1]
		if header := op.headless[n]; header != nil {
			return op.damaged(s, s.end, fmt.Errorf("%s, and what follows in %s is not known: %w", why, n.path, header))
		}
		g.hi, g.next, term = n.base, n.baseOffset, n.basePrev
	default:
		return op.damaged(s, s.end, errors.New(why))
	}
	switch {
	case g.entries() > g.room():
		return op.damaged(s, s.end, fmt.Errorf("%s, and the entries up to %d don't fit the %d bytes before it", why, g.hi, g.room()*FrameHeaderSize))
	case term < op.at.term || g.next < op.at.next:
		return op.damaged(s, s.end, fmt.Errorf("%s, and entry %d is of another log: its previous term is %d, its offset %d; here they are %d and %d", why, g.hi, term, g.next, op.at.term, op.at.next))
	case g.hi-g.lo > 1 && term > max(op.at.term, 1):
		return op.damaged(s, s.end, fmt.Errorf("%s, and where the terms between %d and %d begin in the entries [%d,%d) is not known", why, op.at.term, term, g.lo, g.hi))
	}
	op.takeGap(g, term, w.size)
	return nil
}

// skipPayload goes on behind a frame of which the header alone is good.
func (op *opening) skipPayload(s *segment, w *window, why string) (bool, error) {
	b, err := w.bytes(s.end, FrameHeaderSize)
	switch {
	case err != nil:
		return false, fmt.Errorf("segments: read %s: %w", s.path, err)
	case len(b) < FrameHeaderSize || checkHeader(b, op.l.salt) != "" || checkLocal(b, s.salt) != "":
		return false, nil
	}
	f, loc := getFrame(b), getLocal(b)
	if fits(&f, &loc, op.at, op.write).reason != "" {
		return false, nil
	}
	g := &gap{
		seg: s, lo: f.Index, hi: f.Index + 1, pos: s.end, end: s.end + int64(FrameHeaderSize+payloadLen(b)),
		before: op.at, next: f.Next(), write: op.write, reason: why,
	}
	if f.Kind == KindConfig {
		g.config = f.Index
	}
	op.takeGap(g, f.Term, w.size)
	op.write = loc.WriteTerm
	return true, nil
}

// takeGap makes a gap part of the log; size is that of its file.
func (op *opening) takeGap(g *gap, term Term, size int64) {
	l, s := op.l, g.seg
	l.gaps = append(l.gaps, g)
	if n := len(l.terms); n == 0 || l.terms[n-1].Term != term {
		l.terms = append(l.terms, TermStart{Term: term, First: g.lo})
	}
	if len(l.loose) == 0 {
		l.looseFirst = g.lo
	}
	for i := g.lo; i < g.hi; i++ {
		p := place{pos: noPlace, offset: g.before.next}
		if i == g.lo {
			p.pos = g.pos
		}
		l.loose = append(l.loose, p)
	}
	s.skip(g, size)
	op.at = position{g.hi - 1, term, g.next}
	op.rec.Warnings = append(op.rec.Warnings, g.public().String())
}

// skip goes on behind a gap. Reads begin at a mark and walk from frame to frame, so
// there is one on either side.
func (s *segment) skip(g *gap, size int64) {
	if len(s.marks) == 0 {
		s.marks = append(s.marks, mark{index: g.lo, offset: g.before.next, pos: g.pos, before: s.maxTime})
	}
	s.next, s.end, s.poor = g.hi, g.end, true
	if g.end == openEnd {
		s.end = max(g.pos, size)
		return
	}
	s.marks = append(s.marks, mark{index: g.hi, offset: g.next, pos: g.end, before: s.maxTime})
}

func (op *opening) number(s *segment) int {
	for i, o := range op.l.segs {
		if o == s {
			return i
		}
	}
	return -1
}

// bridge makes segment i continue the one before it if its header block is damaged.
// (Where a file is missing between the two, its entries are a gap at the end of the
// one before, and are filled in there.)
func (op *opening) bridge(i int) error {
	l := op.l
	s := l.segs[i]
	if why := op.headless[s]; why != nil {
		if s.base != op.at.index+1 {
			return op.damaged(s, 0, why)
		}
		s.basePrev, s.baseOffset, s.config = op.at.term, op.at.next, l.lastConfig()
		return nil
	}
	stale, err := op.enter(s)
	if err == nil && stale {
		err = l.writeHeader(s)
	}
	return err
}

// restoreHeader writes the damaged header block of a segment again, now that its frames have
// shown what it was.
func (op *opening) restoreHeader(s *segment) error {
	why := op.headless[s]
	if why == nil {
		return nil
	}
	if s.next == s.base {
		return op.damaged(s, 0, why)
	}
	op.rec.Warnings = append(op.rec.Warnings, fmt.Sprintf("%s: the header block was damaged and is written again (%v)", s.path, why))
	return op.l.writeHeader(s)
}
