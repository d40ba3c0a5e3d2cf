package segments

import (
	"slices"
	"sort"
	"sync/atomic"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
)

// tail is the recent end of the log in memory: chunks of whole frames, laid out
// as in the file. Published bytes never change and never move, so slices of
// them may be handed out without a copy and outlive the chunk's place here.
type tail struct {
	chunks []*chunk
	bytes  int     // capacity of all chunks
	memory *Memory // in which they count
}

// chunk is a run of frames of one segment. Its fields are guarded by Log.mu,
// the bytes of buf are immutable up to its length; beyond it they belong to the
// owner, who appends.
type chunk struct {
	seg    *segment
	pos    int64 // of buf in the file
	first  Index
	buf    []byte
	starts []uint32 // where each frame begins in buf
	raw    []byte   // buf is part of it
	// Who may read buf when the chunk has left the tail: those to whom it was lent for
	// ever, and reads that are under way.
	lent    atomic.Bool
	readers atomic.Int32
}

// newChunk returns an empty chunk for a frame at the end of seg.
func (l *Log) newChunk(seg *segment, first Index, frameBytes int) *chunk {
	size := min(l.chunkSize, l.o.Memory.chunkMax())
	for size < frameBytes && size < chunkBytesMax {
		size *= 2
	}
	size = max(size, frameBytes)
	c := l.o.Memory.take(size)
	if c == nil {
		c = &chunk{starts: make([]uint32, 0, min(size/frameBytes+1, 4096))}
		if c.raw = make([]byte, size); size >= alignedChunkBytes {
			c.raw = make([]byte, size+blockBytes)
		}
	}
	c.seg, c.pos, c.first = seg, seg.end, first
	at := 0
	if size >= alignedChunkBytes {
		at = vfs.AlignTo(c.raw, c.pos)
	}
	c.buf = c.raw[at : at : at+size]
	return c
}

// next returns the index after the chunk's last frame.
func (c *chunk) next() Index { return c.first + Index(len(c.starts)) }

func (c *chunk) start(i Index) int {
	if i == c.next() {
		return len(c.buf)
	}
	return int(c.starts[i-c.first])
}

// frames returns the bytes of the entries [lo, hi), which lie in the chunk.
func (c *chunk) frames(lo, hi Index) []byte {
	a, b := c.start(lo), c.start(hi)
	return c.buf[a:b:b]
}

// header returns the header of an entry that lies in the chunk.
func (c *chunk) header(i Index) []byte { return c.buf[c.start(i):] }

// first returns the lowest index in memory; end if there is none.
func (t *tail) first(end Index) Index {
	if len(t.chunks) == 0 {
		return end
	}
	return t.chunks[0].first
}

// find returns the number of the chunk that holds index i, which is in the tail.
func (t *tail) find(i Index) int {
	return sort.Search(len(t.chunks), func(k int) bool { return t.chunks[k].first > i }) - 1
}

// run returns the chunks that hold the entries [lo, hi). The range is not empty and
// lies in the tail.
func (t *tail) run(lo, hi Index) []*chunk {
	k := t.find(lo)
	return t.chunks[k : t.find(hi-1)+1]
}

// sliced returns the bytes of the entries [lo, hi), which run holds, one slice a chunk.
func sliced(run []*chunk, lo, hi Index) [][]byte {
	out := make([][]byte, 0, len(run))
	for _, c := range run {
		out = append(out, c.frames(max(lo, c.first), min(hi, c.next())))
	}
	return out
}

// findOffset returns the index of the batch that holds offset o, if it begins in
// the tail: the first entry that ends above it.
func (t *tail) findOffset(o record.Offset) (Index, bool) {
	if len(t.chunks) == 0 || record.Offset(le.Uint64(t.chunks[0].header(t.chunks[0].first)[posBaseOffset:])) > o {
		return 0, false
	}
	k := sort.Search(len(t.chunks), func(k int) bool {
		c := t.chunks[k]
		return frameNext(c.header(c.next()-1)) > o
	})
	if k == len(t.chunks) {
		return 0, false
	}
	c := t.chunks[k]
	n := sort.Search(len(c.starts), func(n int) bool { return frameNext(c.buf[c.starts[n]:]) > o })
	return c.first + Index(n), true
}

func (t *tail) push(c *chunk) {
	t.chunks = append(t.chunks, c)
	t.count(cap(c.buf))
}

func (t *tail) count(bytes int) {
	t.bytes += bytes
	t.memory.used.Add(int64(bytes))
}

// truncate drops the entries from index i on. What was handed out of them stays
// as it is: new frames go to a new chunk.
func (t *tail) truncate(i Index) {
	for n := len(t.chunks); n > 0; n-- {
		c := t.chunks[n-1]
		if c.first < i {
			if i < c.next() {
				end := c.start(i)
				// The rest of the buffer is lost: a Flush may be writing it.
				c.lent.Store(true)
				t.count(end - cap(c.buf))
				c.buf, c.starts = c.buf[:end:end], c.starts[:i-c.first]
			}
			return
		}
		t.count(-cap(c.buf))
		t.chunks[n-1] = nil
		t.chunks = t.chunks[:n-1]
	}
}

// evict drops the oldest chunk and returns it.
func (t *tail) evict() *chunk {
	c := t.chunks[0]
	t.count(-cap(c.buf))
	t.chunks = slices.Delete(t.chunks, 0, 1)
	return c
}

// clear drops all.
func (t *tail) clear() {
	t.count(-t.bytes)
	clear(t.chunks)
	t.chunks = t.chunks[:0]
}
