package service

import (
	"context"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// Handle carries out a request of a client. It never blocks. It owns req, with all that is in it, from the call on. Reply is
// called exactly once, from any goroutine, maybe before Handle returns; it owns the response and may block, which holds up
// replies to others in the end, so it should not for long. Ctx stands for the client: when it ends, waiting for the
// client's sake ends too, but what is on its way to the disk goes on.
func (s *Service) Handle(ctx context.Context, req *protocol.Request, reply func(*protocol.Response)) {
	req.Hops = 0
	s.handle(ctx, 0, req, reply)
}

// HandleForwarded carries out a request that another broker has forwarded; it fits the peer transport's handler. Like
// [Service.Handle] it never blocks; it owns body.
func (s *Service) HandleForwarded(ctx context.Context, from protocol.BrokerID, body []byte, reply func([]byte)) {
	answer := func(r *protocol.Response) {
		const headerBytes = 256
		reply(r.AppendTo(make([]byte, 0, len(r.Body)+headerBytes)))
	}
	req := new(protocol.Request)
	if err := req.Decode(body); err != nil {
		answer(protocol.ErrorResponse(protocol.Errorf(protocol.InvalidRequest, "from broker %d: %v", from, err)))
		return
	}
	if req.Hops < 1 || req.Hops > protocol.MaxHops {
		answer(protocol.ErrorResponse(protocol.Errorf(protocol.InvalidRequest, "from broker %d: a request forwarded %d times; the limit is %d", from, req.Hops, protocol.MaxHops)))
		return
	}
	s.handle(ctx, from, req, answer)
}

func (s *Service) handle(ctx context.Context, from protocol.BrokerID, req *protocol.Request, reply func(*protocol.Response)) {
	if !s.gate.Enter() {
		s.stats.refused.Add(1)
		reply(protocol.ErrorResponse(s.closedError()))
		return
	}
	now := time.Now()
	c := &call{s: s, ctx: ctx, req: req, from: from, started: now, deadline: now.Add(s.allowed(req)), reply: reply}
	if d, ok := ctx.Deadline(); ok && d.Before(c.deadline) {
		c.deadline = d
	}
	if e := c.expired(now); e != nil {
		c.fail(e)
		return
	}
	s.dispatch(c)
}

// allowed is how long the request may take.
func (s *Service) allowed(req *protocol.Request) time.Duration {
	if req.DeadlineMs == 0 {
		return s.opts.DefaultDeadline
	}
	return time.Duration(min(req.DeadlineMs, protocol.MaxDeadlineMs)) * time.Millisecond
}

func (s *Service) dispatch(c *call) {
	switch op := c.req.Op; {
	case op == protocol.OpProduce:
		s.produce(c)
	case op == protocol.OpPub:
		s.pub(c)
	case op == protocol.OpFetch || op == protocol.OpOffsets:
		s.pursueLater(c, &s.fetches)
	case !op.Valid() || op.Internal() && c.from == 0:
		c.fail(protocol.Errorf(protocol.InvalidRequest, "%s is not an operation for clients", op))
	default:
		s.administer(c)
	}
}

// closedError says why the gate is shut.
func (s *Service) closedError() *protocol.Error {
	if s.ctx.Err() == nil && s.table.Load() == nil {
		return protocol.Errorf(protocol.BrokerNotAvailable, "broker %d is starting; try again, or ask another one", s.id)
	}
	return s.stopping()
}
