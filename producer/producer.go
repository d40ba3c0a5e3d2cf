package producer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// Producer stores records. Its methods may be called from any goroutine.
type Producer struct {
	o       options
	log     *slog.Logger
	cluster cluster
	budget  budget
	batches batches
	stats   counters
	topics  atomic.Pointer[map[string]*topic] // the map is replaced, never changed
	wg      sync.WaitGroup                    // senders

	ctx     context.Context // ends when Close gives up
	abandon context.CancelCauseFunc
	open    context.Context // ends when Close begins
	shut    context.CancelCauseFunc

	mu     sync.Mutex
	closed bool // guarded by mu; no more topics
	ended  chan struct{}
}

// cluster is what the producer needs of the brokers: a *client.Client, or a fake under a simulated clock.
type cluster interface {
	Partitions(ctx context.Context, topic string, fresh bool) (int, error)
	Start(ctx context.Context, r *client.Request) call
	Close()
}

// call is a request under way; its errors are *client.Error.
type call interface {
	Wait(ctx context.Context) (client.Reply, error)
}

// natsCluster is the real one.
type natsCluster struct{ *client.Client }

func (c natsCluster) Start(ctx context.Context, r *client.Request) call {
	return c.Client.Start(ctx, r)
}

// New returns a producer on the caller's connection, which stays the caller's. It opens connections of its own to the
// brokers that lead partitions, with the same options. The error lists all options that are not valid.
func New(nc *nats.Conn, opts ...Option) (*Producer, error) {
	return connect(nc, client.Options{}, opts)
}

func connect(nc *nats.Conn, co client.Options, opts []Option) (*Producer, error) {
	o := defaults()
	for _, opt := range opts {
		opt.apply(&o)
	}
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	co.Logger = o.logger
	c, err := client.New(nc, co)
	if err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	return newProducer(o, natsCluster{c}), nil
}

func newProducer(o options, c cluster) *Producer {
	p := &Producer{o: o, log: o.logger, cluster: c, ended: make(chan struct{})}
	p.budget.limit = o.bufferBytes
	p.batches.o = &p.o
	p.topics.Store(&map[string]*topic{})
	p.ctx, p.abandon = context.WithCancelCause(context.Background())
	p.open, p.shut = context.WithCancelCause(context.Background())
	return p
}

// accepting returns a context that ends with ctx, or when the producer takes no more records.
func (p *Producer) accepting(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.open, func() { cancel(ErrClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

// ProduceAsync hands a record over and returns; done is called when it is decided, nil if nobody wants to know. It blocks
// only while the buffer is full, or while the topic is used for the first time, until ctx ends. An error is an *[Error] with
// the outcome NotWritten; done is then not called. The end of ctx after the return changes nothing: what was handed over is
// decided by the producer's own timeouts.
func (p *Producer) ProduceAsync(ctx context.Context, r Record, done func(Ack, error)) error {
	if ctx.Err() != nil {
		return notTaken(r.Topic, r.Partition, context.Cause(ctx))
	}
	t := p.topic(r.Topic)
	if t == nil {
		var err error
		if t, err = p.lookUp(ctx, r.Topic, false); err != nil {
			return notTaken(r.Topic, r.Partition, err)
		}
	}
	size := r.size()
	part, err := p.choose(ctx, t, &r, size)
	if err != nil {
		return notTaken(r.Topic, r.Partition, err)
	}
	if !p.budget.try(size) {
		if err := p.waitForRoom(ctx, size); err != nil {
			return notTaken(r.Topic, part.id, err)
		}
	}
	ts := r.Timestamp
	if ts.IsZero() {
		ts = time.Now()
	}
	err = part.append(record.Record{Timestamp: ts.UnixMilli(), Key: r.Key, Value: r.Value, Headers: r.Headers}, size, done)
	if err != nil {
		p.budget.release(size)
		return notTaken(r.Topic, part.id, err)
	}
	return nil
}

// waitForRoom takes room in the buffer. Batches that linger go out meanwhile: room comes from nowhere else.
func (p *Producer) waitForRoom(ctx context.Context, size int64) error {
	if size > p.budget.limit {
		return &record.TooLargeError{Size: int(size), Max: int(p.budget.limit)}
	}
	p.stats.bufferWaits.Add(1)
	ctx, cancel := p.accepting(ctx)
	defer cancel()
	if p.o.linger > 0 {
		stop := p.hurryAll()
		defer stop()
	}
	return p.budget.acquire(ctx, size)
}

// Produce stores a record and waits until that is decided or ctx ends. An error is an *[Error]. When ctx ends first, the
// outcome is unknown: the record is on its way.
func (p *Producer) Produce(ctx context.Context, r Record) (Ack, error) {
	type result struct {
		ack Ack
		err error
	}
	decided := make(chan result, 1)
	if err := p.ProduceAsync(ctx, r, func(ack Ack, err error) { decided <- result{ack, err} }); err != nil {
		return Ack{Topic: r.Topic, Partition: r.Partition, Offset: -1}, err
	}
	select {
	case d := <-decided:
		return d.ack, d.err
	case <-ctx.Done():
	}
	select {
	case d := <-decided:
		return d.ack, d.err
	default:
		return Ack{Topic: r.Topic, Partition: r.Partition, Offset: -1},
			&Error{Outcome: Unknown, Code: protocol.RequestTimedOut, Topic: r.Topic, Partition: r.Partition, Err: context.Cause(ctx)}
	}
}
