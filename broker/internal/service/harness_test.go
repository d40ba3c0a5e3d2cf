package service

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// TestMain makes the zstd coders, which all tests share, before any bubble exists: their channels would belong to the first
// bubble that uses them.
func TestMain(m *testing.M) {
	b := record.NewBuilder(builderOptions(record.Zstd))
	_ = b.Append(record.Record{Value: make([]byte, 100)})
	if batch, err := b.Seal(nil); err != nil || record.NewDecoder(record.DecoderOptions{}).Check(batch) != nil {
		panic("zstd does not work")
	}
	goleak.VerifyTestMain(m)
}

// inWorld runs f in a bubble with brokers 1 to n started and ready. Time is fake: waiting costs nothing.
func inWorld(t *testing.T, n int, tune func(*Options), f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.closeAll()
		w.start(n, tune)
		w.ready()
		f(t, w)
	})
}

// ready waits until every broker is ready.
func (w *world) ready() {
	w.t.Helper()
	for _, s := range w.services {
		w.until("ready", func() error { return s.Ready() })
	}
}

// until waits for a condition; a minute of fake time is the limit.
func (w *world) until(what string, f func() error) {
	w.t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	var err error
	for range 6000 {
		if err = f(); err == nil {
			return
		}
		<-ticker.C
	}
	w.t.Fatalf("not %s within a minute: %v", what, err)
}

// do sends a request and waits for its answer. It fails the test when a request is answered twice or later than its
// deadline (give or take the poll interval).
func (s *Service) do(t testing.TB, req protocol.Request) *protocol.Response {
	t.Helper()
	return s.begin(t, context.Background(), req)()
}

// begin sends a request and returns a function that waits for its answer.
func (s *Service) begin(t testing.TB, ctx context.Context, req protocol.Request) func() *protocol.Response {
	t.Helper()
	answers := make(chan *protocol.Response, 2)
	start := time.Now()
	limit := s.allowed(&req) + 2*s.opts.PollInterval
	s.Handle(ctx, &req, func(r *protocol.Response) {
		if took := time.Since(start); took > limit {
			t.Errorf("%s answered after %v, its deadline is %v: %+v", req.Op, took, limit, r)
		}
		answers <- r
	})
	return func() *protocol.Response {
		t.Helper()
		r := <-answers
		synctest.Wait()
		if len(answers) > 0 {
			t.Errorf("%s is answered twice", req.Op)
		}
		return r
	}
}

// admin sends a request with a JSON body and decodes the answer's.
func (s *Service) adminOp(t testing.TB, op protocol.Op, body, into any) *protocol.Error {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r := s.do(t, protocol.Request{Op: op, Body: raw})
	if r.Err == nil && into != nil {
		if err := json.Unmarshal(r.Body, into); err != nil {
			t.Fatalf("%s: %q: %v", op, r.Body, err)
		}
	}
	return r.Err
}

// create creates a topic through broker 1.
func (w *world) create(name string, partitions, replicas int) protocol.TopicInfo {
	w.t.Helper()
	var info protocol.TopicInfo
	if e := w.services[1].adminOp(w.t, protocol.OpTopicCreate, protocol.CreateTopicRequest{Name: name, Partitions: partitions, Replicas: replicas}, &info); e != nil {
		w.t.Fatal(e)
	}
	if info.Error != nil {
		w.t.Fatal(info.Error)
	}
	return info
}

// leaderService returns the service of the broker that leads a partition, and one that does not.
func (w *world) leaderService(topic string, p protocol.Partition) (leads, other *Service) {
	w.t.Helper()
	var id protocol.BrokerID
	w.with(topic, p, func(l *fakeLog) { id = l.leader })
	for b, s := range w.services {
		if b == id {
			leads = s
		} else {
			other = s
		}
	}
	if leads == nil {
		w.t.Fatalf("%s/%d has no leader", topic, p)
	}
	return leads, other
}

func batchOf(t testing.TB, values ...string) []byte {
	t.Helper()
	b := record.NewBuilder(builderOptions(record.None))
	for _, v := range values {
		if err := b.Append(record.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := b.Seal(nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// values decodes batches to their records' values, checking that offsets are dense from the first one on.
func values(t testing.TB, batches []byte) []string {
	t.Helper()
	var out []string
	next := record.Offset(-1)
	d := record.NewDecoder(record.DecoderOptions{})
	for rest := batches; len(rest) > 0; {
		b, after, err := record.Next(rest)
		if err == nil {
			err = d.Reset(b)
		}
		if err != nil {
			t.Fatal(err)
		}
		rest = after
		for d.Next() {
			r := d.Record()
			if next >= 0 && r.Offset != next {
				t.Fatalf("offset %d where %d was due", r.Offset, next)
			}
			next = r.Offset + 1
			out = append(out, string(r.Value))
		}
		if d.Err() != nil {
			t.Fatal(d.Err())
		}
	}
	return out
}

func produceReq(topic string, p protocol.Partition, body []byte) protocol.Request {
	return protocol.Request{Op: protocol.OpProduce, Topic: topic, Partition: p, Body: body}
}

func pubReq(topic string, p protocol.Partition, value string) protocol.Request {
	return protocol.Request{Op: protocol.OpPub, Topic: topic, Partition: p, Body: []byte(value)}
}

func fetchReq(t testing.TB, topic string, p protocol.Partition, f protocol.FetchRequest) protocol.Request {
	t.Helper()
	body, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return protocol.Request{Op: protocol.OpFetch, Topic: topic, Partition: p, Body: body}
}

// want fails the test unless r carries an error of the code and outcome.
func want(t testing.TB, r *protocol.Response, code protocol.Code, outcome protocol.Outcome) {
	t.Helper()
	switch {
	case r.Err == nil && code != protocol.None:
		t.Errorf("no error, want %s; answer %+v", code, r)
	case r.Err != nil && (r.Err.Code != code || r.Err.Outcome != outcome):
		t.Errorf("got %v, want %s (%s)", r.Err, code, outcome)
	}
}

// pass lets fake time go by.
func pass(d time.Duration) { <-time.After(d) }
