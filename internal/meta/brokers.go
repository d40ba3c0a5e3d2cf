package meta

import (
	"slices"

	"github.com/logq/logq/internal/protocol"
)

// Names of the commands that change which brokers there are.
const (
	KeyJoinBroker   = "join-broker"
	KeyRemoveBroker = "remove-broker"
	KeyDrainBroker  = "drain-broker"
)

// JoinBroker takes a broker with an empty data directory into the cluster. Its incarnation is given out by the fold.
type JoinBroker struct {
	Broker Broker `json:"broker"`
}

// RemoveBroker takes a broker out of the cluster. Its data directory is never let in again.
type RemoveBroker struct {
	Broker protocol.BrokerID `json:"broker"`
	// Incarnation is that of the broker which is meant, so that a late repeat doesn't remove the one that came after it.
	Incarnation uint64 `json:"incarnation"`
	// DataLost says that the broker's data is gone for good: its replicas count as lost and are replaced. Without it a broker
	// that has replicas stays.
	DataLost bool `json:"data_lost,omitempty"`
}

// DrainBroker keeps new replicas away from a broker, or lets them come again. Moving the present ones is the controller's
// work.
type DrainBroker struct {
	Broker   protocol.BrokerID `json:"broker"`
	Draining bool              `json:"draining"`
}

// CommandKey returns [KeyJoinBroker].
func (JoinBroker) CommandKey() string { return KeyJoinBroker }

// CommandKey returns [KeyRemoveBroker].
func (RemoveBroker) CommandKey() string { return KeyRemoveBroker }

// CommandKey returns [KeyDrainBroker].
func (DrainBroker) CommandKey() string { return KeyDrainBroker }

// CheckRegister checks what a broker says of itself against the snapshot; nil = it may be registered. A broker registers by
// itself if the cluster began with it; every other one must join.
func CheckRegister(s Snapshot, b Broker) *protocol.Error {
	if err := checkBroker(b); err != nil {
		return err
	}
	old := s.Broker(b.ID)
	switch {
	case b.FeatureLevel < s.level:
		return protocol.Errorf(protocol.InvalidRequest, "broker %d supports feature level %d, the cluster is at %d; install a newer version", b.ID, b.FeatureLevel, s.level)
	case old == nil && s.removed[b.ID] > 0:
		return removedError(b.ID)
	case old != nil && !old.Owns(b.Directory):
		return otherDirectory(b.ID)
	case old == nil && len(s.brokers) >= MaxBrokers:
		return protocol.Errorf(protocol.InvalidRequest, "broker %d: the cluster has %d brokers, which is the limit", b.ID, MaxBrokers)
	}
	return nil
}

// CheckJoin checks a broker that wants to join; nil = it may.
func CheckJoin(s Snapshot, b Broker) *protocol.Error {
	if err := checkBroker(b); err != nil {
		return err
	}
	old := s.Broker(b.ID)
	switch {
	case b.Directory == "":
		return protocol.Errorf(protocol.InvalidRequest, "broker %d joins without the id of its data directory", b.ID)
	case b.Peer == "":
		return protocol.Errorf(protocol.InvalidRequest, "broker %d joins without an address for other brokers", b.ID)
	case b.FeatureLevel < s.level:
		return protocol.Errorf(protocol.InvalidRequest, "broker %d supports feature level %d, the cluster is at %d; install a newer version", b.ID, b.FeatureLevel, s.level)
	case old != nil && old.Directory != b.Directory:
		return otherDirectory(b.ID)
	case old == nil && len(s.brokers) >= MaxBrokers:
		return protocol.Errorf(protocol.InvalidRequest, "broker %d: the cluster has %d brokers, which is the limit", b.ID, MaxBrokers)
	}
	return nil
}

// CheckIntroduction checks the data directory with which a broker calls itself a member; nil = it may go on. The snapshot may
// be behind: what comes after it is let pass.
func CheckIntroduction(s Snapshot, b protocol.BrokerID, directory string, incarnation uint64) *protocol.Error {
	known := s.Broker(b)
	switch {
	case s.removed[b] > incarnation:
		return removedError(b)
	case known == nil:
		return nil
	}
	return CheckSuccessor(b, known.Directory, known.Incarnation, directory, incarnation)
}

// CheckSuccessor checks a broker's data directory against one that was known before: it is the same, or a later one.
func CheckSuccessor(b protocol.BrokerID, known string, knownIncarnation uint64, directory string, incarnation uint64) *protocol.Error {
	switch before := (Broker{Directory: known}); {
	case incarnation > knownIncarnation:
		return nil
	case incarnation < knownIncarnation || !before.Owns(directory):
		return otherDirectory(b)
	}
	return nil
}

func otherDirectory(b protocol.BrokerID) *protocol.Error {
	return protocol.Errorf(protocol.DuplicateBrokerRegistration, "broker %d is registered with another data directory than this one. "+
		"Start it on that directory; if its data is lost for good, run \"logq broker remove %d --data-lost\", then start it anew with --join on an empty directory; "+
		"a broker that is not that one needs another --id", b, b)
}

func removedError(b protocol.BrokerID) *protocol.Error {
	return protocol.Errorf(protocol.BrokerIDNotRegistered, "broker %d was removed from the cluster, and its data with it. "+
		"To have it back, give it an empty data directory and start it with --join", b)
}

func unknownBroker(b protocol.BrokerID) *protocol.Error {
	return protocol.Errorf(protocol.BrokerIDNotRegistered, "broker %d is not registered", b)
}

func (s *State) registerBroker(r *Result, c RegisterBroker) *protocol.Error {
	b := c.Broker
	if err := CheckRegister(s.now, b); err != nil {
		return err
	}
	b.Incarnation = 0
	if old := s.now.Broker(b.ID); old != nil {
		b.Incarnation = old.Incarnation
	}
	s.putBroker(r, b)
	return nil
}

func (s *State) joinBroker(r *Result, c JoinBroker) *protocol.Error {
	b := c.Broker
	if err := CheckJoin(s.now, b); err != nil {
		return err
	}
	// A record's offset is used once, so this incarnation never was and never will be.
	b.Incarnation = uint64(r.Offset) + 1
	if old := s.now.Broker(b.ID); old != nil {
		b.Incarnation = old.Incarnation
	}
	s.putBroker(r, b)
	return nil
}

// putBroker puts what is known of a broker in force.
func (s *State) putBroker(r *Result, b Broker) {
	i, found := findBroker(s.now.brokers, b.ID)
	switch {
	case found && *s.now.brokers[i] == b:
		r.Repeated = true
	case found:
		s.now.brokers = slices.Clone(s.now.brokers)
		s.now.brokers[i] = &b
	default:
		s.now.brokers = slices.Insert(slices.Clone(s.now.brokers), i, &b)
	}
}

// CheckRemove checks the removal of a broker; nil = fine, or it was removed before.
func CheckRemove(s Snapshot, c RemoveBroker) *protocol.Error {
	b := s.Broker(c.Broker)
	switch {
	case b == nil && s.removed[c.Broker] > c.Incarnation:
		return nil
	case b == nil:
		return unknownBroker(c.Broker)
	case b.Incarnation != c.Incarnation:
		return protocol.Errorf(protocol.InvalidRequest, "broker %d has joined anew since; it is not removed", c.Broker)
	case len(s.brokers) == 1:
		return protocol.Errorf(protocol.InvalidRequest, "broker %d is the last one of the cluster and can't be removed", c.Broker)
	}
	if n := s.ReplicasOn(c.Broker); n > 0 && !c.DataLost {
		return protocol.Errorf(protocol.InvalidRequest, "broker %d holds %d replicas, counting those on their way to it; run \"logq broker drain %d --wait\" first, or, if its data is lost for good, remove it with --data-lost",
			c.Broker, n, c.Broker)
	}
	return nil
}

func (s *State) removeBroker(r *Result, c RemoveBroker) *protocol.Error {
	if err := CheckRemove(s.now, c); err != nil {
		return err
	}
	i, found := findBroker(s.now.brokers, c.Broker)
	if !found {
		r.Repeated = true
		return nil
	}
	s.now.brokers = slices.Delete(slices.Clone(s.now.brokers), i, i+1)
	s.now.removed = with(s.now.removed, c.Broker, c.Incarnation+1)
	s.now.draining = without(s.now.draining, c.Broker)
	return nil
}

func (s *State) drainBroker(r *Result, c DrainBroker) *protocol.Error {
	switch {
	case s.now.Broker(c.Broker) == nil:
		return unknownBroker(c.Broker)
	case s.now.draining[c.Broker] == c.Draining:
		r.Repeated = true
	case c.Draining:
		s.now.draining = with(s.now.draining, c.Broker, true)
	default:
		s.now.draining = without(s.now.draining, c.Broker)
	}
	return nil
}

// with returns a copy of m with one entry more; snapshots share the original.
func with[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	out := make(map[K]V, len(m)+1)
	for key, value := range m {
		out[key] = value
	}
	out[k] = v
	return out
}

// without returns a copy of m that lacks k.
func without[K comparable, V any](m map[K]V, k K) map[K]V {
	out := make(map[K]V, len(m))
	for key, value := range m {
		if key != k {
			out[key] = value
		}
	}
	return out
}

// Draining says whether new replicas are kept away from a broker.
func (s Snapshot) Draining(b protocol.BrokerID) bool { return s.draining[b] }

// Removed says whether a broker of this id was removed and has not joined anew.
func (s Snapshot) Removed(b protocol.BrokerID) bool { return s.removed[b] > 0 && s.Broker(b) == nil }

// RemovedBrokers returns the brokers that were removed and have not joined anew, ordered by id.
func (s Snapshot) RemovedBrokers() []protocol.BrokerID {
	var out []protocol.BrokerID
	for b := range s.removed {
		if s.Removed(b) {
			out = append(out, b)
		}
	}
	slices.Sort(out)
	return out
}

// ReplicasOn counts the replicas that partitions have on a broker, or are to get there.
func (s Snapshot) ReplicasOn(b protocol.BrokerID) int {
	n := 0
	on := func(r uint64) bool { return protocol.BrokerOf(r) == b }
	for _, t := range s.topics {
		for i := range t.Partitions {
			p := protocol.Partition(i)
			if slices.ContainsFunc(t.Replicas(p), on) || slices.ContainsFunc(t.Target(p), on) {
				n++
			}
		}
	}
	return n
}

// Lost says whether a replica's data is gone: its broker was removed, or has joined anew with an empty directory since the
// replica was made. Such a replica must never be opened again; the controller has it replaced.
func (s Snapshot) Lost(t *Topic, replica uint64) bool {
	b := s.Broker(protocol.BrokerOf(replica))
	if b == nil {
		return s.removed[protocol.BrokerOf(replica)] > 0
	}
	made := protocol.IncarnationOf(replica)
	if made == 0 {
		made = uint64(t.Offset) + 1
	}
	return made < b.Incarnation
}

// anyLost reports whether one of the replicas is lost.
func (s Snapshot) anyLost(t *Topic, replicas []uint64) bool {
	return slices.ContainsFunc(replicas, func(r uint64) bool { return s.Lost(t, r) })
}
