package segments

import (
	"errors"
	"fmt"
	"slices"
)

// Repair fills a gap in place with entries that another replica holds: frames as they
// lie there, of one term, that begin with a gap's first entry and may end before its
// last. They must be those that were lost: index, term and neighbours are checked,
// and bytes that don't fit give a *FrameError and change nothing. When Repair returns
// nil they are durable and the gap is smaller or gone. Entries that are in no gap,
// any more, are left alone.
//
// Repair belongs to the disk side: it may block, and only one Flush, Repair or Close
// runs at a time. After any other error the gap is still there.
func (l *Log) Repair(frames []byte) error {
	lo, hi, term, err := span(frames)
	if err != nil {
		return err
	}
	l.mu.RLock()
	g, closed := l.gapAt(lo), l.closed
	l.mu.RUnlock()
	switch {
	case closed:
		return ErrClosed
	case g == nil || g.lo != lo:
		return nil
	}
	if err := CheckFrames(l.o.Identity, frames, lo, hi, term); err != nil {
		return err
	}
	after, err := g.filled(frames, hi)
	if err != nil {
		return err
	}
	if err := l.fill(g, frames, after); err != nil {
		if l.gapOf(g) < 0 {
			return nil // the entries were dropped meanwhile, and the file perhaps too
		}
		return fmt.Errorf("segments: repair the entries [%d,%d) of %s: %w", lo, hi, g.seg.path, err)
	}
	return l.close(g, after, frames)
}

func (l *Log) gapOf(g *gap) int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Index(l.gaps, g)
}

// span returns which entries frames claims to hold.
func span(frames []byte) (lo, hi Index, term Term, err error) {
	for rest := frames; len(rest) > 0; {
		f, n, err := ViewFrame(rest)
		if err != nil {
			return 0, 0, 0, err
		}
		if lo == 0 {
			lo, term = f.Index, f.Term
		}
		hi, rest = f.Index+1, rest[n:]
	}
	if lo == 0 {
		return 0, 0, 0, &FrameError{Reason: "no frames"}
	}
	return lo, hi, term, nil
}

// filled returns the gap that is left when frames, which end below hi, are in it; nil
// if none is.
func (g *gap) filled(frames []byte, hi Index) (*gap, error) {
	refuse := func(i Index, reason string) (*gap, error) { return nil, &FrameError{Index: i, Reason: reason} }
	first, _, err := ViewFrame(frames)
	if err != nil {
		return nil, err
	}
	var last Frame
	for rest := frames; len(rest) > 0; {
		f, n, err := ViewFrame(rest)
		if err != nil {
			return nil, err
		}
		last, rest = f, rest[n:]
	}
	end := g.pos + int64(len(frames))
	switch {
	case first.PrevTerm != g.before.term || first.BaseOffset != g.before.next:
		return refuse(g.lo, "it doesn't continue what is before the damage")
	case hi > g.hi:
		return refuse(g.hi, "it is not damaged")
	case hi == g.hi && (last.Next() != g.next || g.end != openEnd && end != g.end):
		return refuse(hi-1, "it doesn't lead to what is behind the damage")
	case hi == g.hi:
		return nil, nil
	case last.Next() > g.next || g.end != openEnd && end >= g.end:
		return refuse(hi-1, "it leads beyond the damage")
	}
	rest := *g
	rest.lo, rest.pos = hi, end
	rest.before = position{last.Index, last.Term, last.Next()}
	rest.write = max(g.write, last.Term)
	if rest.config < rest.lo {
		rest.config = 0
	}
	return &rest, nil
}

// fill writes the frames where the gap begins.
func (l *Log) fill(g *gap, frames []byte, rest *gap) (err error) {
	b := slices.Clone(frames)
	l.mu.RLock()
	config := l.configBefore(g.lo)
	l.mu.RUnlock()
	for at := 0; at < len(b); {
		f := getFrame(b[at:])
		if f.Kind == KindConfig {
			config = f.Index
		}
		// What this replica knew when it wrote the entry is lost; this is true as well.
		putLocal(b[at:], &Local{WriteTerm: max(g.write, f.Term), Config: config}, g.seg.salt)
		at += FrameHeaderSize + payloadLen(b[at:])
	}
	f, err := l.o.FS.OpenReadWrite(g.seg.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	g.seg.dropEdge() // it may hold what was damaged
	_, err = f.WriteAt(b, g.pos)
	if err == nil && rest == nil && g.end == openEnd {
		err = f.Truncate(g.pos + int64(len(b))) // whatever lies behind the end of a full segment
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		return nil
	}
	// The page cache may hold what the disk doesn't: it must not be believed later.
	return errors.Join(err, uncache(f))
}

// close puts what is left of a gap in its place, and what its entries tell. Nothing is
// done if the log has dropped the gap meanwhile.
func (l *Log) close(g, rest *gap, frames []byte) error {
	l.mu.Lock()
	k := slices.Index(l.gaps, g)
	if k < 0 {
		l.mu.Unlock()
		return nil
	}
	l.gaps = slices.Clone(l.gaps)
	end := g.pos + int64(len(frames))
	if rest != nil {
		l.gaps[k] = rest
		if j := int(rest.lo - min(l.looseFirst, rest.lo)); rest.lo >= l.looseFirst && j < len(l.loose) {
			l.loose[j] = place{pos: rest.pos, offset: rest.before.next}
		}
	} else {
		l.gaps = slices.Delete(l.gaps, k, k+1)
		l.reseal = true
	}
	if g.end == openEnd {
		g.seg.end, g.seg.taken, g.seg.synced = end, end, end
	}
	var changed []*segment
	pos := g.pos
	for b := frames; len(b) > 0; {
		f, n := view(b)
		l.regain(g.seg, &f, pos)
		if f.Kind == KindConfig {
			changed = append(changed, l.learn(ConfigAt{f.Index, slices.Clone(f.Payload)})...)
		}
		b, pos = b[n:], pos+int64(n)
	}
	l.mu.Unlock()
	for _, s := range changed {
		if err := l.writeHeader(s); err != nil {
			return err
		}
	}
	return nil
}

// regain notes where a repaired entry lies, and its time.
func (l *Log) regain(s *segment, f *Frame, pos int64) {
	if f.Index >= l.looseFirst && f.Index < l.looseFirst+Index(len(l.loose)) {
		l.loose[f.Index-l.looseFirst] = place{pos: pos, offset: f.BaseOffset}
	}
	if f.Kind != KindData {
		return
	}
	s.maxTime = max(s.maxTime, f.MaxTimestamp)
	for k := len(s.marks) - 1; k >= 0 && s.marks[k].index > f.Index; k-- {
		s.marks[k].before = max(s.marks[k].before, f.MaxTimestamp)
	}
}

// learn adds a configuration that was not known, and returns the segments whose
// headers name an older one as in force and are on disk already.
func (l *Log) learn(c ConfigAt) (stale []*segment) {
	k, known := slices.BinarySearchFunc(l.configs, c.Index, func(have ConfigAt, i Index) int { return int(int64(have.Index) - int64(i)) })
	if !known {
		l.configs = slices.Insert(slices.Clone(l.configs), k, c)
	}
	for _, s := range l.segs {
		if s.base > c.Index && s.config.Index < c.Index {
			s.config = c
			if s.made {
				stale = append(stale, s)
			}
		}
	}
	return stale
}
