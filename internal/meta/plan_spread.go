package meta

import (
	"slices"

	"github.com/logq/logq/internal/protocol"
)

// PlanSpread returns the changes that give a broker its share of the replicas, each taken from the broker that carries most
// of those that hold the partition, so that nobody carries fewer than the newcomer in the end. The number of racks that a
// partition is on does not fall. Partitions that are moving are left alone. The error is
// [protocol.BrokerIDNotRegistered] or [protocol.InvalidRequest] if the broker can't take replicas.
func PlanSpread(s Snapshot, alive func(protocol.BrokerID) bool, onto protocol.BrokerID) ([]ReassignPartition, *protocol.Error) {
	switch {
	case s.Broker(onto) == nil:
		return nil, unknownBroker(onto)
	case s.Draining(onto):
		return nil, protocol.Errorf(protocol.InvalidRequest, "broker %d is drained; \"logq broker drain %d --undo\" lets it have replicas again", onto, onto)
	case !alive(onto):
		return nil, protocol.Errorf(protocol.InvalidRequest, "broker %d is not alive and can't take replicas", onto)
	}
	load := map[protocol.BrokerID]*Candidate{}
	for _, c := range s.Candidates(alive) {
		load[c.ID] = &c
	}
	var out []ReassignPartition
	for _, t := range s.topics {
		for n := range t.Partitions {
			part := protocol.Partition(n)
			now := brokersOf(t.Replicas(part))
			if t.Target(part) != nil || slices.Contains(now, onto) || s.anyLost(t, t.Replicas(part)) {
				continue
			}
			i := donor(now, load, onto)
			if i < 0 {
				continue
			}
			load[now[i]].Replicas--
			load[onto].Replicas++
			target := slices.Clone(now)
			target[i] = onto
			out = append(out, ReassignPartition{Name: t.Name, ID: t.ID, Partition: part, Brokers: target})
		}
	}
	return out, nil
}

// donor returns the place of the broker that gives its replica to another one, -1 if none should.
func donor(on []protocol.BrokerID, load map[protocol.BrokerID]*Candidate, to protocol.BrokerID) int {
	best := -1
	for i, b := range on {
		c := load[b]
		// A replica moves only if the two are nearer to each other afterwards.
		if c == nil || c.Replicas < load[to].Replicas+2 || racks(on, load, i, to) < racks(on, load, -1, 0) {
			continue
		}
		if best < 0 || c.Replicas > load[on[best]].Replicas {
			best = i
		}
	}
	return best
}

// racks counts the racks of brokers, with the one at a place replaced.
func racks(on []protocol.BrokerID, load map[protocol.BrokerID]*Candidate, place int, by protocol.BrokerID) int {
	seen := map[string]bool{}
	for i, b := range on {
		if i == place {
			b = by
		}
		if c := load[b]; c != nil {
			seen[c.Rack] = true
		}
	}
	return len(seen)
}
