package peer

import (
	"net"
	"sync"
)

// item is one frame to write. Small frames lie whole in wire; large bodies are
// written from where they are.
type item struct {
	wire  []byte   // header, head and perhaps body
	parts [][]byte // rest of the body
	bytes int
	req   *request // a forwarded request, told when it leaves
}

// outbox is a connection's send queue, bounded in bytes.
type outbox struct {
	mu     sync.Mutex
	items  []item // guarded by mu
	bytes  int    // guarded by mu
	limit  int
	closed bool // guarded by mu
	wake   chan struct{}
}

func newOutbox(limit int) *outbox { return &outbox{limit: limit, wake: make(chan struct{}, 1)} }

// put queues one frame; false: full or closed. One frame always fits an empty
// queue, whatever its size.
func (o *outbox) put(it item) bool {
	o.mu.Lock()
	if o.closed || o.bytes > 0 && o.bytes+it.bytes > o.limit {
		o.mu.Unlock()
		return false
	}
	o.items = append(o.items, it)
	o.bytes += it.bytes
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return true
}

// take moves what one system call may write to bufs, and returns the items it
// took: requests among them count as sent from now on.
func (o *outbox) take(spare []item) []item {
	clear(spare)
	o.mu.Lock()
	defer o.mu.Unlock()
	n, total := 0, 0
	for n < len(o.items) && total < gatherBytes {
		total += o.items[n].bytes
		n++
	}
	got := append(spare[:0], o.items[:n]...)
	rest := copy(o.items, o.items[n:])
	clear(o.items[rest:])
	o.items = o.items[:rest]
	o.bytes -= total
	return got
}

// close refuses further frames and returns those that never left.
func (o *outbox) close() []item {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	got := o.items
	o.items, o.bytes = nil, 0
	return got
}

// gather makes one vectored write of items: runs of small frames are copied
// together, large bodies stay where they are.
func gather(items []item, scratch []byte, bufs net.Buffers) ([]byte, net.Buffers) {
	scratch, bufs = scratch[:0], bufs[:0]
	need := 0
	for i := range items {
		need += len(items[i].wire)
	}
	if cap(scratch) < need {
		scratch = make([]byte, 0, max(need, 16<<10))
	}
	start := 0
	for i := range items {
		scratch = append(scratch, items[i].wire...)
		if len(items[i].parts) > 0 {
			bufs = append(bufs, scratch[start:len(scratch):len(scratch)])
			bufs = append(bufs, items[i].parts...)
			start = len(scratch)
		}
	}
	if start < len(scratch) {
		bufs = append(bufs, scratch[start:])
	}
	return scratch, bufs
}
