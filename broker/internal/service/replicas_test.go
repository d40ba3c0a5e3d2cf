package service

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logq/logq/internal/protocol"
)

func (w *world) describe(via protocol.BrokerID) protocol.PartitionInfo {
	w.t.Helper()
	var info protocol.TopicInfo
	if e := w.services[via].adminOp(w.t, protocol.OpTopicDescribe, protocol.DescribeTopicRequest{Name: "t"}, &info); e != nil {
		w.t.Fatal(e)
	}
	return info.Partitions[0]
}

func TestProgress(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.mu.Lock()
		w.cut[[2]protocol.BrokerID{3, 1}] = true
		w.mu.Unlock()
		pass(10 * time.Second) // broker 1 has not heard of broker 3 since
		peer := func(b protocol.BrokerID, match uint64, f func(p *PeerProgress)) PeerProgress {
			p := PeerProgress{Broker: b, Replica: protocol.ReplicaOf(b, 0), Match: match, CaughtUp: true}
			if f != nil {
				f(&p)
			}
			return p
		}
		slow := func(p *PeerProgress) { p.CaughtUp = false }
		tests := []struct {
			peer   PeerProgress
			insync []protocol.BrokerID
			want   protocol.ReplicaInfo
		}{
			{peer(1, 90, nil), nil, protocol.ReplicaInfo{Broker: 1, Lag: 10, State: protocol.ReplicaInSync}},
			{peer(2, 100, nil), nil, protocol.ReplicaInfo{Broker: 2, State: protocol.ReplicaInSync}},
			{peer(2, 98, nil), []protocol.BrokerID{1, 2}, protocol.ReplicaInfo{Broker: 2, Lag: 2, State: protocol.ReplicaInSync}},
			{peer(2, 98, nil), []protocol.BrokerID{1}, protocol.ReplicaInfo{Broker: 2, Lag: 2, State: protocol.ReplicaBehind}},
			{peer(2, 101, nil), []protocol.BrokerID{1}, protocol.ReplicaInfo{Broker: 2, State: protocol.ReplicaInSync}},
			{peer(2, 5, slow), []protocol.BrokerID{1}, protocol.ReplicaInfo{Broker: 2, Lag: 95, State: protocol.ReplicaCatchingUp}},
			{peer(2, 5, func(p *PeerProgress) { p.Learner, p.CaughtUp = true, false }), nil, protocol.ReplicaInfo{Broker: 2, Learner: true, Lag: 95, State: protocol.ReplicaCatchingUp}},
			{peer(2, 0, func(p *PeerProgress) { p.Jumping = true }), nil, protocol.ReplicaInfo{Broker: 2, Lag: 100, State: protocol.ReplicaJumping}},
			{peer(3, 100, nil), []protocol.BrokerID{1, 3}, protocol.ReplicaInfo{Broker: 3, State: protocol.ReplicaUnreachable}},
		}
		for _, tt := range tests {
			got := w.services[1].progress(GroupStatus{Last: 100, Peers: []PeerProgress{tt.peer}}, tt.insync)
			if len(got) != 1 || got[0] != tt.want {
				t.Errorf("%+v: %+v, want %+v", tt.peer, got, tt.want)
			}
		}
	})
}

// What describe says of replicas is the same whoever is asked: how far each is, and what is wrong with it in its own words.
func TestDescribeReplicas(t *testing.T) {
	inRealWorld(t, 3, func(t *testing.T, r *real) {
		r.create("t", 1, 3)
		n := r.put(0, "a", "b")
		pass(2 * time.Second)
		for via := range r.services {
			got := r.describe(via)
			ok := func(s protocol.ReplicaInfo) bool {
				return s.State == protocol.ReplicaInSync && s.Lag == 0 && s.Reason == ""
			}
			if len(got.ReplicaStates) != 3 || !slices.IsSortedFunc(got.ReplicaStates, func(a, b protocol.ReplicaInfo) int { return int(a.Broker) - int(b.Broker) }) ||
				slices.ContainsFunc(got.ReplicaStates, func(s protocol.ReplicaInfo) bool { return !ok(s) }) {
				t.Errorf("broker %d: %+v", via, got.ReplicaStates)
			}
		}
		lags := r.leader(1, "t", 0)%3 + 1
		other := lags%3 + 1
		r.isolate(lags, true)
		r.put(n, "c", "d", "e")
		r.until("seen to be away", func() error {
			s := r.describe(other).ReplicaStates[lags-1]
			if s.State != protocol.ReplicaUnreachable || s.Lag < 3 || s.Broker != lags {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		r.isolate(lags, false)
		r.until("in step", func() error {
			if s := r.describe(other).ReplicaStates[lags-1]; s.State != protocol.ReplicaInSync || s.Lag > 0 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
	})
}

func TestDescribeFailedReplica(t *testing.T) {
	inWorld(t, 3, nil, func(t *testing.T, w *world) {
		w.mu.Lock()
		w.openErr = func(b protocol.BrokerID, spec Spec) error {
			if b == 3 && spec.Topic != protocol.MetaTopicID {
				return protocol.Errorf(protocol.StorageError, "segment 7 is damaged")
			}
			return nil
		}
		w.mu.Unlock()
		w.create("t", 1, 3)
		w.until("told", func() error {
			for via := range w.services {
				all := w.describe(via).ReplicaStates
				if len(all) != 3 || all[2].State != protocol.ReplicaFailed || !strings.Contains(all[2].Reason, "segment 7 is damaged") {
					return fmt.Errorf("broker %d: %+v", via, all)
				}
			}
			return nil
		})
		// So is damage that is to be repaired, and a replica can be in step all the same.
		w.mu.Lock()
		w.damage = map[protocol.BrokerID]string{2: "entries 5 to 7"}
		w.mu.Unlock()
		if s := w.describe(1).ReplicaStates[1]; s.State != protocol.ReplicaRepairing || s.Reason != "entries 5 to 7" {
			t.Errorf("%+v", s)
		}
		w.mu.Lock()
		w.damage = nil
		w.mu.Unlock()
		// Without a leader it is still told.
		w.elect("t", 0, 0)
		w.until("told without a leader", func() error {
			p := w.describe(1)
			if p.Leader != 0 {
				return errors.New("there is a leader")
			}
			if len(p.ReplicaStates) != 1 || p.ReplicaStates[0].Broker != 3 || p.ReplicaStates[0].State != protocol.ReplicaFailed {
				return fmt.Errorf("%+v", p.ReplicaStates)
			}
			return nil
		})
	})
}
