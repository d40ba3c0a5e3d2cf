package consumer

import (
	"context"
	"sync/atomic"

	"github.com/logq/logq/record"
)

// partition is a partition that is read. Its fields are guarded by Consumer.mu.
type partition struct {
	c             *Consumer
	id            int32
	position      int64 // of the next record to yield, apart from the chunk that is being yielded; -1 = not known yet
	end           int64 // where WithUntilEnd stops, -1 = not known or nowhere
	highWatermark int64 // last seen, -1 = none
	state         partitionState
	session       *session // who reads at present
	queue         []*chunk // in order
	queued        int      // bytes in queue, as stored
	listed        bool     // it is in Consumer.ready
}

type partitionState uint8

const (
	reading partitionState = iota
	finished
	stopped // by an error
)

// chunk is one step of a partition: a batch, an error, or the end.
type chunk struct {
	p       *partition
	session *session
	size    int // in the queue

	dec  *record.Decoder
	next int64        // offset after the batch
	end  int64        // the first offset not to be yielded, -1 = none
	at   atomic.Int64 // the next offset to yield
	slab []record.Header

	err  error
	last bool // the session ends with it: err is for good, or the end is reached
}

// session is one uninterrupted reading of a partition; Seek begins another. It is over when its context ends.
type session struct {
	p     *partition
	ctx   context.Context
	stop  context.CancelFunc
	space chan struct{} // has room for one: the queue got shorter
}

// restart begins another session at the partition's position. The caller holds mu.
func (p *partition) restart() {
	if p.session != nil {
		p.session.stop()
	}
	for i := range p.queue {
		p.queue[i] = nil
	}
	p.queue, p.queued, p.state = p.queue[:0], 0, reading
	if cur := p.c.current; cur != nil && cur.p == p {
		p.c.current = nil
	}
	s := &session{p: p, space: make(chan struct{}, 1)}
	s.ctx, s.stop = context.WithCancel(p.c.ctx)
	p.session = s
	p.c.events.Add(1)
	p.c.wg.Go(s.run)
}

// put queues a chunk when there is room; it reports false when the session is over. Errors and the end need no room.
func (s *session) put(ch *chunk) bool {
	c := s.p.c
	ch.p, ch.session = s.p, s
	c.mu.Lock()
	for s.p.session == s && ch.size > 0 && len(s.p.queue) > 0 && s.p.queued >= c.o.prefetch {
		c.mu.Unlock()
		select {
		case <-s.space:
		case <-s.ctx.Done():
			return false
		}
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	if s.p.session != s || s.ctx.Err() != nil {
		return false
	}
	s.p.queue = append(s.p.queue, ch)
	s.p.queued += ch.size
	if !s.p.listed {
		s.p.listed = true
		c.ready = append(c.ready, s.p)
	}
	c.signal()
	return true
}

// take removes the first chunk of a partition's queue, nil if a seek emptied it. The caller holds mu.
func (p *partition) take() *chunk {
	if len(p.queue) == 0 {
		return nil
	}
	ch := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	p.queued -= ch.size
	select {
	case ch.session.space <- struct{}{}:
	default:
	}
	return ch
}

// known notes what a session has learned. It reports false when the session is over.
func (s *session) known(f func(p *partition)) bool {
	s.p.c.mu.Lock()
	defer s.p.c.mu.Unlock()
	if s.p.session != s {
		return false
	}
	f(s.p)
	return true
}
