package meta

import (
	"slices"

	"github.com/logq/logq/internal/protocol"
)

// Names of the commands that move replicas.
const (
	KeyReassign       = "reassign-partition"
	KeyPartitionMoved = "partition-moved"
)

// ReassignPartition asks for other replicas of a partition: on these brokers, the preferred leader first. The move is
// carried out by the partition's leader and ends with [PartitionMoved]. The present brokers end a move that is under way:
// what it has added goes again.
type ReassignPartition struct {
	Name      string              `json:"name"`
	ID        protocol.TopicID    `json:"id"`
	Partition protocol.Partition  `json:"partition"`
	Brokers   []protocol.BrokerID `json:"brokers"`
}

// PartitionMoved says that the partition's group has the replicas that were asked for: the configuration is committed.
type PartitionMoved struct {
	Name      string             `json:"name"`
	ID        protocol.TopicID   `json:"id"`
	Partition protocol.Partition `json:"partition"`
	Replicas  []uint64           `json:"replicas"`
}

// CommandKey returns [KeyReassign].
func (ReassignPartition) CommandKey() string { return KeyReassign }

// CommandKey returns [KeyPartitionMoved].
func (PartitionMoved) CommandKey() string { return KeyPartitionMoved }

// Dropped is a replica that is not one any more; its broker removes its data.
type Dropped struct {
	Topic     *Topic
	Partition protocol.Partition
	Replica   uint64
}

// move is a change of one partition's replicas that is under way.
type move struct {
	target []uint64 // the replicas wanted, the preferred leader first
	made   []uint64 // all ids that were given out in this move
}

// Replicas returns the replica ids of a partition, the preferred leader first. The caller must not change the slice.
func (t *Topic) Replicas(p protocol.Partition) []uint64 {
	if t.moved != nil && t.moved[p] != nil {
		return t.moved[p]
	}
	return t.Partitions[p]
}

// Target returns the replica ids that a partition is moving to, nil if it isn't. The caller must not change the slice.
func (t *Topic) Target(p protocol.Partition) []uint64 { return t.moves[p].target }

// Moving returns how many partitions of the topic are moving.
func (t *Topic) Moving() int { return len(t.moves) }

// CheckReassign checks a change of replicas against the snapshot; nil = fine.
func CheckReassign(s Snapshot, c ReassignPartition) *protocol.Error {
	t := s.Topic(c.Name)
	switch {
	case t == nil || t.ID != c.ID:
		return protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q with id %s does not exist", clip(c.Name), c.ID)
	case c.Partition < 0 || int(c.Partition) >= len(t.Partitions):
		return protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q has partitions 0 to %d, not %d", t.Name, len(t.Partitions)-1, c.Partition)
	case len(c.Brokers) < 1 || len(c.Brokers) > protocol.MaxReplicas:
		return protocol.Errorf(protocol.InvalidReplicationFactor, "topic %q: partition %d on %d brokers; want 1 to %d", t.Name, c.Partition, len(c.Brokers), protocol.MaxReplicas)
	}
	now := brokersOf(t.Replicas(c.Partition))
	for i, b := range c.Brokers {
		if slices.Contains(c.Brokers[:i], b) {
			return protocol.Errorf(protocol.InvalidReplicationFactor, "topic %q: partition %d is placed twice on broker %d", t.Name, c.Partition, b)
		}
		if s.Broker(b) == nil && !slices.Contains(now, b) {
			return protocol.Errorf(protocol.BrokerIDNotRegistered, "topic %q: partition %d is placed on broker %d, which is not registered", t.Name, c.Partition, b)
		}
	}
	if t.Target(c.Partition) != nil && !slices.Equal(c.Brokers, brokersOf(t.Target(c.Partition))) && !sameSet(c.Brokers, now) {
		return protocol.Errorf(protocol.ReassignmentInProgress, "topic %q: partition %d is moving to brokers %v already; wait until it is there, or cancel that first",
			t.Name, c.Partition, brokersOf(t.Target(c.Partition)))
	}
	return nil
}

func sameSet(a, b []protocol.BrokerID) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x protocol.BrokerID) bool { return !slices.Contains(b, x) })
}

func brokersOf(replicas []uint64) []protocol.BrokerID {
	out := make([]protocol.BrokerID, len(replicas))
	for i, r := range replicas {
		out[i] = protocol.BrokerOf(r)
	}
	return out
}

func (s *State) reassign(r *Result, c ReassignPartition) *protocol.Error {
	if err := CheckReassign(s.now, c); err != nil {
		return err
	}
	t := s.byID[c.ID]
	now, m := t.Replicas(c.Partition), t.moves[c.Partition]
	heading := m.target // where the partition will be if nothing changes
	if heading == nil {
		heading = now
	}
	if slices.Equal(brokersOf(heading), c.Brokers) && !s.now.anyLost(t, heading) {
		r.Repeated = true
		return nil
	}
	target := make([]uint64, len(c.Brokers))
	made := slices.Clone(m.made)
	for i, b := range c.Brokers {
		on := func(id uint64) bool { return protocol.BrokerOf(id) == b && !s.now.Lost(t, id) }
		switch k, j := slices.IndexFunc(now, on), slices.IndexFunc(m.target, on); {
		case k >= 0:
			target[i] = now[k]
		case j >= 0:
			target[i] = m.target[j]
		default:
			// A record's offset is used once, so this incarnation never was and never will be.
			target[i] = protocol.ReplicaOf(b, uint64(r.Offset)+1)
			made = append(made, target[i])
		}
	}
	s.replaceTopic(t, func(t *Topic) { t.moves = withMove(t.moves, c.Partition, move{target: target, made: made}) })
	return nil
}

func withMove(moves map[protocol.Partition]move, p protocol.Partition, m move) map[protocol.Partition]move {
	out := make(map[protocol.Partition]move, len(moves)+1)
	for k, v := range moves {
		out[k] = v
	}
	if out[p] = m; m.target == nil {
		delete(out, p)
	}
	return out
}

func (s *State) partitionMoved(r *Result, c PartitionMoved) *protocol.Error {
	t := s.byID[c.ID]
	if t == nil || t.Name != c.Name || c.Partition < 0 || int(c.Partition) >= len(t.Partitions) {
		return protocol.Errorf(protocol.UnknownTopicOrPartition, "partition %d of topic %q with id %s does not exist", c.Partition, clip(c.Name), c.ID)
	}
	m := t.moves[c.Partition]
	switch {
	case m.target == nil && slices.Equal(t.Replicas(c.Partition), c.Replicas):
		r.Repeated = true
		return nil
	case !slices.Equal(m.target, c.Replicas):
		return protocol.Errorf(protocol.InvalidRequest, "topic %q: partition %d has moved to replicas %d, wanted are %d now", t.Name, c.Partition, c.Replicas, m.target)
	}
	for _, id := range slices.Concat(t.Replicas(c.Partition), m.made) {
		if !slices.Contains(c.Replicas, id) {
			r.Dropped = append(r.Dropped, Dropped{Topic: t, Partition: c.Partition, Replica: id})
		}
	}
	s.replaceTopic(t, func(t *Topic) {
		moved := make([][]uint64, len(t.Partitions))
		copy(moved, t.moved)
		moved[c.Partition] = c.Replicas
		t.moved, t.moves = moved, withMove(t.moves, c.Partition, move{})
	})
	return nil
}

// replaceTopic puts a changed copy in a topic's place.
func (s *State) replaceTopic(t *Topic, change func(*Topic)) {
	next := *t
	change(&next)
	i, _ := findTopic(s.now.topics, t.Name)
	s.now.topics = slices.Clone(s.now.topics)
	s.now.topics[i] = &next
	s.byID[t.ID] = &next
}
