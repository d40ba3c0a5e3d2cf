package meta

import (
	"fmt"
	"slices"

	"github.com/logq/logq/internal/protocol"
)

// CheckCreate checks everything about a new topic that can be known from the snapshot: name, limits, placement, options and
// bound subject. The controller asks before it proposes; Apply asks again, because the state may have moved on. Nil = fine.
func CheckCreate(s Snapshot, c CreateTopic) *protocol.Error {
	if err := protocol.ValidateTopic(c.Name); err != nil {
		return protocol.AsError(err)
	}
	if c.ID.IsZero() {
		return protocol.Errorf(protocol.InvalidRequest, "topic %q has no id", c.Name)
	}
	if s.Topic(c.Name) != nil {
		return protocol.Errorf(protocol.TopicAlreadyExists, "topic %q exists", c.Name)
	}
	if len(s.topics) >= MaxTopics {
		return protocol.Errorf(protocol.InvalidRequest, "topic %q: the cluster has %d topics, which is the limit", c.Name, MaxTopics)
	}
	if err := CheckCounts(s, c.Name, len(c.Partitions), 1); err != nil {
		return err
	}
	if err := checkConfig(fmt.Sprintf("topic %q", c.Name), c.Config); err != nil {
		return err
	}
	if err := checkBind(s.topics, c.Name, c.Bind); err != nil {
		return err
	}
	return checkPlacement(s, c)
}

// CheckCounts checks the numbers of partitions and replicas against the limits; nil = fine. It does not look at the number
// of brokers, because brokers may yet register.
func CheckCounts(s Snapshot, name string, partitions, replicas int) *protocol.Error {
	switch {
	case partitions < 1 || partitions > MaxTopicPartitions:
		return protocol.Errorf(protocol.InvalidPartitions, "topic %q: %d partitions; want 1 to %d", name, partitions, MaxTopicPartitions)
	case partitions > MaxClusterPartitions-s.partitions:
		return protocol.Errorf(protocol.InvalidPartitions, "topic %q: %d partitions more than the %d there are would pass the limit of %d for the cluster",
			name, partitions, s.partitions, MaxClusterPartitions)
	case replicas < 1 || replicas > protocol.MaxReplicas:
		return protocol.Errorf(protocol.InvalidReplicationFactor, "topic %q: %d replicas; want 1 to %d", name, replicas, protocol.MaxReplicas)
	}
	return nil
}

func checkPlacement(s Snapshot, c CreateTopic) *protocol.Error {
	replicas := len(c.Partitions[0])
	seen := make([]protocol.BrokerID, 0, protocol.MaxReplicas)
	for p, ids := range c.Partitions {
		if len(ids) != replicas || len(ids) < 1 || len(ids) > protocol.MaxReplicas {
			return protocol.Errorf(protocol.InvalidReplicationFactor, "topic %q: partition %d has %d replicas, partition 0 has %d; want the same number, 1 to %d",
				c.Name, p, len(ids), replicas, protocol.MaxReplicas)
		}
		seen = seen[:0]
		for _, id := range ids {
			b := protocol.BrokerOf(id)
			if s.Broker(b) == nil {
				return protocol.Errorf(protocol.InvalidReplicationFactor, "topic %q: partition %d is placed on broker %d, which is not registered", c.Name, p, b)
			}
			if slices.Contains(seen, b) {
				return protocol.Errorf(protocol.InvalidReplicationFactor, "topic %q: partition %d is placed twice on broker %d", c.Name, p, b)
			}
			seen = append(seen, b)
		}
	}
	return nil
}

func checkBroker(b Broker) *protocol.Error {
	if b.ID == 0 {
		return protocol.Errorf(protocol.InvalidRequest, "a broker registers without an id")
	}
	if b.URL == "" {
		return protocol.Errorf(protocol.InvalidRequest, "broker %d registers without a client URL", b.ID)
	}
	for _, s := range [...]string{b.URL, b.HTTP, b.Peer} {
		if len(s) > MaxAddressBytes {
			return protocol.Errorf(protocol.InvalidRequest, "broker %d: address %q has %d bytes, the limit is %d", b.ID, clip(s), len(s), MaxAddressBytes)
		}
	}
	if len(b.Rack) > MaxRackBytes {
		return protocol.Errorf(protocol.InvalidRequest, "broker %d: rack %q has %d bytes, the limit is %d", b.ID, clip(b.Rack), len(b.Rack), MaxRackBytes)
	}
	if len(b.Directory) > MaxDirectoryBytes {
		return protocol.Errorf(protocol.InvalidRequest, "broker %d: the id of its data directory has %d bytes, the limit is %d", b.ID, len(b.Directory), MaxDirectoryBytes)
	}
	if b.FeatureLevel < 1 {
		return protocol.Errorf(protocol.InvalidRequest, "broker %d: feature level %d; want at least 1", b.ID, b.FeatureLevel)
	}
	return nil
}

func checkClusterInit(c ClusterInit) *protocol.Error {
	if c.ClusterID == "" || len(c.ClusterID) > MaxClusterIDBytes {
		return protocol.Errorf(protocol.InvalidRequest, "cluster id %q: want 1 to %d bytes", clip(c.ClusterID), MaxClusterIDBytes)
	}
	if c.FeatureLevel < 1 {
		return protocol.Errorf(protocol.InvalidRequest, "cluster %q: feature level %d; want at least 1", c.ClusterID, c.FeatureLevel)
	}
	return nil
}

// clip shortens text from outside for an error message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
