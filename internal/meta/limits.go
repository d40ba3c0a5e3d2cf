package meta

import "github.com/logq/logq/internal/protocol"

// Limits of the metadata. They decide what the fold accepts, so all brokers must have the same.
const (
	// SupportedLevel is the highest feature level that this build understands.
	SupportedLevel = 1
	// MaxBrokers is the most brokers that can be registered.
	MaxBrokers = 1000
	// MaxTopics is the most topics that can exist at a time.
	MaxTopics = 10_000
	// MaxTopicPartitions is the most partitions of one topic. The command that creates them must fit one batch.
	MaxTopicPartitions = 10_000
	// MaxClusterPartitions is the most partitions of all topics together.
	MaxClusterPartitions = 200_000
	// MaxConfigEntries is the most options of a topic.
	MaxConfigEntries = 64
	// MaxBindBytes is the longest bound subject, in bytes.
	MaxBindBytes = 249
	// MaxAddressBytes is the longest URL or address of a broker, in bytes.
	MaxAddressBytes = 1024
	// MaxRackBytes is the longest name of a rack, in bytes.
	MaxRackBytes = 128
	// MaxDirectoryBytes is the longest id of a data directory, in bytes.
	MaxDirectoryBytes = 64
	// MaxClusterIDBytes is the longest cluster id, in bytes.
	MaxClusterIDBytes = 64
	// MaxCommandBytes is the longest encoded command, in bytes: what fits one batch of the default limit.
	MaxCommandBytes = 1<<20 - 1024
	// RememberedDeletes is how many deleted topics are remembered, so that a late repeat of a create does not revive one.
	RememberedDeletes = 4096
)

const _ = uint(protocol.MaxPartitions - MaxTopicPartitions)
