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

// States of a request. How far it came decides what its failure means.
const (
	requestQueued  int32 = iota // nothing of it has left
	requestWriting              // in the hands of the writer, who settles it if the write fails
	requestSent
	requestDone // called off, or settled, before anything left
)

type request struct {
	state atomic.Int32
	bytes int
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
	max, maxBytes int

	mu      sync.Mutex
	next    uint64              // guarded by mu
	bytes   int                 // of the waiting ones; guarded by mu
	waiting map[uint64]*request // guarded by mu; nil once failed
}

func (q *requests) add(r *request) (id uint64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.waiting == nil:
		return 0, errNotConnected
	case len(q.waiting) >= q.max || len(q.waiting) > 0 && q.bytes+r.bytes > q.maxBytes:
		return 0, errTooMany
	}
	q.next++
	q.waiting[q.next] = r
	q.bytes += r.bytes
	return q.next, nil
}

// take removes a request and returns it, nil if it does not wait any more.
func (q *requests) take(id uint64) *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.waiting[id]
	if r != nil {
		delete(q.waiting, id)
		q.bytes -= r.bytes
	}
	return r
}

// fail settles all that wait when the connection has ended: what never left is
// unsent, what left is unknown, and what is being written is left to the writer,
// who will know.
func (q *requests) fail(to protocol.BrokerID, cause error) {
	q.mu.Lock()
	all := q.waiting
	q.waiting = nil
	q.mu.Unlock()
	for _, r := range all {
		if r.state.CompareAndSwap(requestQueued, requestDone) {
			r.finish(nil, &UnsentError{To: to, Cause: cause})
		} else if r.state.Load() == requestSent {
			r.finish(nil, &UnknownOutcomeError{To: to, Cause: cause})
		}
	}
}

// Request sends body to a broker and waits for the reply, at most until ctx is
// done; without a deadline in ctx, Options.RequestTimeout applies. body must not
// change afterwards, even if Request returns early. *UnsentError: definitely not
// carried out. *UnknownOutcomeError: perhaps.
func (t *Transport) Request(ctx context.Context, to protocol.BrokerID, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, t.o.RequestTimeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, &UnsentError{To: to, Cause: err}
	}
	if len(body)+requestHead > t.o.MaxFrameBytes {
		return nil, &UnsentError{To: to, Cause: errTooLarge}
	}
	c := t.conn(to, classBulk)
	if c == nil {
		return nil, &UnsentError{To: to, Cause: t.absence(to)}
	}
	r := &request{reply: make(chan result, 1), bytes: len(body) + itemOverhead}
	id, err := c.asked.add(r)
	if err != nil {
		return nil, &UnsentError{To: to, Cause: err}
	}
	defer c.asked.take(id)
	var head [requestHead]byte
	binary.LittleEndian.PutUint64(head[:], id)
	binary.LittleEndian.PutUint32(head[8:], millisLeft(ctx))
	if !c.putCovered(frameRequest, head[:], body, r) {
		return nil, &UnsentError{To: to, Cause: errQueueFull}
	}
	select {
	case got := <-r.reply:
		return got.body, got.err
	case <-ctx.Done():
	}
	// Called off in the queue, it never leaves.
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

// absence says why there is no connection.
func (t *Transport) absence(to protocol.BrokerID) error {
	switch {
	case t.closed.Load():
		return ErrClosed
	case t.linksOf(to) == nil:
		return errNoSuchPeer
	default:
		return errNotConnected
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

// answers are the requests of the peer that are under way here.
type answers struct {
	max, maxBytes int

	mu    sync.Mutex
	n     int // guarded by mu
	bytes int // guarded by mu
}

func (a *answers) enter(bytes int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n >= a.max || a.n > 0 && a.bytes+bytes > a.maxBytes {
		return false
	}
	a.n++
	a.bytes += bytes
	return true
}

func (a *answers) leave(bytes int) {
	a.mu.Lock()
	a.n--
	a.bytes -= bytes
	a.mu.Unlock()
}

// answer hands a forwarded request to the handler; the reply comes back on this
// connection, or nowhere if it is gone.
func (c *conn) answer(f *frame) {
	id, left, body := f.head[:8:8], binary.LittleEndian.Uint32(f.head[8:]), f.head[requestHead:]
	if !c.answers.enter(len(body)) {
		if !c.putCovered(frameRefused, id, nil, nil) {
			c.end(errSlowReader)
		}
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, time.Duration(left)*time.Millisecond)
	var once sync.Once
	c.t.o.Handler.HandleRequest(ctx, c.peer, body, func(reply []byte) {
		once.Do(func() {
			cancel()
			c.answers.leave(len(body))
			switch {
			case len(reply)+replyHead > c.t.o.MaxFrameBytes:
				c.end(errTooLarge)
			case !c.putCovered(frameReply, id, reply, nil):
				c.end(errSlowReader) // its outcome is unknown to the caller then, not lost
			}
		})
	})
}
