package consumer

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

const (
	// fetchGrace is how much longer than its wait a fetch may take.
	fetchGrace = 5 * time.Second
	// offsetTimeout bounds one question for an offset.
	offsetTimeout = 5 * time.Second
	// corruptTries is how often data that is corrupt is fetched again: it may have been damaged on the way.
	corruptTries = 3
)

// progress is the watchdog of a session: when the partition last moved, and what is wrong since.
type progress struct {
	moved    time.Time
	resolved bool // the leader was looked up anew since
	corrupt  int  // fetches in a row with corrupt data
	err      error
	wait     client.Backoff
}

func (w *progress) ok() {
	w.moved, w.resolved, w.corrupt, w.err = time.Now(), false, 0, nil
	w.wait.Reset()
}

// run reads the partition until the session is over, the end is reached, or something is wrong for good. While one reply
// is being decoded, or waits for room, the next one is fetched.
func (s *session) run() {
	defer s.stop()
	w := &progress{moved: time.Now()}
	next, end, ok := s.begin(w)
	if !ok {
		return
	}
	batches := make(chan []fetched)
	s.p.c.wg.Go(func() { s.decode(batches, end) })
	defer close(batches)
	for end < 0 || next < end {
		list, after, err := s.fetch(next)
		if s.ctx.Err() != nil {
			return
		}
		if err != nil {
			if next, ok = s.failed(w, next, err); !ok {
				return
			}
			continue
		}
		if len(list) > 0 {
			select {
			case batches <- list:
			case <-s.ctx.Done():
				return
			}
		}
		next = after
		w.ok()
	}
	select {
	case batches <- nil: // the end
	case <-s.ctx.Done():
	}
}

// begin finds where to start and where to end.
func (s *session) begin(w *progress) (next, end int64, ok bool) {
	c := s.p.c
	if !s.known(func(p *partition) { next, end = p.position, p.end }) {
		return 0, 0, false
	}
	if next < 0 {
		if c.o.start.at == atOffset {
			next = c.o.start.offset
		} else if next, ok = s.ask(w, c.o.start.request()); !ok {
			return 0, 0, false
		}
	}
	if c.o.untilEnd && end < 0 {
		if end, ok = s.ask(w, protocol.OffsetsRequest{At: protocol.AtLatest}); !ok {
			return 0, 0, false
		}
	}
	w.ok()
	return next, end, s.known(func(p *partition) { p.position, p.end = next, end })
}

func (s Start) request() protocol.OffsetsRequest {
	switch s.at {
	case protocol.AtTime:
		return protocol.OffsetsRequest{At: s.at, TimestampMs: s.time.UnixMilli()}
	case protocol.AtLatest:
		return protocol.OffsetsRequest{At: s.at}
	default:
		return protocol.OffsetsRequest{At: protocol.AtEarliest}
	}
}

// ask asks the leader for an offset until it answers.
func (s *session) ask(w *progress, at protocol.OffsetsRequest) (int64, bool) {
	for {
		reply, err := s.p.c.cluster.Offset(s.ctx, s.p.c.topic, protocol.Partition(s.p.id), at, offsetTimeout)
		if err == nil {
			return reply.Offset, true
		}
		if _, ok := s.failed(w, -1, err); !ok {
			return 0, false
		}
	}
}

// failed deals with a failure at an offset: it pauses, asks for the leader anew, reports, or gives up. It returns the offset
// to go on with.
func (s *session) failed(w *progress, next int64, err error) (int64, bool) {
	c := s.p.c
	var corrupt *CorruptError
	switch {
	case s.ctx.Err() != nil:
		return 0, false
	case protocol.CodeOf(err) == protocol.OffsetOutOfRange && next >= 0:
		return s.outOfRange(w, next)
	case errors.As(err, &corrupt):
		if w.corrupt++; w.corrupt >= corruptTries {
			return 0, s.end(err)
		}
	case !errors.Is(err, errNothing) && !client.Retriable(err):
		return 0, s.end(refusal(c.topic, s.p.id, err))
	}
	w.err = err
	if errors.Is(err, errNothing) {
		w.err = nil
	}
	c.log.Debug("a fetch is repeated", "topic", c.topic, "partition", s.p.id, "offset", next, "error", err)
	since := time.Since(w.moved)
	if since > c.o.stall/2 && !w.resolved {
		w.resolved = true
		c.log.Info("a partition does not move; its leader is looked up anew", "topic", c.topic, "partition", s.p.id, "offset", next, "for", since)
		c.cluster.Forget(c.topic)
	}
	if since > c.o.stall {
		e := &StalledError{Topic: c.topic, Partition: s.p.id, Position: next, For: since, Err: w.err}
		s.known(func(p *partition) { e.HighWatermark = p.highWatermark })
		if !s.put(&chunk{err: e}) {
			return 0, false
		}
		w.moved, w.resolved = time.Now(), false
	}
	return next, client.Pause(s.ctx, w.wait.Next()) == nil
}

// end reports an error for good. It returns false.
func (s *session) end(err error) bool {
	s.put(&chunk{err: err, last: true})
	return false
}

// outOfRange deals with an offset that the broker says is not there.
func (s *session) outOfRange(w *progress, offset int64) (int64, bool) {
	c := s.p.c
	start, ok := s.ask(w, protocol.OffsetsRequest{At: protocol.AtEarliest})
	if !ok {
		return 0, false
	}
	end, ok := s.ask(w, protocol.OffsetsRequest{At: protocol.AtLatest})
	if !ok {
		return 0, false
	}
	e := &OutOfRangeError{Topic: c.topic, Partition: s.p.id, Offset: offset, Start: start, End: end}
	switch {
	case start <= offset && offset <= end: // it is there now: the answer came from a leader that was just replaced
		return s.failed(w, offset, errNothing)
	case c.o.outOfRange == EarliestOutOfRange:
		offset = start
	case c.o.outOfRange == LatestOutOfRange:
		offset = end
	default:
		return 0, s.end(e)
	}
	c.log.Warn("reading goes on elsewhere", "topic", c.topic, "partition", s.p.id, "offset", offset, "error", e)
	w.ok()
	return offset, true
}

// fetched is one batch, and the offset wanted of it.
type fetched struct {
	batch record.Batch
	want  int64
}

// fetch asks for batches from an offset on, waiting for some, and checks that they are whole and follow each other. Nothing
// is no error when there is nothing.
func (s *session) fetch(next int64) ([]fetched, int64, error) {
	c := s.p.c
	body, err := json.Marshal(protocol.FetchRequest{Offset: next, MaxBytes: c.o.maxBytes, MinBytes: 1, MaxWaitMs: int(c.o.maxWait.Milliseconds())})
	if err != nil {
		return nil, 0, err
	}
	asked := time.Now()
	reply, err := c.cluster.Do(s.ctx, &client.Request{
		Op: protocol.OpFetch, Topic: c.topic, Partition: protocol.Partition(s.p.id), Body: body, Timeout: c.o.maxWait + fetchGrace, Poll: c.o.maxWait,
	})
	if err != nil {
		return nil, 0, err
	}
	high := reply.Int(protocol.HeaderHighWatermark)
	s.known(func(p *partition) { p.highWatermark = high })
	if len(reply.Body) > 0 {
		return s.check(reply.Body, next)
	}
	if high > next {
		return nil, 0, errNothing
	}
	if early := c.o.maxWait/2 - time.Since(asked); early > 0 || c.o.maxWait == 0 {
		// The broker did not wait, so the pause is made here.
		if err := client.Pause(s.ctx, max(min(early, idlePause), idlePause/10)); err != nil {
			return nil, 0, err
		}
	}
	return nil, next, nil
}

// idlePause bounds how often a broker is asked that has nothing and does not wait.
const idlePause = 50 * time.Millisecond

// check splits a reply into batches. Invariant: each contains, or begins with, the offset that is wanted next. A fault
// behind good batches is left to the next fetch, which begins with it.
func (s *session) check(body []byte, next int64) ([]fetched, int64, error) {
	var list []fetched
	for rest := body; len(rest) > 0; {
		b, after, err := record.Next(rest)
		if err == nil {
			err = b.Verify()
		}
		if err == nil {
			err = follows(b, next, len(list) == 0)
		}
		if err != nil {
			if len(list) > 0 {
				break
			}
			return nil, 0, &CorruptError{Topic: s.p.c.topic, Partition: s.p.id, Offset: next, Err: err}
		}
		list = append(list, fetched{batch: b, want: next})
		next, rest = int64(b.LastOffset())+1, after
	}
	return list, next, nil
}

// follows checks that a batch continues at an offset; the first of a reply may begin before it.
func follows(b record.Batch, next int64, first bool) error {
	lo, hi := int64(b.BaseOffset()), int64(b.LastOffset())
	if lo == next || first && lo < next && next <= hi {
		return nil
	}
	return fmt.Errorf("the broker sent offsets %d to %d where %d comes next", lo, hi, next)
}

// decode decompresses batches and queues them. Every batch gets a decoder, and with it memory, of its own: its records
// alias that, and belong to the caller.
func (s *session) decode(batches <-chan []fetched, end int64) {
	for list := range batches {
		if list == nil {
			s.put(&chunk{last: true})
			return
		}
		for _, f := range list {
			dec := record.NewDecoder(record.DecoderOptions{})
			if err := dec.Reset(f.batch); err != nil {
				s.end(&CorruptError{Topic: s.p.c.topic, Partition: s.p.id, Offset: f.want, Err: err})
				s.stop()
				return
			}
			if !s.put(&chunk{dec: dec, size: len(f.batch), next: int64(f.batch.LastOffset()) + 1, end: end}) {
				return
			}
		}
	}
}
