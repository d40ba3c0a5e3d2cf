package producer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
)

// run sends the partition's batches until it is closed and empty.
func (p *partition) run() {
	for b := p.next(); b != nil; b = p.next() {
		d := delivery{part: p, b: b, began: time.Now(), deadline: b.opened.Add(p.p.o.deliveryTimeout)}
		p.finish(b, d.run())
		p.p.batches.put(b)
	}
}

// delivery is the sending of one batch, over as many tries as it takes.
type delivery struct {
	part     *partition
	b        *batch
	began    time.Time
	deadline time.Time
	tries    int
	unknown  bool // a try ended with an unknown outcome
	last     *client.Error
}

// verdict is how a delivery ended.
type verdict struct {
	base    int64
	unknown bool // of a try before the last
	err     *Error
}

func (d *delivery) run() verdict {
	p := d.part.p
	d.b.seal()
	if d.b.err != nil {
		return d.failed(protocol.InvalidRecord, fmt.Errorf("the batch cannot be made: %w", d.b.err))
	}
	var wait client.Backoff
	for {
		left := time.Until(d.deadline)
		switch {
		case p.ctx.Err() != nil:
			return d.failed(protocol.BrokerNotAvailable, context.Cause(p.ctx))
		case left <= 0:
			return d.late()
		}
		reply, err := d.try(min(left, p.o.requestTimeout))
		if err == nil {
			return verdict{base: reply.BaseOffset, unknown: d.unknown}
		}
		d.last = err
		d.unknown = d.unknown || err.Outcome != NotWritten
		if !err.Retriable || err.Outcome != NotWritten && !p.o.retryUnknown {
			return d.failed(err.Code, err.Err)
		}
		p.stats.retries.Add(1)
		if err.Outcome != NotWritten {
			p.stats.unknownTries.Add(1)
		}
		p.log.Debug("a batch is sent again", "topic", d.part.topic, "partition", d.part.id, "try", d.tries, "outcome", err.Outcome.String(), "error", err.Err)
		// The end of the producer is seen at the top.
		_ = client.Pause(p.ctx, min(wait.Next(), max(time.Until(d.deadline), 0)))
	}
}

// try sends the batch once. While the first try is under way the batch behind it is sealed.
func (d *delivery) try(timeout time.Duration) (*protocol.ProduceReply, *client.Error) {
	p := d.part.p
	r := &client.Request{Op: protocol.OpProduce, Topic: d.part.topic, Partition: protocol.Partition(d.part.id), Body: d.b.sealed, Timeout: timeout}
	p.stats.requests.Add(1)
	call := p.cluster.Start(p.ctx, r)
	if d.tries++; d.tries == 1 {
		if next := d.part.ahead(); next != nil {
			next.seal()
		}
	}
	reply, err := call.Wait(p.ctx)
	if err != nil {
		return nil, asClientError(err)
	}
	out := new(protocol.ProduceReply)
	if err := json.Unmarshal(reply.Body, out); err != nil {
		return nil, nonsense(fmt.Errorf("the broker's answer is not the JSON expected: %w", err))
	}
	if n := out.LastOffset - out.BaseOffset + 1; out.BaseOffset < 0 || n != int64(len(d.b.callbacks)) {
		return nil, nonsense(fmt.Errorf("the broker acknowledges offsets %d to %d for %d records", out.BaseOffset, out.LastOffset, len(d.b.callbacks)))
	}
	return out, nil
}

// asClientError is for the type checker: a call fails with nothing else.
func asClientError(err error) *client.Error {
	var e *client.Error
	if errors.As(err, &e) {
		return e
	}
	return nonsense(err)
}

// nonsense is an answer that says nothing about what was done.
func nonsense(err error) *client.Error {
	return &client.Error{Op: protocol.OpProduce, Outcome: protocol.Unknown, Code: protocol.UnknownServerError, Err: err}
}

// failed ends the delivery for a cause. One try that ended unknown makes the whole unknown, whatever followed.
func (d *delivery) failed(code protocol.Code, err error) verdict {
	e := &Error{Outcome: NotWritten, Code: code, Topic: d.part.topic, Partition: d.part.id, Err: err}
	if d.unknown {
		e.Outcome = Unknown
	}
	return verdict{base: -1, err: e}
}

// late ends the delivery because its time is over.
func (d *delivery) late() verdict {
	timeout := d.part.p.o.deliveryTimeout
	if d.last == nil {
		return d.failed(protocol.RequestTimedOut, fmt.Errorf("the delivery timeout of %v ended while it waited behind earlier batches", timeout))
	}
	return d.failed(d.last.Code, fmt.Errorf("not acknowledged within the delivery timeout of %v, in %d tries; the last: %w", timeout, d.tries, d.last.Err))
}

// finish gives back the batch's room, calls its callbacks in order, and lets those go on who flush.
func (p *partition) finish(b *batch, v verdict) {
	n := len(b.callbacks)
	p.p.stats.decided(b, v)
	p.pending.Add(-b.bytes)
	p.p.budget.release(b.bytes)
	if v.err != nil {
		for _, done := range b.callbacks {
			if done != nil {
				done(Ack{Topic: p.topic, Partition: p.id, Offset: -1}, v.err)
			}
		}
	} else {
		for i, done := range b.callbacks {
			if done != nil {
				done(Ack{Topic: p.topic, Partition: p.id, Offset: v.base + int64(i), MaybeDuplicate: v.unknown}, nil)
			}
		}
	}
	p.count(n)
}
