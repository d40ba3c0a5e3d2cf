package service

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

func TestProduceEverywhere(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 3, 2)
		next := map[protocol.Partition]int64{}
		for round := range 3 {
			for b, s := range w.services {
				for p := range protocol.Partition(3) {
					r := s.do(t, produceReq("t", p, batchOf(t, "a", "b")))
					if r.Err != nil || r.BaseOffset != next[p] || r.LastOffset != next[p]+1 || r.Epoch != 1 || r.Partition != p {
						t.Errorf("round %d, broker %d, partition %d: %+v", round, b, p, r)
					}
					next[p] += 2
				}
			}
		}
		if st := w.services[1].Stats(); st.InflightBytes != 0 || st.Requests != 0 || st.Forwards != 0 || st.AppendedBytes == 0 {
			t.Errorf("something is left: %+v", st)
		}
	})
}

func TestProduceSeveralBatches(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		leads, other := w.leaderService("t", 0)
		body := slices.Concat(batchOf(t, "a", "b"), batchOf(t, "c"), batchOf(t, "d"))
		for i, s := range []*Service{leads, other} {
			r := s.do(t, produceReq("t", 0, slices.Clone(body)))
			if r.Err != nil || r.BaseOffset != int64(4*i) || r.LastOffset != int64(4*i+3) {
				t.Errorf("%+v", r)
			}
		}
		r := leads.do(t, fetchReq(t, "t", 0, protocol.FetchRequest{}))
		if got := strings.Join(values(t, r.Body), ""); got != "abcdabcd" {
			t.Errorf("got %q", got)
		}
		// The second batch is not written: part of the request is, so its outcome is unknown, and the error says what is.
		w.with("t", 0, func(l *fakeLog) { l.held = true })
		pending := leads.begin(t, t.Context(), produceReq("t", 0, slices.Clone(body)))
		w.mu.Lock()
		w.latency = 100 * time.Millisecond
		w.mu.Unlock()
		pass(time.Second)
		w.release("t", 0)
		pass(50 * time.Millisecond) // the second is under way
		w.with("t", 0, func(l *fakeLog) { w.lose(l); l.elect(0) })
		r = pending()
		want(t, r, protocol.NotLeaderOrFollower, protocol.Unknown)
		if r.Err != nil && !strings.Contains(r.Err.Message, "offsets 8 to 9") {
			t.Error(r.Err)
		}
	})
}

func TestProduceRefused(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		good := batchOf(t, "a", "b")
		edit := func(f func(b []byte)) []byte {
			b := slices.Clone(good)
			f(b)
			return b
		}
		resum := func(b []byte) {
			binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
		}
		large := make([]byte, record.MaxBatchBytes+1)
		copy(large, good)
		binary.BigEndian.PutUint32(large[8:], uint32(len(large)-12))
		resum(large)
		tests := []struct {
			name string
			req  protocol.Request
			code protocol.Code
			says string
		}{
			{"no body", produceReq("t", 0, nil), protocol.InvalidRequest, "no batch"},
			{"garbage", produceReq("t", 0, []byte(strings.Repeat("x", 100))), protocol.CorruptMessage, "batch 0"},
			{"cut short", produceReq("t", 0, good[:len(good)-1]), protocol.CorruptMessage, "batch 0"},
			{"flipped bit", produceReq("t", 0, edit(func(b []byte) { b[len(b)-1] ^= 1 })), protocol.CorruptMessage, "CRC"},
			{"second is bad", produceReq("t", 0, append(slices.Clone(good), edit(func(b []byte) { b[30] ^= 1 })...)), protocol.CorruptMessage, "batch 1"},
			{"bad record", produceReq("t", 0, edit(func(b []byte) { b[61] = 0x7f; resum(b) })), protocol.CorruptMessage, "batch 0"},
			{"codec", produceReq("t", 0, edit(func(b []byte) { b[22] |= 7; resum(b) })), protocol.UnsupportedCompressionType, "compression"},
			{"control", produceReq("t", 0, edit(func(b []byte) { b[22] |= 0x20; resum(b) })), protocol.InvalidRecord, "control"},
			{"count", produceReq("t", 0, edit(func(b []byte) { b[22] |= 4; b[23], b[57] = 0x7f, 0x7f; resum(b) })), protocol.CorruptMessage, "more records"},
			{"too large", produceReq("t", 0, large), protocol.MessageTooLarge, "1048577"},
			{"no such topic", produceReq("nosuch", 0, slices.Clone(good)), protocol.UnknownTopicOrPartition, "create it"},
			{"no such partition", produceReq("t", 7, slices.Clone(good)), protocol.UnknownTopicOrPartition, "0 to 0"},
			{"any partition", produceReq("t", protocol.AnyPartition, slices.Clone(good)), protocol.UnknownTopicOrPartition, "not -1"},
			{"internal topic", produceReq(protocol.MetaTopic, 0, slices.Clone(good)), protocol.InvalidTopic, "reserved"},
			{"bad topic", produceReq("a..b", 0, slices.Clone(good)), protocol.InvalidTopic, "empty token"},
			{"bad op", protocol.Request{Op: 99}, protocol.InvalidRequest, "operation"},
			{"internal op", protocol.Request{Op: protocol.OpRegisterBroker}, protocol.InvalidRequest, "for clients"},
		}
		for _, tt := range tests {
			for b, s := range w.services {
				req := tt.req
				req.Body = slices.Clone(req.Body)
				r := s.do(t, req)
				want(t, r, tt.code, protocol.NotWritten)
				if r.Err != nil && !strings.Contains(r.Err.Message, tt.says) {
					t.Errorf("%s at broker %d: %v, want %q", tt.name, b, r.Err, tt.says)
				}
			}
		}
		w.with("t", 0, func(l *fakeLog) {
			if l.appends != 0 {
				t.Errorf("%d appends", l.appends)
			}
		})
	})
}

func TestProduceWalksCompressed(t *testing.T) {
	bad := func(t *testing.T) []byte {
		b := record.NewBuilder(builderOptions(record.Zstd))
		for range 100 {
			if err := b.Append(record.Record{Value: []byte("hello")}); err != nil {
				t.Fatal(err)
			}
		}
		batch, err := b.Seal(nil)
		if err != nil {
			t.Fatal(err)
		}
		binary.BigEndian.PutUint32(batch[57:], 101) // one more than there are
		binary.BigEndian.PutUint32(batch[23:], 100)
		binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)))
		return batch
	}
	for _, walk := range []bool{false, true} {
		inWorld(t, 1, func(o *Options) { o.WalkCompressed = walk }, func(t *testing.T, w *world) {
			w.create("t", 1, 1)
			r := w.services[1].do(t, produceReq("t", 0, bad(t)))
			if walk {
				want(t, r, protocol.CorruptMessage, protocol.NotWritten)
			} else {
				want(t, r, protocol.None, protocol.Done)
			}
		})
	}
}

func TestProduceDeadlines(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		leads, other := w.leaderService("t", 0)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		r := leads.begin(t, gone, produceReq("t", 0, batchOf(t, "a")))()
		want(t, r, protocol.RequestTimedOut, protocol.NotWritten)

		// Appended, but not committed in time: unknown, at the leader and through another broker.
		w.with("t", 0, func(l *fakeLog) { l.held = true })
		for _, s := range []*Service{leads, other} {
			req := produceReq("t", 0, batchOf(t, "a"))
			req.DeadlineMs = 500
			want(t, s.do(t, req), protocol.RequestTimedOut, protocol.Unknown)
		}
		w.with("t", 0, func(l *fakeLog) {
			if l.appends != 2 {
				t.Errorf("%d appends", l.appends)
			}
		})
		// The context's deadline counts too.
		short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		want(t, leads.begin(t, short, produceReq("t", 0, batchOf(t, "a")))(), protocol.RequestTimedOut, protocol.Unknown)
		if took := time.Since(start); took > 400*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestProduceFencing(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		leads, other := w.leaderService("t", 0)
		for _, s := range []*Service{leads, other} {
			for epoch, code := range map[uint64]protocol.Code{1: protocol.None, 7: protocol.FencedLeaderEpoch} {
				req := produceReq("t", 0, batchOf(t, "a"))
				req.Epoch = epoch
				r := s.do(t, req)
				want(t, r, code, protocol.NotWritten)
				if r.Err != nil && (r.Err.Leader != leads.id || r.Err.LeaderURL != leads.self.URL) {
					t.Errorf("%+v", r.Err)
				}
			}
		}
		// A client that counts on a leader hears at once that there is none; it will ask for metadata.
		w.elect("t", 0, 0)
		pass(time.Second)
		start := time.Now()
		req := produceReq("t", 0, batchOf(t, "a"))
		req.Epoch = 1
		want(t, leads.do(t, req), protocol.LeaderNotAvailable, protocol.NotWritten)
		if time.Since(start) > 100*time.Millisecond {
			t.Errorf("took %v", time.Since(start))
		}
	})
}

func TestProduceThrottled(t *testing.T) {
	small := func(o *Options) { o.PartitionInflightBytes, o.InflightBytes = 1500, 2500 }
	inWorld(t, 1, small, func(t *testing.T, w *world) {
		w.create("t", 3, 1)
		s := w.services[1]
		for p := range protocol.Partition(3) {
			w.with("t", p, func(l *fakeLog) { l.held = true })
		}
		send := func(p protocol.Partition) func() *protocol.Response {
			return s.begin(t, t.Context(), produceReq("t", p, batchOf(t, strings.Repeat("x", 400)))) // counts about 1000
		}
		var pending []func() *protocol.Response
		pending = append(pending, send(0))
		r := send(0)()
		want(t, r, protocol.ThrottlingQuotaExceeded, protocol.NotWritten)
		if !strings.Contains(r.Err.Message, "partition t/0") {
			t.Error(r.Err)
		}
		pending = append(pending, send(1))
		r = send(2)()
		want(t, r, protocol.ThrottlingQuotaExceeded, protocol.NotWritten)
		if !strings.Contains(r.Err.Message, "broker 1") {
			t.Error(r.Err)
		}
		want(t, s.do(t, pubReq("t", 2, strings.Repeat("x", 600))), protocol.ThrottlingQuotaExceeded, protocol.NotWritten)
		for p := range protocol.Partition(3) {
			w.release("t", p)
		}
		for _, f := range pending {
			want(t, f(), protocol.None, protocol.Done)
		}
		// One that is larger than the limit goes through alone.
		want(t, s.do(t, produceReq("t", 0, batchOf(t, strings.Repeat("x", 4000)))), protocol.None, protocol.Done)
		if st := s.Stats(); st.InflightBytes != 0 || st.ThrottledBroker != 2 || st.ThrottledTopic != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// Without a leader a request waits a while; then the reason is typed, and says whether a majority is missing.
func TestProduceWithoutLeader(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		w.elect("t", 0, 0)
		s := w.services[1]
		start := time.Now()
		want(t, s.do(t, produceReq("t", 0, batchOf(t, "a"))), protocol.LeaderNotAvailable, protocol.NotWritten)
		if took := time.Since(start); took < s.opts.LeaderWait || took > s.opts.LeaderWait+time.Second {
			t.Errorf("took %v", took)
		}
		// It is found while the request waits.
		pending := s.begin(t, t.Context(), produceReq("t", 0, batchOf(t, "a")))
		pass(500 * time.Millisecond)
		w.elect("t", 0, 3)
		want(t, pending(), protocol.None, protocol.Done)
		// The deadline is shorter than the wait.
		w.elect("t", 0, 0)
		req := produceReq("t", 0, batchOf(t, "a"))
		req.DeadlineMs = 400
		want(t, s.do(t, req), protocol.LeaderNotAvailable, protocol.NotWritten)
		// No majority.
		w.stop(2)
		w.stop(3)
		w.elect(protocol.MetaTopic, 0, 0)
		pass(3 * time.Second)
		r := s.do(t, produceReq("t", 0, batchOf(t, "a")))
		want(t, r, protocol.NotEnoughReplicas, protocol.NotWritten)
		if !strings.Contains(r.Err.Message, "cannot reach broker 2, 3 of its 3 replicas") {
			t.Error(r.Err)
		}
		want(t, s.do(t, protocol.Request{Op: protocol.OpTopicCreate, DeadlineMs: 1000, Body: []byte(`{"name":"u"}`)}), protocol.NotEnoughReplicas, protocol.NotWritten)
	})
}

// The leader changes under appends: what was overwritten is tried again at the new leader, so the client sees nothing.
func TestProduceFollowsTheLeader(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 1, 3)
		w.with("t", 0, func(l *fakeLog) { l.held = true })
		var pending []func() *protocol.Response
		for _, s := range w.services {
			pending = append(pending, s.begin(t, t.Context(), produceReq("t", 0, batchOf(t, "a"))))
			pending = append(pending, s.begin(t, t.Context(), pubReq("t", 0, "b")))
		}
		pass(300 * time.Millisecond)
		w.with("t", 0, func(l *fakeLog) {
			l.held = false
			w.lose(l)
			l.elect(l.leader%3 + 1)
		})
		seen := map[int64]bool{}
		for _, f := range pending {
			r := f()
			want(t, r, protocol.None, protocol.Done)
			if r.Epoch != 2 || seen[r.BaseOffset] {
				t.Errorf("%+v", r)
			}
			seen[r.BaseOffset] = true
		}
	})
}

func TestForwarding(t *testing.T) {
	link := func(w *world, m map[[2]protocol.BrokerID]bool, from, to *Service, v bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		m[[2]protocol.BrokerID{from.id, to.id}] = v
	}
	t.Run("not connected", func(t *testing.T) {
		inWorld(t, 3, nil, func(t *testing.T, w *world) {
			w.create("t", 1, 3)
			leads, other := w.leaderService("t", 0)
			link(w, w.cut, other, leads, true)
			r := other.do(t, produceReq("t", 0, batchOf(t, "a")))
			want(t, r, protocol.BrokerNotAvailable, protocol.NotWritten)
			if r.Err != nil && (r.Err.Leader != leads.id || r.Err.LeaderURL == "") {
				t.Errorf("%+v", r.Err)
			}
			pending := other.begin(t, t.Context(), produceReq("t", 0, batchOf(t, "a")))
			pass(time.Second)
			link(w, w.cut, other, leads, false)
			want(t, pending(), protocol.None, protocol.Done)
		})
	})
	t.Run("answer lost", func(t *testing.T) {
		inWorld(t, 3, nil, func(t *testing.T, w *world) {
			w.create("t", 1, 3)
			leads, other := w.leaderService("t", 0)
			link(w, w.deaf, other, leads, true)
			want(t, other.do(t, produceReq("t", 0, batchOf(t, "a"))), protocol.RequestTimedOut, protocol.Unknown)
			want(t, other.do(t, pubReq("t", 0, "a")), protocol.RequestTimedOut, protocol.Unknown)
			want(t, other.do(t, fetchReq(t, "t", 0, protocol.FetchRequest{})), protocol.RequestTimedOut, protocol.NotWritten)
			w.with("t", 0, func(l *fakeLog) {
				if l.appends != 2 {
					t.Errorf("%d appends: an unknown outcome was tried again", l.appends)
				}
			})
			if st := other.Stats(); st.ForwardErrors != 3 || st.Forwarded != 3 {
				t.Errorf("%+v", st)
			}
		})
	})
	t.Run("two hops", func(t *testing.T) {
		inWorld(t, 3, nil, func(t *testing.T, w *world) {
			w.create("t", 1, 3)
			_, other := w.leaderService("t", 0)
			req := produceReq("t", 0, batchOf(t, "a"))
			for hops, code := range map[uint8]protocol.Code{0: protocol.InvalidRequest, 1: protocol.None, 2: protocol.NotLeaderOrFollower, 3: protocol.InvalidRequest} {
				req.Hops = hops
				var r protocol.Response
				done := make(chan []byte, 1)
				other.HandleForwarded(t.Context(), 9, req.AppendTo(nil), func(b []byte) { done <- b })
				if err := r.Decode(<-done); err != nil {
					t.Fatal(err)
				}
				want(t, &r, code, protocol.NotWritten)
			}
			done := make(chan []byte, 1)
			other.HandleForwarded(t.Context(), 9, []byte("garbage"), func(b []byte) { done <- b })
			var r protocol.Response
			if err := r.Decode(<-done); err != nil {
				t.Fatal(err)
			}
			want(t, &r, protocol.InvalidRequest, protocol.NotWritten)
		})
	})
	t.Run("too many", func(t *testing.T) {
		inWorld(t, 3, func(o *Options) { o.MaxForwards = 2 }, func(t *testing.T, w *world) {
			w.create("t", 1, 3)
			_, other := w.leaderService("t", 0)
			w.with("t", 0, func(l *fakeLog) { l.held = true })
			var pending []func() *protocol.Response
			for range 2 {
				pending = append(pending, other.begin(t, t.Context(), produceReq("t", 0, batchOf(t, "a"))))
			}
			want(t, other.do(t, produceReq("t", 0, batchOf(t, "a"))), protocol.ThrottlingQuotaExceeded, protocol.NotWritten)
			w.release("t", 0)
			for _, f := range pending {
				want(t, f(), protocol.None, protocol.Done)
			}
		})
	})
}

// Appends of many clients from many goroutines, with leaders changing all the time: every answer is typed, every acked
// record is in the log once per ack at its offset, and nothing is left over.
func TestProduceUnderElections(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.create("t", 2, 3)
		type ack struct {
			p     protocol.Partition
			at    int64
			value string
		}
		acks := make(chan ack, 4096)
		done := make(chan struct{})
		const clients, each = 12, 40
		for c := range clients {
			go func() {
				defer func() { done <- struct{}{} }()
				s := w.services[protocol.BrokerID(c%3+1)]
				for i := range each {
					value := fmt.Sprintf("%d-%d", c, i)
					req := pubReq("t", protocol.Partition(i%2), value)
					if c%2 == 0 {
						req = produceReq("t", protocol.Partition(i%2), batchOf(t, value))
					}
					answer := make(chan *protocol.Response, 1)
					s.Handle(context.Background(), &req, func(r *protocol.Response) { answer <- r })
					if r := <-answer; r.Err == nil {
						acks <- ack{r.Partition, r.BaseOffset, value}
					} else if r.Err.Outcome == protocol.NotWritten && r.Err.Code != protocol.LeaderNotAvailable && r.Err.Code != protocol.NotLeaderOrFollower {
						t.Errorf("%v", r.Err)
					}
					pass(10 * time.Millisecond)
				}
			}()
		}
		left := clients
		for n := 0; left > 0; n++ {
			select {
			case <-done:
				left--
			case <-time.After(70 * time.Millisecond):
				w.with("t", protocol.Partition(n%2), func(l *fakeLog) {
					if n%3 == 0 {
						w.lose(l)
					}
					l.elect(protocol.BrokerID(n % 4)) // 0: none
				})
			}
		}
		close(acks)
		logs := map[protocol.Partition][]string{}
		for p := range protocol.Partition(2) {
			w.elect("t", p, 1)
			r := w.services[1].do(t, fetchReq(t, "t", p, protocol.FetchRequest{MaxBytes: 1 << 24}))
			logs[p] = values(t, r.Body)
		}
		n := 0
		for a := range acks {
			n++
			if logs[a.p][a.at] != a.value {
				t.Errorf("%s was acked at %d/%d, where %s lies", a.value, a.p, a.at, logs[a.p][a.at])
			}
		}
		if total := len(logs[0]) + len(logs[1]); n < clients*each/2 || total < n {
			t.Errorf("%d acked of %d, %d in the log", n, clients*each, total)
		}
		for b, s := range w.services {
			if st := s.Stats(); st.InflightBytes != 0 || st.Requests != 0 || st.Forwards != 0 {
				t.Errorf("broker %d: something is left: %+v", b, st)
			}
		}
	})
}
