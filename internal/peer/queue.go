package peer

import (
	"context"
	"sync"
)

// item is one frame to write: header and head lie in the item itself, the rest
// is written from where it is.
type item struct {
	wire     [inlineHead]byte
	n        int      // bytes of wire in use
	body     []byte   // follows wire; or
	from, to int      // parts[from:to] of the batch do
	bytes    int      // all of it
	req      *request // a forwarded request, told when it leaves
}

// itemOverhead is what a queued frame costs beside its bytes.
const itemOverhead = 256

// batch is what lies in a queue. Its memory is used again.
type batch struct {
	items []item
	parts [][]byte
	bytes int // with overhead
}

func (b *batch) reset() {
	clear(b.items) // so that nothing large is kept alive
	clear(b.parts)
	b.items, b.parts, b.bytes = b.items[:0], b.parts[:0], 0
	if cap(b.items) > 2*keepItems {
		b.items, b.parts = nil, nil
	}
}

// outbox is a connection's send queue, bounded in bytes. Frames gather in one
// batch while another is written.
type outbox struct {
	limit int
	wake  chan struct{}

	idle chan struct{} // gets a token when the writer finds nothing to send

	mu      sync.Mutex
	waiting *batch // guarded by mu
	writing int    // bytes of the batch that is being written; guarded by mu
	closed  bool   // guarded by mu
}

func newOutbox(limit int) *outbox {
	return &outbox{limit: limit, wake: make(chan struct{}, 1), waiting: new(batch), idle: make(chan struct{}, 1)}
}

// put queues one frame of at most size bytes, whose header and head encode writes
// into the item; false: full or closed. body and what parts hold are kept. One
// frame always fits an empty queue, whatever its size. encode runs under the
// lock: there the item is in its place, and nothing needs to be copied.
func (o *outbox) put(size int, encode func(wire []byte) int, body []byte, parts [][]byte, req *request) bool {
	o.mu.Lock()
	b := o.waiting
	total := b.bytes + o.writing
	if o.closed || total > 0 && total+size+itemOverhead > o.limit {
		o.mu.Unlock()
		return false
	}
	from := len(b.parts)
	b.parts = append(b.parts, parts...)
	b.items = append(b.items, item{body: body, from: from, to: len(b.parts), req: req})
	it := &b.items[len(b.items)-1]
	it.n = encode(it.wire[:])
	it.bytes = it.n + len(body)
	for _, p := range parts {
		it.bytes += len(p)
	}
	b.bytes += it.bytes + itemOverhead
	o.mu.Unlock()
	o.nudge()
	return true
}

// backlog returns the bytes that are queued or being written.
func (o *outbox) backlog() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waiting.bytes + o.writing
}

// nudge lets the writer look.
func (o *outbox) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take exchanges the empty batch for what waits, nil if nothing does.
func (o *outbox) take(empty *batch) *batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = 0
	if len(o.waiting.items) == 0 {
		select {
		case o.idle <- struct{}{}:
		default:
		}
		return nil
	}
	got := o.waiting
	o.waiting, o.writing = empty, got.bytes
	return got
}

// written makes room: bytes of the batch that was taken have left.
func (o *outbox) written(bytes int) {
	o.mu.Lock()
	o.writing -= bytes
	o.mu.Unlock()
}

// close refuses further frames and drops those that wait.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.waiting = new(batch)
}

// drain waits until all that is in the queue now is written, the connection ends
// or ctx does.
func (o *outbox) drain(ctx, conn context.Context) {
	o.mu.Lock()
	select {
	case <-o.idle: // of an earlier moment
	default:
	}
	o.mu.Unlock()
	o.nudge()
	select {
	case <-o.idle:
	case <-conn.Done():
	case <-ctx.Done():
	}
}
