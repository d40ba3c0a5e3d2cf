package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// operation carries a call out at the leader, on this broker. It may block until ctx ends. It returns nil when it has
// handed the call on to somebody who will finish it.
type operation func(ctx context.Context, c *call, p *partition, g Group) *protocol.Response

// operationOf returns how a partition's operation is carried out.
func (s *Service) operationOf(op protocol.Op) operation {
	switch op {
	case protocol.OpProduce:
		return s.produceAt
	case protocol.OpPub:
		return s.pubAt
	case protocol.OpFetch:
		return s.fetchAt
	default:
		return s.offsetsAt
	}
}

// pursueLater gives the call a goroutine of its own, which finds the leader and carries the call out there. Their number is
// bounded by slots.
func (s *Service) pursueLater(c *call, slots *budget) {
	if !slots.take(1) {
		c.fail(protocol.Errorf(protocol.ThrottlingQuotaExceeded, "%s: broker %d has %d requests under way that wait, which is its limit; send more slowly", c.req.Op, s.id, slots.limit))
		return
	}
	started := s.tasks.start(func() {
		defer slots.give(1)
		if r := s.pursue(c); r != nil {
			c.finish(r)
		}
	})
	if !started {
		slots.give(1)
		c.fail(s.stopping())
	}
}

// pursue looks for the partition's leader until the call is carried out, refused for good, or out of time. A call that came
// from another broker is tried once: the broker that knows the client does the waiting.
func (s *Service) pursue(c *call) *protocol.Response {
	ctx, cancel := c.context()
	defer cancel()
	wait := backoff{least: s.opts.RetryMin / 4, most: s.opts.RetryMax / 8}
	giveUp := c.started.Add(s.opts.LeaderWait)
	var last *protocol.Error
	if c.tries > 0 { // the leader refused it a moment ago
		pause(ctx, wait.next(), nil)
	}
	for {
		changed := s.changes.wait()
		if e := c.expired(time.Now()); e != nil {
			return refusal(last, e)
		}
		r, again := s.attempt(ctx, c)
		if r == nil || !again {
			return r
		}
		last = r.Err
		if c.from != 0 || time.Now().After(giveUp) {
			return r
		}
		// A change may be the leader appearing; the pause keeps a change that is not from becoming a busy loop.
		d := wait.next()
		if !s.waitChange(ctx, d, nil) || s.lost(c) && !s.waitChange(ctx, time.Until(giveUp), changed) {
			return refusal(last, s.ended(c))
		}
	}
}

// lost reports whether the call has nowhere to go at present, so that only a change can help it.
func (s *Service) lost(c *call) bool {
	p, err := s.table.Load().find(c.req.Topic, c.req.Partition)
	return err == nil && p != nil && s.leaderOf(p).broker == 0
}

// refusal prefers the reason that was found to the bare fact that time is up.
func refusal(last, late *protocol.Error) *protocol.Response {
	if last != nil {
		return &protocol.Response{Err: last}
	}
	return &protocol.Response{Err: late}
}

// ended says why a call that was not carried out is not pursued further.
func (s *Service) ended(c *call) *protocol.Error {
	if s.drain.Err() != nil {
		return s.stopping()
	}
	if e := c.expired(time.Now()); e != nil {
		return e
	}
	return protocol.Errorf(protocol.RequestTimedOut, "%s: cancelled", c.req.Op).WithOutcome(protocol.NotWritten)
}

func (s *Service) stopping() *protocol.Error {
	return protocol.Errorf(protocol.BrokerNotAvailable, "broker %d is stopping; ask another one", s.id)
}

// attempt tries the call once, at the leader as it is known now. Again says that nothing was done and another attempt may
// succeed.
func (s *Service) attempt(ctx context.Context, c *call) (r *protocol.Response, again bool) {
	p, err := s.resolve(ctx, c)
	if err != nil {
		return &protocol.Response{Err: err}, err.Code == protocol.LeaderNotAvailable
	}
	if c.req.Op.Appends() {
		if err := s.chargePartition(c, p); err != nil {
			return &protocol.Response{Err: err}, false
		}
	}
	c.tries++
	l := s.leaderOf(p)
	if g := p.opened(); c.req.Op == protocol.OpFetch && l.group == nil && g != nil {
		if r := s.fetchFollower(ctx, c, p, g); r != nil {
			return r, false
		}
	}
	switch {
	case l.group != nil:
		r = s.operationOf(c.req.Op)(ctx, c, p, l.group)
	case l.broker != 0 && c.req.Hops < protocol.MaxHops && l.broker != c.from:
		r = s.forward(ctx, c, p, l.broker)
	default:
		r = &protocol.Response{Err: s.notLeader(p)}
	}
	if r == nil || r.Err == nil {
		return r, false
	}
	return r, c.mayRetry(r.Err)
}

// mayRetry reports whether the broker itself may try a call again after the error: nothing was written, the leader is the
// trouble, and the client does not count on a leader of its own choice.
func (c *call) mayRetry(e *protocol.Error) bool {
	if e.Outcome != protocol.NotWritten || c.req.Epoch != 0 && c.req.Op == protocol.OpProduce {
		return false
	}
	switch e.Code {
	case protocol.NotLeaderOrFollower, protocol.LeaderNotAvailable, protocol.BrokerNotAvailable, protocol.NotEnoughReplicas:
		return true
	default:
		return false
	}
}

// resolve finds the call's partition, asking the controller about a topic that is not known here.
func (s *Service) resolve(ctx context.Context, c *call) (*partition, *protocol.Error) {
	for synced := false; ; synced = true {
		t := s.table.Load()
		if c.req.Op == protocol.OpPub && c.req.Partition == protocol.AnyPartition {
			if topic := t.topics[c.req.Topic]; topic != nil {
				c.req.Partition = s.choose(topic, c.req.Key)
			}
		}
		p, err := t.find(c.req.Topic, c.req.Partition)
		switch {
		case p != nil || err != nil:
			return p, err
		case synced:
			return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q does not exist; create it first", c.req.Topic)
		}
		if err := protocol.ValidateTopic(c.req.Topic); err != nil {
			return nil, protocol.AsError(err)
		}
		if err := s.syncMeta(ctx); err != nil {
			return nil, protocol.Errorf(protocol.LeaderNotAvailable, "topic %q is not known to broker %d, which cannot ask the controller: %v", c.req.Topic, s.id, err)
		}
	}
}

// forward sends the call to the broker that leads the partition and returns that broker's answer.
func (s *Service) forward(ctx context.Context, c *call, p *partition, to protocol.BrokerID) *protocol.Response {
	s.stats.forwarded.Add(1)
	fwd := *c.req
	fwd.Hops++
	fwd.Partition = p.id
	fwd.DeadlineMs = remainingMs(c.deadline)
	r, err := s.ask(ctx, to, &fwd)
	if err == nil {
		return r
	}
	s.stats.forwardErrors.Add(1)
	if unsent(err) {
		return &protocol.Response{Err: protocol.Errorf(protocol.BrokerNotAvailable, "partition %s: broker %d leads it and cannot be reached: %v", p, to, err).
			WithLeader(to, s.urlOf(to))}
	}
	e := protocol.Errorf(protocol.RequestTimedOut, "partition %s: no answer from its leader, broker %d: %v", p, to, err)
	switch {
	case c.req.Op.Appends():
	case s.drain.Err() != nil:
		return &protocol.Response{Err: s.stopping()}
	default:
		e = e.WithOutcome(protocol.NotWritten)
	}
	return &protocol.Response{Err: e.WithLeader(to, s.urlOf(to))}
}

// ask sends a request to another broker and decodes its answer.
func (s *Service) ask(ctx context.Context, to protocol.BrokerID, req *protocol.Request) (*protocol.Response, error) {
	const headerBytes = 512
	body := req.AppendTo(make([]byte, 0, len(req.Body)+len(req.Key)+headerBytes))
	raw, err := s.opts.Peers.Request(ctx, to, body)
	if err != nil {
		return nil, err
	}
	r := new(protocol.Response)
	if err := r.Decode(raw); err != nil {
		return nil, fmt.Errorf("answer of broker %d: %w", to, err)
	}
	return r, nil
}

func unsent(err error) bool {
	var u UnsentError
	return errors.As(err, &u) && u.Unsent()
}

// remainingMs is the time that another broker gets: a little less than there is, so that its typed answer is back before
// this broker gives up.
func remainingMs(deadline time.Time) uint32 {
	left := time.Until(deadline)
	left -= min(left/10, 100*time.Millisecond)
	return uint32(max(left.Milliseconds(), 1))
}
