package service

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/logq/logq/internal/protocol"
)

func fill(t *testing.T, w *world, topic string, n int) {
	t.Helper()
	for i := range n {
		if r := w.services[1].do(t, produceReq(topic, 0, batchOf(t, string(rune('a'+i))))); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

func TestFetch(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 2)
		fill(t, w, "t", 5)
		one := len(batchOf(t, "a"))
		tests := []struct {
			req  protocol.FetchRequest
			got  string
			next int64
		}{
			{protocol.FetchRequest{}, "abcde", 5},
			{protocol.FetchRequest{Offset: 3}, "de", 5},
			{protocol.FetchRequest{Offset: 5}, "", 5},
			{protocol.FetchRequest{MaxBytes: 1}, "a", 1},
			{protocol.FetchRequest{MaxBytes: 2*one + 1}, "ab", 2},
			{protocol.FetchRequest{Offset: 2, MaxBytes: 1 << 30, MinBytes: 1 << 30, MaxWaitMs: 100}, "cde", 5},
			{protocol.FetchRequest{MaxBytes: 2 * one, MinBytes: 2*one + 5, MaxWaitMs: 60000}, "ab", 2},
			{protocol.FetchRequest{MaxBytes: -1, MinBytes: -1, MaxWaitMs: -1}, "abcde", 5},
		}
		for _, tt := range tests {
			for b, s := range w.services {
				r := s.do(t, fetchReq(t, "t", 0, tt.req))
				if r.Err != nil {
					t.Fatalf("%+v at broker %d: %v", tt.req, b, r.Err)
				}
				if got := strings.Join(values(t, r.Body), ""); got != tt.got || r.NextOffset != tt.next || r.HighWatermark != 5 || r.LogStart != 0 || r.Epoch != 1 {
					t.Errorf("%+v at broker %d: %q, %+v", tt.req, b, got, r)
				}
			}
		}
		r := w.services[1].do(t, protocol.Request{Op: protocol.OpFetch, Topic: "t", Body: []byte("{")})
		want(t, r, protocol.InvalidRequest, protocol.NotWritten)
	})
}

func TestFetchLongPoll(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		_, other := w.leaderService("t", 0)
		one := len(batchOf(t, "a"))
		wait := func(f protocol.FetchRequest) func() *protocol.Response {
			return other.begin(t, t.Context(), fetchReq(t, "t", 0, f))
		}
		start := time.Now()
		any, two, idle := wait(protocol.FetchRequest{MaxWaitMs: 5000}), wait(protocol.FetchRequest{MinBytes: 2 * one, MaxWaitMs: 5000}), wait(protocol.FetchRequest{MinBytes: 1000, MaxWaitMs: 3000})
		pass(time.Second)
		fill(t, w, "t", 1)
		if r := any(); r.Err != nil || len(values(t, r.Body)) != 1 {
			t.Errorf("%+v", r)
		}
		pass(time.Second)
		fill(t, w, "t", 1)
		if r := two(); r.Err != nil || len(values(t, r.Body)) != 2 {
			t.Errorf("%+v", r)
		}
		if took := time.Since(start); took > 2100*time.Millisecond {
			t.Errorf("the answers took %v", took)
		}
		if r := idle(); r.Err != nil || len(values(t, r.Body)) != 2 || r.NextOffset != 2 {
			t.Errorf("%+v", r)
		}
		if took := time.Since(start); took < 2900*time.Millisecond || took > 3100*time.Millisecond {
			t.Errorf("the wait took %v", took)
		}
		// The deadline ends the wait before its time.
		req := fetchReq(t, "t", 0, protocol.FetchRequest{Offset: 2, MaxWaitMs: 60000})
		req.DeadlineMs = 1000
		if r := other.do(t, req); r.Err != nil || len(r.Body) != 0 || r.NextOffset != 2 || r.HighWatermark != 2 {
			t.Errorf("%+v", r)
		}
		// So does the client's going away.
		ctx, cancel := context.WithCancel(t.Context())
		leads, _ := w.leaderService("t", 0)
		gone := leads.begin(t, ctx, fetchReq(t, "t", 0, protocol.FetchRequest{Offset: 2, MaxWaitMs: 60000}))
		pass(100 * time.Millisecond)
		cancel()
		if r := gone(); r.Err != nil || len(r.Body) != 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestFetchOutOfRange(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		fill(t, w, "t", 5)
		w.with("t", 0, func(l *fakeLog) { l.start = 2; l.batches = l.batches[2:] })
		for _, s := range w.services {
			for _, at := range []int64{-1, 0, 1, 6, 1 << 60} {
				r := s.do(t, fetchReq(t, "t", 0, protocol.FetchRequest{Offset: at, MaxWaitMs: 1000}))
				want(t, r, protocol.OffsetOutOfRange, protocol.NotWritten)
				if r.Err != nil && !strings.Contains(r.Err.Message, "2 to 5") {
					t.Error(r.Err)
				}
			}
		}
	})
}

// A leader that was replaced and does not know it must not tell a client that an offset does not exist, only because it has
// not got that far itself.
func TestFetchFromReplacedLeader(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		fill(t, w, "t", 5)
		leads, _ := w.leaderService("t", 0)
		w.with("t", 0, func(l *fakeLog) { l.lie = 2 })
		pending := leads.begin(t, t.Context(), fetchReq(t, "t", 0, protocol.FetchRequest{Offset: 4}))
		pass(time.Second)
		w.elect("t", 0, leads.id%3+1)
		r := pending()
		if r.Err != nil || len(values(t, r.Body)) != 1 || r.Epoch != 2 {
			t.Errorf("%+v", r)
		}
		// No majority answers: no claim about the offset either.
		next, _ := w.leaderService("t", 0)
		w.with("t", 0, func(l *fakeLog) { l.held = true })
		req := fetchReq(t, "t", 0, protocol.FetchRequest{Offset: 9})
		req.DeadlineMs = 500
		want(t, next.do(t, req), protocol.NotEnoughReplicas, protocol.NotWritten)
	})
}

// Leadership moves under a long poll: the wait goes on at the new leader.
func TestFetchFollowsTheLeader(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		leads, _ := w.leaderService("t", 0)
		pending := leads.begin(t, t.Context(), fetchReq(t, "t", 0, protocol.FetchRequest{MaxWaitMs: 8000}))
		pass(time.Second)
		w.elect("t", 0, leads.id%3+1)
		pass(time.Second)
		fill(t, w, "t", 1)
		if r := pending(); r.Err != nil || len(values(t, r.Body)) != 1 || r.Epoch != 2 {
			t.Errorf("%+v", r)
		}
	})
}

func TestFetchLimits(t *testing.T) {
	inWorld(t, 1, func(o *Options) { o.MaxFetches = 3 }, func(t *testing.T, w *world) {
		w.create("t", 1, 1)
		s := w.services[1]
		var pending []func() *protocol.Response
		for range 3 {
			pending = append(pending, s.begin(t, t.Context(), fetchReq(t, "t", 0, protocol.FetchRequest{MaxWaitMs: 5000})))
		}
		want(t, s.do(t, fetchReq(t, "t", 0, protocol.FetchRequest{})), protocol.ThrottlingQuotaExceeded, protocol.NotWritten)
		if st := s.Stats(); st.Fetches != 3 || st.ThrottledRequests != 1 {
			t.Errorf("%+v", st)
		}
		fill(t, w, "t", 1)
		for _, f := range pending {
			want(t, f(), protocol.None, protocol.Done)
		}
	})
}

func TestOffsets(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 2)
		fill(t, w, "t", 2)
		pass(time.Minute)
		at := time.Now().UnixMilli()
		fill(t, w, "t", 2)
		w.with("t", 0, func(l *fakeLog) { l.start = 1 })
		tests := []struct {
			body   string
			offset int64
			ms     int64
		}{
			{`{"at":"earliest"}`, 1, -1},
			{`{"at":"latest"}`, 4, -1},
			{`{"at":"time","timestamp_ms":` + itoa(at-1000) + `}`, 2, at},
			{`{"at":"time","timestamp_ms":` + itoa(at+3600_000) + `}`, 4, -1},
		}
		for _, tt := range tests {
			for b, s := range w.services {
				r := s.do(t, protocol.Request{Op: protocol.OpOffsets, Topic: "t", Body: []byte(tt.body)})
				if r.Err != nil || r.BaseOffset != tt.offset || r.TimestampMs != tt.ms || r.Epoch != 1 {
					t.Errorf("%s at broker %d: %+v", tt.body, b, r)
				}
			}
		}
		for _, body := range []string{"", `{"at":"noon"}`, "x"} {
			want(t, w.services[1].do(t, protocol.Request{Op: protocol.OpOffsets, Topic: "t", Body: []byte(body)}), protocol.InvalidRequest, protocol.NotWritten)
		}
		// A leader that cannot confirm itself does not say what the latest offset is.
		leads, _ := w.leaderService("t", 0)
		w.with("t", 0, func(l *fakeLog) { l.held = true })
		r := leads.do(t, protocol.Request{Op: protocol.OpOffsets, Topic: "t", DeadlineMs: 500, Body: []byte(`{"at":"latest"}`)})
		want(t, r, protocol.NotEnoughReplicas, protocol.NotWritten)
	})
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// A replica that is out of service says so with its own error.
func TestFailedReplica(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 1)
		fill(t, w, "t", 1)
		s := w.services[1]
		waiting := s.begin(t, t.Context(), fetchReq(t, "t", 0, protocol.FetchRequest{Offset: 1, MaxWaitMs: 5000}))
		pass(time.Second)
		w.with("t", 0, func(l *fakeLog) { l.failed = protocol.Errorf(protocol.StorageError, "segment 3 is damaged"); l.wake() })
		for _, r := range []*protocol.Response{
			waiting(), s.do(t, produceReq("t", 0, batchOf(t, "a"))), s.do(t, pubReq("t", 0, "a")),
			s.do(t, fetchReq(t, "t", 0, protocol.FetchRequest{})), s.do(t, protocol.Request{Op: protocol.OpOffsets, Topic: "t", Body: []byte(`{"at":"latest"}`)}),
		} {
			want(t, r, protocol.StorageError, protocol.NotWritten)
			if r.Err != nil && !strings.Contains(r.Err.Message, "segment 3 is damaged") {
				t.Error(r.Err)
			}
		}
		if st := s.Stats(); st.ReplicasFailed != 1 {
			t.Errorf("%+v", st)
		}
	})
}
