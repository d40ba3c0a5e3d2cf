package meta

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/logq/logq/internal/protocol"
)

// imageVersion is the form that [State.AppendTo] writes.
const imageVersion = 1

// ErrImage: bytes that are no state of this version, or one that breaks a rule.
var ErrImage = errors.New("the image of the metadata can't be read")

// image is a state as it is written down. Everything is in a fixed order, so that equal states give equal bytes.
type image struct {
	Version   int                          `json:"version"`
	ClusterID string                       `json:"cluster_id"`
	Level     int                          `json:"level"`
	Next      int64                        `json:"next"`
	Brokers   []*Broker                    `json:"brokers,omitempty"`
	Draining  []protocol.BrokerID          `json:"draining,omitempty"`
	Removed   map[protocol.BrokerID]uint64 `json:"removed,omitempty"` // encoding/json orders keys
	Topics    []topicImage                 `json:"topics,omitempty"`
	Deleted   []protocol.TopicID           `json:"deleted,omitempty"` // the oldest first
}

type topicImage struct {
	Name       string            `json:"name"`
	ID         protocol.TopicID  `json:"id"`
	Offset     int64             `json:"offset"`
	Bind       string            `json:"bind,omitempty"`
	Config     map[string]string `json:"config,omitempty"`
	Partitions [][]uint64        `json:"partitions"`
	Moved      []movedImage      `json:"moved,omitempty"` // ordered by partition
	Moves      []movedImage      `json:"moves,omitempty"` // ordered by partition
}

type movedImage struct {
	Partition protocol.Partition `json:"partition"`
	Replicas  []uint64           `json:"replicas"`
	Made      []uint64           `json:"made,omitempty"`
}

// AppendTo appends the whole state, from which [DecodeState] makes an equal one.
func (s *State) AppendTo(dst []byte) ([]byte, error) {
	if s.now.unsupported != nil {
		return nil, s.now.unsupported
	}
	im := image{
		Version: imageVersion, ClusterID: s.now.clusterID, Level: s.now.level, Next: s.now.next, Brokers: s.now.brokers,
		Draining: slices.Sorted(maps.Keys(s.now.draining)), Removed: s.now.removed,
		Deleted: append(slices.Clone(s.deleted[s.oldest:]), s.deleted[:s.oldest]...),
	}
	for _, t := range s.now.topics {
		im.Topics = append(im.Topics, imageOf(t))
	}
	body, err := json.Marshal(im)
	if err != nil {
		return nil, fmt.Errorf("write the metadata down: %w", err)
	}
	return append(dst, body...), nil
}

func imageOf(t *Topic) topicImage {
	out := topicImage{Name: t.Name, ID: t.ID, Offset: t.Offset, Bind: t.Bind, Config: t.Config, Partitions: t.Partitions}
	for p, replicas := range t.moved {
		if replicas != nil {
			out.Moved = append(out.Moved, movedImage{Partition: protocol.Partition(p), Replicas: replicas})
		}
	}
	for _, p := range slices.Sorted(maps.Keys(t.moves)) {
		out.Moves = append(out.Moves, movedImage{Partition: p, Replicas: t.moves[p].target, Made: t.moves[p].made})
	}
	return out
}

// DecodeState makes the state that [State.AppendTo] has written. It keeps nothing of b. The error is an [ErrImage].
func DecodeState(b []byte) (*State, error) {
	var im image
	if err := json.Unmarshal(b, &im); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrImage, err)
	}
	if im.Version != imageVersion {
		return nil, fmt.Errorf("%w: it has version %d, this release reads %d", ErrImage, im.Version, imageVersion)
	}
	if im.Level > SupportedLevel || im.Next < 0 || len(im.Deleted) > RememberedDeletes {
		return nil, fmt.Errorf("%w: level %d, next record %d, %d deleted topics", ErrImage, im.Level, im.Next, len(im.Deleted))
	}
	s := NewState()
	s.now = Snapshot{clusterID: im.ClusterID, level: im.Level, next: im.Next, removed: im.Removed}
	s.deleted = im.Deleted
	for i, br := range im.Brokers {
		if br == nil || checkBroker(*br) != nil || i > 0 && im.Brokers[i-1].ID >= br.ID {
			return nil, fmt.Errorf("%w: broker %d of %d", ErrImage, i, len(im.Brokers))
		}
	}
	s.now.brokers = im.Brokers
	for _, id := range im.Draining {
		s.now.draining = with(s.now.draining, id, true)
	}
	for i := range im.Topics {
		t, err := im.Topics[i].topic()
		if err != nil {
			return nil, err
		}
		if i > 0 && im.Topics[i-1].Name >= t.Name || s.byID[t.ID] != nil {
			return nil, fmt.Errorf("%w: topic %q is out of order, or there twice", ErrImage, clip(t.Name))
		}
		s.now.topics = append(s.now.topics, t)
		s.now.partitions += len(t.Partitions)
		s.byID[t.ID] = t
	}
	return s, nil
}

// topic checks what the rest of the package takes for granted.
func (im *topicImage) topic() (*Topic, error) {
	bad := func(what string) (*Topic, error) {
		return nil, fmt.Errorf("%w: topic %q: %s", ErrImage, clip(im.Name), what)
	}
	if protocol.ValidateTopic(im.Name) != nil || im.ID.IsZero() || len(im.Partitions) < 1 || len(im.Partitions) > MaxTopicPartitions {
		return bad("its name, id or number of partitions")
	}
	for _, replicas := range im.Partitions {
		if len(replicas) < 1 || len(replicas) > protocol.MaxReplicas {
			return bad("its replicas")
		}
	}
	t := &Topic{Name: im.Name, ID: im.ID, Offset: im.Offset, Bind: im.Bind, Config: im.Config, Partitions: im.Partitions}
	for _, list := range [...][]movedImage{im.Moved, im.Moves} {
		for i, m := range list {
			if m.Partition < 0 || int(m.Partition) >= len(t.Partitions) || len(m.Replicas) < 1 || len(m.Replicas) > protocol.MaxReplicas ||
				i > 0 && list[i-1].Partition >= m.Partition {
				return bad("its moves")
			}
		}
	}
	if len(im.Moved) > 0 {
		t.moved = make([][]uint64, len(t.Partitions))
	}
	for _, m := range im.Moved {
		t.moved[m.Partition] = m.Replicas
	}
	for _, m := range im.Moves {
		t.moves = withMove(t.moves, m.Partition, move{target: m.Replicas, made: m.Made})
	}
	return t, nil
}
