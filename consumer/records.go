package consumer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// Records yields records as they come, until ctx ends, the consumer is closed, or, with [WithUntilEnd], the end is reached;
// or an error in place of a record. The package documentation says which errors end the iteration. Fetching goes on between
// calls, up to the prefetch.
func (c *Consumer) Records(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if err := c.begin(ctx); err != nil {
			yield(Record{}, err)
			return
		}
		defer c.leave()
		stop := context.AfterFunc(ctx, func() { c.events.Add(1) })
		defer stop()
		for {
			ch, err := c.next(ctx)
			switch {
			case err != nil:
				yield(Record{}, err)
				return
			case ch == nil:
				return
			case ch.err != nil:
				if !yield(Record{}, ch.err) {
					return
				}
			case !c.walk(ctx, ch, yield):
				return
			}
		}
	}
}

// begin starts the reading, or partitions that had stopped.
func (c *Consumer) begin(ctx context.Context) error {
	c.mu.Lock()
	switch {
	case c.closed:
		c.mu.Unlock()
		return ErrClosed
	case c.reading:
		c.mu.Unlock()
		return ErrBusy
	}
	c.reading = true
	started := c.parts != nil
	for _, p := range c.parts {
		if p.state == stopped {
			p.restart()
		}
	}
	c.mu.Unlock()
	if started {
		return nil
	}
	err := c.start(ctx)
	if err != nil {
		c.leave()
	}
	return err
}

func (c *Consumer) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
}

// start asks for the topic's partitions and starts a session for each.
func (c *Consumer) start(ctx context.Context) error {
	n, err := c.count(ctx)
	if err != nil {
		return err
	}
	ids := c.o.partitions
	if ids == nil {
		for id := range int32(n) {
			ids = append(ids, id)
		}
	}
	if last := ids[len(ids)-1]; int(last) >= n {
		return refusal(c.topic, last, protocol.Errorf(protocol.UnknownTopicOrPartition, "the topic has the partitions 0 to %d", n-1))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	for id := range c.sought {
		if !slices.Contains(ids, id) {
			return fmt.Errorf("consumer: seek: partition %s is not read here", name(c.topic, id))
		}
	}
	c.parts = map[int32]*partition{}
	for _, id := range ids {
		p := &partition{c: c, id: id, position: -1, end: -1, highWatermark: -1}
		if offset, ok := c.sought[id]; ok {
			p.position = offset
		}
		c.parts[id] = p
		p.restart()
	}
	return nil
}

// count asks for the number of partitions, again while that may help, for the stall timeout.
func (c *Consumer) count(ctx context.Context) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })()
	began := time.Now()
	var wait client.Backoff
	for {
		n, err := c.cluster.Partitions(ctx, c.topic, false)
		switch {
		case err == nil && n > 0:
			return n, nil
		case err == nil:
			return 0, refusal(c.topic, -1, protocol.Errorf(protocol.UnknownTopicOrPartition, "the topic has no partitions"))
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case !client.Retriable(err):
			return 0, refusal(c.topic, -1, err)
		}
		if since := time.Since(began); since >= c.o.stall {
			return 0, &StalledError{Topic: c.topic, Partition: -1, Position: -1, HighWatermark: -1, For: since, Err: err}
		}
		if end := client.Pause(ctx, wait.Next()); end != nil {
			return 0, end
		}
	}
}

// next returns the next chunk, waiting for one: what was left of the last one, else the first of the partition whose turn
// it is. Nil means that no partition is left to read.
func (c *Consumer) next(ctx context.Context) (*chunk, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		ch, done, err := c.poll()
		if ch != nil || done || err != nil {
			return ch, err
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
		case <-c.ctx.Done():
		}
	}
}

func (c *Consumer) poll() (ch *chunk, done bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false, ErrClosed
	}
	if c.current != nil {
		return c.current, false, nil
	}
	for len(c.ready) > 0 {
		p := c.ready[0]
		c.ready[0] = nil
		c.ready = c.ready[1:]
		ch := p.take()
		if p.listed = len(p.queue) > 0; p.listed {
			c.ready = append(c.ready, p)
		}
		switch {
		case ch == nil:
		case ch.err != nil:
			if ch.last {
				p.state = stopped
			}
			return ch, false, nil
		case ch.last:
			p.state = finished
		default:
			ch.at.Store(p.position)
			c.current = ch
			return ch, false, nil
		}
	}
	for _, p := range c.parts {
		if p.state == reading {
			return nil, false, nil
		}
	}
	return nil, true, nil
}

// walk yields the records of a chunk. It reports false when the caller leaves the loop.
func (c *Consumer) walk(ctx context.Context, ch *chunk, yield func(Record, error) bool) bool {
	seen := c.events.Load()
	if !c.holds(ctx, ch) {
		return true
	}
	for {
		if n := c.events.Load(); n != seen {
			seen = n
			if !c.holds(ctx, ch) {
				return true
			}
		}
		if !ch.dec.Next() {
			return c.leaveChunk(ch, ch.dec.Err(), yield)
		}
		r := ch.dec.Record()
		offset := int64(r.Offset)
		if offset < ch.at.Load() {
			continue // before the position: a batch is fetched whole
		}
		if ch.end >= 0 && offset >= ch.end {
			return c.leaveChunk(ch, nil, yield)
		}
		ch.at.Store(offset + 1)
		out := Record{
			Topic: c.topic, Partition: ch.p.id, Offset: offset, Timestamp: time.UnixMilli(r.Timestamp),
			Key: r.Key, Value: r.Value, Headers: ch.keep(r.Headers),
		}
		if !yield(out, nil) {
			return false
		}
	}
}

// holds reports whether the loop may go on with a chunk.
func (c *Consumer) holds(ctx context.Context, ch *chunk) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ctx.Err() == nil && !c.closed && c.current == ch
}

// leaveChunk ends a chunk that has no more records.
func (c *Consumer) leaveChunk(ch *chunk, err error, yield func(Record, error) bool) bool {
	c.mu.Lock()
	if c.current != ch {
		c.mu.Unlock()
		return true // a seek was faster
	}
	c.current = nil
	ch.p.position = ch.next
	if err != nil {
		ch.p.position = ch.at.Load()
		ch.p.state = stopped
		ch.session.stop()
		err = &CorruptError{Topic: c.topic, Partition: ch.p.id, Offset: ch.p.position, Err: err}
	}
	c.mu.Unlock()
	return err == nil || yield(Record{}, err)
}

// slabHeaders is how many headers are allocated at a time.
const slabHeaders = 256

// keep copies headers, which the decoder overwrites with the next record.
func (ch *chunk) keep(h []record.Header) []record.Header {
	if len(h) == 0 {
		return nil
	}
	if cap(ch.slab)-len(ch.slab) < len(h) {
		ch.slab = make([]record.Header, 0, max(slabHeaders, len(h)))
	}
	from := len(ch.slab)
	ch.slab = append(ch.slab, h...)
	return slices.Clip(ch.slab[from:])
}

var errNothing = errors.New("the broker sent nothing although there is more")
