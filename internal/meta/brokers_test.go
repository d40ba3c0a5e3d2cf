package meta_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

func newcomer(id protocol.BrokerID, directory string) meta.Broker {
	return meta.Broker{ID: id, URL: "nats://x:1", Peer: "x:2", FeatureLevel: 1, Directory: directory}
}

func everybody(protocol.BrokerID) bool { return true }

// applyMove applies one of the commands that move replicas or change the brokers.
func (f *fold) applyMove(rng *rand.Rand) meta.Result {
	s := f.state.Snapshot()
	b := protocol.BrokerID(1 + rng.IntN(5))
	var t *meta.Topic
	if n := len(s.Topics()); n > 0 {
		t = s.Topics()[rng.IntN(n)]
	}
	switch k := rng.IntN(6); {
	case k == 0:
		return f.apply(meta.JoinBroker{Broker: newcomer(b, fmt.Sprintf("d%d", rng.IntN(3)))})
	case k == 1:
		c := meta.RemoveBroker{Broker: b, DataLost: rng.IntN(2) == 0}
		if have := s.Broker(b); have != nil {
			c.Incarnation = have.Incarnation
		}
		return f.apply(c)
	case k == 2 || t == nil:
		return f.apply(meta.DrainBroker{Broker: b, Draining: rng.IntN(2) == 0})
	case k == 3 && t.Target(0) != nil:
		return f.apply(meta.PartitionMoved{Name: t.Name, ID: t.ID, Replicas: t.Target(0)})
	case k == 4:
		if plan := meta.PlanLost(s, everybody); len(plan) > 0 {
			return f.apply(plan[rng.IntN(len(plan))])
		}
	}
	brokers := []protocol.BrokerID{b}
	if other := protocol.BrokerID(1 + rng.IntN(5)); other != b {
		brokers = append(brokers, other)
	}
	return f.apply(meta.ReassignPartition{Name: t.Name, ID: t.ID, Brokers: brokers})
}

// What was written down gives the same state, bytes and all; and goes on as the original.
func TestImage(t *testing.T) {
	for seed := range uint64(20) {
		f := newFold(t, 3)
		rng := rand.New(rand.NewPCG(seed, 3))
		for i := range 150 {
			f.applyRandom(rng, i)
		}
		im, err := f.state.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := meta.DecodeState(im)
		if err != nil {
			t.Fatal(err)
		}
		second, err := again.AppendTo(nil)
		if err != nil || string(second) != string(im) {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, im, second)
		}
		g := &fold{t: t, state: again}
		ra, rb := rand.New(rand.NewPCG(seed, 4)), rand.New(rand.NewPCG(seed, 4))
		for i := range 100 {
			x, y := f.applyRandom(ra, 150+i), g.applyRandom(rb, 150+i)
			if fmt.Sprint(x.Err, x.Repeated, x.Dropped == nil) != fmt.Sprint(y.Err, y.Repeated, y.Dropped == nil) {
				t.Fatalf("seed %d, record %d: %+v and %+v", seed, i, x, y)
			}
		}
		var a, b strings.Builder
		printState(&a, f.state.Snapshot())
		printState(&b, g.state.Snapshot())
		if a.String() != b.String() {
			t.Fatalf("seed %d: the original has\n%s\nthe copy\n%s", seed, a.String(), b.String())
		}
	}
}

func FuzzImage(f *testing.F) {
	seed := newFold(f, 3)
	rng := rand.New(rand.NewPCG(1, 3))
	for i := range 100 {
		seed.applyRandom(rng, i)
	}
	im, err := seed.state.AppendTo(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(im)
	f.Add([]byte(`{"version":1,"topics":[{"name":"t","id":"00000000-0000-4000-8000-000000000001","partitions":[[1]],"moves":[{"partition":3,"replicas":[1]}]}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := meta.DecodeState(b)
		if err != nil {
			if !errors.Is(err, meta.ErrImage) {
				t.Fatalf("%v is no ErrImage", err)
			}
			return
		}
		once, err := s.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := meta.DecodeState(once)
		if err != nil {
			t.Fatalf("what was written can't be read: %v\n%s", err, once)
		}
		if twice, err := again.AppendTo(nil); err != nil || string(twice) != string(once) {
			t.Fatalf("%v\n%s\n%s", err, once, twice)
		}
		meta.PlanLost(s.Snapshot(), everybody)
	})
}

// A directory is registered once; another one needs a removal, and then joins under a new incarnation.
func TestDirectories(t *testing.T) {
	c := newCluster(t, 3)
	refused := func(what string, cmd meta.Command, code protocol.Code, text string) {
		t.Helper()
		if r := c.apply(cmd); protocol.CodeOf(r.Err) != code || !strings.Contains(r.Err.Error(), text) {
			t.Errorf("%s: %v", what, r.Err)
		}
	}
	c.do(meta.RegisterBroker{Broker: newcomer(3, "a")})
	if !c.do(meta.RegisterBroker{Broker: newcomer(3, "a")}).Repeated || c.s.Snapshot().Broker(3).Incarnation != 0 {
		t.Error("registered again")
	}
	refused("a wiped broker registers", meta.RegisterBroker{Broker: newcomer(3, "b")}, protocol.DuplicateBrokerRegistration, "logq broker remove 3 --data-lost")
	refused("a wiped broker joins", meta.JoinBroker{Broker: newcomer(3, "b")}, protocol.DuplicateBrokerRegistration, "logq broker remove 3 --data-lost")
	refused("without a directory", meta.JoinBroker{Broker: newcomer(4, "")}, protocol.InvalidRequest, "directory")
	refused("it holds replicas", meta.RemoveBroker{Broker: 3}, protocol.InvalidRequest, "holds 1 replicas")
	refused("nobody", meta.RemoveBroker{Broker: 9}, protocol.BrokerIDNotRegistered, "not registered")

	c.do(meta.DrainBroker{Broker: 3, Draining: true})
	c.do(meta.RemoveBroker{Broker: 3, DataLost: true})
	if s := c.s.Snapshot(); !s.Removed(3) || s.Draining(3) || !s.Lost(c.topic(), 3) || s.Lost(c.topic(), 1) {
		t.Error("a removed broker is there")
	}
	if !c.do(meta.RemoveBroker{Broker: 3}).Repeated {
		t.Error("removed twice")
	}
	refused("a removed broker returns", meta.RegisterBroker{Broker: newcomer(3, "a")}, protocol.BrokerIDNotRegistered, "--join")

	at := c.at
	c.do(meta.JoinBroker{Broker: newcomer(3, "b")})
	if !c.do(meta.JoinBroker{Broker: newcomer(3, "b")}).Repeated {
		t.Error("joined twice")
	}
	if s := c.s.Snapshot(); s.Broker(3).Incarnation != uint64(at)+1 || s.Removed(3) || !s.Lost(c.topic(), 3) {
		t.Errorf("%+v", s.Broker(3))
	}
	c.do(meta.RegisterBroker{Broker: newcomer(3, "b")})
	if c.s.Snapshot().Broker(3).Incarnation != uint64(at)+1 {
		t.Error("a registration changes the incarnation")
	}
	refused("a late repeat of the removal", meta.RemoveBroker{Broker: 3, DataLost: true}, protocol.InvalidRequest, "joined anew")

	// A topic made from now on has nothing to lose there.
	c.do(meta.CreateTopic{Name: "u", ID: topicID(7), Partitions: [][]uint64{{3}}})
	if s := c.s.Snapshot(); s.Lost(s.Topic("u"), 3) {
		t.Error("a new replica is lost")
	}
	alone := meta.NewState()
	one := &cluster{t: t, s: alone}
	one.do(meta.ClusterInit{ClusterID: "c", FeatureLevel: 1})
	one.do(meta.RegisterBroker{Broker: newcomer(1, "a")})
	if r := one.apply(meta.RemoveBroker{Broker: 1, DataLost: true}); r.Err == nil {
		t.Error("the last broker is removed")
	}
}

// A broker that lost its data and joined anew gets new replicas in the place of its old ones.
func TestPlanLost(t *testing.T) {
	c := newCluster(t, 3)
	c.do(meta.RemoveBroker{Broker: 2, DataLost: true})
	if plan := meta.PlanLost(c.s.Snapshot(), everybody); len(plan) != 0 {
		t.Errorf("nobody can take it: %+v", plan)
	}
	c.do(meta.JoinBroker{Broker: newcomer(2, "new")})
	if plan := meta.PlanLost(c.s.Snapshot(), func(b protocol.BrokerID) bool { return b != 2 }); len(plan) != 0 {
		t.Errorf("on a dead broker: %+v", plan)
	}
	plan := meta.PlanLost(c.s.Snapshot(), everybody)
	if len(plan) != 1 || !slices.Equal(plan[0].Brokers, []protocol.BrokerID{1, 2, 3}) {
		t.Fatalf("%+v", plan)
	}
	at := c.at
	c.do(plan[0])
	target := c.topic().Target(0)
	if want := []uint64{1, protocol.ReplicaOf(2, uint64(at)+1), 3}; !slices.Equal(target, want) {
		t.Fatalf("target %d, want %d", target, want)
	}
	if plan := meta.PlanLost(c.s.Snapshot(), everybody); len(plan) != 0 {
		t.Errorf("it is on its way: %+v", plan)
	}
	// It is lost again in the middle of the move.
	c.do(meta.RemoveBroker{Broker: 2, Incarnation: c.s.Snapshot().Broker(2).Incarnation, DataLost: true})
	if plan := meta.PlanLost(c.s.Snapshot(), everybody); len(plan) != 1 || !slices.Equal(plan[0].Brokers, []protocol.BrokerID{1, 2, 3}) {
		t.Fatalf("a move that can't end: %+v", plan)
	}
	c.do(meta.JoinBroker{Broker: newcomer(2, "newer")})
	plan = meta.PlanLost(c.s.Snapshot(), everybody)
	c.do(plan[0])
	if again := c.topic().Target(0); again[1] == target[1] || protocol.BrokerOf(again[1]) != 2 || again[0] != 1 {
		t.Errorf("target %d", again)
	}
	r := c.do(meta.PartitionMoved{Name: "t", ID: c.id, Replicas: c.topic().Target(0)})
	if len(r.Dropped) != 2 || r.Dropped[0].Replica != 2 || r.Dropped[1].Replica != target[1] {
		t.Errorf("dropped %+v", r.Dropped)
	}

	// On four brokers another one takes the place of one that was removed.
	c = newCluster(t, 4)
	c.do(meta.RemoveBroker{Broker: 1, DataLost: true})
	if plan := meta.PlanLost(c.s.Snapshot(), everybody); len(plan) != 1 || !slices.Equal(plan[0].Brokers, []protocol.BrokerID{4, 2, 3}) {
		t.Errorf("%+v", plan)
	}
	c.do(meta.RemoveBroker{Broker: 2, DataLost: true})
	c.do(meta.RemoveBroker{Broker: 3, DataLost: true})
	if plan := meta.PlanLost(c.s.Snapshot(), everybody); len(plan) != 0 {
		t.Errorf("nobody has a copy: %+v", plan)
	}
}

func TestPlanSpread(t *testing.T) {
	c := newCluster(t, 3)
	c.do(meta.CreateTopic{Name: "u", ID: topicID(1), Partitions: slices.Repeat([][]uint64{{1, 2, 3}}, 11)})
	c.do(meta.JoinBroker{Broker: newcomer(4, "d")})
	plan, err := meta.PlanSpread(c.s.Snapshot(), everybody, 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range plan {
		c.do(m)
	}
	load := map[protocol.BrokerID]int{}
	for _, cand := range c.s.Snapshot().Candidates(everybody) {
		load[cand.ID] = cand.Replicas
	}
	if want := map[protocol.BrokerID]int{1: 9, 2: 9, 3: 9, 4: 9}; !reflect.DeepEqual(load, want) {
		t.Errorf("replicas %v, want %v", load, want)
	}
	if plan, err := meta.PlanSpread(c.s.Snapshot(), everybody, 4); err != nil || len(plan) != 0 {
		t.Errorf("once more: %+v, %v", plan, err)
	}
	if _, err := meta.PlanSpread(c.s.Snapshot(), everybody, 9); protocol.CodeOf(err) != protocol.BrokerIDNotRegistered {
		t.Errorf("nobody: %v", err)
	}
	if _, err := meta.PlanSpread(c.s.Snapshot(), func(protocol.BrokerID) bool { return false }, 4); err == nil {
		t.Error("onto a dead broker")
	}
	c.do(meta.DrainBroker{Broker: 4, Draining: true})
	if _, err := meta.PlanSpread(c.s.Snapshot(), everybody, 4); err == nil {
		t.Error("onto a drained broker")
	}
}

// Replicas stay on as many racks as they are on.
func TestPlanSpreadRacks(t *testing.T) {
	s := meta.NewState()
	c := &cluster{t: t, s: s, id: protocol.TopicID{9}}
	c.do(meta.ClusterInit{ClusterID: "c", FeatureLevel: 1})
	for b, rack := range []string{"x", "y", "x"} {
		r := newcomer(protocol.BrokerID(b+1), fmt.Sprint(b))
		r.Rack = rack
		c.do(meta.RegisterBroker{Broker: r})
	}
	c.do(meta.CreateTopic{Name: "t", ID: c.id, Partitions: slices.Repeat([][]uint64{{1, 2}}, 6)})
	plan, err := meta.PlanSpread(s.Snapshot(), everybody, 3)
	if err != nil || len(plan) != 3 {
		t.Fatalf("%+v, %v", plan, err)
	}
	for _, m := range plan {
		if !slices.Contains(m.Brokers, 2) {
			t.Errorf("%v are on one rack", m.Brokers)
		}
	}
}

func TestPlanMetaMembers(t *testing.T) {
	id := func(s meta.Snapshot, b protocol.BrokerID) uint64 { return s.Broker(b).MetaReplica() }
	yes := func(uint64) bool { return true }
	no := func(uint64) bool { return false }
	check := func(what string, s meta.Snapshot, now []uint64, ready func(uint64) bool, voters, learners []uint64) []uint64 {
		t.Helper()
		v, l := meta.PlanMetaMembers(s, now, ready)
		if !slices.Equal(v, voters) || !slices.Equal(l, learners) {
			t.Errorf("%s: voters %d, learners %d; want %d, %d", what, v, l, voters, learners)
		}
		return v
	}
	check("one has not registered yet", newFold(t, 2).state.Snapshot(), []uint64{1, 2, 3}, yes, []uint64{1, 2, 3}, nil)

	c := newCluster(t, 3)
	for b := protocol.BrokerID(4); b <= 7; b++ {
		c.do(meta.JoinBroker{Broker: newcomer(b, "d")})
	}
	s := c.s.Snapshot()
	check("nobody is ready", s, []uint64{1, 2, 3}, no, []uint64{1, 2, 3}, []uint64{id(s, 4), id(s, 5), id(s, 6), id(s, 7)})
	now := check("all are", s, []uint64{1, 2, 3}, yes, []uint64{1, 2, 3, id(s, 4), id(s, 5)}, []uint64{id(s, 6), id(s, 7)})

	c.do(meta.DrainBroker{Broker: 1, Draining: true})
	s = c.s.Snapshot()
	check("a drained voter without a substitute", s, now, no, now, []uint64{id(s, 6), id(s, 7)})
	check("a drained voter", s, now, yes, []uint64{2, 3, id(s, 4), id(s, 5), id(s, 6)}, []uint64{1, id(s, 7)})

	c.do(meta.ReassignPartition{Name: "t", ID: c.id, Brokers: []protocol.BrokerID{2, 3}})
	c.do(meta.PartitionMoved{Name: "t", ID: c.id, Replicas: []uint64{2, 3}})
	c.do(meta.RemoveBroker{Broker: 1})
	s = c.s.Snapshot()
	check("a removed voter", s, now, no, []uint64{2, 3, id(s, 4), id(s, 5)}, []uint64{id(s, 6), id(s, 7)})
	c.do(meta.JoinBroker{Broker: newcomer(1, "e")})
	s = c.s.Snapshot()
	check("its successor is another replica", s, now, no, []uint64{2, 3, id(s, 4), id(s, 5)}, []uint64{id(s, 6), id(s, 7), id(s, 1)})

	f := newFold(t, 1)
	f.apply(meta.DrainBroker{Broker: 1, Draining: true})
	check("the only one is drained", f.state.Snapshot(), []uint64{1}, yes, []uint64{1}, nil)
}

// Substitutes come from racks that have fewest voters.
func TestPlanMetaMembersRacks(t *testing.T) {
	s := meta.NewState()
	c := &cluster{t: t, s: s}
	c.do(meta.ClusterInit{ClusterID: "c", FeatureLevel: 1})
	for b, rack := range []string{"x", "x", "x", "x", "y", "z", "x"} {
		r := newcomer(protocol.BrokerID(b+1), fmt.Sprint(b))
		r.Rack = rack
		c.do(meta.RegisterBroker{Broker: r})
	}
	v, _ := meta.PlanMetaMembers(s.Snapshot(), []uint64{1, 2, 3}, func(uint64) bool { return true })
	if !slices.Equal(v, []uint64{1, 2, 3, 5, 6}) {
		t.Errorf("voters %d", v)
	}
}
