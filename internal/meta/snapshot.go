package meta

import (
	"slices"
	"strings"

	"github.com/logq/logq/internal/protocol"
)

// Broker is a registered broker.
type Broker struct {
	ID           protocol.BrokerID `json:"id"`
	URL          string            `json:"url"` // for clients
	HTTP         string            `json:"http,omitempty"`
	Peer         string            `json:"peer,omitempty"` // HOST:PORT for other brokers
	Rack         string            `json:"rack,omitempty"`
	FeatureLevel int               `json:"feature_level"` // the highest that it supports
	// Directory is the id of the data directory with which it was registered; "" if it was made before there were any.
	Directory string `json:"directory,omitempty"`
	// Incarnation tells brokers of one id apart that came after each other, each with an empty directory: later ones have
	// higher numbers. It is 0 for those that the cluster began with. The fold gives it out.
	Incarnation uint64 `json:"incarnation,omitempty"`
}

// Owns reports whether a data directory may be the broker's.
func (b *Broker) Owns(directory string) bool { return b.Directory == "" || b.Directory == directory }

// Topic is a topic. It is immutable: a change puts a changed copy in its place.
type Topic struct {
	Name       string
	ID         protocol.TopicID
	Partitions [][]uint64 // replica ids with which each partition was made; [Topic.Replicas] are those of now
	Bind       string
	Config     map[string]string
	Offset     int64 // of the record that created it

	moved [][]uint64                  // the replicas of partitions that have moved
	moves map[protocol.Partition]move // under way
}

// Snapshot is the state after some record. It is immutable; copies share everything.
type Snapshot struct {
	clusterID   string
	level       int
	next        int64
	partitions  int                          // of all topics
	topics      []*Topic                     // ordered by name; replaced, never changed
	brokers     []*Broker                    // ordered by id; replaced, never changed
	draining    map[protocol.BrokerID]bool   // replaced, never changed
	removed     map[protocol.BrokerID]uint64 // 1 + the incarnation that was removed last; replaced, never changed
	unsupported *protocol.Error
}

// ClusterID returns the cluster's id, "" before cluster-init.
func (s Snapshot) ClusterID() string { return s.clusterID }

// FeatureLevel returns the level of the cluster, 0 before cluster-init.
func (s Snapshot) FeatureLevel() int { return s.level }

// Next returns the offset after the last applied record.
func (s Snapshot) Next() int64 { return s.next }

// PartitionCount returns the number of partitions of all topics.
func (s Snapshot) PartitionCount() int { return s.partitions }

// Topics returns all topics ordered by name. The caller must not change the slice.
func (s Snapshot) Topics() []*Topic { return s.topics }

// Topic returns the topic of the name, nil if there is none.
func (s Snapshot) Topic(name string) *Topic {
	if i, ok := findTopic(s.topics, name); ok {
		return s.topics[i]
	}
	return nil
}

// Brokers returns all registered brokers ordered by id. The caller must not change the slice.
func (s Snapshot) Brokers() []*Broker { return s.brokers }

// Broker returns a registered broker, nil if there is none of the id.
func (s Snapshot) Broker(id protocol.BrokerID) *Broker {
	if i, ok := findBroker(s.brokers, id); ok {
		return s.brokers[i]
	}
	return nil
}

// MinFeatureLevel returns the highest level that every registered broker supports, 0 when none is registered.
func (s Snapshot) MinFeatureLevel() int {
	least := 0
	for i, b := range s.brokers {
		if i == 0 || b.FeatureLevel < least {
			least = b.FeatureLevel
		}
	}
	return least
}

// Unsupported returns the error with which this build must stop: the cluster uses a feature level that it does not know.
// It is nil otherwise.
func (s Snapshot) Unsupported() error {
	if s.unsupported == nil {
		return nil
	}
	return s.unsupported
}

func findTopic(topics []*Topic, name string) (int, bool) {
	return slices.BinarySearchFunc(topics, name, func(t *Topic, name string) int { return strings.Compare(t.Name, name) })
}

func findBroker(brokers []*Broker, id protocol.BrokerID) (int, bool) {
	return slices.BinarySearchFunc(brokers, id, func(b *Broker, id protocol.BrokerID) int { return int(b.ID) - int(id) })
}
