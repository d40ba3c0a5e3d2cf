package consumer

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
)

// Consumer reads a topic. Make one with [New].
type Consumer struct {
	o       options
	topic   string
	log     *slog.Logger
	cluster cluster
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	wake    chan struct{} // has room for one: something is ready
	// events counts what a loop over a batch must notice: seeks, the end of its context, Close.
	events atomic.Uint64

	mu      sync.Mutex
	closed  bool                 // guarded by mu
	reading bool                 // guarded by mu; a Records loop is on
	parts   map[int32]*partition // guarded by mu; nil before the first Records
	sought  map[int32]int64      // guarded by mu; seeks before that
	ready   []*partition         // guarded by mu; those with a queue, in the order of their turns
	current *chunk               // guarded by mu; what the loop is in, or was when it was left
}

// cluster is what the consumer needs of the brokers: a *client.Client, or a fake under a simulated clock.
type cluster interface {
	Partitions(ctx context.Context, topic string, fresh bool) (int, error)
	Do(ctx context.Context, r *client.Request) (client.Reply, error)
	Offset(ctx context.Context, topic string, p protocol.Partition, at protocol.OffsetsRequest, timeout time.Duration) (protocol.OffsetsReply, error)
	Forget(topic string)
	Close()
}

// New returns a consumer of a topic on the caller's connection, which stays the caller's. It opens connections of its own
// to the brokers that lead partitions, with the same options. Nothing is read before the first Records. The error lists all
// options that are not valid.
func New(nc *nats.Conn, topic string, opts ...Option) (*Consumer, error) {
	o := defaults()
	for _, opt := range opts {
		opt.apply(&o)
	}
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	if err := protocol.ValidateTopic(topic); err != nil {
		return nil, refusal(topic, -1, err)
	}
	c, err := client.New(nc, client.Options{Logger: o.logger})
	if err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	return newConsumer(o, topic, c), nil
}

func newConsumer(o options, topic string, cl cluster) *Consumer {
	c := &Consumer{o: o, topic: topic, log: o.logger, cluster: cl, wake: make(chan struct{}, 1), sought: map[int32]int64{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close ends the reading, and a Records loop that is on with [ErrClosed]. Further calls do nothing. It returns nil.
func (c *Consumer) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.events.Add(1)
	if !closed {
		c.cluster.Close()
	}
	c.wg.Wait()
	return nil
}

// Seek has a partition go on with the record at an offset. What was fetched of it and not yielded is dropped. Called from a
// Records loop it takes effect with the next record; from elsewhere, one record of before may still come. A partition that had
// stopped with an error goes on. The error says that the consumer is closed, or does not read the partition.
func (c *Consumer) Seek(partition int32, offset int64) error {
	if offset < 0 || partition < 0 {
		return fmt.Errorf("consumer: seek to %s offset %d: they count from 0", name(c.topic, partition), offset)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if c.parts == nil {
		c.sought[partition] = offset
		return nil
	}
	p := c.parts[partition]
	if p == nil {
		return fmt.Errorf("consumer: seek: partition %s is not read here", name(c.topic, partition))
	}
	p.position = offset
	p.restart()
	return nil
}

// Position returns the offset of the record that a partition yields next. It is false before the start is known.
func (c *Consumer) Position(partition int32) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parts[partition]
	if p == nil {
		offset, ok := c.sought[partition]
		return offset, ok
	}
	if ch := c.current; ch != nil && ch.p == p && ch.session == p.session {
		return ch.at.Load(), true
	}
	return p.position, p.position >= 0
}

// HighWatermark returns the last high watermark seen of a partition: the offset after its last committed record. It is
// false before one was seen. It less the position is how far behind the reading is.
func (c *Consumer) HighWatermark(partition int32) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.parts[partition]; p != nil && p.highWatermark >= 0 {
		return p.highWatermark, true
	}
	return 0, false
}

// signal wakes the loop.
func (c *Consumer) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
