package service

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// call is one request under way. It belongs to one goroutine at a time; handing it on (to the host, to a gather, to a
// goroutine of its own) hands over everything in it.
type call struct {
	s        *Service
	ctx      context.Context // the listener's
	req      *protocol.Request
	from     protocol.BrokerID // who forwarded it, 0 = a client
	started  time.Time
	deadline time.Time
	reply    func(*protocol.Response)
	answered atomic.Bool

	batch   record.Batch // produce: the one batch, checked
	charged int64        // bytes in the budgets
	part    *partition   // whose budget holds them too
	tries   int          // attempts at a leader
}

// finish answers the call and gives back what it holds. Only the first answer counts.
func (c *call) finish(r *protocol.Response) {
	if !c.answered.CompareAndSwap(false, true) {
		return
	}
	c.s.refund(c)
	c.s.stats.answered(c.req.Op, r.Err, time.Since(c.started))
	c.reply(r)
	c.s.gate.Leave()
}

func (c *call) fail(err *protocol.Error) { c.finish(&protocol.Response{Err: err}) }

// context returns a context that ends with the call's deadline, its listener's context, or the service: when it begins to
// close for what only reads, at its end for the rest.
func (c *call) context() (context.Context, context.CancelFunc) {
	end := c.s.ctx
	if c.req.Op == protocol.OpFetch || c.req.Op == protocol.OpOffsets {
		end = c.s.drain
	}
	ctx, cancel := context.WithDeadline(c.ctx, c.deadline)
	stop := context.AfterFunc(end, cancel)
	return ctx, func() { stop(); cancel() }
}

// expired returns the refusal of a call that is past its deadline and has not been carried out, nil if there is time.
func (c *call) expired(now time.Time) *protocol.Error {
	if c.ctx.Err() == nil && now.Before(c.deadline) {
		return nil
	}
	return protocol.Errorf(protocol.RequestTimedOut, "%s: the deadline of %v passed before the broker could carry it out; nothing was done",
		c.req.Op, c.deadline.Sub(c.started).Round(time.Millisecond)).WithOutcome(protocol.NotWritten)
}
