package meta

import (
	"slices"

	"github.com/logq/logq/internal/protocol"
)

// PlanLost returns the changes that replace lost replicas ([Snapshot.Lost]): on the same broker if it has joined anew and is
// alive, else on another. What has no place yet is left out; ask again. A partition that has lost all its replicas has
// nobody to copy from and is left alone.
func PlanLost(s Snapshot, alive func(protocol.BrokerID) bool) []ReassignPartition {
	p := newPlanner(s, alive, 0)
	var out []ReassignPartition
	for _, t := range s.topics {
		for n := range t.Partitions {
			part := protocol.Partition(n)
			target := t.Target(part)
			if brokers := p.replaceLost(s, t, t.Replicas(part), target); brokers != nil {
				out = append(out, ReassignPartition{Name: t.Name, ID: t.ID, Partition: part, Brokers: brokers})
			}
		}
	}
	return out
}

// replaceLost returns the brokers that one partition should be on because replicas of it are lost; nil if it is well as it
// is, or nothing can be done.
func (p *planner) replaceLost(s Snapshot, t *Topic, now, target []uint64) []protocol.BrokerID {
	if target != nil {
		switch {
		case !s.anyLost(t, target):
			return nil // the move that is under way leaves the lost ones behind, or began before there were any
		case slices.ContainsFunc(target, func(r uint64) bool { return s.Broker(protocol.BrokerOf(r)) == nil }):
			return brokersOf(now) // it can't end: back, and then anew
		default:
			return brokersOf(target) // with a replica that is not lost in the place of the lost one
		}
	}
	lost := func(r uint64) bool { return s.Lost(t, r) }
	if !slices.ContainsFunc(now, lost) || !slices.ContainsFunc(now, func(r uint64) bool { return !lost(r) }) {
		return nil
	}
	brokers := brokersOf(now)
	changed := false
	for i, r := range now {
		if !lost(r) {
			continue
		}
		if p.takes(brokers[i]) {
			changed = true
		} else if to, ok := p.choose(brokers); ok {
			brokers[i], changed = to, true
		}
	}
	// A place that stays with a broker that is gone would be refused.
	for _, b := range brokers {
		changed = changed && s.Broker(b) != nil
	}
	if !changed {
		return nil
	}
	return brokers
}

// takes reports whether a broker may get replicas.
func (p *planner) takes(b protocol.BrokerID) bool {
	return slices.ContainsFunc(p.candidates, func(c Candidate) bool { return c.ID == b })
}
