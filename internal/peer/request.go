package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// States of a request: whether it may have left decides what its failure means.
const (
	requestQueued int32 = iota
	requestSent
	requestDone
)

type request struct {
	state atomic.Int32
	reply chan result // one result fits, so that finishing never waits
	once  sync.Once
}

type result struct {
	body []byte
	err  error
}

func (r *request) finish(body []byte, err error) {
	r.once.Do(func() { r.reply <- result{body: body, err: err} })
}

// requests are those of one connection that wait for a reply.
type requests struct {
	mu      sync.Mutex
	next    uint64              // guarded by mu
	waiting map[uint64]*request // guarded by mu; nil once failed
}

func (q *requests) add(r *request) (id uint64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.waiting == nil:
		return 0, errSilent
	case len(q.waiting) >= maxRequests:
		return 0, errTooMany
	}
	q.next++
	q.waiting[q.next] = r
	return q.next, nil
}

func (q *requests) take(id uint64) *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.waiting[id]
	delete(q.waiting, id)
	return r
}

func (q *requests) fail(err func() error) {
	q.mu.Lock()
	all := q.waiting
	q.waiting = nil
	q.mu.Unlock()
	for _, r := range all {
		r.finish(nil, err())
	}
}

// Request sends body to a broker and waits for the reply, at most until ctx is
// done; without a deadline in ctx, Options.RequestTimeout applies. *UnsentError:
// definitely not carried out. *UnknownOutcomeError: perhaps.
func (t *Transport) Request(ctx context.Context, to protocol.BrokerID, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, t.o.RequestTimeout)
	defer cancel()
	c := t.conn(to, classBulk)
	if c == nil {
		return nil, &UnsentError{To: to, Cause: errNotConnected}
	}
	r := &request{reply: make(chan result, 1)}
	id, err := c.asked.add(r)
	if err != nil {
		return nil, &UnsentError{To: to, Cause: err}
	}
	defer c.asked.take(id)
	var head [12]byte
	binary.LittleEndian.PutUint64(head[:], id)
	binary.LittleEndian.PutUint32(head[8:], millisLeft(ctx))
	it := framed(frameRequest, head[:], [][]byte{body})
	it.req = r
	if len(body)+len(head) > t.o.MaxFrameBytes {
		return nil, &UnsentError{To: to, Cause: &FrameError{What: "the request is larger than a frame may be"}}
	}
	if !c.out.put(it) {
		return nil, &UnsentError{To: to, Cause: errQueueFull}
	}
	select {
	case got := <-r.reply:
		return got.body, got.err
	case <-ctx.Done():
	}
	// Called off in the queue, it has never left.
	if r.state.CompareAndSwap(requestQueued, requestDone) {
		return nil, &UnsentError{To: to, Cause: ctx.Err()}
	}
	select {
	case got := <-r.reply:
		return got.body, got.err
	default:
		return nil, &UnknownOutcomeError{To: to, Cause: ctx.Err()}
	}
}

func millisLeft(ctx context.Context) uint32 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return math.MaxUint32
	}
	return uint32(max(1, min(time.Until(deadline).Milliseconds(), math.MaxUint32)))
}

// IsUnsent reports whether err says that a request was not carried out.
func IsUnsent(err error) bool {
	var unsent *UnsentError
	return errors.As(err, &unsent)
}
