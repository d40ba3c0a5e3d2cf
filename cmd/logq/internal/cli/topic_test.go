package cli

import (
	"testing"

	"github.com/logq/logq/internal/protocol"
)

func TestReplicaRemarks(t *testing.T) {
	tests := []struct {
		states []protocol.ReplicaInfo
		target []protocol.BrokerID
		lags   string
		text   string
	}{
		{nil, nil, "?,?,?", ""},
		{[]protocol.ReplicaInfo{{Broker: 1, State: protocol.ReplicaInSync}, {Broker: 2, Lag: 3, State: protocol.ReplicaBehind}, {Broker: 3, Lag: 1, State: protocol.ReplicaInSync}}, nil, "1,0,3", ""},
		{
			[]protocol.ReplicaInfo{{Broker: 1, Lag: 70, State: protocol.ReplicaCatchingUp}, {Broker: 2, State: protocol.ReplicaInSync}, {Broker: 3, Lag: 99, State: protocol.ReplicaUnreachable}},
			nil, "99,70,0", "1 catching up; 3 unreachable",
		},
		{[]protocol.ReplicaInfo{{Broker: 2, State: protocol.ReplicaRepairing, Lag: 4, Reason: "entry 9"}}, nil, "?,?,4", "2 repairing: entry 9"},
		{[]protocol.ReplicaInfo{{Broker: 2, State: protocol.ReplicaFailed, Reason: "segment 7 is damaged"}}, nil, "?,?,?", "2 failed: segment 7 is damaged"},
		{
			[]protocol.ReplicaInfo{{Broker: 1, State: protocol.ReplicaInSync}, {Broker: 4, Learner: true, Lag: 120, State: protocol.ReplicaJumping}},
			[]protocol.BrokerID{1, 2, 4}, "?,0,?", "4 learner, jumping, lacks 120; moving to 1,2,4",
		},
	}
	for _, tt := range tests {
		p := protocol.PartitionInfo{Replicas: []protocol.BrokerID{3, 1, 2}, ReplicaStates: tt.states, Target: tt.target}
		if got := lags(&p); got != tt.lags {
			t.Errorf("%+v: lags %s, want %s", tt.states, got, tt.lags)
		}
		if got := remarks(&p); got != tt.text {
			t.Errorf("%+v: %q, want %q", tt.states, got, tt.text)
		}
	}
}
