package service

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/logq/logq/internal/protocol"
)

func anyReq(t *testing.T, offset int64, waitMs int) protocol.Request {
	t.Helper()
	return fetchReq(t, "t", 0, protocol.FetchRequest{Offset: offset, MaxWaitMs: waitMs, Replica: protocol.ReplicaAny})
}

// cutRaft cuts a broker's replicas off from the others, and only them.
func (r *real) cutRaft(id protocol.BrokerID, cut bool) {
	r.hostsMu.Lock()
	defer r.hostsMu.Unlock()
	r.lonely[id] = cut
}

// put appends values through the broker that leads, and returns how many there are then.
func (r *real) put(n int64, values ...string) int64 {
	r.t.Helper()
	for _, v := range values {
		r.until("appended", func() error {
			res := r.services[r.some()].do(r.t, produceReq("t", 0, batchOf(r.t, v)))
			if res.Err != nil {
				return res.Err
			}
			if res.BaseOffset != n {
				r.t.Fatalf("%s is at %d, want %d", v, res.BaseOffset, n)
			}
			return nil
		})
		n++
	}
	return n
}

func TestFollowerFetch(t *testing.T) {
	inRealWorld(t, 3, func(t *testing.T, r *real) {
		r.create("t", 1, 3)
		n := r.put(0, "a", "b", "c")
		leads := r.leader(1, "t", 0)
		pass(time.Second) // all followers have heard of the commit
		for id, s := range r.services {
			res := s.do(t, anyReq(t, 1, 0))
			if res.Err != nil || strings.Join(values(t, res.Body), "") != "bc" || res.HighWatermark != n || res.NextOffset != n {
				t.Errorf("broker %d: %+v", id, res)
			}
			if got := s.Stats().FollowerFetches; got == 0 != (id == leads) {
				t.Errorf("broker %d has answered %d as follower", id, got)
			}
			// Only what asks for it.
			before := s.Stats().FollowerFetches
			for _, replica := range []string{"", protocol.ReplicaLeader} {
				if res := s.do(t, fetchReq(t, "t", 0, protocol.FetchRequest{Replica: replica})); res.Err != nil || len(res.Body) == 0 {
					t.Errorf("broker %d: %+v", id, res)
				}
			}
			if s.Stats().FollowerFetches != before {
				t.Errorf("broker %d has answered for the leader", id)
			}
			want(t, s.do(t, fetchReq(t, "t", 0, protocol.FetchRequest{Replica: "best"})), protocol.InvalidRequest, protocol.NotWritten)
			want(t, s.do(t, anyReq(t, 99, 0)), protocol.OffsetOutOfRange, protocol.NotWritten)
			want(t, s.do(t, anyReq(t, -1, 0)), protocol.OffsetOutOfRange, protocol.NotWritten)
		}
		// A long poll at a follower ends when it hears of a commit.
		follower := r.services[leads%3+1]
		began := time.Now()
		pending := follower.begin(t, t.Context(), anyReq(t, n, 5000))
		pass(time.Second)
		n = r.put(n, "d")
		if res := pending(); res.Err != nil || strings.Join(values(t, res.Body), "") != "d" || time.Since(began) > 2*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), res)
		}
		// And in its time when there is none.
		if res := follower.do(t, anyReq(t, n, 500)); res.Err != nil || len(res.Body) > 0 || res.NextOffset != n {
			t.Errorf("%+v", res)
		}
	})
}

// A follower that the leader does not reach shows what it knows to be committed, and leaves the rest to the leader.
func TestLaggingFollowerFetch(t *testing.T) {
	inRealWorld(t, 3, func(t *testing.T, r *real) {
		r.create("t", 1, 3)
		n := r.put(0, "a", "b", "c")
		pass(time.Second)
		lags := r.leader(1, "t", 0)%3 + 1
		s := r.services[lags]
		r.cutRaft(lags, true)
		end := r.put(n, "d", "e")
		pass(5 * time.Second)
		if res := s.do(t, anyReq(t, 0, 0)); res.Err != nil || strings.Join(values(t, res.Body), "") != "abc" || res.HighWatermark != n {
			t.Errorf("%+v", res)
		}
		mine := s.Stats().FollowerFetches
		for at, left := range map[int64]string{n: "de", n + 1: "e", end: ""} {
			res := s.do(t, anyReq(t, at, 100))
			if res.Err != nil || strings.Join(values(t, res.Body), "") != left || res.HighWatermark != end {
				t.Errorf("from %d on: %+v", at, res)
			}
		}
		if got := s.Stats().FollowerFetches; got != mine {
			t.Errorf("it has answered %d of them itself", got-mine)
		}
		// Cut off from everything it still shows what is committed, and does not say that this is all.
		r.isolate(lags, true)
		pass(5 * time.Second)
		if res := s.do(t, anyReq(t, 0, 0)); res.Err != nil || strings.Join(values(t, res.Body), "") != "abc" {
			t.Errorf("%+v", res)
		}
		if res := s.do(t, anyReq(t, n, 0)); res.Err == nil || !res.Err.Retriable {
			t.Errorf("%+v", res)
		}
	})
}

// What a replaced leader has appended and not committed is never shown, before and after it is truncated.
func TestReplacedLeaderFetch(t *testing.T) {
	inRealWorld(t, 3, func(t *testing.T, r *real) {
		r.create("t", 1, 3)
		n := r.put(0, "a")
		pass(time.Second)
		old := r.leader(1, "t", 0)
		s := r.services[old]
		r.isolate(old, true)
		lost := s.begin(t, t.Context(), produceReq("t", 0, batchOf(t, "lost")))
		check := func(when string) {
			t.Helper()
			res := s.do(t, anyReq(t, 0, 0))
			if res.Err == nil && strings.Contains(strings.Join(values(t, res.Body), " "), "lost") || res.HighWatermark > n+1 {
				t.Fatalf("%s: %+v", when, res)
			}
		}
		for range 50 {
			check("cut off")
			pass(100 * time.Millisecond)
		}
		if res := lost(); res.Err == nil {
			t.Fatalf("committed alone: %+v", res)
		}
		other := r.services[old%3+1]
		r.until("appended", func() error {
			res := other.do(t, produceReq("t", 0, batchOf(t, "kept")))
			if res.Err == nil && res.BaseOffset != n {
				t.Fatalf("%+v", res)
			}
			if res.Err != nil {
				return res.Err
			}
			return nil
		})
		r.isolate(old, false)
		r.until("in step", func() error {
			check("back")
			res := s.do(t, anyReq(t, n, 0))
			if res.Err != nil {
				return res.Err
			}
			if got := strings.Join(values(t, res.Body), ""); got != "kept" {
				return fmt.Errorf("%q", got)
			}
			return nil
		})
	})
}

// One consumer that asks any broker each time, while replicas are cut off and leaders change, reads the committed records:
// each once, in order, and never another one at the same offset.
func TestFetchAnywhere(t *testing.T) {
	for seed := range uint64(8) {
		inRealWorld(t, 3, func(t *testing.T, r *real) {
			rnd := rand.New(rand.NewPCG(seed, 11))
			r.create("t", 1, 3)
			next, seen := int64(0), []string(nil)
			acked := map[int64]string{}
			read := func(id protocol.BrokerID) {
				req := anyReq(t, next, 50)
				req.DeadlineMs = 300
				res := r.services[id].do(t, req)
				if res.Err != nil {
					if res.Err.Code == protocol.OffsetOutOfRange {
						t.Fatalf("seed %d: offset %d at broker %d: %v", seed, next, id, res.Err)
					}
					return
				}
				got := values(t, res.Body)
				if res.NextOffset != next+int64(len(got)) {
					t.Fatalf("seed %d: %d records from %d on, the next is %d", seed, len(got), next, res.NextOffset)
				}
				seen, next = append(seen, got...), res.NextOffset
			}
			cut := protocol.BrokerID(0)
			for step := range 200 {
				switch rnd.IntN(12) {
				case 0:
					if cut != 0 {
						r.cutRaft(cut, false)
						cut = 0
					} else {
						cut = protocol.BrokerID(1 + rnd.IntN(3))
						r.cutRaft(cut, true)
					}
				case 1, 2, 3:
					v := fmt.Sprint("v", step)
					req := produceReq("t", 0, batchOf(t, v))
					req.DeadlineMs = 300
					if res := r.services[protocol.BrokerID(1+rnd.IntN(3))].do(t, req); res.Err == nil {
						acked[res.BaseOffset] = v
					}
				case 4:
					pass(time.Duration(rnd.IntN(1500)) * time.Millisecond)
				default:
					read(protocol.BrokerID(1 + rnd.IntN(3)))
				}
			}
			if cut != 0 {
				r.cutRaft(cut, false)
			}
			pass(5 * time.Second)
			all := r.all(1, "t", 0)
			for range 10 {
				read(protocol.BrokerID(1 + rnd.IntN(3)))
			}
			if strings.Join(seen, " ") != strings.Join(all, " ") {
				t.Fatalf("seed %d: read %v, the log has %v", seed, seen, all)
			}
			for at, v := range acked {
				if all[at] != v {
					t.Fatalf("seed %d: %q at %d, acknowledged was %q", seed, all[at], at, v)
				}
			}
			followers := uint64(0)
			for _, s := range r.services {
				followers += s.Stats().FollowerFetches
			}
			if followers == 0 || len(all) < 10 {
				t.Errorf("seed %d: %d records, %d answers by followers: the test shows nothing", seed, len(all), followers)
			}
		})
	}
}
