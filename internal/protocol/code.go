package protocol

import (
	"fmt"
	"slices"
)

// Code is the number of an error. The numbers and names are Kafka's, so that one table serves every listener.
type Code int16

// The codes that logq uses. [Codes] lists them with outcome and meaning.
const (
	UnknownServerError           Code = -1
	None                         Code = 0
	OffsetOutOfRange             Code = 1
	CorruptMessage               Code = 2
	UnknownTopicOrPartition      Code = 3
	LeaderNotAvailable           Code = 5
	NotLeaderOrFollower          Code = 6
	RequestTimedOut              Code = 7
	BrokerNotAvailable           Code = 8
	MessageTooLarge              Code = 10
	InvalidTopic                 Code = 17
	NotEnoughReplicas            Code = 19
	NotEnoughReplicasAfterAppend Code = 20
	TopicAuthorizationFailed     Code = 29
	TopicAlreadyExists           Code = 36
	InvalidPartitions            Code = 37
	InvalidReplicationFactor     Code = 38
	InvalidConfig                Code = 40
	NotController                Code = 41
	InvalidRequest               Code = 42
	StorageError                 Code = 56
	ReassignmentInProgress       Code = 60
	FencedLeaderEpoch            Code = 74
	UnsupportedCompressionType   Code = 76
	NoReassignmentInProgress     Code = 85
	InvalidRecord                Code = 87
	ThrottlingQuotaExceeded      Code = 89
	DuplicateBrokerRegistration  Code = 101
	BrokerIDNotRegistered        Code = 102
)

// CodeInfo is a row of the error table.
type CodeInfo struct {
	Code      Code
	Name      string
	Outcome   Outcome // what an error of this code says about the request unless the error itself says otherwise
	Retriable bool    // whether the same request may succeed later without anybody changing anything
	Meaning   string  // one sentence for people
}

// The table, ordered by code. A golden test keeps docs/ equal to it.
var codes = []CodeInfo{
	{UnknownServerError, "UNKNOWN_SERVER_ERROR", Unknown, false, "The broker failed in a way it has no code for; its log has more."},
	{None, "NONE", Done, false, "No error."},
	{OffsetOutOfRange, "OFFSET_OUT_OF_RANGE", NotWritten, false, "The offset asked for is below the log start or above the end."},
	{CorruptMessage, "CORRUPT_MESSAGE", NotWritten, true, "The batch is malformed or its CRC does not match."},
	{UnknownTopicOrPartition, "UNKNOWN_TOPIC_OR_PARTITION", NotWritten, false, "The topic does not exist, or has no such partition."},
	{LeaderNotAvailable, "LEADER_NOT_AVAILABLE", NotWritten, true, "The partition has no leader that this broker knows of."},
	{NotLeaderOrFollower, "NOT_LEADER_OR_FOLLOWER", NotWritten, true, "The broker asked does not lead the partition; the error names the leader if it is known."},
	{RequestTimedOut, "REQUEST_TIMED_OUT", Unknown, true, "The deadline passed before the outcome was known."},
	{BrokerNotAvailable, "BROKER_NOT_AVAILABLE", NotWritten, true, "The broker is starting or stopping, or the one that is needed cannot be reached."},
	{MessageTooLarge, "MESSAGE_TOO_LARGE", NotWritten, false, "The record or batch is larger than the limit."},
	{InvalidTopic, "INVALID_TOPIC_EXCEPTION", NotWritten, false, "The topic name is not valid, or is reserved."},
	{NotEnoughReplicas, "NOT_ENOUGH_REPLICAS", NotWritten, true, "The leader cannot reach a majority of the replicas and has not appended."},
	{NotEnoughReplicasAfterAppend, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", Unknown, true, "The record was appended, but no majority has confirmed it."},
	{TopicAuthorizationFailed, "TOPIC_AUTHORIZATION_FAILED", NotWritten, false, "The client may not use the topic."},
	{TopicAlreadyExists, "TOPIC_ALREADY_EXISTS", NotWritten, false, "A topic of this name exists."},
	{InvalidPartitions, "INVALID_PARTITIONS", NotWritten, false, "The number of partitions is out of range."},
	{InvalidReplicationFactor, "INVALID_REPLICATION_FACTOR", NotWritten, false, "The number of replicas is out of range, or larger than the number of brokers."},
	{InvalidConfig, "INVALID_CONFIG", NotWritten, false, "A topic option is unknown or has a value that is not valid."},
	{NotController, "NOT_CONTROLLER", NotWritten, true, "No controller is known, or the broker asked is not the controller any more."},
	{InvalidRequest, "INVALID_REQUEST", NotWritten, false, "The request is malformed."},
	{StorageError, "KAFKA_STORAGE_ERROR", NotWritten, true, "The disk of the broker failed, or the partition is parked because of damage."},
	{ReassignmentInProgress, "REASSIGNMENT_IN_PROGRESS", NotWritten, false, "The partition's replicas are moving already; wait, or cancel that first."},
	{FencedLeaderEpoch, "FENCED_LEADER_EPOCH", NotWritten, true, "The term that the request expects is not the leader's; ask for metadata again."},
	{UnsupportedCompressionType, "UNSUPPORTED_COMPRESSION_TYPE", NotWritten, false, "The codec of the batch is not known."},
	{NoReassignmentInProgress, "NO_REASSIGNMENT_IN_PROGRESS", NotWritten, false, "The partition's replicas are not moving, so there is nothing to cancel."},
	{InvalidRecord, "INVALID_RECORD", NotWritten, false, "A record in the batch is malformed, or breaks a rule of the topic."},
	{ThrottlingQuotaExceeded, "THROTTLING_QUOTA_EXCEEDED", NotWritten, true, "Too many bytes are in flight; slow down and try again."},
	{DuplicateBrokerRegistration, "DUPLICATE_BROKER_REGISTRATION", NotWritten, false, "A broker of this id is registered with another data directory."},
	{BrokerIDNotRegistered, "BROKER_ID_NOT_REGISTERED", NotWritten, false, "The cluster has no broker of this id, or has removed it."},
}

// Codes returns the whole error table, ordered by code. The caller owns the slice.
func Codes() []CodeInfo { return slices.Clone(codes) }

// Info returns the row of a code. A code that is not in the table gets the row of [UnknownServerError] with its own number,
// so that an error of a newer broker promises nothing.
func (c Code) Info() CodeInfo {
	i, ok := slices.BinarySearchFunc(codes, c, func(row CodeInfo, c Code) int { return int(row.Code) - int(c) })
	if ok {
		return codes[i]
	}
	return CodeInfo{Code: c, Name: fmt.Sprintf("CODE_%d", int16(c)), Outcome: Unknown, Meaning: "This code is not known here."}
}

// String returns the name, as NOT_LEADER_OR_FOLLOWER.
func (c Code) String() string { return c.Info().Name }
