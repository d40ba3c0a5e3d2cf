package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// partition is one partition being read. Its goroutine fetches ahead of the caller.
type partition struct {
	c     *Consumer
	id    int32
	slots chan struct{} // a token for each chunk on its way to the caller
	wake  chan struct{} // holds a token after a Seek
	end   int64         // stop there; -1: never. Immutable once it runs

	// Guarded by the consumer's mu.
	next     int64 // to fetch
	position int64 // to hand out
	seeks    int   // how often it was moved
	done     bool  // everything up to end was handed out
	abort    context.CancelFunc
}

// chunk is the outcome of one fetch.
type chunk struct {
	p       *partition
	seeks   int // of the partition when it was asked for
	records []Record
	end     bool // the last one of the partition
	err     error
}

// seek moves the partition. The caller holds the consumer's mu.
func (p *partition) seek(offset int64) {
	p.seeks++
	p.next, p.position = offset, offset
	if p.done {
		p.done = false
		p.c.live++
	}
	if p.abort != nil {
		p.abort()
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run fetches until the consumer closes.
func (p *partition) run() {
	c := p.c
	moved := time.Now() // when it last brought something or had nothing to bring
	var wait client.Backoff
	for {
		select {
		case p.slots <- struct{}{}:
		case <-c.ctx.Done():
			return
		}
		ctx, cancel := context.WithCancel(c.ctx)
		c.mu.Lock()
		k := &chunk{p: p, seeks: p.seeks}
		from := p.next
		p.abort = cancel
		c.mu.Unlock()
		next, err := p.fetch(ctx, k, from)
		cancel()
		switch {
		case c.ctx.Err() != nil:
			return
		case err == nil && len(k.records) == 0 && !k.end:
			<-p.slots
			moved = time.Now()
			wait.Reset()
			continue
		case err == nil:
			moved = time.Now()
			wait.Reset()
		case p.sought(k):
			<-p.slots
			continue
		case p.retry(err) && time.Since(moved) < c.o.stall:
			<-p.slots
			c.log.Debug("a fetch failed, trying again", "topic", c.topic, "partition", p.id, "offset", from, "error", err)
			if client.Pause(c.ctx, wait.Next()) != nil {
				return
			}
			continue
		case p.retry(err):
			k.err = &Error{Topic: c.topic, Partition: p.id, Err: &StalledError{Offset: from, For: time.Since(moved), Err: err}}
		default:
			k.err = &Error{Topic: c.topic, Partition: p.id, Err: err}
		}
		if !p.pass(k, next) {
			return
		}
		if k.err != nil {
			moved = time.Now() // a caller that goes on after the error gets a new try
		}
	}
}

// pass hands k to the caller, and waits for a Seek if it was the last; false: the consumer closes.
func (p *partition) pass(k *chunk, next int64) bool {
	c := p.c
	c.mu.Lock()
	if k.seeks == p.seeks && k.err == nil {
		p.next = next
		if k.end {
			p.next = p.end // a batch may reach beyond it
		}
	}
	c.mu.Unlock()
	c.ready <- k // the slot is its place
	if !k.end {
		return c.ctx.Err() == nil
	}
	select {
	case <-p.wake:
		return true
	case <-c.ctx.Done():
		return false
	}
}

func (p *partition) sought(k *chunk) bool {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	return k.seeks != p.seeks
}

// retry: what may go away by itself. A damaged answer is asked for again too: the next one may come from another broker.
func (p *partition) retry(err error) bool {
	var corrupt *record.CorruptError
	return client.Retriable(err) || errors.As(err, &corrupt)
}

// fetch asks once, from an offset on, and fills k; next is where to go on.
func (p *partition) fetch(ctx context.Context, k *chunk, from int64) (next int64, err error) {
	c := p.c
	if from == p.end {
		k.end = true
		return from, nil
	}
	req := protocol.FetchRequest{Offset: from, MaxBytes: c.o.maxBytes, MinBytes: 1, MaxWaitMs: int(c.o.maxWait.Milliseconds())}
	if c.o.nearby {
		req.Replica = protocol.ReplicaAny
	}
	body, err := json.Marshal(req)
	if err != nil {
		return from, err
	}
	r, err := c.c.Do(ctx, &client.Request{
		Op: protocol.OpFetch, Topic: c.topic, Partition: protocol.Partition(p.id), Body: body,
		Timeout: c.o.timeout + c.o.maxWait, Poll: c.o.maxWait, Nearby: c.o.nearby,
	})
	if err != nil {
		return p.outOfRange(ctx, from, err)
	}
	next, err = p.decode(k, r.Body, from)
	if err == nil && p.end >= 0 && next >= p.end {
		k.end = true
	}
	return next, err
}

// outOfRange applies the policy to an offset that is not in the log.
func (p *partition) outOfRange(ctx context.Context, from int64, err error) (int64, error) {
	var e *protocol.Error
	if !errors.As(err, &e) || e.Code != protocol.OffsetOutOfRange {
		return from, err
	}
	at := protocol.OffsetsRequest{At: protocol.AtEarliest}
	switch p.c.o.outOfRange {
	case ToLatest:
		at.At = protocol.AtLatest
	case Fail:
		return from, &OutOfRangeError{Offset: from, Err: err}
	}
	off, err := p.c.c.Offset(ctx, p.c.topic, protocol.Partition(p.id), at, p.c.o.timeout)
	if err != nil {
		return from, err
	}
	p.c.log.Warn("offset out of range", "topic", p.c.topic, "partition", p.id, "offset", from, "now", off.Offset)
	p.c.mu.Lock()
	p.next, p.position = off.Offset, off.Offset
	p.c.mu.Unlock()
	return off.Offset, nil
}

// decode checks the batches and takes their records from offset from on, up to the partition's end.
func (p *partition) decode(k *chunk, body []byte, from int64) (next int64, err error) {
	next = from
	first := true
	for len(body) > 0 {
		var b record.Batch
		if b, body, err = record.Next(body); err == nil {
			err = b.Verify()
		}
		if err != nil {
			return from, fmt.Errorf("the answer at offset %d: %w", next, err)
		}
		// The first batch may begin before the offset that was asked for.
		if base := int64(b.BaseOffset()); base != next && !(first && base < next && int64(b.LastOffset()) >= next) {
			return from, &ContinuityError{Want: next, Got: base}
		}
		first = false
		if err := p.take(k, b, from); err != nil {
			return from, fmt.Errorf("the batch at offset %d: %w", b.BaseOffset(), err)
		}
		next = int64(b.LastOffset()) + 1
	}
	return next, nil
}

// take adds the records of one batch. Keys and values alias the answer, or what one batch was decompressed to: both are
// made for this chunk and never reused.
func (p *partition) take(k *chunk, b record.Batch, from int64) error {
	d := record.NewDecoder(record.DecoderOptions{})
	if err := d.Reset(b); err != nil {
		return err
	}
	if k.records == nil {
		k.records = make([]Record, 0, b.Count())
	}
	for d.Next() {
		r := d.Record()
		off := int64(r.Offset)
		if off < from || p.end >= 0 && off >= p.end {
			continue
		}
		out := Record{
			Topic: p.c.topic, Partition: p.id, Offset: off, Timestamp: time.UnixMilli(r.Timestamp),
			Key: r.Key, Value: r.Value,
		}
		if len(r.Headers) > 0 {
			out.Headers = append([]record.Header(nil), r.Headers...)
		}
		k.records = append(k.records, out)
	}
	return d.Err()
}
