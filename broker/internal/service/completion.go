package service

import "sync"

// repliers hand out the results of appends. The host calls back from the goroutine that runs many replicas, which must
// never be blocked, while a reply may have to wait for a socket: in between stands this queue. It has no bound of its own,
// because the byte budgets bound the appends that can be under way.
type repliers struct {
	mu     sync.Mutex
	queue  []func() // guarded by mu; from head on
	head   int      // guarded by mu
	closed bool     // guarded by mu
	wake   chan struct{}
	wg     sync.WaitGroup
}

func (q *repliers) start(n int) {
	q.wake = make(chan struct{}, n)
	for range n {
		q.wg.Go(q.run)
	}
}

// put queues f and never blocks. After close it runs f at once: there is nothing left that it could hold up.
func (q *repliers) put(f func()) {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		f()
		return
	}
	q.queue = append(q.queue, f)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	q.mu.Unlock()
}

// run takes one at a time, so that a reply that blocks holds up one worker and not what is queued behind it.
func (q *repliers) run() {
	for range q.wake {
		for f := q.take(); f != nil; f = q.take() {
			f()
		}
	}
}

func (q *repliers) take() func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.queue) {
		q.queue, q.head = q.queue[:0], 0
		return nil
	}
	f := q.queue[q.head]
	q.queue[q.head] = nil
	q.head++
	return f
}

// close runs what is queued and ends the workers.
func (q *repliers) close() {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return
	}
	q.closed = true
	q.mu.Unlock()
	close(q.wake)
	q.wg.Wait()
	for f := q.take(); f != nil; f = q.take() {
		f()
	}
}
