package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
)

// source is a broker that may be asked: over a connection, or at a URL.
type source struct {
	link *link
	url  string
}

// sources lists whom to ask, best first: the one preferred, the seed and the client's own connections that answer, brokers
// to connect to, and at last those that did not answer lately. A turn above zero begins with another one each time.
func (c *Client) sources(prefer string, turn int) []source {
	var up, down []source
	now := time.Now()
	have := map[string]bool{}
	add := func(l *link) {
		if l.doubtful(now) {
			down = append(down, source{link: l})
		} else {
			up = append(up, source{link: l})
		}
	}
	if c.seed.up.Load() {
		add(c.seed.link)
		have[address(c.seed.nc.ConnectedUrl())] = true
	}
	for _, l := range c.pool.ready() {
		if at := address(l.url); !have[at] {
			have[at] = true
			add(l)
		}
	}
	var rest []source
	for _, u := range slices.Concat(c.topics.urls(), c.seed.nc.Servers()) {
		if at := address(u); at != "" && !have[at] {
			have[at] = true
			rest = append(rest, source{url: u})
		}
	}
	rand.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	all := slices.Concat(up, rest, down)
	if n := len(up) + len(rest); turn > 0 && n > 1 {
		all = slices.Concat(all[turn%n:n], all[:turn%n], down)
	}
	if prefer != "" {
		all = slices.Insert(all, 0, source{url: prefer})
	}
	return all
}

// ask sends a request that any broker can answer to one after the other until one does. An answer that says that the
// broker is starting or stopping counts as none. What must not be repeated ends with the first unknown outcome.
func (c *Client) ask(ctx context.Context, r *Request, subject string, order []source, repeatable bool) (*nats.Msg, *Error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	last := r.unsent(errors.New("no broker can be reached: the connection is down, and no other broker is known"))
	for _, s := range order {
		m, err := c.askOne(ctx, r, subject, s)
		if err == nil {
			return m, nil
		}
		elsewhere := err.Code == protocol.BrokerNotAvailable || err.Code == protocol.RequestTimedOut
		if !elsewhere || err.Outcome == protocol.Unknown && !repeatable || ctx.Err() != nil {
			return nil, err
		}
		last = err
	}
	return nil, last
}

// askOne tries a request at one broker.
func (c *Client) askOne(ctx context.Context, r *Request, subject string, s source) (*nats.Msg, *Error) {
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, r.Timeout+c.o.ReplyGrace)
	defer cancel()
	l := s.link
	if l == nil {
		var err error
		if l, err = c.pool.get(ctx, s.url); err != nil {
			return nil, r.unsent(err)
		}
	}
	w, err := l.send(r, subject, deadlineHeader(r.Timeout))
	if err != nil {
		return nil, err
	}
	select {
	case a := <-w.answer:
		if a.err != nil {
			return nil, a.err
		}
		return a.msg, r.judge(a.msg)
	case <-ctx.Done():
		if parent.Err() == nil {
			l.forget(w)
			return nil, r.lost(fmt.Errorf("broker at %s: %w", l.name(), errTimeout))
		}
		l.take(w.token)
		return nil, r.lost(context.Cause(ctx))
	}
}

// deadlineHeader tells the broker how long the client waits.
func deadlineHeader(d time.Duration) nats.Header {
	ms := min(max(d.Milliseconds(), 1), protocol.MaxDeadlineMs)
	return nats.Header{protocol.HeaderDeadlineMs: {strconv.FormatInt(ms, 10)}}
}
