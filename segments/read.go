package segments

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/logq/logq/record"
)

// TailFrames returns the frames of the entries [lo, hi) as they lie in memory,
// one slice a chunk. The bytes are shared and never change: they may be kept and
// sent, not written. ok is false if not all are in memory.
func (l *Log) TailFrames(lo, hi Index) (frames [][]byte, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if lo >= hi {
		return nil, lo == hi
	}
	if l.closed || lo < l.tail.first(l.last+1) || hi > l.last+1 {
		return nil, false
	}
	run := l.tail.run(lo, hi)
	for _, c := range run {
		c.lent.Store(true)
	}
	return sliced(run, lo, hi), true
}

// Fit returns how many of the entries from lo on, below hi, fit maxBytes: the
// entries [lo, end), at least one, and their size. It reads memory only: for
// entries that have left the tail the size is an upper bound and end falls on an
// entry of the sparse index where one is in reach, and is lo+1 while that isn't in
// memory. An lo outside of the log gives
// end == lo.
func (l *Log) Fit(lo, hi Index, maxBytes int) (end Index, bytes int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	hi = min(hi, l.last+1)
	if lo < l.first || lo >= hi {
		return lo, 0
	}
	if lo >= l.tail.first(l.last+1) {
		return l.tail.fit(lo, hi, maxBytes)
	}
	s := l.segmentOf(lo)
	limit, limitPos := l.onDisk(s)
	hi = min(hi, limit)
	x, ok := l.index(s)
	if !ok {
		// The read that follows brings it. Until then all that is known is this.
		return lo + 1, int(min(limitPos-FileHeaderSize, MaxFrameBytes))
	}
	from := x.floor(lo).pos
	if n := x.ceil(hi, limitPos) - from; n <= int64(maxBytes) {
		return hi, int(n)
	}
	// The last mark in reach, else the one after lo.
	k := sort.Search(len(x), func(k int) bool { return x[k].index > lo && x[k].pos-from > int64(maxBytes) }) - 1
	if k >= 0 && x[k].index > lo {
		return min(x[k].index, hi), int(x[k].pos - from)
	}
	return lo + 1, int(x.ceil(lo+1, limitPos) - from)
}

// fit is Fit within the tail, where all sizes are known.
func (t *tail) fit(lo, hi Index, maxBytes int) (end Index, bytes int) {
	for _, c := range t.chunks[t.find(lo):] {
		a := c.start(max(lo, c.first))
		most := int(min(hi, c.next()) - c.first)
		first := int(max(lo, c.first) - c.first)
		n := first + sort.Search(most-first, func(n int) bool {
			return bytes+c.start(c.first+Index(first+n+1))-a > maxBytes
		})
		if n == first && bytes == 0 {
			n++ // at least one
		}
		bytes += c.start(c.first+Index(n)) - a
		end = c.first + Index(n)
		if n < most || end == hi || bytes >= maxBytes {
			break
		}
	}
	return end, bytes
}

// segmentOf returns the segment that holds entry i, which is in the log.
func (l *Log) segmentOf(i Index) *segment {
	return l.segs[sort.Search(len(l.segs), func(k int) bool { return l.segs[k].base > i })-1]
}

// onDisk returns up to which index, and up to which position, s can be read from
// its file: where the tail begins, or its end.
func (l *Log) onDisk(s *segment) (Index, int64) {
	if len(l.tail.chunks) > 0 {
		if c := l.tail.chunks[0]; c.first < s.next {
			return c.first, c.pos
		}
	}
	return s.next, s.end
}

// ReadFrames appends the frames of the entries [lo, hi) to dst, from memory or
// from disk, where their checksums are verified. Errors: *EntriesError if they
// are not all in the log, ErrTruncated, *CorruptionError, ErrClosed, or one of
// the file system; dst is then returned as it was.
func (l *Log) ReadFrames(dst []byte, lo, hi Index) ([]byte, error) {
	var out []byte
	err := l.stable(func() error {
		out = dst
		for at := lo; at < hi; {
			src, err := l.source(at, hi)
			if err != nil {
				return err
			}
			out = slices.Grow(out, src.bytes())
			for _, b := range src.frames {
				out = append(out, b...)
			}
			src.release()
			if err := l.walkDisk(&src, func(b []byte) (bool, error) { out = append(out, b...); return true, nil }); err != nil {
				return err
			}
			at = src.end
		}
		return nil
	})
	if err != nil {
		return dst, err
	}
	return out, nil
}

// ReadBatches appends record batches to dst as they lie in the log: those that
// end at or below until, beginning with the one that holds the offset from, at
// least one if there is any, then up to maxBytes. next is the offset after the
// last of them, or from if there is none. The caller bounds until by what is
// committed. Errors are *OutOfRangeError and those of ReadFrames.
func (l *Log) ReadBatches(dst []byte, from, until record.Offset, maxBytes int) (out []byte, next record.Offset, err error) {
	err = l.stable(func() error {
		out, next = dst, from
		at, err := l.findOffset(from)
		more := true
		for err == nil && more && at != 0 {
			more, at, err = l.visit(at, func(b []byte) (bool, error) {
				end := frameNext(b)
				have := len(out) - len(dst)
				switch {
				case Kind(b[posKind]) != KindData || end <= from:
					return true, nil
				case end > until || have > 0 && have+len(b)-FrameHeaderSize > maxBytes:
					return false, nil
				}
				out, next = append(out, b[FrameHeaderSize:]...), end
				return len(out)-len(dst) < maxBytes, nil
			})
		}
		if len(out) > len(dst) && errors.Is(err, ErrCorrupt) {
			return nil // what is before the damage is good
		}
		return err
	})
	if err != nil {
		return dst, from, err
	}
	return out, next, nil
}

// findOffset returns an entry at or shortly before the batch that holds offset
// o; 0 if there is none yet.
func (l *Log) findOffset(o record.Offset) (Index, error) {
	var u lookup
	for {
		if i, err := l.lookUpOffset(o, &u); err != nil || !u.again(l) {
			return i, err
		}
	}
}

func (l *Log) lookUpOffset(o record.Offset, u *lookup) (Index, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case l.closed:
		return 0, ErrClosed
	case o < l.start || o > l.next:
		return 0, &OutOfRangeError{Start: l.start, Next: l.next}
	case o == l.next:
		return 0, nil
	}
	if i, ok := l.tail.findOffset(o); ok {
		return i, nil
	}
	// Of segments with one base offset only the last can hold its batch; one
	// without frames begins at the end of the log, above o.
	k := sort.Search(len(l.segs), func(k int) bool { return l.segs[k].baseOffset > o }) - 1
	x, ok := u.index(l, l.segs[k])
	if !ok {
		return 0, nil
	}
	return x.floorOffset(o).index, nil
}

// visit calls fn for the entries from at on, as far as they lie in one place,
// until it returns false. It returns whether it wants more and where that is; 0
// at the end of the log.
func (l *Log) visit(at Index, fn func(frame []byte) (bool, error)) (more bool, next Index, err error) {
	src, err := l.source(at, 0)
	if err != nil {
		return false, 0, err
	}
	more = true
	each := func(b []byte) (bool, error) {
		var err error
		more, err = fn(b)
		return more, err
	}
	for _, run := range src.frames {
		for more && len(run) > 0 {
			n := FrameHeaderSize + payloadLen(run)
			if _, err := each(run[:n:n]); err != nil {
				src.release()
				return false, 0, err
			}
			run = run[n:]
		}
	}
	src.release()
	if err := l.walkDisk(&src, each); err != nil {
		return false, 0, err
	}
	if src.last {
		return more, 0, nil
	}
	return more, src.end, nil
}

// source says where the entries [lo, end) lie: in memory, or in one file.
type source struct {
	frames  [][]byte // in memory, until release
	held    []*chunk
	seg     *segment // or in its file, from the frame of entry first at pos
	first   Index
	pos     int64
	endPos  int64 // at or behind the end
	lo, end Index
	last    bool // end is the end of the log
}

// release lets go of what is in memory.
func (src *source) release() {
	for _, c := range src.held {
		c.readers.Add(-1)
	}
	src.held, src.frames = nil, nil
}

// bytes is an upper bound of the entries' size.
func (src *source) bytes() (n int) {
	for _, b := range src.frames {
		n += len(b)
	}
	return n + int(src.endPos-src.pos)
}

// source looks up the entries from lo on, below hi if that is not 0.
func (l *Log) source(lo, hi Index) (source, error) {
	var u lookup
	for {
		if src, err := l.lookUp(lo, hi, &u); err != nil || !u.again(l) {
			return src, err
		}
	}
}

func (l *Log) lookUp(lo, hi Index, u *lookup) (source, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	end := l.last + 1
	switch {
	case l.closed:
		return source{}, ErrClosed
	case hi == 0:
		hi = end
	}
	if lo < l.first || lo >= hi || hi > end {
		return source{}, &EntriesError{Lo: lo, Hi: hi, First: l.first, Last: l.last}
	}
	if lo >= l.tail.first(end) {
		held := slices.Clone(l.tail.run(lo, hi))
		for _, c := range held {
			c.readers.Add(1)
		}
		return source{frames: sliced(held, lo, hi), held: held, lo: lo, end: hi, last: hi == end}, nil
	}
	if g := l.gapAt(lo); g != nil {
		return source{}, g.err(lo)
	}
	s := l.segmentOf(lo)
	limit, limitPos := l.onDisk(s)
	x, ok := u.index(l, s)
	if !ok {
		return source{}, nil
	}
	m := x.floor(lo)
	hi = l.soundUntil(lo, min(hi, limit))
	return source{seg: s, first: m.index, pos: m.pos, endPos: x.ceil(hi, limitPos), lo: lo, end: hi, last: hi == end}, nil
}

// walkDisk reads the frames of a source on disk and calls fn for each of them,
// until it returns false.
func (l *Log) walkDisk(src *source, fn func(frame []byte) (bool, error)) (err error) {
	s := src.seg
	if s == nil {
		return nil
	}
	f, err := l.o.FS.Open(s.path)
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
	pos, again := src.pos, false
	for i := src.first; i < src.end; i++ {
		b, reason, err := w.frame(pos, l.salt, s.salt)
		if err != nil {
			return fmt.Errorf("segments: read %s: %w", s.path, err)
		}
		if reason == "" && Index(le.Uint64(b[posIndex:])) != i {
			reason = "another entry's frame"
		}
		if reason != "" && !again {
			// A direct write can fail to drop what the page cache holds of its blocks.
			if err := uncache(f); err != nil {
				return fmt.Errorf("segments: drop cached pages of %s: %w", s.path, err)
			}
			w.forget()
			again = true
			i--
			continue
		}
		if reason != "" {
			return &CorruptionError{Path: s.path, SegmentID: s.id, Offset: pos, Index: i, Err: errors.New(reason)}
		}
		pos += int64(len(b))
		if i < src.lo {
			continue
		}
		if more, err := fn(b); err != nil || !more {
			return err
		}
	}
	return nil
}

// stable runs read until no truncation came between its steps: what it read from
// disk may have been cut or written over meanwhile, and its pieces may be of two
// logs. An error of a disturbed try doesn't count: a removed file, a torn frame.
func (l *Log) stable(read func() error) error {
	for range readRetriesMax {
		version := l.version()
		err := read()
		if l.version() == version {
			return err
		}
	}
	return ErrTruncated
}

func (l *Log) version() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.truncated
}
