package segments

import (
	"slices"
	"sync"
	"sync/atomic"
)

// The sparse indexes of segments with a footer are read from there when a read needs
// them, and given up when others need the room: a log that nobody reads keeps none.

// lazyIndex is the part of a segment's sparse index that stands in its footer.
// It is immutable; loaded anew it may be another one.
type lazyIndex struct {
	marks sparse
	seg   *segment
	hot   atomic.Bool // used since the cache looked last
}

func (x *lazyIndex) bytes() int64 { return int64(len(x.marks)) * markSize }

// indexCache bounds what the loaded indexes of many logs take.
type indexCache struct {
	mu    sync.Mutex
	limit int64
	used  int64        // guarded by mu
	ring  []*lazyIndex // guarded by mu
	hand  int          // the next to be asked; guarded by mu
}

// indexShare is the part of a Memory's limit that indexes may take beyond it.
const (
	indexShare    = 16
	indexBytesMin = 256 << 10
)

// add keeps x, and gives up those that were not used lately if there is no room.
func (c *indexCache) add(x *lazyIndex) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(x.seg)
	c.ring = append(c.ring, x)
	c.used += x.bytes()
	x.hot.Store(true)
	x.seg.lazy.Store(x)
	for tries := 0; c.used > c.limit && len(c.ring) > 1 && tries <= 2*len(c.ring); tries++ {
		c.hand %= len(c.ring)
		if old := c.ring[c.hand]; old.hot.Swap(false) || old == x {
			c.hand++
			continue
		}
		c.remove(c.ring[c.hand].seg)
	}
}

// drop gives up the index of s.
func (c *indexCache) drop(s *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(s)
}

// remove takes the index of s out; c.mu is held.
func (c *indexCache) remove(s *segment) {
	x := s.lazy.Swap(nil)
	if x == nil {
		return
	}
	if k := slices.Index(c.ring, x); k >= 0 {
		last := len(c.ring) - 1
		c.ring[k], c.ring[last] = c.ring[last], nil
		c.ring = c.ring[:last]
		c.used -= x.bytes()
	}
}

func (c *indexCache) bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// index returns the sparse index of s; ok is false if a part of it must be loaded
// first. Log.mu is held.
func (l *Log) index(s *segment) (x sparse, ok bool) {
	if s.lazyEnd == 0 {
		return s.marks, true
	}
	lazy := s.lazy.Load()
	if lazy == nil {
		return nil, false
	}
	lazy.hot.Store(true)
	return s.joined(lazy.marks), true
}

// joined returns the marks of the footer, as far as they still hold, and those behind.
func (s *segment) joined(footed sparse) sparse {
	footed = footed.below(s.lazyEnd)
	if len(s.marks) == 0 {
		return footed
	}
	return append(slices.Clip(footed), s.marks...)
}

// lookup is one look at the log that may need an index that isn't in memory.
type lookup struct {
	have  *segment // whose index was loaded
	marks sparse
	want  *segment // whose index is needed; nil: the look has found what it was for
}

// index is Log.index, of what was loaded too.
func (u *lookup) index(l *Log, s *segment) (sparse, bool) {
	if x, ok := l.index(s); ok {
		return x, true
	}
	if u.have == s {
		return s.joined(u.marks), true
	}
	u.want = s
	return nil, false
}

// again says whether the look must be taken once more, with an index that it loads.
func (u *lookup) again(l *Log) bool {
	s := u.want
	if s == nil {
		return false
	}
	u.have, u.want, u.marks = s, nil, l.loadIndex(s)
	return true
}

// loadIndex reads the index from the footer of s. If that isn't there any more the index
// is the segment's beginning, from which everything can be found, until a Seal has
// written a new footer.
func (l *Log) loadIndex(s *segment) sparse {
	x, err := l.readIndex(s)
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.lazyEnd == 0 {
		return nil // came another way meanwhile
	}
	if err != nil {
		l.unfoot(s, s.firstMark())
		return nil
	}
	if !l.closed {
		l.o.Memory.indexes.add(&lazyIndex{marks: x, seg: s})
	}
	return x
}

// firstMark is the index of a segment of which nothing else is known.
func (s *segment) firstMark() sparse {
	return sparse{{index: s.base, offset: s.baseOffset, pos: FileHeaderSize, before: noTime}}
}

func (l *Log) readIndex(s *segment) (sparse, error) {
	f, err := l.o.FS.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ft, err := readFooter(f, s.salt)
	if err != nil {
		return nil, err
	}
	return readSparse(f, ft, s.salt)
}

// settle takes the index of s, which its footer holds, to memory: the footer is about to
// be cut off, or to be wrong. It reads the file; no lock is held.
func (l *Log) settle(s *segment) {
	l.mu.RLock()
	lazy := s.lazyEnd != 0
	l.mu.RUnlock()
	if !lazy {
		return
	}
	x, err := l.readIndex(s)
	if err != nil {
		x = s.firstMark()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.lazyEnd != 0 {
		l.resident(s, x)
		s.poor = s.poor || err != nil
	}
}

// resident makes x, the index in the footer, one that stays in memory.
func (l *Log) resident(s *segment, x sparse) {
	s.marks = append(sparse(nil), s.joined(x)...)
	s.lazyEnd = 0
	l.o.Memory.indexes.drop(s)
}

// unfoot forgets the footer of s, which is damaged or wrong; x is the index to go on
// with.
func (l *Log) unfoot(s *segment, x sparse) {
	l.resident(s, x)
	s.poor = true
	if s.foot == footOpen {
		s.cut, s.trimmed = true, false // before anything is written there
	}
	s.foot = footNone
	l.reseal = true
}
