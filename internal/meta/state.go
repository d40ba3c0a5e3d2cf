package meta

import (
	"encoding/json"
	"slices"

	"github.com/logq/logq/internal/protocol"
)

// State is the fold. It belongs to one goroutine. Make one with [NewState].
type State struct {
	now     Snapshot
	byID    map[protocol.TopicID]*Topic // the topics of now
	deleted []protocol.TopicID          // ring of the last deletes, in order of their records
	oldest  int                         // place of the oldest in a full ring
}

// NewState returns the state before the first record.
func NewState() *State { return &State{byID: map[protocol.TopicID]*Topic{}} }

// Snapshot returns the state as it is now. It is cheap.
func (s *State) Snapshot() Snapshot { return s.now }

// Result is what a record did.
type Result struct {
	Offset   int64
	Command  string          // its key, "" if that is no known command
	Err      *protocol.Error // why it changed nothing; nil = it is in force
	Repeated bool            // it was in force already
	Created  *Topic          // the topic that create-topic created, or found created by an earlier copy of itself
	Deleted  *Topic          // the topic that delete-topic deleted now
	Dropped  []Dropped       // the replicas that partition-moved has left behind
}

// Apply folds one committed record in. It never fails and never panics, whatever the bytes: what cannot be applied changes
// nothing but [Snapshot.Next], and the result says why. A record below Next was applied before and is ignored.
func (s *State) Apply(offset int64, key, value []byte) Result {
	r := Result{Offset: offset}
	switch {
	case s.now.unsupported != nil:
		r.Err = s.now.unsupported
		return r
	case offset < s.now.next:
		r.Err = protocol.Errorf(protocol.InvalidRequest, "metadata record %d was applied before; the next is %d", offset, s.now.next)
		return r
	}
	s.now.next = offset + 1
	var env envelope
	if err := json.Unmarshal(value, &env); err != nil {
		r.Err = malformed(offset, err)
		return r
	}
	if env.Level > SupportedLevel {
		s.freeze(env.Level, offset)
		r.Err = s.now.unsupported
		return r
	}
	s.dispatch(&r, string(key), env.Command)
	return r
}

func (s *State) dispatch(r *Result, key string, body json.RawMessage) {
	if key != KeyClusterInit && s.now.clusterID == "" {
		r.Err = protocol.Errorf(protocol.InvalidRequest, "metadata record %d comes before %s", r.Offset, KeyClusterInit)
		return
	}
	switch key {
	case KeyClusterInit:
		run(r, key, body, s.clusterInit)
	case KeyRegisterBroker:
		run(r, key, body, s.registerBroker)
	case KeyJoinBroker:
		run(r, key, body, s.joinBroker)
	case KeyRemoveBroker:
		run(r, key, body, s.removeBroker)
	case KeyCreateTopic:
		run(r, key, body, s.createTopic)
	case KeyDeleteTopic:
		run(r, key, body, s.deleteTopic)
	case KeyAlterConfig:
		run(r, key, body, s.alterConfig)
	case KeyReassign:
		run(r, key, body, s.reassign)
	case KeyPartitionMoved:
		run(r, key, body, s.partitionMoved)
	case KeyDrainBroker:
		run(r, key, body, s.drainBroker)
	default:
		r.Err = protocol.Errorf(protocol.InvalidRequest, "metadata record %d: command %.40q is not known; it is skipped", r.Offset, key)
	}
}

func run[C Command](r *Result, key string, body json.RawMessage, apply func(*Result, C) *protocol.Error) {
	r.Command = key
	var c C
	if err := json.Unmarshal(body, &c); err != nil {
		r.Err = malformed(r.Offset, err)
		return
	}
	r.Err = apply(r, c)
}

func malformed(offset int64, err error) *protocol.Error {
	return protocol.Errorf(protocol.InvalidRequest, "metadata record %d is malformed and skipped: %v", offset, err)
}

func (s *State) freeze(level int, offset int64) {
	s.now.unsupported = protocol.Errorf(protocol.BrokerNotAvailable,
		"metadata record %d needs feature level %d, this build knows levels up to %d; install the version that the other brokers run", offset, level, SupportedLevel)
	s.now.unsupported.Retriable = false
}

func (s *State) clusterInit(r *Result, c ClusterInit) *protocol.Error {
	if err := checkClusterInit(c); err != nil {
		return err
	}
	if s.now.clusterID != "" {
		r.Repeated = s.now.clusterID == c.ClusterID
		if r.Repeated {
			return nil
		}
		return protocol.Errorf(protocol.InvalidRequest, "the cluster is %q already; %q is not taken", s.now.clusterID, c.ClusterID)
	}
	if c.FeatureLevel > SupportedLevel {
		s.freeze(c.FeatureLevel, r.Offset)
		return s.now.unsupported
	}
	s.now.clusterID, s.now.level = c.ClusterID, c.FeatureLevel
	return nil
}

func (s *State) createTopic(r *Result, c CreateTopic) *protocol.Error {
	if t := s.byID[c.ID]; t != nil && t.Name == c.Name {
		r.Created, r.Repeated = t, true
		return nil
	}
	if err := CheckCreate(s.now, c); err != nil {
		return err
	}
	if s.byID[c.ID] != nil || slices.Contains(s.deleted, c.ID) {
		return protocol.Errorf(protocol.InvalidRequest, "topic %q: the id %s was used before", c.Name, c.ID)
	}
	t := &Topic{Name: c.Name, ID: c.ID, Partitions: c.Partitions, Bind: c.Bind, Config: c.Config, Offset: r.Offset}
	i, _ := findTopic(s.now.topics, c.Name)
	s.now.topics = slices.Insert(slices.Clone(s.now.topics), i, t)
	s.now.partitions += len(t.Partitions)
	s.byID[t.ID] = t
	r.Created = t
	return nil
}

func (s *State) deleteTopic(r *Result, c DeleteTopic) *protocol.Error {
	t := s.byID[c.ID]
	if t == nil || t.Name != c.Name {
		if t == nil && slices.Contains(s.deleted, c.ID) {
			r.Repeated = true
			return nil
		}
		return protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q with id %s does not exist", clip(c.Name), c.ID)
	}
	i, _ := findTopic(s.now.topics, t.Name)
	s.now.topics = slices.Delete(slices.Clone(s.now.topics), i, i+1)
	s.now.partitions -= len(t.Partitions)
	delete(s.byID, t.ID)
	s.remember(t.ID)
	r.Deleted = t
	return nil
}

// remember keeps the ids of the last deleted topics; the oldest one makes place.
func (s *State) remember(id protocol.TopicID) {
	if len(s.deleted) < RememberedDeletes {
		s.deleted = append(s.deleted, id)
		return
	}
	s.deleted[s.oldest] = id
	s.oldest = (s.oldest + 1) % RememberedDeletes
}
