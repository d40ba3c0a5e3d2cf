package segments

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Memory is what the recent tails of many logs may take together. It is shared fairly:
// a log may hold as much as it needs (Options.TailBytes) while there is room, and when
// there is none, those that hold more than an equal share give up their oldest entries
// first, idle ones too. Entries that are not durable stay beyond it.
//
// It also keeps the buffers of entries that were given up for the next ones, of any log,
// unless somebody may still read them.
type Memory struct {
	limit int64
	used  atomic.Int64 // bytes of the chunks in tails
	count atomic.Int64 // logs

	indexes indexCache

	mu     sync.Mutex
	logs   []*Log                 // guarded by mu
	next   int                    // whom relieve asks next; guarded by mu
	free   [chunkClasses][]*chunk // by size; guarded by mu
	idle   int64                  // bytes in free; guarded by mu
	reused uint64                 // guarded by mu
}

// chunkClasses are the sizes from chunkBytesMin to chunkBytesMax, each twice the last.
const chunkClasses = 9

const _ = uint(chunkBytesMax - chunkBytesMin<<(chunkClasses-1))
const _ = uint(chunkBytesMin<<(chunkClasses-1) - chunkBytesMax)

// NewMemory returns a budget of as many bytes.
func NewMemory(bytes int64) *Memory {
	return &Memory{limit: bytes, indexes: indexCache{limit: max(bytes/indexShare, indexBytesMin)}}
}

// MemoryStats is a snapshot of a Memory.
type MemoryStats struct {
	Limit  int64
	Used   int64  // bytes in tails
	Idle   int64  // bytes in buffers that wait for their next use
	Reused uint64 // buffers that were used again
	Index  int64  // bytes of sparse indexes that were read from footers
}

// Stats returns sizes and counters.
func (m *Memory) Stats() MemoryStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return MemoryStats{Limit: m.limit, Used: m.used.Load(), Idle: m.idle, Reused: m.reused, Index: m.indexes.bytes()}
}

func (m *Memory) add(l *Log) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.logs = append(m.logs, l)
	m.count.Add(1)
}

func (m *Memory) remove(l *Log) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, o := range m.logs {
		if o == l {
			last := len(m.logs) - 1
			m.logs[i], m.logs[last] = m.logs[last], nil
			m.logs = m.logs[:last]
			m.count.Add(-1)
			return
		}
	}
}

// share is what each log may hold when there is no room left.
func (m *Memory) share() int64 { return m.limit / max(m.count.Load(), 1) }

func (m *Memory) full() bool { return m.used.Load() > m.limit }

// chunkMax bounds the next chunk of a log, so that its share is a few of them.
func (m *Memory) chunkMax() int {
	return int(min(max(m.share()/4, chunkBytesMin), chunkBytesMax))
}

// relieveLogs is how many logs are asked to give something up for each chunk that is
// added beyond the limit: the work stays small, and all are asked in the end.
const relieveLogs = 8

// relieve asks some logs to give up what they hold beyond their share. The caller holds
// no log's lock.
func (m *Memory) relieve() {
	var ask [relieveLogs]*Log
	m.mu.Lock()
	n := min(relieveLogs, len(m.logs))
	for i := range n {
		m.next = (m.next + 1) % len(m.logs)
		ask[i] = m.logs[m.next]
	}
	m.mu.Unlock()
	for _, l := range ask[:n] {
		if !m.full() {
			return
		}
		l.shed()
	}
}

// classOf returns the class of chunks of exactly size bytes.
func classOf(size int) (int, bool) {
	k := bits.TrailingZeros(uint(size / chunkBytesMin))
	return k, size >= chunkBytesMin && k < chunkClasses && size == chunkBytesMin<<k
}

// take returns a used chunk of size bytes, nil if there is none.
func (m *Memory) take(size int) *chunk {
	k, ok := classOf(size)
	if !ok {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.free[k])
	if n == 0 {
		return nil
	}
	c := m.free[k][n-1]
	m.free[k][n-1], m.free[k] = nil, m.free[k][:n-1]
	m.idle -= int64(size)
	m.reused++
	return c
}

// give keeps a chunk that nobody reads any more, if there is room.
func (m *Memory) give(c *chunk) {
	size := cap(c.buf)
	k, ok := classOf(size)
	if !ok || c.lent.Load() || c.readers.Load() > 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.idle+int64(size) > max(m.limit/8, 2*chunkBytesMax) {
		return
	}
	c.seg, c.starts = nil, c.starts[:0]
	m.free[k] = append(m.free[k], c)
	m.idle += int64(size)
}
