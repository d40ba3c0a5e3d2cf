package meta_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

// cluster is a state with brokers 1 to n and a topic "t" of one partition on 1, 2 and 3.
type cluster struct {
	t  *testing.T
	s  *meta.State
	at int64
	id protocol.TopicID
}

func newCluster(t *testing.T, n int) *cluster {
	c := &cluster{t: t, s: meta.NewState(), id: protocol.TopicID{9}}
	c.do(meta.ClusterInit{ClusterID: "c", FeatureLevel: 1})
	for b := 1; b <= n; b++ {
		c.do(meta.RegisterBroker{Broker: meta.Broker{ID: protocol.BrokerID(b), URL: "nats://x:1", FeatureLevel: 1}})
	}
	c.do(meta.CreateTopic{Name: "t", ID: c.id, Partitions: [][]uint64{{1, 2, 3}}})
	return c
}

func (c *cluster) apply(cmd meta.Command) meta.Result {
	c.t.Helper()
	key, value, err := meta.Encode(cmd)
	if err != nil {
		c.t.Fatal(err)
	}
	r := c.s.Apply(c.at, key, value)
	c.at++
	return r
}

func (c *cluster) do(cmd meta.Command) meta.Result {
	c.t.Helper()
	r := c.apply(cmd)
	if r.Err != nil {
		c.t.Fatalf("%s: %v", cmd.CommandKey(), r.Err)
	}
	return r
}

func (c *cluster) topic() *meta.Topic { return c.s.Snapshot().Topic("t") }

func (c *cluster) reassign(brokers ...protocol.BrokerID) meta.ReassignPartition {
	return meta.ReassignPartition{Name: "t", ID: c.id, Brokers: brokers}
}

func TestReassign(t *testing.T) {
	c := newCluster(t, 5)
	before := c.topic()
	at := c.at
	c.do(c.reassign(3, 4, 1))
	target := c.topic().Target(0)
	if want := []uint64{3, protocol.ReplicaOf(4, uint64(at)+1), 1}; !slices.Equal(target, want) {
		t.Fatalf("target %d, want %d", target, want)
	}
	if before.Target(0) != nil || !slices.Equal(c.topic().Replicas(0), []uint64{1, 2, 3}) {
		t.Error("the replicas, or an older snapshot, have changed before the move is done")
	}
	if !c.do(c.reassign(3, 4, 1)).Repeated {
		t.Error("asked for twice")
	}
	if r := c.apply(c.reassign(1, 2, 5)); r.Err == nil || !strings.Contains(r.Err.Error(), "moving to brokers [3 4 1]") {
		t.Errorf("another move meanwhile: %v", r.Err)
	}
	if r := c.apply(meta.PartitionMoved{Name: "t", ID: c.id, Replicas: []uint64{1, 2}}); r.Err == nil {
		t.Error("moved to where nobody wanted it")
	}
	r := c.do(meta.PartitionMoved{Name: "t", ID: c.id, Replicas: target})
	if len(r.Dropped) != 1 || r.Dropped[0].Replica != 2 || c.topic().Target(0) != nil || !slices.Equal(c.topic().Replicas(0), target) {
		t.Errorf("dropped %+v, replicas %d", r.Dropped, c.topic().Replicas(0))
	}
	if !c.do(meta.PartitionMoved{Name: "t", ID: c.id, Replicas: target}).Repeated {
		t.Error("moved twice")
	}
	// Back on broker 2 it is another replica.
	c.do(c.reassign(2))
	if id := c.topic().Target(0)[0]; id == 2 || protocol.BrokerOf(id) != 2 {
		t.Errorf("replica id %d", id)
	}
}

// A cancelled move leaves what it has made behind, to be dropped.
func TestReassignCancelled(t *testing.T) {
	c := newCluster(t, 5)
	c.do(c.reassign(4, 5))
	made := c.topic().Target(0)
	c.do(c.reassign(1, 2, 3))
	if !slices.Equal(c.topic().Target(0), []uint64{1, 2, 3}) {
		t.Fatalf("target %d", c.topic().Target(0))
	}
	r := c.do(meta.PartitionMoved{Name: "t", ID: c.id, Replicas: []uint64{1, 2, 3}})
	var dropped []uint64
	for _, d := range r.Dropped {
		dropped = append(dropped, d.Replica)
	}
	if !slices.Equal(dropped, made) || c.topic().Moving() != 0 {
		t.Errorf("dropped %d, made were %d", dropped, made)
	}
}

func TestPlans(t *testing.T) {
	all := func(protocol.BrokerID) bool { return true }
	c := newCluster(t, 4)
	plan, err := meta.PlanDrain(c.s.Snapshot(), all, 1)
	if err != nil || len(plan) != 1 || !slices.Equal(plan[0].Brokers, []protocol.BrokerID{2, 3, 4}) {
		t.Errorf("drain: %+v, %v", plan, err)
	}
	if _, err := meta.PlanDrain(c.s.Snapshot(), func(b protocol.BrokerID) bool { return b != 4 }, 1); err == nil {
		t.Error("a drain to a dead broker")
	}
	plan, err = meta.PlanReplicas(c.s.Snapshot(), all, c.topic(), 2)
	if err != nil || len(plan) != 1 || !slices.Equal(plan[0].Brokers, []protocol.BrokerID{1, 2}) {
		t.Errorf("fewer: %+v, %v", plan, err)
	}
	plan, err = meta.PlanReplicas(c.s.Snapshot(), all, c.topic(), 4)
	if err != nil || len(plan) != 1 || !slices.Equal(plan[0].Brokers, []protocol.BrokerID{1, 2, 3, 4}) {
		t.Errorf("more: %+v, %v", plan, err)
	}
	c.do(meta.DrainBroker{Broker: 4, Draining: true})
	if _, err := meta.PlanReplicas(c.s.Snapshot(), all, c.topic(), 4); err == nil {
		t.Error("a new replica on a drained broker")
	}
	if !c.do(meta.DrainBroker{Broker: 4, Draining: true}).Repeated || !c.s.Snapshot().Draining(4) {
		t.Error("drained twice")
	}
	c.do(meta.DrainBroker{Broker: 4})
	if c.s.Snapshot().Draining(4) || c.apply(meta.DrainBroker{Broker: 9, Draining: true}).Err == nil {
		t.Error("undo, or an unknown broker")
	}
}
