package protocol

// Limits of the protocol. They bound what a decoder allocates and what a name may cost in a subject.
const (
	// MaxTopicBytes is the longest topic name, in bytes. It is Kafka's limit.
	MaxTopicBytes = 249
	// MaxPartitions is the most partitions a topic can have.
	MaxPartitions = 1 << 16
	// MaxReplicas is the most replicas a partition can have.
	MaxReplicas = 15
	// MaxKeyBytes is the longest key of a message published with pub, in bytes.
	MaxKeyBytes = 64 << 10
	// MaxHeaders is the most headers of a message published with pub.
	MaxHeaders = 1024
	// MaxHops is how many times a request may be forwarded between brokers.
	MaxHops = 2
	// MaxRequestBytes bounds the body of a forwarded request, in bytes: a few batches of the largest size.
	MaxRequestBytes = 8 << 20
	// MaxResponseBytes bounds the body of a forwarded reply, in bytes: the largest fetch.
	MaxResponseBytes = 64 << 20
	// MaxDeadlineMs is the longest time a client may ask a broker to work on one request, in milliseconds.
	MaxDeadlineMs = 5 * 60 * 1000
	// DefaultDeadlineMs is the time a request without a deadline header gets, in milliseconds.
	DefaultDeadlineMs = 10 * 1000
	// MaxFetchBytes is the largest value of [FetchRequest.MaxBytes]; larger ones are cut to it.
	MaxFetchBytes = 32 << 20
	// DefaultFetchBytes stands for a [FetchRequest.MaxBytes] of zero.
	DefaultFetchBytes = 1 << 20
	// MaxFetchWaitMs is the longest a fetch may wait for data, in milliseconds; larger values are cut to it.
	MaxFetchWaitMs = 60 * 1000
	// MaxJSONBytes bounds the JSON body of an admin or metadata request, in bytes.
	MaxJSONBytes = 1 << 20

	maxErrorTextBytes = 8 << 10
)

// The fetch limit plus one batch beyond it must fit a reply.
const _ = uint(MaxResponseBytes - MaxFetchBytes)
