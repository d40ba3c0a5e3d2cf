package meta

import (
	"cmp"
	"slices"

	"github.com/logq/logq/internal/protocol"
)

// Candidate is a broker that partitions can be placed on, with what it carries already.
type Candidate struct {
	ID       protocol.BrokerID
	Rack     string
	Alive    bool
	Replicas int // of all topics
	Leaders  int // partitions that it is the preferred leader of
}

// Candidates returns the registered brokers with their present load, ordered by id.
func (s Snapshot) Candidates(alive func(protocol.BrokerID) bool) []Candidate {
	out := make([]Candidate, len(s.brokers))
	place := make(map[protocol.BrokerID]*Candidate, len(s.brokers))
	for i, b := range s.brokers {
		out[i] = Candidate{ID: b.ID, Rack: b.Rack, Alive: alive(b.ID)}
		place[b.ID] = &out[i]
	}
	for _, t := range s.topics {
		for n := range t.Partitions {
			ids := t.Replicas(protocol.Partition(n))
			if to := t.Target(protocol.Partition(n)); to != nil {
				ids = to
			}
			for i, id := range ids {
				c := place[protocol.BrokerOf(id)]
				if c == nil {
					continue
				}
				c.Replicas++
				if i == 0 {
					c.Leaders++
				}
			}
		}
	}
	return out
}

// Place chooses brokers for the replicas of new partitions; the first of each is the preferred leader. The same input gives
// the same answer. In this order it
//
//  1. puts every replica of a partition on a broker of its own, and uses brokers that are not alive only when there are not
//     enough others (they get the data when they return);
//  2. spreads the replicas of a partition over as many racks as there are;
//  3. spreads preferred leaders, then replicas, evenly over the brokers, what they carry already included.
//
// It is greedy, one partition after the other: O(partitions × replicas × brokers). The error is
// [protocol.InvalidReplicationFactor] when there are fewer brokers than replicas.
func Place(candidates []Candidate, partitions, replicas int) ([][]protocol.BrokerID, *protocol.Error) {
	if replicas > len(candidates) {
		return nil, protocol.Errorf(protocol.InvalidReplicationFactor, "%d replicas need as many brokers; %d are registered", replicas, len(candidates))
	}
	p := placer{brokers: slices.Clone(candidates), used: make([]bool, len(candidates)), racks: map[string]int{}}
	slices.SortFunc(p.brokers, func(a, b Candidate) int { return cmp.Compare(a.ID, b.ID) })
	out := make([][]protocol.BrokerID, partitions)
	for i := range out {
		out[i] = p.partition(replicas)
	}
	return out, nil
}

// placer holds the load while partitions are placed.
type placer struct {
	brokers []Candidate // ordered by id; load is kept up to date
	used    []bool      // brokers of the present partition
	racks   map[string]int
}

func (p *placer) partition(replicas int) []protocol.BrokerID {
	clear(p.used)
	clear(p.racks)
	ids := make([]protocol.BrokerID, 0, replicas)
	leader := 0
	for range replicas {
		best := -1
		for i := range p.brokers {
			if !p.used[i] && (best < 0 || p.better(i, best, len(ids) == 0, leader)) {
				best = i
			}
		}
		if len(ids) == 0 {
			leader = best
			p.brokers[best].Leaders++
		}
		p.used[best] = true
		p.racks[p.brokers[best].Rack]++
		p.brokers[best].Replicas++
		ids = append(ids, p.brokers[best].ID)
	}
	return ids
}

// better reports whether broker i is a better place than broker j, as leader or as follower. Ties go to the broker that
// follows the leader in the ring of ids, so that followers are not always the same.
func (p *placer) better(i, j int, asLeader bool, leader int) bool {
	a, b := &p.brokers[i], &p.brokers[j]
	if a.Alive != b.Alive {
		return a.Alive
	}
	n := len(p.brokers)
	order := cmp.Compare(p.racks[a.Rack], p.racks[b.Rack])
	if asLeader {
		order = cmp.Compare(a.Leaders, b.Leaders)
	}
	return cmp.Or(order, cmp.Compare(a.Replicas, b.Replicas), cmp.Compare((i-leader+n)%n, (j-leader+n)%n)) < 0
}
