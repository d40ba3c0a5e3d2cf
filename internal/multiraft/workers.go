package multiraft

import (
	"sync"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
)

// queue is a FIFO that one worker waits on. Its bound is the callers': a replica
// has at most one item in it.
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

// take waits for items and returns all of them; none means that the queue is
// closed and empty.
func (q *queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.more.Wait()
	}
	got := q.items
	q.items = nil
	return got
}

func (q *queue[T]) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.more.Broadcast()
}

// flush is one group commit of one replica's segments, or a repair of them.
type flush struct {
	g      *Group
	n      uint64
	repair []byte // not nil: a repair
}

// flush makes the segments of one log durable.
func (h *Host) flush(f flush) {
	defer f.g.jobs.Done()
	if f.repair != nil {
		h.repair(f)
		return
	}
	start := time.Now()
	err := f.g.log.Flush()
	h.stats.flushed(time.Since(start), err)
	f.g.shard.in.put(event{kind: evFlushed, g: f.g, n: f.n, err: err}, false)
}

// save is one hard state on its way to the journal, or the removal of one.
type save struct {
	g      *Group // nil: remove
	id     raft.GroupID
	hard   raft.HardState
	n      uint64
	unmark bool // delete the mark of a closed log too
	remove bool
}

// journalWriter makes hard states durable: all that wait share one Save, so
// that a thousand votes after a broker failure cost one sync.
func (h *Host) journalWriter() {
	for {
		jobs := h.journal.take()
		if jobs == nil {
			return
		}
		entries := make([]journal.Entry, len(jobs))
		for i, j := range jobs {
			entries[i].Key = hardStateKey(j.id)
			if !j.remove {
				entries[i].Value = replica.EncodeHardState(j.g.spec.Self, j.hard)
			}
			if j.unmark || j.remove {
				entries = append(entries, journal.Entry{Key: markKey(j.id)})
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

func markKey(g raft.GroupID) journal.Key { return journal.Key{Group: g, Kind: replica.MarkKind} }

func hardStateKey(g raft.GroupID) journal.Key {
	return journal.Key{Group: g, Kind: replica.HardStateKind}
}
