package producer

import (
	"context"
	"sync"
	"sync/atomic"
)

// budget bounds the bytes that are handed over and not decided. Who waits for room gets it in the order of asking.
type budget struct {
	limit   int64
	used    atomic.Int64
	waiting atomic.Int64 // entries in queue and about to be

	mu    sync.Mutex
	queue []*claim // guarded by mu
}

// claim is somebody who waits for room.
type claim struct {
	bytes   int64
	granted chan struct{}
}

// try takes room if there is some and nobody waits for it.
func (b *budget) try(n int64) bool { return b.waiting.Load() == 0 && b.take(n) }

func (b *budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if used+n > b.limit {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// acquire takes room, waiting for it until ctx ends, whose cause it then returns.
//
// No wake-up is lost: acquire raises waiting before it looks at used for the last time, and release lowers used before it
// looks at waiting. One of the two sees the other, and both go on under mu.
func (b *budget) acquire(ctx context.Context, n int64) error {
	b.mu.Lock()
	b.waiting.Add(1)
	if len(b.queue) == 0 && b.take(n) {
		b.waiting.Add(-1)
		b.mu.Unlock()
		return nil
	}
	c := &claim{bytes: n, granted: make(chan struct{})}
	b.queue = append(b.queue, c)
	b.mu.Unlock()
	select {
	case <-c.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.queue {
		if b.queue[i] == c {
			b.queue = append(b.queue[:i], b.queue[i+1:]...)
			b.waiting.Add(-1)
			b.grant() // it may have stood in the way of a smaller one
			return context.Cause(ctx)
		}
	}
	return nil // granted in the meantime
}

// release gives room back.
func (b *budget) release(n int64) {
	b.used.Add(-n)
	if b.waiting.Load() > 0 {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.grant()
	}
}

// grant lets in who waits at the head of the queue, as long as there is room. The caller holds mu.
func (b *budget) grant() {
	for len(b.queue) > 0 && b.take(b.queue[0].bytes) {
		close(b.queue[0].granted)
		b.queue[0] = nil
		b.queue = b.queue[1:]
		b.waiting.Add(-1)
	}
}
