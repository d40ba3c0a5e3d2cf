package meta

import (
	"slices"

	"github.com/logq/logq/internal/protocol"
)

// MaxMetaVoters is how many brokers vote on the metadata if there are as many; the others follow as learners. A cluster that
// began with more keeps them.
const MaxMetaVoters = 5

// MetaReplica returns the id of a broker's replica of the metadata.
func (b *Broker) MetaReplica() uint64 { return protocol.ReplicaOf(b.ID, b.Incarnation) }

// PlanMetaMembers returns who should belong to the metadata's group: every registered broker, of which up to
// [MaxMetaVoters] vote. Voters stay voters unless they are gone: removed, or replaced by a later incarnation. One that is
// drained is replaced as soon as another is ready. Ready says of a learner whether it is alive and has caught up; only such
// ones become voters.
func PlanMetaMembers(s Snapshot, voters []uint64, ready func(replica uint64) bool) (newVoters, learners []uint64) {
	var keep, drained, fresh []uint64
	for _, r := range voters {
		switch b := s.Broker(protocol.BrokerOf(r)); {
		case b == nil && s.Removed(protocol.BrokerOf(r)), b != nil && b.MetaReplica() != r:
		case s.Draining(protocol.BrokerOf(r)):
			drained = append(drained, r)
		default: // one that the cluster begins with, and that has not registered yet, among them
			keep = append(keep, r)
		}
	}
	able := len(keep)
	for _, b := range s.brokers {
		r := b.MetaReplica()
		if s.Draining(b.ID) || slices.Contains(keep, r) {
			continue
		}
		able++
		if ready(r) {
			fresh = append(fresh, r)
		}
	}
	want := max(1, min(MaxMetaVoters, able))
	for len(keep) < want && len(fresh) > 0 {
		i := s.farthest(fresh, keep)
		keep = append(keep, fresh[i])
		fresh = slices.Delete(fresh, i, i+1)
	}
	for len(keep) < want && len(drained) > 0 {
		keep, drained = append(keep, drained[0]), drained[1:]
	}
	if len(keep) == 0 {
		keep = slices.Clone(voters)
	}
	slices.Sort(keep)
	for _, b := range s.brokers {
		if r := b.MetaReplica(); !slices.Contains(keep, r) {
			learners = append(learners, r)
		}
	}
	slices.Sort(learners)
	return keep, learners
}

// farthest returns the place of the first replica whose rack has fewest of the others.
func (s Snapshot) farthest(of, others []uint64) int {
	rack := func(r uint64) string {
		if b := s.Broker(protocol.BrokerOf(r)); b != nil {
			return b.Rack
		}
		return ""
	}
	count := map[string]int{}
	for _, r := range others {
		count[rack(r)]++
	}
	best := 0
	for i, r := range of {
		if count[rack(r)] < count[rack(of[best])] {
			best = i
		}
	}
	return best
}
