package meta

import (
	"slices"

	"github.com/logq/logq/internal/protocol"
)

// PlanDrain returns the changes that move every replica away from a broker, each to the broker that carries least, by the
// rules of [Place]. Partitions that are moving are left alone: ask again when they are there. The error is
// [protocol.InvalidReplicationFactor] if some partition would find no other broker.
func PlanDrain(s Snapshot, alive func(protocol.BrokerID) bool, leaving protocol.BrokerID) ([]ReassignPartition, *protocol.Error) {
	p := newPlanner(s, alive, leaving)
	var out []ReassignPartition
	for _, t := range s.topics {
		for n := range t.Partitions {
			part := protocol.Partition(n)
			now := brokersOf(t.Replicas(part))
			i := slices.Index(now, leaving)
			if i < 0 || t.Target(part) != nil {
				continue
			}
			to, ok := p.choose(now)
			if !ok {
				return nil, protocol.Errorf(protocol.InvalidReplicationFactor, "partition %d of topic %q has %d replicas and finds no other broker than %d that is alive; add a broker, or lower the number of replicas",
					n, t.Name, len(now), leaving)
			}
			// The leader's place goes to who is leader's follower now, so that the newcomer doesn't lead at once.
			target := slices.Clone(now)
			target = append(slices.Delete(target, i, i+1), to)
			out = append(out, ReassignPartition{Name: t.Name, ID: t.ID, Partition: part, Brokers: target})
		}
	}
	return out, nil
}

// PlanReplicas returns the changes that give every partition of a topic so many replicas: more on the brokers that carry
// least, fewer from the end of the list, so that the preferred leader stays.
func PlanReplicas(s Snapshot, alive func(protocol.BrokerID) bool, t *Topic, replicas int) ([]ReassignPartition, *protocol.Error) {
	if err := CheckCounts(Snapshot{}, t.Name, len(t.Partitions), replicas); err != nil {
		return nil, err
	}
	p := newPlanner(s, alive, 0)
	var out []ReassignPartition
	for n := range t.Partitions {
		part := protocol.Partition(n)
		if t.Target(part) != nil {
			return nil, protocol.Errorf(protocol.ReassignmentInProgress, "partition %d of topic %q is moving; wait until it is there, or cancel that first", n, t.Name)
		}
		now := brokersOf(t.Replicas(part))
		target := slices.Clone(now[:min(len(now), replicas)])
		for len(target) < replicas {
			to, ok := p.choose(target)
			if !ok {
				return nil, protocol.Errorf(protocol.InvalidReplicationFactor, "topic %q: %d replicas need as many brokers that are alive and not drained", t.Name, replicas)
			}
			target = append(target, to)
		}
		if !slices.Equal(now, target) {
			out = append(out, ReassignPartition{Name: t.Name, ID: t.ID, Partition: part, Brokers: target})
		}
	}
	return out, nil
}

// planner chooses brokers one after the other and counts what it gave them.
type planner struct{ candidates []Candidate }

// newPlanner takes the brokers that may get replicas: alive, not drained and not leaving.
func newPlanner(s Snapshot, alive func(protocol.BrokerID) bool, leaving protocol.BrokerID) *planner {
	p := &planner{}
	for _, c := range s.Candidates(alive) {
		if c.Alive && c.ID != leaving && !s.Draining(c.ID) {
			p.candidates = append(p.candidates, c)
		}
	}
	return p
}

// choose returns the broker, not one of those there are, in the rack that has fewest of them and with the fewest replicas.
func (p *planner) choose(have []protocol.BrokerID) (protocol.BrokerID, bool) {
	racks := map[string]int{}
	for _, c := range p.candidates {
		if slices.Contains(have, c.ID) {
			racks[c.Rack]++
		}
	}
	best := -1
	for i, c := range p.candidates {
		if slices.Contains(have, c.ID) {
			continue
		}
		if best < 0 || racks[c.Rack] < racks[p.candidates[best].Rack] || racks[c.Rack] == racks[p.candidates[best].Rack] && c.Replicas < p.candidates[best].Replicas {
			best = i
		}
	}
	if best < 0 {
		return 0, false
	}
	p.candidates[best].Replicas++
	return p.candidates[best].ID, true
}
