package consumer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// Record is one record. It belongs to the caller.
type Record struct {
	Topic      string
	Partition  int32
	Offset     int64
	Timestamp  time.Time
	Key, Value []byte // nil: null
	Headers    []record.Header
}

// Consumer reads one topic. Make it with New.
type Consumer struct {
	topic string
	o     options
	log   *slog.Logger
	c     *client.Client

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// ready holds what is fetched, in the order of arrival. It has room for all that
	// the partitions' slots let through; made when Records first starts.
	ready chan *chunk

	mu      sync.Mutex
	parts   map[int32]*partition // guarded by mu; nil until Records has started
	seeks   map[int32]int64      // guarded by mu; before the start
	running bool                 // guarded by mu
	left    []Record             // guarded by mu; of a chunk that a Records left
	open    *chunk               // guarded by mu; whose records these are
	live    int                  // guarded by mu; partitions that are not done
	closed  bool                 // guarded by mu
}

// New makes a consumer of a topic. Nothing is read before Records.
func New(nc *nats.Conn, topic string, opts ...Option) (*Consumer, error) {
	o := defaults()
	for _, f := range opts {
		f.apply(&o)
	}
	if err := errors.Join(protocol.ValidateTopic(topic), o.validate()); err != nil {
		return nil, fmt.Errorf("consumer of %q: %w", topic, err)
	}
	if o.logger == nil {
		o.logger = slog.New(slog.DiscardHandler)
	}
	cl, err := client.New(nc, client.Options{Logger: o.logger})
	if err != nil {
		return nil, fmt.Errorf("consumer of %q: %w", topic, err)
	}
	c := &Consumer{topic: topic, o: o, log: o.logger, c: cl, seeks: make(map[int32]int64)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Records returns the records as they come. The sequence ends with an error, when the range is left, or, with
// WithUntilEnd, when everything is read.
func (c *Consumer) Records(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if err := c.enter(); err != nil {
			yield(Record{}, err)
			return
		}
		defer c.leave()
		if err := c.begin(ctx); err != nil {
			yield(Record{}, err)
			return
		}
		for {
			more, err := c.deliver(yield)
			if !more {
				return
			}
			if err == nil && c.finished() {
				return
			}
			if err == nil {
				err = c.receive(ctx)
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
		}
	}
}

func (c *Consumer) enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return ErrClosed
	case c.running:
		return &Error{Topic: c.topic, Partition: -1, Err: errors.New("another Records is running")}
	}
	c.running = true
	return nil
}

func (c *Consumer) leave() {
	c.mu.Lock()
	c.running = false
	c.mu.Unlock()
}

func (c *Consumer) finished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live == 0 && len(c.left) == 0
}

// deliver hands out what is left of the open chunk; false: the caller has had enough.
func (c *Consumer) deliver(yield func(Record, error) bool) (bool, error) {
	for {
		c.mu.Lock()
		k := c.open
		if k != nil && (len(c.left) == 0 || k.seeks != k.p.seeks) {
			c.release()
			k = nil
		}
		if k == nil {
			c.mu.Unlock()
			return true, nil
		}
		r := c.left[0]
		c.left = c.left[1:]
		k.p.position = r.Offset + 1
		c.mu.Unlock()
		if !yield(r, nil) {
			return false, nil
		}
	}
}

// release gives the open chunk's place to the next fetch. The caller holds mu.
func (c *Consumer) release() {
	k := c.open
	c.open, c.left = nil, nil
	if k.end && k.seeks == k.p.seeks && !k.p.done {
		k.p.done = true
		c.live--
	}
	<-k.p.slots
}

// receive waits for the next chunk.
func (c *Consumer) receive(ctx context.Context) error {
	select {
	case k := <-c.ready:
		c.mu.Lock()
		defer c.mu.Unlock()
		if k.seeks != k.p.seeks {
			<-k.p.slots // fetched before a Seek
			return nil
		}
		if k.err != nil {
			<-k.p.slots
			return k.err
		}
		c.open, c.left = k, k.records
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.ctx.Done():
		return ErrClosed
	}
}

// Seek continues a partition at offset: what was prefetched is dropped. Before the first Records it sets the start.
func (c *Consumer) Seek(partition int32, offset int64) error {
	if offset < 0 {
		return &Error{Topic: c.topic, Partition: partition, Err: fmt.Errorf("offset %d: offsets count from 0", offset)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch p := c.parts[partition]; {
	case c.closed:
		return ErrClosed
	case c.parts == nil:
		c.seeks[partition] = offset
	case p == nil:
		return &Error{Topic: c.topic, Partition: partition, Err: errors.New("the consumer does not read this partition")}
	default:
		p.seek(offset)
	}
	return nil
}

// Position returns the offset of the next record of a partition that Records will hand out; ok is false before that is
// known.
func (c *Consumer) Position(partition int32) (offset int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parts[partition]
	if p == nil {
		return 0, false
	}
	return p.position, true
}

// Close ends a running Records and everything that the consumer has started.
func (c *Consumer) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.cancel()
	c.wg.Wait()
	c.c.Close()
	return nil
}
