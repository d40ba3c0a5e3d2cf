package multiraft

import (
	"sync"
	"time"
)

// pool runs jobs that use a disk on a bounded number of goroutines. A job that
// hangs doesn't count in that bound: with it, a few logs on a disk that hangs would
// take all workers, and every other log of the broker would wait for that disk.
type pool[T any] struct {
	run      func(T)
	base     int           // workers that make progress
	patience time.Duration // a job that takes longer hangs
	spawn    func(func())  // starts a goroutine that the host waits for

	mu      sync.Mutex
	more    *sync.Cond
	jobs    []T                  // guarded by mu; from head on
	head    int                  // guarded by mu
	workers int                  // guarded by mu
	want    int                  // guarded by mu; workers beyond it end
	since   map[uint64]time.Time // when jobs under way began, by number; guarded by mu
	next    uint64               // guarded by mu
	closed  bool                 // guarded by mu
}

func newPool[T any](base int, patience time.Duration, spawn func(func()), run func(T)) *pool[T] {
	p := &pool[T]{base: base, want: base, patience: patience, spawn: spawn, run: run, since: make(map[uint64]time.Time)}
	p.more = sync.NewCond(&p.mu)
	return p
}

func (p *pool[T]) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.grow()
}

// grow starts the workers that are missing; p.mu is held.
func (p *pool[T]) grow() {
	for p.workers < p.want && !p.closed {
		p.workers++
		p.spawn(p.work)
	}
}

// submit queues a job. The callers bound how many there are.
func (p *pool[T]) submit(job T) {
	p.mu.Lock()
	p.jobs = append(p.jobs, job)
	p.mu.Unlock()
	p.more.Signal()
}

func (p *pool[T]) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for p.head == len(p.jobs) && !p.closed && p.workers <= p.want {
			p.more.Wait()
		}
		if p.head == len(p.jobs) || p.workers > p.want {
			p.workers--
			p.more.Signal() // it may have been woken for a job
			return
		}
		job := p.take()
		p.next++
		n := p.next
		p.since[n] = time.Now()
		p.mu.Unlock()
		p.run(job)
		p.mu.Lock()
		delete(p.since, n)
	}
}

// take removes the oldest job; p.mu is held, and there is one.
func (p *pool[T]) take() (job T) {
	var none T
	job, p.jobs[p.head] = p.jobs[p.head], none
	p.head++
	if live := len(p.jobs) - p.head; live < p.head { // close the gap before it outgrows the rest
		copy(p.jobs, p.jobs[p.head:])
		clear(p.jobs[live:])
		p.jobs, p.head = p.jobs[:live], 0
	}
	return job
}

// look counts the jobs that hang and replaces their workers, with some to spare: if
// what waits is for the same disk, these hang next, and the number grows by itself
// until all such jobs are out of the way. It is called once per tick, and returns how
// many hang.
func (p *pool[T]) look(now time.Time) (hung int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.since {
		if now.Sub(t) > p.patience {
			hung++
		}
	}
	p.want = min(p.base+2*hung, max(p.base, maxWorkers))
	if p.head < len(p.jobs) {
		p.grow()
	}
	return hung
}

// close ends the workers when all that was submitted is done.
func (p *pool[T]) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.more.Broadcast()
}
