package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// begin finds partitions and offsets on the first Records, and starts the fetches.
func (c *Consumer) begin(ctx context.Context) error {
	c.mu.Lock()
	begun := c.parts != nil
	c.mu.Unlock()
	if begun {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })()
	ids, err := c.assign(ctx)
	if err != nil {
		return c.wrap(ctx, -1, err)
	}
	parts := make(map[int32]*partition, len(ids))
	for _, id := range ids {
		p := &partition{c: c, id: id, slots: make(chan struct{}, c.o.prefetch), end: -1, wake: make(chan struct{}, 1)}
		if err := c.place(ctx, p); err != nil {
			return c.wrap(ctx, id, err)
		}
		parts[id] = p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.parts, c.live = parts, len(parts)
	c.ready = make(chan *chunk, len(parts)*c.o.prefetch)
	for id, off := range c.seeks {
		if p := parts[id]; p != nil {
			p.next, p.position = off, off
		}
	}
	for _, p := range parts {
		c.wg.Go(p.run)
	}
	return nil
}

func (c *Consumer) wrap(ctx context.Context, partition int32, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	return &Error{Topic: c.topic, Partition: partition, Err: err}
}

// assign returns the partitions to read.
func (c *Consumer) assign(ctx context.Context) ([]int32, error) {
	n := 0
	err := c.within(ctx, func(ctx context.Context) (err error) {
		n, err = c.c.Partitions(ctx, c.topic, true)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(c.o.partitions) == 0 {
		all := make([]int32, n)
		for i := range all {
			all[i] = int32(i)
		}
		return all, nil
	}
	for _, p := range c.o.partitions {
		if int(p) >= n {
			return nil, &Error{Topic: c.topic, Partition: p, Err: fmt.Errorf("the topic has %d partitions, 0 to %d", n, n-1)}
		}
	}
	return c.o.partitions, nil
}

// place finds where p starts and, with WithUntilEnd, where it ends.
func (c *Consumer) place(ctx context.Context, p *partition) (err error) {
	at := protocol.OffsetsRequest{At: protocol.AtEarliest}
	switch s := c.o.start; s.kind {
	case startLatest:
		at.At = protocol.AtLatest
	case startTime:
		at.At, at.TimestampMs = protocol.AtTime, s.time.UnixMilli()
	case startOffset:
		p.next = s.offset
	}
	if c.o.start.kind != startOffset {
		if p.next, err = c.offset(ctx, p.id, at); err != nil {
			return err
		}
	}
	p.position = p.next
	if c.o.untilEnd {
		p.end, err = c.offset(ctx, p.id, protocol.OffsetsRequest{At: protocol.AtLatest})
	}
	return err
}

// offset asks until it is answered, or for the stall timeout.
func (c *Consumer) offset(ctx context.Context, partition int32, at protocol.OffsetsRequest) (off int64, err error) {
	err = c.within(ctx, func(ctx context.Context) error {
		r, err := c.c.Offset(ctx, c.topic, protocol.Partition(partition), at, c.o.timeout)
		off = r.Offset
		return err
	})
	return off, err
}

// within retries f for the stall timeout.
func (c *Consumer) within(ctx context.Context, f func(context.Context) error) error {
	start := time.Now()
	limit, cancel := context.WithTimeout(ctx, c.o.stall)
	defer cancel()
	err := c.c.Retry(limit, f)
	if err != nil && ctx.Err() == nil && limit.Err() != nil {
		return &StalledError{For: time.Since(start), Err: err}
	}
	return err
}
