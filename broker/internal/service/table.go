package service

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

// table is what requests are routed by: the metadata of one moment with this broker's partitions joined to it. It is
// immutable; the partitions in it live on from table to table.
type table struct {
	snap   meta.Snapshot
	topics map[string]*topic
	groups map[[20]byte]*partition // the metadata's own included
	local  []*partition            // with a replica here, the metadata's own included
}

// topic is a topic with its partitions.
type topic struct {
	*meta.Topic
	parts []*partition
	turn  atomic.Uint64 // chooses partitions for messages without key
}

// partition is a partition of a topic, whether this broker has a replica of it or not.
type partition struct {
	name     string // of the topic
	id       protocol.Partition
	topicID  protocol.TopicID
	place    atomic.Pointer[placement]     // replaced when replicas move
	settings atomic.Pointer[meta.Settings] // with the broker's defaults; replaced when the topic's change

	group   atomic.Pointer[openGroup]      // nil while this broker's replica is not open
	openErr atomic.Pointer[protocol.Error] // why not
	claim   atomic.Pointer[claim]          // what the broker says that leads it, if that is another one
	insync  atomic.Pointer[[]protocol.BrokerID]

	inflight budget
	pubs     gather

	// Owned by the poll goroutine.
	seen       LeaderStatus
	lastCommit uint64 // at the last gossip
}

type openGroup struct{ Group }

// placement is where a partition's replicas are. It is immutable.
type placement struct {
	brokers []protocol.BrokerID // of the replicas, the preferred leader first
	target  []uint64            // the replicas that it moves to, nil if it doesn't
	self    uint64              // this broker's replica, 0 = none
	// voters are the replicas with which the group was made, if this one was among them; one that was added later learns from
	// the log who belongs to the group.
	voters []uint64
}

// placementOf joins what the metadata says of a partition for this broker. birth are the replicas with which it was made.
func (s *Service) placementOf(birth, replicas, target []uint64) *placement {
	pl := &placement{target: target}
	for _, r := range replicas {
		pl.brokers = append(pl.brokers, protocol.BrokerOf(r))
	}
	for _, r := range slices.Concat(target, replicas) { // one that stays has the same id in both
		if protocol.BrokerOf(r) == s.id {
			pl.self = r
		}
	}
	if slices.Contains(birth, pl.self) {
		pl.voters = birth
	}
	return pl
}

// on returns the brokers of the partition's replicas.
func (p *partition) on() []protocol.BrokerID { return p.place.Load().brokers }

// self returns this broker's replica, 0 if it has none.
func (p *partition) self() uint64 { return p.place.Load().self }

// claim is another broker's word that it leads a partition.
type claim struct {
	broker        protocol.BrokerID
	term          uint64
	highWatermark int64
	logStart      int64
	insync        []protocol.BrokerID
	message       uint64 // the number of the neighbour's message that said so
}

// String names the partition for people.
func (p *partition) String() string { return fmt.Sprintf("%s/%d", p.name, p.id) }

func (p *partition) key() [20]byte { return protocol.GroupID(p.topicID, p.id) }

// opened returns this broker's replica, nil if there is none or it is not open.
func (p *partition) opened() Group {
	if g := p.group.Load(); g != nil {
		return g.Group
	}
	return nil
}

// spec names this broker's replica. The directory has the topic's name for people and its id for uniqueness; the name is
// cut so that the whole fits a file name.
func (p *partition) spec() Spec {
	const most = 150
	pl := p.place.Load()
	spec := Spec{
		Topic: p.topicID, Partition: p.id, Self: pl.self, Voters: pl.voters, SegmentBytes: p.settings.Load().SegmentBytes,
		Name: fmt.Sprintf("%s-%d-%s", p.name[:min(len(p.name), most)], p.id, p.topicID),
	}
	if n := protocol.IncarnationOf(pl.self); n > 0 {
		spec.Name += fmt.Sprintf("-r%d", n) // never the directory of a replica that was here before
	}
	return spec
}

func (s *Service) newPartition(name string, id protocol.TopicID, n int, settings *meta.Settings, pl *placement) *partition {
	p := &partition{name: name, id: protocol.Partition(n), topicID: id}
	p.settings.Store(settings)
	p.inflight.limit = s.opts.PartitionInflightBytes
	p.place.Store(pl)
	return p
}

// newMetaPartition returns the partition of the metadata. Its group was made with a replica on each of the brokers with which
// the cluster began; one that has joined learns from the log who belongs to it.
func (s *Service) newMetaPartition() *partition {
	settings := &meta.Settings{SegmentBytes: s.opts.States.SegmentBytes} // it is trimmed to what is in its files
	if s.opts.Incarnation > 0 {
		self := protocol.ReplicaOf(s.id, s.opts.Incarnation)
		pl := s.placementOf(nil, []uint64{self}, nil)
		return s.newPartition(protocol.MetaTopic, protocol.MetaTopicID, 0, settings, pl)
	}
	voters := make([]uint64, len(s.opts.Brokers))
	for i, b := range s.opts.Brokers {
		voters[i] = protocol.ReplicaOf(b, 0)
	}
	return s.newPartition(protocol.MetaTopic, protocol.MetaTopicID, 0, settings, s.placementOf(voters, voters, nil))
}

// newTable joins a snapshot with the partitions of the table before.
func (s *Service) newTable(old *table, snap meta.Snapshot) *table {
	t := &table{snap: snap, topics: make(map[string]*topic, len(snap.Topics())), groups: make(map[[20]byte]*partition, snap.PartitionCount()+1)}
	t.add(s.meta)
	for _, mt := range snap.Topics() {
		have := (*topic)(nil)
		if old != nil {
			have = old.topics[mt.Name]
		}
		switch {
		case have == nil || have.ID != mt.ID:
			have = &topic{Topic: mt, parts: make([]*partition, len(mt.Partitions))}
			settings := s.settingsOf(mt)
			for i := range mt.Partitions {
				have.parts[i] = s.newPartition(mt.Name, mt.ID, i, settings, s.placementIn(mt, i))
			}
		case have.Topic != mt:
			have = &topic{Topic: mt, parts: have.parts}
			settings := s.settingsOf(mt)
			for i, p := range have.parts {
				p.settings.Store(settings)
				s.replace(p, s.placementIn(mt, i))
			}
		}
		t.topics[mt.Name] = have
		for _, p := range have.parts {
			t.add(p)
		}
	}
	return t
}

// settingsOf returns what is in force for the topic on this broker.
func (s *Service) settingsOf(t *meta.Topic) *meta.Settings {
	in := t.Settings().Or(s.opts.Defaults)
	return &in
}

func (s *Service) placementIn(t *meta.Topic, n int) *placement {
	part := protocol.Partition(n)
	pl := s.placementOf(t.Partitions[n], t.Replicas(part), t.Target(part))
	if pl.self == 0 || !s.lostHere(t, pl.self) {
		return pl
	}
	// Not that one, but maybe the one that replaces it.
	pl.self, pl.voters = 0, nil
	for _, r := range pl.target {
		if protocol.BrokerOf(r) == s.id && !s.lostHere(t, r) {
			pl.self = r
		}
	}
	return pl
}

// lostHere says that a replica of this broker is from before its data directory: what that replica has promised is not known
// here, so it must never be opened. The broker's own incarnation tells, even where the metadata is behind.
func (s *Service) lostHere(t *meta.Topic, replica uint64) bool {
	made := protocol.IncarnationOf(replica)
	if made == 0 {
		made = uint64(t.Offset) + 1
	}
	return made < s.opts.Incarnation
}

// replace puts a new placement in force. A replica that is not this broker's any more is forgotten; its data is removed when
// the metadata says that it was left behind.
func (s *Service) replace(p *partition, pl *placement) {
	if p.place.Swap(pl).self != pl.self {
		p.group.Store(nil)
		p.openErr.Store(nil)
	}
}

func (t *table) add(p *partition) {
	t.groups[p.key()] = p
	if p.self() != 0 {
		t.local = append(t.local, p)
	}
}

// lost says that a replica's data is gone, though its broker may be there again.
func (t *table) lost(p *partition, replica uint64) bool {
	topic := t.topics[p.name]
	return topic != nil && topic.ID == p.topicID && t.snap.Lost(topic.Topic, replica)
}

// find returns a partition of a topic. It returns nil and no error when the topic is not known here, which does not mean
// that it does not exist.
func (t *table) find(name string, p protocol.Partition) (*partition, *protocol.Error) {
	topic := t.topics[name]
	if topic == nil {
		return nil, nil
	}
	if p < 0 || int(p) >= len(topic.parts) {
		return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q has partitions 0 to %d, not %d", name, len(topic.parts)-1, p)
	}
	return topic.parts[p], nil
}
