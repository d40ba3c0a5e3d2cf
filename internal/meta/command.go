package meta

import (
	"encoding/json"

	"github.com/logq/logq/internal/protocol"
)

// Names of the commands: the keys of the records.
const (
	KeyClusterInit    = "cluster-init"
	KeyRegisterBroker = "register-broker"
	KeyCreateTopic    = "create-topic"
	KeyDeleteTopic    = "delete-topic"
)

// Command is one of [ClusterInit], [RegisterBroker], [JoinBroker], [RemoveBroker], [DrainBroker], [CreateTopic], [AlterConfig], [DeleteTopic],
// [ReassignPartition] and [PartitionMoved].
type Command interface {
	// CommandKey is the command's name, the key of its record.
	CommandKey() string
}

// ClusterInit is the first command of a cluster: it names it. The first one wins.
type ClusterInit struct {
	ClusterID    string `json:"cluster_id"`
	FeatureLevel int    `json:"feature_level"` // of the cluster from its start
}

// RegisterBroker makes a broker known with which the cluster began, or changes what is known of any.
type RegisterBroker struct {
	Broker Broker `json:"broker"`
}

// CreateTopic creates a topic with the placement that the controller has chosen.
type CreateTopic struct {
	Name       string            `json:"name"`
	ID         protocol.TopicID  `json:"id"`
	Partitions [][]uint64        `json:"partitions"` // replica ids of each partition, the preferred leader first
	Bind       string            `json:"bind,omitempty"`
	Config     map[string]string `json:"config,omitempty"`
}

// DeleteTopic deletes the topic of this name and id; another topic of the name is left alone.
type DeleteTopic struct {
	Name string           `json:"name"`
	ID   protocol.TopicID `json:"id"`
}

// CommandKey returns [KeyClusterInit].
func (ClusterInit) CommandKey() string { return KeyClusterInit }

// CommandKey returns [KeyRegisterBroker].
func (RegisterBroker) CommandKey() string { return KeyRegisterBroker }

// CommandKey returns [KeyCreateTopic].
func (CreateTopic) CommandKey() string { return KeyCreateTopic }

// CommandKey returns [KeyDeleteTopic].
func (DeleteTopic) CommandKey() string { return KeyDeleteTopic }

// envelope is the value of a record. Level stands beside the command, so that an old build can read it from any command.
type envelope struct {
	Level   int             `json:"level"`
	Command json.RawMessage `json:"command"`
}

// commandLevel is the feature level that the commands of this build need.
const commandLevel = 1

// Encode returns the key and value of the record that carries the command. It fails with [protocol.InvalidRequest] when the
// value would be longer than [MaxCommandBytes].
func Encode(c Command) (key, value []byte, err error) {
	body, err := json.Marshal(c)
	if err == nil {
		value, err = json.Marshal(envelope{Level: commandLevel, Command: body})
	}
	if err != nil {
		return nil, nil, protocol.Errorf(protocol.InvalidRequest, "%s cannot be encoded: %v", c.CommandKey(), err)
	}
	if len(value) > MaxCommandBytes {
		return nil, nil, protocol.Errorf(protocol.InvalidRequest, "%s has %d bytes encoded, the limit is %d; use fewer partitions or options",
			c.CommandKey(), len(value), MaxCommandBytes)
	}
	return []byte(c.CommandKey()), value, nil
}
