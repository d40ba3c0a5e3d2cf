package producer

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/logq/logq/record"
)

// partition gathers the records of one partition and sends them, one batch at a time. Its sender runs from the first
// record until the producer is closed.
type partition struct {
	p     *Producer
	topic string
	id    int32
	wake  chan struct{} // has room for one

	pending atomic.Int64 // bytes not decided

	mu       sync.Mutex
	queue    []*batch  // guarded by mu; oldest first
	open     *batch    // guarded by mu; the last of queue, nil if that is full or there is none
	state    waitState // guarded by mu
	running  bool      // guarded by mu; the sender was started
	closed   bool      // guarded by mu; no more records
	appended uint64    // guarded by mu; records so far
	decided  uint64    // guarded by mu; records whose callbacks have run; <= appended
	flushTo  uint64    // guarded by mu; records that do not linger
	flushes  []flush   // guarded by mu; in ascending order
}

// waitState says what the sender waits for.
type waitState uint8

const (
	busy      waitState = iota // it does not wait
	idle                       // any record
	lingering                  // a full batch, or a reason not to linger
)

// flush is somebody who waits until a number of records are decided.
type flush struct {
	records uint64
	done    chan struct{}
}

// append takes a record over.
func (p *partition) append(r record.Record, size int64, done func(Ack, error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	b, err := p.add(r)
	if err != nil {
		return err
	}
	b.callbacks = append(b.callbacks, done)
	b.bytes += size
	b.values += int64(len(r.Key) + len(r.Value))
	p.appended++
	p.pending.Add(size)
	if !p.running {
		p.running = true
		p.p.wg.Go(p.run)
	}
	if p.state == idle || p.state == lingering && len(p.queue) > 1 {
		p.kick()
	}
	return nil
}

// add puts a record into the open batch, or into a new one. The caller holds mu.
func (p *partition) add(r record.Record) (*batch, error) {
	if p.open != nil {
		err := p.open.builder.Append(r)
		if err == nil {
			return p.open, nil
		}
		if !errors.Is(err, record.ErrFull) {
			return nil, err
		}
		p.open.full = true
		p.open = nil
	}
	b := p.p.batches.get()
	err := b.builder.Append(r)
	var large *record.TooLargeError
	if errors.As(err, &large) && p.p.o.batchBytes < largestBatch {
		p.p.batches.put(b)
		b = p.p.batches.large()
		b.full = true
		err = b.builder.Append(r)
	}
	if err != nil {
		p.p.batches.put(b)
		return nil, err
	}
	p.queue = append(p.queue, b)
	if !b.full {
		p.open = b
	}
	return b, nil
}

// kick wakes the sender. The caller holds mu.
func (p *partition) kick() {
	p.state = busy
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// next returns the batch to send, waiting for one; nil when the partition is closed and empty.
func (p *partition) next() *batch {
	var linger *time.Timer
	for {
		p.mu.Lock()
		b, wait := p.take()
		if b != nil || p.closed && len(p.queue) == 0 {
			p.mu.Unlock()
			return b
		}
		p.state = idle
		var expired <-chan time.Time
		if wait > 0 {
			p.state = lingering
			if linger == nil {
				linger = time.NewTimer(wait)
				defer linger.Stop()
			} else {
				linger.Reset(wait)
			}
			expired = linger.C
		}
		p.mu.Unlock()
		select {
		case <-p.wake:
		case <-expired:
		}
	}
}

// take removes the oldest batch if it may go out; else it returns how long that has to linger, if there is one. The caller
// holds mu.
func (p *partition) take() (*batch, time.Duration) {
	if len(p.queue) == 0 {
		return nil, 0
	}
	b := p.queue[0]
	hurry := b.full || p.closed || p.decided < p.flushTo || p.p.budget.waiting.Load() > 0
	if d := p.p.o.linger; d > 0 && !hurry {
		if left := d - time.Since(b.opened); left > 0 {
			return nil, left
		}
	}
	p.queue[0] = nil
	p.queue = p.queue[1:]
	if b == p.open {
		p.open = nil
	}
	return b, 0
}

// ahead returns the batch that comes next if it can grow no more, so that it can be sealed while another is under way.
func (p *partition) ahead() *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 && p.queue[0].full {
		return p.queue[0]
	}
	return nil
}

// count tells those who flush that n more records are decided.
func (p *partition) count(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decided += uint64(n)
	for len(p.flushes) > 0 && p.flushes[0].records <= p.decided {
		close(p.flushes[0].done)
		p.flushes = p.flushes[1:]
	}
}

// flush returns a channel that is closed when all records appended so far are decided, nil if they are.
func (p *partition) flush() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.decided == p.appended {
		return nil
	}
	f := flush{records: p.appended, done: make(chan struct{})}
	p.flushes = append(p.flushes, f)
	p.flushTo = p.appended
	p.hurry()
	return f.done
}

// hurry ends a linger. The caller holds mu.
func (p *partition) hurry() {
	if p.state == lingering {
		p.kick()
	}
}

// close takes no more records and lets the sender end when all are decided.
func (p *partition) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.state != busy {
		p.kick()
	}
}
