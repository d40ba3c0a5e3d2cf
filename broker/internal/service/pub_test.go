package service

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// A lone message goes out at once; what arrives while a batch is under way goes with the next.
func TestPubGathers(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 1)
		s := w.services[1]
		w.mu.Lock()
		w.latency = 100 * time.Millisecond
		w.mu.Unlock()
		var pending []func() *protocol.Response
		send := func(n int) {
			for range n {
				pending = append(pending, s.begin(t, t.Context(), pubReq("t", 0, fmt.Sprint(len(pending)))))
			}
		}
		send(1)
		pass(10 * time.Millisecond)
		send(50)
		pass(200 * time.Millisecond)
		for i, f := range pending {
			if r := f(); r.Err != nil || r.BaseOffset != int64(i) || r.LastOffset != int64(i) || r.Epoch != 1 {
				t.Errorf("message %d: %+v", i, r)
			}
		}
		w.with("t", 0, func(l *fakeLog) {
			if len(l.batches) != 2 || l.batches[0].Count() != 1 || l.batches[1].Count() != 50 {
				t.Errorf("%d batches for %d messages", len(l.batches), len(pending))
			}
		})
		r := s.do(t, fetchReq(t, "t", 0, protocol.FetchRequest{}))
		for i, v := range values(t, r.Body) {
			if v != fmt.Sprint(i) {
				t.Errorf("record %d is %q", i, v)
			}
		}
	})
}

// Large messages make several batches, each within the limit, in order; many small ones are compressed.
func TestPubFillsBatches(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 1)
		s := w.services[1]
		big := strings.Repeat("x", 300<<10)
		var pending []func() *protocol.Response
		for i := range 20 {
			pending = append(pending, s.begin(t, t.Context(), pubReq("t", 0, fmt.Sprint(i)+big)))
		}
		for i, f := range pending {
			if r := f(); r.Err != nil || r.BaseOffset != int64(i) {
				t.Errorf("message %d: %+v", i, r)
			}
		}
		w.with("t", 0, func(l *fakeLog) {
			for _, b := range l.batches {
				if len(b) > record.MaxBatchBytes || b.Codec() != record.Zstd {
					t.Errorf("batch of %d bytes with codec %s", len(b), b.Codec())
				}
			}
		})
	})
}

func TestPubRecord(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 1)
		s := w.services[1]
		before := time.Now().UnixMilli()
		req := pubReq("t", 0, "value")
		req.Key, req.Headers = []byte("key"), []protocol.Header{{Name: "a", Value: []byte("1")}, {Name: "b"}}
		for _, req := range []protocol.Request{req, {Op: protocol.OpPub, Topic: "t"}} {
			if r := s.do(t, req); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		r := s.do(t, fetchReq(t, "t", 0, protocol.FetchRequest{}))
		d := record.NewDecoder(record.DecoderOptions{})
		b, rest, err := record.Next(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Reset(b); err != nil || !d.Next() {
			t.Fatal(err, d.Err())
		}
		got := d.Record()
		if string(got.Key) != "key" || string(got.Value) != "value" || got.Timestamp != before || len(got.Headers) != 2 || string(got.Headers[0].Key) != "a" || string(got.Headers[0].Value) != "1" {
			t.Errorf("%+v", got)
		}
		if err := d.Reset(rest); err != nil || !d.Next() {
			t.Fatal(err, d.Err())
		}
		if got := d.Record(); got.Key != nil || got.Value == nil || len(got.Value) != 0 {
			t.Errorf("a message without payload: %+v", got)
		}
	})
}

func TestPubChoosesPartition(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 4, 3)
		for i := range 20 {
			req := pubReq("t", protocol.AnyPartition, "v")
			req.Key = fmt.Append(nil, "key", i)
			r := w.services[protocol.BrokerID(i%3+1)].do(t, req)
			if r.Err != nil || r.Partition != protocol.PartitionForKey(req.Key, 4) {
				t.Errorf("%+v, want partition %d", r, protocol.PartitionForKey(req.Key, 4))
			}
		}
		used := map[protocol.Partition]int{}
		w.elect("t", 2, 0)
		for range 8 * turnMessages {
			r := w.services[1].do(t, pubReq("t", protocol.AnyPartition, "v"))
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			used[r.Partition]++
		}
		if len(used) != 3 || used[2] != 0 {
			t.Errorf("messages without key went to %v; partition 2 has no leader", used)
		}
	})
}

// Each message has its own deadline, though it shares its batch: one that waits is refused, one that is under way is
// unknown, and others are not touched.
func TestPubDeadlines(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 1)
		s := w.services[1]
		w.with("t", 0, func(l *fakeLog) { l.held = true })
		send := func(ms uint32) func() *protocol.Response {
			req := pubReq("t", 0, fmt.Sprint(ms))
			req.DeadlineMs = ms
			return s.begin(t, t.Context(), req)
		}
		sent := send(5000)
		short, long := send(300), send(4000)
		want(t, short(), protocol.RequestTimedOut, protocol.NotWritten)
		w.release("t", 0)
		want(t, sent(), protocol.None, protocol.Done)
		want(t, long(), protocol.None, protocol.Done)
		w.with("t", 0, func(l *fakeLog) { l.held = true })
		sent = send(5000)
		pass(time.Millisecond)
		w.with("t", 0, func(l *fakeLog) { w.lose(l); l.elect(1) }) // tried again, together with what waits
		short = send(300)
		pass(200 * time.Millisecond)
		want(t, short(), protocol.RequestTimedOut, protocol.Unknown)
		w.release("t", 0)
		want(t, sent(), protocol.None, protocol.Done)
		r := s.do(t, fetchReq(t, "t", 0, protocol.FetchRequest{}))
		if got := values(t, r.Body); slices.Contains(got[:2], "300") {
			t.Errorf("a refused message is in the log: %v", got)
		}
	})
}

// noise is what no codec makes smaller: as much text as this would fit a batch.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // it never fails
	return string(b)
}

func TestPubRefused(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 2, 3)
		for b, s := range w.services {
			want(t, s.do(t, pubReq("t", 0, noise(2<<20))), protocol.MessageTooLarge, protocol.NotWritten)
			want(t, s.do(t, pubReq("t", 2, "v")), protocol.UnknownTopicOrPartition, protocol.NotWritten)
			want(t, s.do(t, pubReq("nosuch", protocol.AnyPartition, "v")), protocol.UnknownTopicOrPartition, protocol.NotWritten)
			want(t, s.do(t, pubReq("__meta", 0, "v")), protocol.InvalidTopic, protocol.NotWritten)
			if r := s.do(t, pubReq("t", 0, "ok")); r.Err != nil {
				t.Errorf("broker %d: %v", b, r.Err)
			}
		}
	})
}

// A message that cannot be in any batch does not harm those that wait with it.
func TestPubTooLargeAmongOthers(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 1)
		s := w.services[1]
		var pending []func() *protocol.Response
		for i := range 9 {
			value := fmt.Sprint(i)
			if i%3 == 1 {
				value = noise(2 << 20)
			}
			pending = append(pending, s.begin(t, t.Context(), pubReq("t", 0, value)))
		}
		for i, f := range pending {
			code := protocol.None
			if i%3 == 1 {
				code = protocol.MessageTooLarge
			}
			want(t, f(), code, protocol.NotWritten)
		}
		r := s.do(t, fetchReq(t, "t", 0, protocol.FetchRequest{}))
		if got := strings.Join(values(t, r.Body), ""); got != "023568" {
			t.Errorf("got %q", got)
		}
	})
}

// The topic is deleted under messages that wait.
func TestPubWhileDeleted(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		w.with("t", 0, func(l *fakeLog) { l.held = true })
		var pending []func() *protocol.Response
		for _, s := range w.services {
			for range 3 {
				req := pubReq("t", 0, "v")
				req.DeadlineMs = 3000
				pending = append(pending, s.begin(t, t.Context(), req))
			}
		}
		pass(100 * time.Millisecond)
		if e := w.services[2].adminOp(t, protocol.OpTopicDelete, protocol.DeleteTopicRequest{Name: "t"}, nil); e != nil {
			t.Fatal(e)
		}
		for _, f := range pending {
			if r := f(); r.Err == nil || r.Err.Code != protocol.RequestTimedOut && r.Err.Code != protocol.UnknownTopicOrPartition {
				t.Errorf("%+v", r)
			}
		}
	})
}
