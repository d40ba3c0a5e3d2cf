package segments

import (
	"slices"

	"github.com/logq/logq/record"
)

// Append stages one entry: it copies header and payload to the tail, once, and
// does no I/O. The entry must continue the log: the next index, the last term as
// previous term, the next offset. Errors are *OrderError, *FrameError,
// *TooLargeError and ErrClosed; they leave the log as it was. A failed Flush
// doesn't show here: the owner learns of it from the one who flushes, and what is
// appended meanwhile is never durable.
func (l *Log) Append(f Frame, loc Local) error {
	if len(f.Payload) > MaxPayloadBytes {
		return &TooLargeError{Size: len(f.Payload), Max: MaxPayloadBytes}
	}
	if reason := content(&f, len(f.Payload)); reason != "" {
		return &FrameError{Index: f.Index, Reason: reason}
	}
	if err := l.continues(&f, position{l.last, l.lastTerm, l.next}); err != nil {
		return err
	}
	if err := l.checkLocal(&f, &loc); err != nil {
		return err
	}
	size := f.Size()
	seg, c := l.room(size, loc.WriteTerm)
	b := c.buf[len(c.buf) : len(c.buf)+size]
	putFrame(b, &f, l.salt)
	copy(b[FrameHeaderSize:], f.Payload)
	return l.publish(seg, c, b, &f, &loc)
}

// AppendRaw stages frames as they came from the leader, after CheckFrames has
// passed them; their local parts are replaced. Either all are appended or, with
// an *OrderError or *FrameError, none.
func (l *Log) AppendRaw(frames []byte, loc Local) error {
	at := position{l.last, l.lastTerm, l.next}
	for rest := frames; len(rest) > 0; {
		f, n, err := ViewFrame(rest)
		if err != nil {
			return err
		}
		if err := l.continues(&f, at); err != nil {
			return err
		}
		if at.index == l.last { // the marks are checked against the first
			if err := l.checkLocal(&f, &loc); err != nil {
				return err
			}
		}
		if loc.WriteTerm < f.Term {
			return &OrderError{What: "write term below the entry's term", Got: uint64(loc.WriteTerm), Want: uint64(f.Term)}
		}
		at = position{f.Index, f.Term, f.Next()}
		rest = rest[n:]
	}
	for rest := frames; len(rest) > 0; {
		f, n := view(rest)
		seg, c := l.room(n, loc.WriteTerm)
		b := c.buf[len(c.buf) : len(c.buf)+n]
		copy(b, rest[:n])
		if err := l.publish(seg, c, b, &f, &loc); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// position is the end of a log.
type position struct {
	index Index
	term  Term
	next  record.Offset
}

func (l *Log) continues(f *Frame, at position) error {
	switch {
	case f.Index != at.index+1:
		return &OrderError{What: "index", Got: uint64(f.Index), Want: uint64(at.index + 1)}
	case f.PrevTerm != at.term:
		return &OrderError{What: "previous term", Got: uint64(f.PrevTerm), Want: uint64(at.term)}
	case f.BaseOffset != at.next:
		return &OrderError{What: "base offset", Got: uint64(f.BaseOffset), Want: uint64(at.next)}
	}
	return nil
}

// checkLocal checks the marks against the first entry they are written with.
func (l *Log) checkLocal(f *Frame, loc *Local) error {
	switch {
	case loc.WriteTerm < f.Term:
		return &OrderError{What: "write term below the entry's term", Got: uint64(loc.WriteTerm), Want: uint64(f.Term)}
	case loc.WriteTerm < l.write:
		return &OrderError{What: "write term falls", Got: uint64(loc.WriteTerm), Want: uint64(l.write)}
	case loc.WriteTerm == l.write && l.mustRise:
		// A truncation is ordered by the leader of a newer term than the one under
		// which the dropped entries were written: a leader never takes back its own.
		// Stale frames on disk are told apart by this.
		return &OrderError{What: "write term doesn't rise after a truncation", Got: uint64(loc.WriteTerm), Want: uint64(l.write + 1)}
	case loc.Commit >= f.Index:
		return &OrderError{What: "commit mark at or above the index", Got: uint64(loc.Commit), Want: uint64(f.Index - 1)}
	case loc.DurableThrough >= f.Index:
		return &OrderError{What: "durable mark at or above the index", Got: uint64(loc.DurableThrough), Want: uint64(f.Index - 1)}
	}
	return nil
}

// room returns the segment and the chunk for a frame of size bytes. New ones
// become visible in publish. Only the sizes of what was appended before decide
// where the log rolls.
func (l *Log) room(size int, write Term) (*segment, *chunk) {
	var seg *segment
	if n := len(l.segs); n > 0 {
		seg = l.segs[n-1]
	}
	if seg == nil || seg.end > FileHeaderSize && seg.end+int64(size) > l.o.SegmentBytes || seg.closed.Load() {
		seg = l.newSegment(l.newID(write), l.last+1, l.next, l.lastTerm)
		if l.o.Now != nil {
			seg.created = l.o.Now()
		}
	}
	if c := l.cur.Load(); c != nil && c.seg == seg && cap(c.buf)-len(c.buf) >= size {
		return seg, c
	}
	return seg, l.newChunk(seg, l.last+1, size)
}

// newID returns an ID that no segment of this partition has had: above all that
// are known, and, since the write term rises after each truncation, above those
// whose files a truncation removed in an earlier life.
func (l *Log) newID(write Term) ID {
	return max(l.maxID+1, ID(min(write, 1<<(64-idRollBits)-1))<<idRollBits)
}

// publish completes the frame in b, which lies behind the chunk's end, and makes
// it part of the log.
func (l *Log) publish(seg *segment, c *chunk, b []byte, f *Frame, loc *Local) error {
	crowded, err := l.publishLocked(seg, c, b, f, loc)
	if crowded {
		l.o.Memory.relieve()
	}
	return err
}

// publishLocked also says whether the memory of all logs is over its limit.
func (l *Log) publishLocked(seg *segment, c *chunk, b []byte, f *Frame, loc *Local) (crowded bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false, ErrClosed
	}
	// Whatever a Flush has taken is durable before a later Flush writes this.
	config := f.Index
	if f.Kind != KindConfig {
		config = l.configBefore(f.Index)
	}
	putLocal(b, &Local{WriteTerm: loc.WriteTerm, DurableThrough: l.taken, Commit: loc.Commit, Config: config}, seg.salt)
	if n := len(l.segs); n == 0 || l.segs[n-1] != seg {
		l.segs = append(l.segs, seg)
		l.maxID = seg.id
	}
	if n := len(l.tail.chunks); n == 0 || l.tail.chunks[n-1] != c {
		l.cur.Store(c)
		l.chunkSize = min(max(2*cap(c.buf), chunkBytesMin), l.chunkMax)
		l.tail.push(c)
		l.evict(1)
		crowded = l.o.Memory.full()
	}
	seg.reopen()
	c.starts = append(c.starts, uint32(len(c.buf)))
	c.buf = c.buf[:len(c.buf)+len(b)]
	seg.add(b, int64(l.o.IndexInterval))
	if f.Kind == KindConfig {
		l.configs = append(l.configs, ConfigAt{f.Index, append([]byte(nil), b[FrameHeaderSize:]...)})
	}
	if n := len(l.terms); n == 0 || l.terms[n-1].Term != f.Term {
		l.terms = append(l.terms, TermStart{Term: f.Term, First: f.Index})
	}
	l.last, l.lastTerm, l.next = f.Index, f.Term, f.Next()
	l.write, l.mustRise = loc.WriteTerm, false
	return crowded, nil
}

// shed gives up what is beyond the log's share, also of an idle log all that it holds.
func (l *Log) shed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.evict(0)
}

// evict lets go of old chunks beyond the budgets, but for as many as keep. What is not
// durable stays.
func (l *Log) evict(keep int) {
	m := l.o.Memory
	for len(l.tail.chunks) > keep && l.tail.chunks[0].next() <= l.durable+1 {
		if l.tail.bytes <= l.o.TailBytes && (!m.full() || int64(l.tail.bytes) <= m.share()) {
			return
		}
		if len(l.tail.chunks) == 1 {
			if l.commit < l.last {
				return // places of uncommitted entries are kept of what stays gone
			}
			// The owner may be about to append to it: then it comes back as it is.
			l.cur.Store(nil)
			l.tail.evict()
			return
		}
		c := l.tail.evict()
		for i := max(c.first, l.commit+1); i < c.next(); i++ {
			if len(l.loose) == 0 {
				l.looseFirst = i
			}
			s := c.start(i)
			l.loose = append(l.loose, place{pos: c.pos + int64(s), offset: record.Offset(le.Uint64(c.buf[s+posBaseOffset:]))})
		}
		m.give(c)
	}
}

// Truncate drops the entries from index `from` on, in memory at once and on disk
// with the next Flush. Nothing happens if there are none. Committed entries are
// refused with an *OrderError. With damage before `from` it is refused with a
// *CorruptionError: what is cut off may be the evidence that the damaged entries were
// there, so repair them first. The next append must have a higher write term.
func (l *Log) Truncate(from Index) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return ErrClosed
	case from <= l.commit || from < l.first:
		return &OrderError{What: "truncation at or below the commit index or the log start", Got: uint64(from), Want: uint64(max(l.commit+1, l.first))}
	case from > l.last:
		return nil
	}
	if len(l.gaps) > 0 && l.gaps[0].lo < from {
		return l.gaps[0].err(l.gaps[0].lo)
	}
	at := l.place(from)
	l.truncated++
	l.stats.Truncations++
	l.tail.truncate(from)
	l.cur.Store(nil)
	if n := from - min(l.looseFirst, from); len(l.loose) > 0 && int(n) < len(l.loose) {
		l.loose = slices.Clip(l.loose[:n])
	}
	l.dropSegments(from, at.pos)
	for n := len(l.terms); n > 0 && l.terms[n-1].First >= from; n-- {
		l.terms = l.terms[:n-1]
	}
	for n := len(l.configs); n > 0 && l.configs[n-1].Index >= from; n-- {
		l.configs = l.configs[:n-1]
	}
	l.last, l.next, l.lastTerm = from-1, at.offset, l.prevTerm
	if n := len(l.terms); n > 0 {
		l.lastTerm = l.terms[n-1].Term
	}
	l.taken, l.durable = min(l.taken, l.last), min(l.durable, l.last)
	l.keepGaps(l.first, l.last)
	l.mustRise = true
	return nil
}

// place finds entry i without the disk: every uncommitted entry is in the tail
// or among the loose places.
func (l *Log) place(i Index) place {
	if i >= l.tail.first(l.last+1) {
		c := l.tail.chunks[l.tail.find(i)]
		return place{
			pos:    c.pos + int64(c.start(i)),
			offset: record.Offset(le.Uint64(c.header(i)[posBaseOffset:])),
		}
	}
	return l.loose[i-l.looseFirst]
}

// dropSegments drops the segments after the one that holds (from, pos) and cuts
// that one. It goes too if nothing of it is left, unless its file is the one
// that says where the log begins.
func (l *Log) dropSegments(from Index, pos int64) {
	for n := len(l.segs); n > 0; n-- {
		s := l.segs[n-1]
		if s.base < from || s.base == from && n == 1 && (s.made || s.starts) {
			if s.next > from {
				s.truncate(from, pos)
			}
			return
		}
		if s.made {
			l.gone = append(l.gone, s)
		}
		l.segs[n-1] = nil
		l.segs = l.segs[:n-1]
	}
}
