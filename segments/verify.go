package segments

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
)

// Finding is damage that a Verify has come upon.
type Finding struct {
	v     *verification
	gaps  []*gap
	marks sparse // of the segment, if they weren't in memory
}

// Verify reads from disk what is durable of the segment that holds entry i, or of
// the first one behind, and checks every frame. It returns the entry at which the next
// call goes on, 0 at the end of the log, and what it couldn't read, nil if nothing: the
// owner of the log is to Note that.
//
// pace is called with the number of bytes before they are read; it may wait, and ends
// the call with its error. Verify runs beside everything else. An error of the file
// system says that the segment couldn't be looked at; a place that can't be read
// is damage.
func (l *Log) Verify(i Index, pace func(bytes int) error) (next Index, found *Finding, err error) {
	v := l.verification(i)
	if v == nil {
		return 0, nil, nil
	}
	gaps, err := v.run(pace)
	if err == nil && len(gaps) > 0 {
		gaps, err = v.run(pace) // memory may fail too: what counts is seen twice
	}
	if err != nil {
		if l.version() != v.version {
			return v.next, nil, nil // cut or removed meanwhile
		}
		return v.next, nil, err
	}
	if len(gaps) == 0 {
		return v.next, nil, v.footer()
	}
	return v.next, &Finding{v, gaps, l.loadIndex(v.s)}, nil
}

// footer checks the footer behind frames that are good. One that is damaged or wrong is
// forgotten; a Seal writes it again.
func (v *verification) footer() (err error) {
	l, s := v.l, v.s
	l.mu.RLock()
	there := s.foot != footNone && !l.damaged(s)
	l.mu.RUnlock()
	if !there {
		return nil
	}
	f, err := l.o.FS.Open(s.path)
	if err != nil {
		return fmt.Errorf("segments: open %s: %w", s.path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	ft, err := readFooter(f, s.salt)
	if err == nil {
		_, err = readSparse(f, ft, s.salt)
	}
	if err == nil && ft.frames == v.frames && ft.end == v.pos && (position{ft.last, ft.lastTerm, ft.nextOffset}) == v.at {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.foot != footNone && l.truncated == v.version {
		l.unfoot(s, s.firstMark())
	}
	return nil
}

// verification is one look at one segment.
type verification struct {
	l       *Log
	s       *segment
	version uint64
	from    position // before the segment
	until   Index    // entries below are durable
	end     int64
	known   []*gap
	next    Index
	// What run has seen of the frames.
	frames uint32
	at     position
	pos    int64
}

func (l *Log) verification(i Index) *verification {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil
	}
	for k, s := range l.segs {
		if s.next <= i || s.synced <= FileHeaderSize {
			continue
		}
		v := &verification{
			l: l, s: s, version: l.truncated, from: position{s.base - 1, s.basePrev, s.baseOffset},
			until: min(s.next, l.durable+1), end: s.synced, known: l.gaps,
		}
		if k < len(l.segs)-1 {
			v.next = s.next
		}
		return v
	}
	return nil
}

// run reads the segment once.
func (v *verification) run(pace func(int) error) (gaps []*gap, err error) {
	s := v.s
	f, err := v.l.o.FS.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("segments: open %s: %w", s.path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := uncache(f); err != nil {
		return nil, fmt.Errorf("segments: drop cached pages of %s: %w", s.path, err)
	}
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("segments: size of %s: %w", s.path, err)
	}
	w := openWindow(&paced{r: f, pace: pace}, min(size, v.end))
	defer w.close()
	at, pos, write := v.from, int64(FileHeaderSize), Term(0)
	v.frames = 0
	defer func() { v.at, v.pos = at, pos }()
	for at.index+1 < v.until {
		if g := v.knownAt(at.index + 1); g != nil {
			if g.end == openEnd {
				return gaps, nil
			}
			term, _ := v.l.Term(g.hi - 1)
			at, pos = position{g.hi - 1, term, g.next}, g.end
			continue
		}
		b, reason, err := w.frame(pos, v.l.salt, s.salt)
		if err != nil {
			return nil, err
		}
		if reason == "" {
			fr, loc := getFrame(b), getLocal(b)
			if end := fits(&fr, &loc, at, write); end.reason == "" {
				at, pos, write = position{fr.Index, fr.Term, fr.Next()}, pos+int64(len(b)), loc.WriteTerm
				v.frames = digest(v.frames, b)
				continue
			} else {
				reason = end.reason
			}
		}
		g, err := v.find(w, at, pos, write, reason)
		if err != nil {
			return nil, err
		}
		gaps = append(gaps, g)
		if g.end == openEnd {
			return gaps, nil
		}
		term, ok := v.l.Term(g.hi - 1)
		if !ok {
			return nil, ErrTruncated
		}
		at, pos = position{g.hi - 1, term, g.next}, g.end
	}
	return gaps, nil
}

func (v *verification) knownAt(i Index) *gap {
	for _, g := range v.known {
		if g.lo <= i && i < g.hi && g.seg == v.s {
			return g
		}
	}
	return nil
}

// find says what the damage at pos takes in: up to the next good header, to the next
// gap that is known, or to the end.
func (v *verification) find(w *window, at position, pos int64, write Term, why string) (*gap, error) {
	g := &gap{seg: v.s, lo: at.index + 1, pos: pos, before: at, write: write, reason: why}
	b, err := w.bytes(pos, FrameHeaderSize)
	if err != nil {
		return nil, err
	}
	if len(b) == FrameHeaderSize && checkHeader(b, v.l.salt) == "" && checkLocal(b, v.s.salt) == "" {
		f, loc := getFrame(b), getLocal(b)
		if fits(&f, &loc, at, write).reason == "" {
			g.hi, g.end, g.next = f.Index+1, pos+int64(FrameHeaderSize+payloadLen(b)), f.Next()
			return g, nil
		}
	}
	r, err := w.search(pos, v.l.salt, v.s.salt, g.lo, write)
	if err != nil {
		return nil, err
	}
	stop := v.until
	for _, k := range v.known {
		if k.seg == v.s && k.lo > g.lo && k.lo < stop {
			stop, g.end, g.next = k.lo, k.pos, k.before.next
		}
	}
	if r.frames > 0 && r.index < stop {
		b, err := w.bytes(r.pos, FrameHeaderSize)
		if err != nil {
			return nil, err
		}
		f := getFrame(b)
		g.hi, g.end, g.next = f.Index, r.pos, f.BaseOffset
		return g, nil
	}
	g.hi = stop
	if stop == v.until {
		g.end = v.end
		v.l.mu.RLock()
		defer v.l.mu.RUnlock()
		if g.next = v.s.offsetAfter(v.until, v.l); g.next < 0 {
			return nil, ErrTruncated
		}
	}
	return g, nil
}

// offsetAfter returns the offset at which entry i begins, one behind what is durable
// of the segment: that of the next segment or of the end of the log, else -1.
func (s *segment) offsetAfter(i Index, l *Log) record.Offset {
	switch {
	case i == l.last+1:
		return l.next
	case i == s.next:
		for k := range l.segs {
			if l.segs[k] == s && k+1 < len(l.segs) {
				return l.segs[k+1].baseOffset
			}
		}
	case i >= l.tail.first(l.last+1):
		c := l.tail.chunks[l.tail.find(i)]
		return record.Offset(le.Uint64(c.header(i)[posBaseOffset:]))
	}
	return -1
}

// Note makes what was found part of [Log.Damage], and returns how many places that
// are. It belongs to the owner; what was cut off since then is left out.
func (l *Log) Note(f *Finding) (places int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.truncated != f.v.version {
		return 0 // the next Verify will tell
	}
	if s := f.v.s; s.lazyEnd != 0 {
		x := f.marks
		if x == nil {
			x = s.firstMark()
		}
		l.resident(s, x)
	}
	l.reseal = true
	for _, g := range f.gaps {
		k := l.gapFrom(g.lo)
		if k < len(l.gaps) && l.gaps[k].lo < g.hi || len(l.gaps) >= gapsMax {
			continue // filled or found by another meanwhile
		}
		l.gaps = slices.Insert(slices.Clone(l.gaps), k, g)
		places++
		l.mark(g)
	}
	return places
}

// mark lets reads begin on either side of a gap.
func (l *Log) mark(g *gap) {
	s := g.seg
	add := func(i Index, m mark) {
		k, known := slices.BinarySearchFunc(s.marks, i, func(m mark, i Index) int { return int(int64(m.index) - int64(i)) })
		if known {
			return
		}
		m.before = s.maxTime
		if k < len(s.marks) {
			m.before = s.marks[k].before
		}
		s.marks = slices.Insert(slices.Clone(s.marks), k, m)
	}
	if g.end != openEnd && g.hi < s.next {
		add(g.hi, mark{index: g.hi, offset: g.next, pos: g.end})
	}
}

// paced is a reader that asks before it reads, and takes what can't be read for zeros:
// no frame begins with them.
type paced struct {
	r    vfs.File
	pace func(bytes int) error
}

// ReadAt implements io.ReaderAt.
func (p *paced) ReadAt(b []byte, pos int64) (int, error) {
	if err := p.pace(len(b)); err != nil {
		return 0, err
	}
	n, err := p.r.ReadAt(b, pos)
	if n == len(b) || errors.Is(err, io.EOF) {
		return n, err
	}
	for at := 0; at < len(b); at += blockBytes {
		block := b[at:min(at+blockBytes, len(b))]
		if n, err := p.r.ReadAt(block, pos+int64(at)); n < len(block) && !errors.Is(err, io.EOF) {
			clear(block)
		}
	}
	return len(b), nil
}
