package service

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// compressFrom is the size from which gathered messages are compressed, in bytes of payload. Below it compression saves
// less than a frame's header.
const compressFrom = 2 << 10

// turnMessages is how many messages without key go to a partition before the next one has its turn: enough to gather a
// batch under load.
const turnMessages = 32

// gather collects plain messages for a partition into batches. At most one batch is under way; what arrives meanwhile goes
// with the next. So a lone message goes out at once, and under load the batch grows with the time that a commit takes,
// without a timer.
type gather struct {
	mu      sync.Mutex
	waiting []*call     // guarded by mu
	sent    []*call     // guarded by mu; of the batch under way, in order of its records; nil = answered already
	busy    atomic.Bool // a batch is under way; written with mu held
}

// pub appends one plain message.
func (s *Service) pub(c *call) {
	if e := s.charge(c); e != nil {
		c.fail(e)
		return
	}
	t := s.table.Load()
	if c.req.Partition == protocol.AnyPartition {
		if topic := t.topics[c.req.Topic]; topic != nil {
			c.req.Partition = s.choose(topic, c.req.Key)
		}
	}
	p, e := (*partition)(nil), (*protocol.Error)(nil)
	if c.req.Partition != protocol.AnyPartition {
		p, e = t.find(c.req.Topic, c.req.Partition)
	}
	if e != nil {
		c.fail(e)
		return
	}
	if p != nil {
		if g := p.opened(); g != nil && g.Leader().Serving {
			if e := s.chargePartition(c, p); e != nil {
				c.fail(e)
				return
			}
			c.tries++
			s.pubAt(c.ctx, c, p, g)
			return
		}
	}
	s.pursueLater(c, &s.forwards)
}

// choose picks the partition of a message: by its key, or in turns among those that have a leader.
func (s *Service) choose(t *topic, key []byte) protocol.Partition {
	n := len(t.parts)
	if key != nil {
		return protocol.PartitionForKey(key, n)
	}
	turn := int(t.turn.Add(1)/turnMessages) % n
	for i := range n {
		if p := t.parts[(turn+i)%n]; s.leaderOf(p).broker != 0 {
			return p.id
		}
	}
	return t.parts[turn].id
}

// pubAt puts the message into the partition's gather, and sends at once when nothing is under way.
func (s *Service) pubAt(_ context.Context, c *call, p *partition, g Group) *protocol.Response {
	q := &p.pubs
	q.mu.Lock()
	q.waiting = append(q.waiting, c)
	idle := !q.busy.Load()
	if idle {
		q.busy.Store(true)
	}
	q.mu.Unlock()
	if idle {
		s.sendPubs(p, g)
	}
	return nil
}

// sendPubs sends what waits as one batch, as far as it fits. The caller has made the gather busy; it stays so until a batch
// that was sent is done and nothing waits.
func (s *Service) sendPubs(p *partition, g Group) {
	q := &p.pubs
	for {
		q.mu.Lock()
		calls := q.waiting
		q.waiting = nil
		if len(calls) == 0 {
			q.busy.Store(false)
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		batch, sent, rest, deadline := s.buildPubs(calls)
		q.mu.Lock()
		q.waiting = append(rest, q.waiting...)
		q.sent = sent
		q.mu.Unlock()
		if len(sent) > 0 {
			g.Append(batch, 0, deadline, func(r AppendResult) {
				s.repliers.put(func() { s.pubsDone(p, g, r) })
			})
			return
		}
	}
}

// buildPubs makes a batch of the calls, in order, until it is full. It answers calls that cannot be in any batch. The
// deadline is the latest of the calls sent; those with an earlier one are answered by sweepPubs.
func (s *Service) buildPubs(calls []*call) (batch record.Batch, sent, rest []*call, deadline time.Time) {
	size := 0
	for _, c := range calls {
		size += len(c.req.Body) + len(c.req.Key)
	}
	pool := &s.plain
	if size >= compressFrom {
		pool = &s.compressed
	}
	b := pool.Get().(*record.Builder)
	defer pool.Put(b)
	b.Reset()
	now := time.Now()
	for i, c := range calls {
		if e := c.expired(now); e != nil {
			c.fail(e)
			continue
		}
		err := b.Append(recordOf(c))
		switch {
		case errors.Is(err, record.ErrFull) && len(sent) > 0:
			rest = append(rest, calls[i:]...)
		case err != nil:
			c.fail(messageError(c, err))
			continue
		default:
			sent = append(sent, c)
			if c.deadline.After(deadline) {
				deadline = c.deadline
			}
			continue
		}
		break
	}
	if len(sent) == 0 {
		return nil, nil, rest, deadline
	}
	batch, err := b.Seal(nil)
	if err != nil {
		for _, c := range sent {
			c.fail(messageError(c, err))
		}
		return nil, nil, rest, deadline
	}
	return batch, sent, rest, deadline
}

func recordOf(c *call) record.Record {
	r := record.Record{Timestamp: c.started.UnixMilli(), Key: c.req.Key, Value: c.req.Body}
	if r.Value == nil {
		r.Value = []byte{} // a message without payload is empty, not null
	}
	if n := len(c.req.Headers); n > 0 {
		r.Headers = make([]record.Header, n)
		for i, h := range c.req.Headers {
			r.Headers[i] = record.Header{Key: []byte(h.Name), Value: h.Value}
		}
	}
	return r
}

func messageError(c *call, err error) *protocol.Error {
	code := protocol.InvalidRecord
	var large *record.TooLargeError
	if errors.As(err, &large) {
		code = protocol.MessageTooLarge
	}
	return protocol.Errorf(code, "message for %s/%s: %v", c.req.Topic, c.req.Partition, err)
}

// pubsDone sends the next batch and then answers the calls of the one that is done.
func (s *Service) pubsDone(p *partition, g Group, r AppendResult) {
	q := &p.pubs
	q.mu.Lock()
	sent := q.sent
	q.sent = nil
	q.mu.Unlock()
	s.sendPubs(p, g)
	var e *protocol.Error
	if r.Err != nil {
		e = protocol.AsError(r.Err)
	}
	for i, c := range sent {
		switch {
		case c == nil:
		case e != nil:
			s.refused(c, p, e)
		default:
			at := int64(r.Base) + int64(i)
			s.stats.appendedBytes.Add(uint64(len(c.req.Body)))
			c.finish(&protocol.Response{Partition: p.id, Epoch: r.Term, BaseOffset: at, LastOffset: at})
		}
	}
}

// sweepPubs answers the calls of a gather that are past their deadline: refused when they still wait, of unknown outcome
// when their batch is under way.
func (s *Service) sweepPubs(p *partition, now time.Time) {
	q := &p.pubs
	if !q.busy.Load() {
		return
	}
	var late, open []*call
	q.mu.Lock()
	kept := q.waiting[:0]
	for _, c := range q.waiting {
		if c.expired(now) != nil {
			late = append(late, c)
		} else {
			kept = append(kept, c)
		}
	}
	clear(q.waiting[len(kept):])
	q.waiting = kept
	for i, c := range q.sent {
		if c != nil && c.expired(now) != nil {
			open = append(open, c)
			q.sent[i] = nil
		}
	}
	q.mu.Unlock()
	for _, c := range late {
		c.fail(c.expired(now))
	}
	for _, c := range open {
		c.fail(protocol.Errorf(protocol.RequestTimedOut, "message for %s is appended, but no majority has confirmed it in time", p))
	}
}
