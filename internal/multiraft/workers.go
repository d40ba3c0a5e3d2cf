package multiraft

import (
	"sync"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

// queue is a FIFO that workers wait on. Its bound is the callers': a replica
// has at most one item of a kind in it.
type queue[T any] struct {
	mu     sync.Mutex
	more   *sync.Cond
	items  []T  // guarded by mu
	closed bool // guarded by mu
}

func newQueue[T any]() *queue[T] {
	q := &queue[T]{}
	q.more = sync.NewCond(&q.mu)
	return q
}

func (q *queue[T]) submit(v T) {
	q.mu.Lock()
	q.items = append(q.items, v)
	q.mu.Unlock()
	q.more.Signal()
}

// take waits for items and returns up to limit of them, 0 for all; nil means
// that the queue is closed and empty.
func (q *queue[T]) take(limit int) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.more.Wait()
	}
	n := len(q.items)
	if limit > 0 {
		n = min(n, limit)
	}
	if n == 0 {
		return nil
	}
	got := append([]T(nil), q.items[:n]...)
	q.items = q.items[:copy(q.items, q.items[n:])]
	return got
}

func (q *queue[T]) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.more.Broadcast()
}

// flush is one group commit of one replica's segments.
type flush struct {
	g *Group
	n uint64
}

// diskWorker makes segments durable, one log at a time.
func (h *Host) diskWorker() {
	defer h.workers.Done()
	for {
		jobs := h.disk.take(1)
		if jobs == nil {
			return
		}
		f := jobs[0]
		start := time.Now()
		err := f.g.log.Flush()
		h.stats.flushed(time.Since(start), err)
		f.g.shard.in.put(event{kind: evFlushed, g: f.g, n: f.n, err: err}, false)
	}
}

// save is one hard state on its way to the journal, or the removal of one.
type save struct {
	g      *Group // nil: remove
	id     raft.GroupID
	hard   raft.HardState
	n      uint64
	remove bool
}

// journalWriter makes hard states durable: all that wait share one Save, so
// that a thousand votes after a broker failure cost one sync.
func (h *Host) journalWriter() {
	defer h.workers.Done()
	for {
		jobs := h.journal.take(0)
		if jobs == nil {
			return
		}
		entries := make([]journal.Entry, len(jobs))
		for i, j := range jobs {
			entries[i].Key = hardStateKey(j.id)
			if !j.remove {
				entries[i].Value = replica.EncodeHardState(j.g.spec.Self, j.hard)
			}
		}
		start := time.Now()
		err := h.o.Journal.Save(entries)
		h.stats.saved(len(entries), time.Since(start), err)
		for _, j := range jobs {
			if j.remove {
				continue
			}
			j.g.shard.in.put(event{kind: evSaved, g: j.g, n: j.n, err: err}, false)
		}
		if err != nil {
			h.fail(err)
		}
	}
}

func hardStateKey(g raft.GroupID) journal.Key {
	return journal.Key{Group: g, Kind: replica.HardStateKind}
}

// coldReads fetches entries that have left the tail in memory for followers
// that are far behind, away from the shards.
type coldReads struct {
	h    *Host
	jobs chan coldRead
}

type coldRead struct {
	g   *Group
	msg raft.Message
}

// submit queues m, or reports false when too many wait already.
func (c *coldReads) submit(g *Group, m raft.Message) bool {
	select {
	case c.jobs <- coldRead{g: g, msg: m}:
		return true
	default:
		return false
	}
}

func (c *coldReads) run() {
	defer c.h.workers.Done()
	for j := range c.jobs {
		frames, err := j.g.log.ReadFrames(nil, segments.Index(j.msg.Lo), segments.Index(j.msg.Hi))
		if err != nil {
			// Truncated or closed meanwhile, or damaged: in any case this message must
			// not go out without its entries (docs/internals/raft.md, S28).
			c.h.stats.coldReadErrors.Add(1)
			c.h.log.Warn("entries for a follower can't be read", "group", j.g.spec.Name, "lo", j.msg.Lo, "hi", j.msg.Hi, "error", err)
		}
		if err != nil || !c.h.o.Transport.Send(protocol.BrokerOf(uint64(j.msg.To)), &j.msg, [][]byte{frames}) {
			j.g.shard.in.put(event{kind: evSent, g: j.g, to: j.msg.To}, false)
		}
	}
}
