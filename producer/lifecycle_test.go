package producer

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

var errDeadline = context.DeadlineExceeded

func withTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// TestCloseWithEverythingStuck: a full buffer, a leader that does not answer, callers that wait for room, one that cancels,
// and a Close that runs out of time. Everybody gets one typed answer, and nobody is left waiting.
func TestCloseWithEverythingStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t, 3)
		m.script = func(r *client.Request, _ int) fate {
			if r.Partition == 2 { // no leader
				return fate{skip: true, err: protocol.Errorf(protocol.LeaderNotAvailable, "election")}
			}
			return fate{hold: make(chan struct{})}
		}
		p := m.producer(WithBatchBytes(smallestBatch), WithRequestTimeout(5*time.Minute), WithDeliveryTimeout(time.Hour))
		p.budget.limit = 20 << 10
		var taken, called, unknown, notWritten atomic.Int64
		callers := make(chan error)
		done := func(_ Ack, err error) {
			called.Add(1)
			switch {
			case !errors.Is(err, ErrClosed):
				t.Errorf("given up for another reason: %v", err)
			case protocol.OutcomeOf(err) == Unknown:
				unknown.Add(1)
			default:
				notWritten.Add(1)
			}
		}
		for i := range int32(3) { // so that something is under way everywhere
			hand(t, p, i, "x", done)
			taken.Add(1)
		}
		synctest.Wait()
		for i := range int32(30) {
			go func() {
				callers <- func() error {
					for {
						ctx, cancel := withTimeout(t, time.Minute)
						if i == 7 {
							cancel()
						}
						err := p.ProduceAsync(ctx, Record{Topic: "t", Partition: i % 3, Value: []byte(strings.Repeat("x", 300))}, done)
						cancel()
						if err != nil {
							return err
						}
						taken.Add(1)
					}
				}()
			}()
		}
		synctest.Wait()
		ctx, cancel := withTimeout(t, 10*time.Second)
		defer cancel()
		start := time.Now()
		flushed := make(chan error)
		go func() { flushed <- p.Flush(t.Context()) }()
		if err := p.Close(ctx); !errors.Is(err, errDeadline) {
			t.Errorf("close: %v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("close took %v", took)
		}
		cancelled := 0
		for range 30 {
			err := <-callers
			if errors.Is(err, context.Canceled) {
				cancelled++
			} else if !errors.Is(err, ErrClosed) {
				t.Errorf("a caller: %v", err)
			}
			if protocol.OutcomeOf(err) != NotWritten {
				t.Errorf("a caller: %v", err)
			}
		}
		if err := <-flushed; err != nil {
			t.Errorf("flush: %v", err)
		}
		if cancelled != 1 || called.Load() != taken.Load() || unknown.Load() != 2 || notWritten.Load() == 0 {
			t.Errorf("%d taken, %d called back: %d unknown, %d not written; %d cancelled", taken.Load(), called.Load(), unknown.Load(), notWritten.Load(), cancelled)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Errorf("second close: %v", err)
		}
		if !m.closed {
			t.Error("the connections are left open")
		}
		if err := p.ProduceAsync(t.Context(), Record{Topic: "t"}, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("after close: %v", err)
		}
		if err := p.ProduceAsync(t.Context(), Record{Topic: "new"}, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("a new topic after close: %v", err)
		}
	})
}

// TestCallbacksMayProduce: a callback that hands over the next record is no deadlock, even with a full buffer.
func TestCallbacksMayProduce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t, 2)
		p := m.producer()
		p.budget.limit = 4 * (overhead + 1)
		left := atomic.Int64{}
		left.Store(100)
		all := make(chan struct{})
		var next func(Ack, error)
		next = func(a Ack, err error) {
			if err != nil {
				t.Error(err)
			}
			switch n := left.Add(-1); {
			case n > 0:
				hand(t, p, 1-a.Partition, "x", next)
			case n == 0:
				close(all)
			}
		}
		hand(t, p, 0, "x", next)
		<-all
		closeNow(t, p)
	})
}

// TestDeliveryTimeout: what was never sent is not written; what was tried is what its tries say.
func TestDeliveryTimeout(t *testing.T) {
	for _, test := range []struct {
		name          string
		fate          fate
		first, second Outcome
		code          Code
	}{
		{"refused", fate{skip: true, err: protocol.Errorf(protocol.NotEnoughReplicas, "alone")}, NotWritten, NotWritten, protocol.NotEnoughReplicas},
		{"lost", fate{skip: true, silent: true}, Unknown, NotWritten, protocol.RequestTimedOut},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newModel(t, 1)
				m.script = func(*client.Request, int) fate { return test.fate }
				p := m.producer(WithDeliveryTimeout(30*time.Second), WithRequestTimeout(4*time.Second))
				start := time.Now()
				var typed *Error
				var took time.Duration
				hand(t, p, 0, "first", func(_ Ack, err error) { took = time.Since(start); errors.As(err, &typed) })
				synctest.Wait()
				var second error
				hand(t, p, 0, "second", func(_ Ack, err error) { second = err })
				closeNow(t, p)
				if typed == nil || typed.Outcome != test.first || typed.Code != test.code || took != 30*time.Second {
					t.Errorf("after %v: %v", took, typed)
				}
				if protocol.OutcomeOf(second) != test.second {
					t.Errorf("the second: %v", second)
				}
			})
		})
	}
}

// TestNonsenseFromBroker: an answer that makes no sense says nothing.
func TestNonsenseFromBroker(t *testing.T) {
	p := newModel(t, 1).producer()
	part := &partition{p: p, topic: "t"}
	for _, body := range []string{"", "{", `{"base_offset":5,"last_offset":5}`, `{"base_offset":-1,"last_offset":0}`} {
		p.cluster = says{model: newModel(t, 1), body: body}
		d := delivery{part: part, b: &batch{callbacks: make([]func(Ack, error), 2)}}
		if _, err := d.try(time.Second); err == nil || err.Outcome != Unknown {
			t.Errorf("%q: %v", body, err)
		}
	}
	p.cluster = says{model: newModel(t, 1), err: errLost}
	d := delivery{part: part, b: &batch{}}
	if _, err := d.try(time.Second); err == nil || err.Outcome != Unknown {
		t.Errorf("an error without type: %v", err)
	}
}

type says struct {
	*model
	body string
	err  error
}

func (s says) Start(context.Context, *client.Request) call { return s }
func (s says) Wait(context.Context) (client.Reply, error) {
	return client.Reply{Body: []byte(s.body)}, s.err
}

// TestLookUp: the first use of a topic waits for its partitions, and tries again while that may help.
func TestLookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t, 2)
		down := &client.Error{Op: protocol.OpMeta, Outcome: NotWritten, Code: protocol.BrokerNotAvailable, Retriable: true, Err: errors.New("no broker")}
		tries := 0
		m.lookUp = func(context.Context) error {
			if tries++; tries < 5 {
				return down
			}
			return nil
		}
		p := m.producer(WithDeliveryTimeout(10 * time.Second))
		hand(t, p, 0, "x", must(t))
		for _, test := range []struct {
			r    Record
			code Code
		}{
			{Record{Topic: "none"}, protocol.UnknownTopicOrPartition},
			{Record{Topic: "t", Partition: 2}, protocol.UnknownTopicOrPartition},
			{Record{Topic: "t", Partition: -2}, protocol.UnknownTopicOrPartition},
		} {
			err := p.ProduceAsync(t.Context(), test.r, nil)
			var typed *Error
			if !errors.As(err, &typed) || typed.Code != test.code || typed.Outcome != NotWritten || typed.Topic != test.r.Topic {
				t.Errorf("%+v: %v", test.r, err)
			}
		}
		m.parts = 5 // it has grown
		hand(t, p, 4, "x", must(t))

		m.lookUp = func(context.Context) error { return down }
		start := time.Now()
		err := p.ProduceAsync(t.Context(), Record{Topic: "later"}, nil)
		var typed *Error
		if !errors.As(err, &typed) || typed.Code != protocol.BrokerNotAvailable || time.Since(start) != 10*time.Second {
			t.Errorf("no broker for %v: %v", time.Since(start), err)
		}
		go func() {
			_ = client.Pause(t.Context(), time.Second)
			_ = p.Close(t.Context())
		}()
		if err := p.ProduceAsync(t.Context(), Record{Topic: "later"}, nil); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "no broker") {
			t.Errorf("closed while it waits: %v", err)
		}
		closeNow(t, p)
	})
}

func TestProduce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t, 1)
		m.script = func(*client.Request, int) fate { return fate{before: time.Second} }
		p := m.producer()
		for i := range int64(3) {
			ack, err := p.Produce(t.Context(), Record{Topic: "t", Value: []byte("x")})
			if err != nil || ack != (Ack{Topic: "t", Offset: i}) {
				t.Errorf("%+v, %v", ack, err)
			}
		}
		ctx, cancel := withTimeout(t, time.Millisecond)
		defer cancel()
		ack, err := p.Produce(ctx, Record{Topic: "t", Value: []byte("x")})
		if protocol.OutcomeOf(err) != Unknown || !errors.Is(err, errDeadline) || ack.Offset != -1 {
			t.Errorf("%+v, %v", ack, err)
		}
		if ack, err = p.Produce(ctx, Record{Topic: "t"}); protocol.OutcomeOf(err) != NotWritten || ack.Offset != -1 {
			t.Errorf("with a context that has ended: %+v, %v", ack, err)
		}
		ctx, cancel = withTimeout(t, time.Millisecond)
		defer cancel()
		if err := p.Flush(ctx); !errors.Is(err, errDeadline) {
			t.Errorf("flush: %v", err)
		}
		closeNow(t, p)
		if len(m.log(0)) != 4 {
			t.Errorf("%d records", len(m.log(0)))
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := New(nil, WithCodec(99), WithBatchBytes(1), WithBufferBytes(1), WithLinger(-1), WithDeliveryTimeout(0), WithRequestTimeout(time.Hour), WithPartitioner(nil))
	for _, want := range []string{"codec", "batch size 1", "buffer of 1", "linger", "delivery timeout", "request timeout", "partitioner"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in: %v", want, err)
		}
	}
	if _, err := New(nil); err == nil {
		t.Error("a nil connection")
	}
}

func TestErrorText(t *testing.T) {
	cause := protocol.Errorf(protocol.NotEnoughReplicas, "alone")
	for _, test := range []struct {
		err  *Error
		want string
	}{
		{&Error{Outcome: NotWritten, Code: cause.Code, Topic: "t", Partition: 3, Err: cause}, "produce to t/3: not written: NOT_ENOUGH_REPLICAS (not_written): alone"},
		{&Error{Outcome: Unknown, Topic: "t", Partition: -1, Err: errLost}, "produce to t: unknown whether written: lost"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
		if got := protocol.OutcomeOf(test.err); got != test.err.Outcome {
			t.Errorf("outcome %v", got)
		}
	}
	if err := notTaken("t", 0, &record.TooLargeError{Size: 2, Max: 1}); err.Code != protocol.MessageTooLarge {
		t.Errorf("code %v", err.Code)
	}
}
