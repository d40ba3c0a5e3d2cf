package multiraft

import (
	"sync"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

type eventKind uint8

const (
	evMessage  eventKind = iota + 1 // msg, frames
	evAppend                        // batch, term, deadline, done
	evLatest                        // read
	evSaved                         // n, err
	evFlushed                       // n, err
	evSent                          // to: a cold append could not be sent
	evTransfer                      // to, reply
	evConfig                        // change
	evTrim                          // n, reply
	evDamaged                       // found
	evRepaired                      // err
	evNotice                        // broker: its replica is not quiet any more
	evLink                          // broker; g is nil
	evOpen                          // g joins the shard
	evClose                         // g leaves the shard, reply
)

// event is one input of a shard. Fields that a kind doesn't name are zero.
type event struct {
	kind     eventKind
	g        *Group
	msg      raft.Message
	frames   []byte
	batch    record.Batch
	term     raft.Term
	deadline time.Time
	done     func(AppendResult)
	read     func(record.Offset, error)
	n        uint64
	err      error
	to       raft.ReplicaID
	broker   protocol.BrokerID
	reply    chan error
	change   *change
	found    *segments.Finding
}

func (e *event) bytes() int { return eventOverhead + len(e.frames) + len(e.batch) }

// inbox is a shard's queue, bounded in bytes for what comes from outside.
// Completions of the host's own work are never refused: their number is bounded
// by the number of replicas.
type inbox struct {
	mu     sync.Mutex
	events []event // guarded by mu
	bytes  int     // guarded by mu
	closed bool    // guarded by mu
	wake   chan struct{}
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// put queues e; with bounded it refuses when the inbox is over its bound. It
// reports false when refused or closed.
func (q *inbox) put(e event, bounded bool) (ok, closed bool) {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false, true
	}
	n := e.bytes()
	if bounded && q.bytes+n > inboxBytes && len(q.events) > 0 {
		q.mu.Unlock()
		return false, false
	}
	q.bytes += n
	q.events = append(q.events, e)
	q.mu.Unlock()
	q.nudge()
	return true, false
}

// putMessages queues those of msgs that are for groups of shard s; groups holds the
// group of each message, or nil. It returns how many the bound refused.
func (q *inbox) putMessages(s *shard, groups []*Group, msgs []raft.Message) (refused int) {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return 0
	}
	put := false
	for i, g := range groups {
		switch {
		case g == nil || g.shard != s:
		case q.bytes+eventOverhead > inboxBytes && len(q.events) > 0:
			refused++
		default:
			q.bytes += eventOverhead
			q.events = append(q.events, event{kind: evMessage, g: g, msg: msgs[i]})
			put = true
		}
	}
	q.mu.Unlock()
	if put {
		q.nudge()
	}
	return refused
}

func (q *inbox) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// swap takes all that waits and leaves spare (emptied) for what comes.
func (q *inbox) swap(spare []event) []event {
	clear(spare)
	q.mu.Lock()
	got := q.events
	q.events, q.bytes = spare[:0], 0
	q.mu.Unlock()
	return got
}

// close refuses all further events and returns what still waited.
func (q *inbox) close() []event {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	got := q.events
	q.events = nil
	return got
}
