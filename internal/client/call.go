package client

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
)

// Request is a request to the leader of a partition, or to the broker at hand.
type Request struct {
	Op        protocol.Op // OpProduce, OpFetch or OpOffsets
	Topic     string
	Partition protocol.Partition
	Body      []byte
	// Timeout is what the broker gets, counted from Start. The client waits [Options.ReplyGrace] longer for its answer.
	Timeout time.Duration
	// Poll is the part of Timeout that the broker may wait on purpose.
	Poll time.Duration
	// Nearby sends the request over the caller's own connection, whoever leads, as long as that works.
	Nearby bool
}

// Reply is an answer without error.
type Reply struct {
	Header nats.Header
	Body   []byte
}

// Int returns a number from the headers, 0 if there is none.
func (r *Reply) Int(name string) int64 {
	n, err := strconv.ParseInt(r.Header.Get(name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Call is a request under way.
type Call struct {
	c        *Client
	r        *Request
	deadline time.Time
	to       route // zero = the broker at hand
	link     *link
	waiter   *waiter
	err      *Error // Start failed
}

// Start sends a request to the partition's leader, once. It may wait for metadata and for a connection, as long as ctx and
// the request allow. What goes wrong is told by Wait. The broker is told the leader's term that is expected, so that a
// request that was held up somewhere is refused by later leaders.
func (c *Client) Start(ctx context.Context, r *Request) *Call {
	k := &Call{c: c, r: r, deadline: time.Now().Add(r.Timeout)}
	ctx, cancel := c.within(ctx)
	defer cancel()
	ctx, cancelTimeout := context.WithDeadlineCause(ctx, k.deadline, errTimeout)
	defer cancelTimeout()
	if k.err = c.locate(ctx, k); k.err != nil {
		return k
	}
	left := time.Until(k.deadline)
	if left <= 0 {
		k.err = r.fail(protocol.RequestTimedOut, errTimeout)
		k.err.Outcome = protocol.NotWritten
		return k
	}
	header := deadlineHeader(left)
	if r.Op == protocol.OpProduce {
		header[protocol.HeaderEpoch] = []string{strconv.FormatUint(k.to.term, 10)}
	}
	k.waiter, k.err = k.link.send(r, subject(r), header)
	if k.err != nil {
		c.failed(k, k.err)
	}
	return k
}

func subject(r *Request) string {
	switch r.Op {
	case protocol.OpProduce:
		return protocol.ProduceSubject(r.Topic, r.Partition)
	case protocol.OpFetch:
		return protocol.FetchSubject(r.Topic, r.Partition)
	default:
		return protocol.OffsetsSubject(r.Topic, r.Partition)
	}
}

// locate finds the leader and a connection to it. A leader that cannot be reached is reached through another broker.
func (c *Client) locate(ctx context.Context, k *Call) *Error {
	if s := c.seed; k.r.Nearby && s.up.Load() && !s.doubtful(time.Now()) {
		k.link = s.link
		return nil
	}
	to, fresh, old := c.topics.routeTo(k.r, c.o.MetadataAge)
	if !fresh {
		f := c.refresh(k.r.Topic, true)
		select {
		case <-f.done:
		case <-ctx.Done():
			return k.r.unsent(fmt.Errorf("asking for the leader: %w", context.Cause(ctx)))
		}
		var found bool
		if to, found, _ = c.topics.routeTo(k.r, 0); !found {
			return c.leaderless(k.r, f.err)
		}
	} else if old {
		c.refresh(k.r.Topic, false)
	}
	k.to = to
	var err error
	if to.url != "" {
		if k.link, err = c.pool.get(ctx, to.url); err == nil {
			return nil
		}
	}
	if k.link = c.anyLink(ctx, to.url); k.link == nil {
		if err == nil {
			err = errors.New("the leader has no URL that is known, and no other broker can be reached")
		}
		return k.r.unsent(err)
	}
	return nil
}

// leaderless says why there is nobody to send a request to.
func (c *Client) leaderless(r *Request, err *Error) *Error {
	n := c.topics.count(r.Topic)
	switch {
	case err != nil:
		e := *err
		e.Op, e.Topic, e.Partition, e.Outcome = r.Op, r.Topic, r.Partition, protocol.NotWritten
		return &e
	case n > 0 && (r.Partition < 0 || int(r.Partition) >= n):
		return r.fail(protocol.UnknownTopicOrPartition, fmt.Errorf("the topic has the partitions 0 to %d", n-1))
	default:
		return r.fail(protocol.LeaderNotAvailable, errors.New("the partition has no leader at present; an election may be under way"))
	}
}

// anyLink returns a connection to some broker but the one at a URL, nil if there is none.
func (c *Client) anyLink(ctx context.Context, but string) *link {
	for _, s := range c.sources("", 0) {
		if s.link != nil && s.link.up.Load() {
			return s.link
		}
		if s.link == nil && address(s.url) != address(but) {
			if l, err := c.pool.get(ctx, s.url); err == nil {
				return l
			}
		}
	}
	return nil
}

// Wait returns the answer, or an *[Error]. When ctx ends first, what was sent may still take effect.
func (k *Call) Wait(ctx context.Context) (Reply, error) {
	m, err := k.wait(ctx)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Header: m.Header, Body: m.Data}, nil
}

func (k *Call) wait(ctx context.Context) (*nats.Msg, *Error) {
	if k.err != nil {
		return nil, k.err
	}
	timeout := time.NewTimer(time.Until(k.deadline) + k.c.o.ReplyGrace)
	defer timeout.Stop()
	probe := time.NewTimer(k.r.Poll + k.c.o.ProbeAfter)
	defer probe.Stop()
	var asked *flight
	var answered <-chan struct{}
	for {
		select {
		case a := <-k.waiter.answer:
			return k.answered(a)
		case <-timeout.C:
			k.link.forget(k.waiter)
			return nil, k.lost(fmt.Errorf("broker at %s: %w", k.link.name(), errTimeout))
		case <-ctx.Done():
			k.link.take(k.waiter.token)
			return nil, k.lost(context.Cause(ctx))
		case <-k.c.ctx.Done():
			k.link.take(k.waiter.token)
			return nil, k.lost(errClosed)
		case <-probe.C:
			asked = k.c.refresh(k.r.Topic, true)
			answered = asked.done
		case <-answered:
			answered = nil
			if k.to != (route{}) && k.c.topics.passed(k.r, k.to.term) {
				k.link.take(k.waiter.token)
				return nil, k.lost(fmt.Errorf("broker at %s has not answered, and leads no more", k.link.name()))
			}
			probe.Reset(k.c.o.ProbeAfter)
		}
	}
}

func (k *Call) answered(a answer) (*nats.Msg, *Error) {
	err := a.err
	if err == nil {
		err = k.r.judge(a.msg)
	}
	if err != nil {
		k.c.failed(k, err)
		return nil, err
	}
	return a.msg, nil
}

// lost is the end of a call that was sent and not answered.
func (k *Call) lost(err error) *Error {
	e := k.r.lost(err)
	k.c.failed(k, e)
	return e
}

// failed makes the next try ask for the leader, unless the fault lies elsewhere.
func (c *Client) failed(k *Call, e *Error) {
	switch e.Code {
	case protocol.ThrottlingQuotaExceeded, protocol.CorruptMessage, protocol.OffsetOutOfRange, protocol.MessageTooLarge:
		return
	}
	if k.to == (route{}) {
		return
	}
	e.term = k.to.term
	c.topics.doubt(e)
}

// Do is one try of a request: Start and Wait.
func (c *Client) Do(ctx context.Context, r *Request) (Reply, error) { return c.Start(ctx, r).Wait(ctx) }
