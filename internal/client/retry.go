package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// Retry calls try until it succeeds, fails for good, or ctx ends. It is for what may be repeated freely. When ctx ends, the
// error wraps both the last failure and the context's.
func (c *Client) Retry(ctx context.Context, try func(context.Context) error) error {
	wait := c.o.Backoff
	for {
		err := try(ctx)
		if err == nil || !Retriable(err) {
			return err
		}
		if end := Pause(ctx, wait.Next()); end != nil {
			if errors.Is(err, end) {
				return err
			}
			return fmt.Errorf("%w (%w)", err, end)
		}
	}
}

// Retriable reports whether the same request may succeed later.
func Retriable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Retriable
}

// Ask sends a request that any broker can answer, such as administration, and returns the body of the answer. What is
// not repeatable is given up with the first outcome that is unknown, and the error says so.
func (c *Client) Ask(ctx context.Context, op protocol.Op, subject string, body any, timeout time.Duration, repeatable bool) ([]byte, error) {
	r := &Request{Op: op, Timeout: timeout}
	var err error
	if r.Body, err = json.Marshal(body); err != nil {
		return nil, r.fail(protocol.InvalidRequest, err)
	}
	if d, ok := ctx.Deadline(); ok {
		r.Timeout = max(min(timeout, time.Until(d)), time.Millisecond)
	}
	m, e := c.ask(ctx, r, subject, c.sources("", 0), repeatable)
	if e != nil {
		return nil, e
	}
	return m.Data, nil
}

// Metadata asks for the cluster's brokers and the given topics, all topics if there are none.
func (c *Client) Metadata(ctx context.Context, topics ...string) (protocol.MetaReply, error) {
	reply, err := c.meta(ctx, topics, "", 0)
	if err != nil {
		return protocol.MetaReply{}, err
	}
	return *reply, nil
}

// Offset asks a partition's leader for an offset, once.
func (c *Client) Offset(ctx context.Context, topic string, p protocol.Partition, at protocol.OffsetsRequest, timeout time.Duration) (protocol.OffsetsReply, error) {
	r := &Request{Op: protocol.OpOffsets, Topic: topic, Partition: p, Timeout: timeout}
	var err error
	if r.Body, err = json.Marshal(at); err != nil {
		return protocol.OffsetsReply{}, r.fail(protocol.InvalidRequest, err)
	}
	reply, err := c.Do(ctx, r)
	if err != nil {
		return protocol.OffsetsReply{}, err
	}
	var out protocol.OffsetsReply
	if err := json.Unmarshal(reply.Body, &out); err != nil {
		return out, r.fail(protocol.UnknownServerError, fmt.Errorf("the broker's answer is not the JSON expected: %w", err))
	}
	return out, nil
}
