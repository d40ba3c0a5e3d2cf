package producer

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// model is a cluster without sockets, for simulated clocks: the logs of a topic's partitions, and a script that says what
// becomes of each request.
type model struct {
	t      testing.TB
	parts  int
	forget bool // count offsets only
	// script is asked for each request; nil answers at once.
	script func(r *client.Request, n int) fate
	// lookUp is asked for each look-up of partitions; nil answers at once.
	lookUp func(ctx context.Context) error

	mu     sync.Mutex
	logs   map[protocol.Partition]*modelLog // guarded by mu
	calls  int                              // guarded by mu
	sizes  []int                            // guarded by mu; records of each request
	flying map[protocol.Partition]int       // guarded by mu
	closed bool                             // guarded by mu
}

type modelLog struct {
	values []string
	next   int64
}

// fate is what becomes of a request.
type fate struct {
	before time.Duration // until it is carried out
	skip   bool          // it is not
	after  time.Duration // from then until the answer
	silent bool          // there is none until the timeout
	ghost  time.Duration // it is carried out once more, so long after the end
	err    *protocol.Error
	hold   <-chan struct{} // wait for this first
}

func newModel(t testing.TB, parts int) *model {
	return &model{t: t, parts: parts, logs: map[protocol.Partition]*modelLog{}, flying: map[protocol.Partition]int{}}
}

func (m *model) Partitions(ctx context.Context, topic string, _ bool) (int, error) {
	if m.lookUp != nil {
		if err := m.lookUp(ctx); err != nil {
			return 0, err
		}
	}
	if topic == "none" {
		e := protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q does not exist", topic)
		return 0, &client.Error{Op: protocol.OpMeta, Topic: topic, Outcome: e.Outcome, Code: e.Code, Err: e}
	}
	return m.parts, nil
}

func (m *model) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
}

type modelCall struct {
	m    *model
	r    *client.Request
	f    fate
	end  time.Time
	body []byte
}

func (m *model) Start(_ context.Context, r *client.Request) call {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	m.sizes = append(m.sizes, record.Batch(r.Body).Count())
	if m.flying[r.Partition]++; m.flying[r.Partition] > 1 {
		m.t.Errorf("%d requests under way for partition %d", m.flying[r.Partition], r.Partition)
	}
	c := &modelCall{m: m, r: r, end: time.Now().Add(r.Timeout)}
	if m.script != nil {
		c.f = m.script(r, m.calls)
	}
	if c.f.ghost > 0 {
		c.body = append([]byte(nil), r.Body...)
	}
	return c
}

func (c *modelCall) fail(code protocol.Code, err error) error {
	info := code.Info()
	e := &client.Error{Op: c.r.Op, Topic: c.r.Topic, Partition: c.r.Partition, Outcome: info.Outcome, Code: code, Retriable: info.Retriable, Err: err}
	var p *protocol.Error
	if errors.As(err, &p) {
		e.Outcome, e.Retriable = p.Outcome, p.Retriable
	}
	return e
}

var errLost = errors.New("lost")

func (c *modelCall) Wait(ctx context.Context) (client.Reply, error) {
	defer func() {
		c.m.mu.Lock()
		c.m.flying[c.r.Partition]--
		c.m.mu.Unlock()
	}()
	if c.f.ghost > 0 {
		defer time.AfterFunc(time.Until(c.end)+c.f.ghost, func() { c.m.append(c.r.Partition, c.body) })
	}
	if c.f.hold != nil {
		select {
		case <-c.f.hold:
		case <-ctx.Done():
			return client.Reply{}, c.fail(protocol.RequestTimedOut, context.Cause(ctx))
		}
	}
	if client.Pause(ctx, c.f.before) != nil {
		return client.Reply{}, c.fail(protocol.RequestTimedOut, context.Cause(ctx))
	}
	var reply protocol.ProduceReply
	if !c.f.skip {
		reply.BaseOffset, reply.LastOffset = c.m.append(c.r.Partition, c.r.Body)
	}
	if client.Pause(ctx, c.f.after) != nil {
		return client.Reply{}, c.fail(protocol.RequestTimedOut, context.Cause(ctx))
	}
	switch {
	case c.f.silent:
		if client.Pause(ctx, time.Until(c.end)) != nil {
			return client.Reply{}, c.fail(protocol.RequestTimedOut, context.Cause(ctx))
		}
		return client.Reply{}, c.fail(protocol.RequestTimedOut, errLost)
	case c.f.err != nil:
		return client.Reply{}, c.fail(c.f.err.Code, c.f.err)
	}
	body, err := json.Marshal(reply)
	return client.Reply{Body: body}, err
}

// append carries a request out.
func (m *model) append(p protocol.Partition, body []byte) (first, last int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.logs[p]
	if l == nil {
		l = &modelLog{}
		m.logs[p] = l
	}
	first = l.next
	b := record.Batch(body)
	l.next += int64(b.Count())
	if m.forget {
		return first, l.next - 1
	}
	d := record.NewDecoder(record.DecoderOptions{})
	if err := d.Check(b); err != nil {
		m.t.Errorf("a batch that is none: %v", err)
	}
	if err := d.Reset(b); err != nil {
		m.t.Error(err)
	}
	for d.Next() {
		l.values = append(l.values, string(d.Record().Value))
	}
	return first, l.next - 1
}

// log returns the values in a partition.
func (m *model) log(p protocol.Partition) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.logs[p]; l != nil {
		return l.values
	}
	return nil
}

// produced returns a producer on the model with options over test-friendly defaults.
func (m *model) producer(opts ...Option) *Producer {
	m.t.Helper()
	o := defaults()
	// A zstd coder is shared by the process, and its channels cannot be used inside and outside of a bubble.
	o.codec = record.None
	for _, opt := range opts {
		opt.apply(&o)
	}
	if err := o.validate(); err != nil {
		m.t.Fatal(err)
	}
	return newProducer(o, m)
}
