package service

import (
	"context"
	"encoding/json"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

const (
	// replyMargin is kept of a deadline to get the reply out.
	replyMargin = 50 * time.Millisecond
	// mostMinBytes is the largest MinBytes: a fetch that waits holds what it has so far, and many may wait.
	mostMinBytes = 64 << 10
)

// fetchAt reads committed batches, waiting for enough of them as long as the request says.
func (s *Service) fetchAt(ctx context.Context, c *call, p *partition, g Group) *protocol.Response {
	var req protocol.FetchRequest
	if e := decodeJSON(c.req, &req); e != nil {
		return &protocol.Response{Err: e}
	}
	if req.Replica != "" && req.Replica != protocol.ReplicaLeader && req.Replica != protocol.ReplicaAny {
		return &protocol.Response{Err: protocol.Errorf(protocol.InvalidRequest, "fetch from %s: replica %.40q; want %q or %q", p, req.Replica, protocol.ReplicaLeader, protocol.ReplicaAny)}
	}
	s.fetchDefaults(&req)
	timer := time.NewTimer(c.waitFor(&req))
	defer timer.Stop()
	f := fetch{s: s, p: p, g: g, req: req, next: record.Offset(req.Offset)}
	for {
		changed := g.WaitFor(f.next)
		if r := f.read(ctx); r != nil {
			return r
		}
		select {
		case <-changed:
		case <-timer.C:
			return f.answer()
		case <-ctx.Done():
			if s.drain.Err() != nil && len(f.body) == 0 {
				return &protocol.Response{Err: s.stopping()} // so that the client looks for another broker
			}
			return f.answer()
		}
	}
}

// waitFor is how long a fetch may wait for data.
func (c *call) waitFor(req *protocol.FetchRequest) time.Duration {
	return max(min(time.Duration(req.MaxWaitMs)*time.Millisecond, time.Until(c.deadline)-replyMargin), 0)
}

func (s *Service) fetchDefaults(req *protocol.FetchRequest) {
	if req.MaxBytes <= 0 {
		req.MaxBytes = protocol.DefaultFetchBytes
	}
	req.MaxBytes = min(req.MaxBytes, s.opts.MaxFetchBytes)
	req.MinBytes = min(max(req.MinBytes, 1), req.MaxBytes, mostMinBytes)
	req.MaxWaitMs = min(max(req.MaxWaitMs, 0), protocol.MaxFetchWaitMs)
}

// fetch is a read under way.
type fetch struct {
	s    *Service
	p    *partition
	g    Group
	req  protocol.FetchRequest
	next record.Offset
	last ReadResult // of the last read
	body []byte
}

// read takes in what is there. It returns the answer when there is enough, or an error; nil means to wait for more.
func (f *fetch) read(ctx context.Context) *protocol.Response {
	st := f.g.Leader()
	switch {
	case st.Err != nil:
		return &protocol.Response{Err: replicaError(f.p, st.Err)}
	case !st.Serving && len(f.body) > 0:
		return f.answer()
	case !st.Serving:
		return &protocol.Response{Err: f.s.notLeader(f.p)}
	}
	inside, e := f.take(ctx)
	switch {
	case e != nil:
		return &protocol.Response{Err: e}
	case !inside:
		return f.outside(ctx)
	case f.enough():
		return f.answer()
	}
	return nil
}

// take reads what is committed here. Inside is false when the offset is not in this replica's log, or above its high
// watermark.
func (f *fetch) take(ctx context.Context) (inside bool, e *protocol.Error) {
	want := f.req.MaxBytes - len(f.body)
	if err := f.s.fetchBytes.Acquire(ctx, int64(want)); err != nil {
		return false, protocol.Errorf(protocol.ThrottlingQuotaExceeded, "partition %s: too many bytes are being fetched from broker %d; fetch more slowly", f.p, f.s.id)
	}
	r, err := f.g.Read(f.body, f.next, want)
	f.s.fetchBytes.Release(int64(want))
	if err != nil {
		return false, replicaError(f.p, err)
	}
	f.last = r
	if f.next < r.LogStart || f.next > r.HighWatermark {
		return false, nil
	}
	f.body, f.next = r.Batches, r.Next
	return true, nil
}

func (f *fetch) enough() bool {
	return len(f.body) >= f.req.MinBytes || len(f.body) > 0 && f.next < f.last.HighWatermark
}

// outside answers an offset that is not in the log. An offset above the high watermark may come from a client that has read
// from a newer leader than this broker, which does not know yet that it was replaced: only a leader that a majority has
// just confirmed may say that an offset does not exist.
func (f *fetch) outside(ctx context.Context) *protocol.Response {
	if len(f.body) > 0 {
		return f.answer()
	}
	end := f.last.HighWatermark
	if f.next > end {
		latest, err := f.s.latest(ctx, f.g)
		if err != nil {
			return &protocol.Response{Err: f.s.withLeader(f.p, err)}
		}
		if f.next <= latest {
			return nil
		}
		end = latest
	}
	return &protocol.Response{Err: protocol.Errorf(protocol.OffsetOutOfRange, "partition %s has offsets %d to %d (the next one to be written); %d is not there",
		f.p, f.last.LogStart, end, f.next)}
}

func (f *fetch) answer() *protocol.Response {
	f.s.stats.fetchedBytes.Add(uint64(len(f.body)))
	return &protocol.Response{
		Partition: f.p.id, Epoch: f.last.Term, HighWatermark: int64(f.last.HighWatermark), LogStart: int64(f.last.LogStart),
		NextOffset: int64(f.next), Body: f.body,
	}
}

// latest asks a majority for the high watermark.
func (s *Service) latest(ctx context.Context, g Group) (record.Offset, *protocol.Error) {
	type answer struct {
		at  record.Offset
		err error
	}
	done := make(chan answer, 1)
	g.Latest(func(at record.Offset, err error) { done <- answer{at, err} })
	select {
	case a := <-done:
		if a.err != nil {
			return 0, protocol.AsError(a.err)
		}
		return a.at, nil
	case <-ctx.Done():
		return 0, protocol.Errorf(protocol.NotEnoughReplicas, "broker %d could not confirm in time that it still leads", s.id)
	}
}

// offsetsAt answers where a partition begins, ends, or was at a time.
func (s *Service) offsetsAt(ctx context.Context, c *call, p *partition, g Group) *protocol.Response {
	var req protocol.OffsetsRequest
	if e := decodeJSON(c.req, &req); e != nil {
		return &protocol.Response{Err: e}
	}
	st := g.Status()
	r := &protocol.Response{Partition: p.id, Epoch: st.Term, TimestampMs: -1}
	switch req.At {
	case protocol.AtEarliest:
		r.BaseOffset = int64(st.LogStart)
	case protocol.AtLatest:
		at, err := s.latest(ctx, g)
		if err != nil {
			return &protocol.Response{Err: s.withLeader(p, err)}
		}
		r.BaseOffset = int64(at)
	case protocol.AtTime:
		at, ms, found, err := g.OffsetForTime(req.TimestampMs)
		switch {
		case err != nil:
			return &protocol.Response{Err: replicaError(p, err)}
		case found:
			r.BaseOffset, r.TimestampMs = int64(at), ms
		default:
			r.BaseOffset = int64(g.Status().HighWatermark)
		}
	default:
		return &protocol.Response{Err: protocol.Errorf(protocol.InvalidRequest, "offsets of %s: at %.40q; want %q, %q or %q", p, req.At, protocol.AtEarliest, protocol.AtLatest, protocol.AtTime)}
	}
	return r
}

// decodeJSON reads a request's body; an empty one is an empty object.
func decodeJSON(req *protocol.Request, into any) *protocol.Error {
	switch {
	case len(req.Body) > protocol.MaxJSONBytes:
		return protocol.Errorf(protocol.InvalidRequest, "%s: the body has %d bytes, the limit is %d", req.Op, len(req.Body), protocol.MaxJSONBytes)
	case len(req.Body) == 0:
		return nil
	}
	if err := json.Unmarshal(req.Body, into); err != nil {
		return protocol.Errorf(protocol.InvalidRequest, "%s: the body is not the JSON expected: %v", req.Op, err)
	}
	return nil
}
