package protocol

import (
	"fmt"
	"strings"
)

// Op is an operation of the API.
type Op uint8

// The operations. The numbers are part of the binary form between brokers: never reuse one.
const (
	OpProduce        Op = 1  // append batches to a partition
	OpPub            Op = 2  // append one plain message
	OpFetch          Op = 3  // read committed batches
	OpOffsets        Op = 4  // earliest, latest, or by time
	OpMeta           Op = 5  // brokers, topics and leaders
	OpTopicCreate    Op = 6  // admin.topic.create
	OpTopicList      Op = 7  // admin.topic.list
	OpTopicDescribe  Op = 8  // admin.topic.describe
	OpTopicDelete    Op = 9  // admin.topic.delete
	OpClusterStatus  Op = 10 // admin.cluster.status
	OpRegisterBroker Op = 11 // between brokers only: a broker makes itself known to the controller
	OpMetaSync       Op = 12 // between brokers only: how far the controller's metadata reaches
	OpTopicStatus    Op = 13 // between brokers only: the partitions of a topic that the broker leads
	OpTopicReassign  Op = 14 // admin.topic.reassign
	OpTopicAlter     Op = 15 // admin.topic.alter
	OpBrokerDrain    Op = 16 // admin.broker.drain
	OpPartitionMoved Op = 17 // between brokers only: a partition's group has the replicas that were asked for
	OpMetaState      Op = 18 // between brokers only: the folded metadata, in pieces
	OpBrokerAdd      Op = 19 // admin.broker.add
	OpBrokerRemove   Op = 20 // admin.broker.remove
	OpBrokerJoin     Op = 21 // between brokers only: a broker with an empty data directory asks to be taken in

	LastOp = OpBrokerJoin // the highest number
)

var opText = [...]string{
	OpProduce: "produce", OpPub: "pub", OpFetch: "fetch", OpOffsets: "offsets", OpMeta: "meta",
	OpTopicCreate: "admin.topic.create", OpTopicList: "admin.topic.list", OpTopicDescribe: "admin.topic.describe",
	OpTopicDelete: "admin.topic.delete", OpClusterStatus: "admin.cluster.status",
	OpRegisterBroker: "register-broker", OpMetaSync: "meta-sync", OpTopicStatus: "topic-status",
	OpTopicReassign: "admin.topic.reassign", OpTopicAlter: "admin.topic.alter", OpBrokerDrain: "admin.broker.drain",
	OpPartitionMoved: "partition-moved", OpMetaState: "meta-state",
	OpBrokerAdd: "admin.broker.add", OpBrokerRemove: "admin.broker.remove", OpBrokerJoin: "broker-join",
}

// String returns the operation as it stands in subjects.
func (o Op) String() string {
	if o.Valid() {
		return opText[o]
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// Valid reports whether the operation is known.
func (o Op) Valid() bool { return o >= OpProduce && o <= LastOp }

// Internal reports whether the operation is for brokers only. No subject leads to it.
func (o Op) Internal() bool {
	return o >= OpRegisterBroker && o <= OpTopicStatus || o == OpPartitionMoved || o == OpMetaState || o == OpBrokerJoin
}

// Partitioned reports whether the operation addresses a partition of a topic.
func (o Op) Partitioned() bool { return o >= OpProduce && o <= OpOffsets }

// Appends reports whether the operation writes to a partition.
func (o Op) Appends() bool { return o == OpProduce || o == OpPub }

// Subjects. A broker answers everything under [SubjectPrefix].
const (
	SubjectPrefix        = "logq.v1."
	SubjectAll           = SubjectPrefix + ">"
	MetaSubject          = SubjectPrefix + "meta"
	TopicCreateSubject   = SubjectPrefix + "admin.topic.create"
	TopicListSubject     = SubjectPrefix + "admin.topic.list"
	TopicDescribeSubject = SubjectPrefix + "admin.topic.describe"
	TopicDeleteSubject   = SubjectPrefix + "admin.topic.delete"
	ClusterStatusSubject = SubjectPrefix + "admin.cluster.status"
	TopicReassignSubject = SubjectPrefix + "admin.topic.reassign"
	TopicAlterSubject    = SubjectPrefix + "admin.topic.alter"
	BrokerDrainSubject   = SubjectPrefix + "admin.broker.drain"
	BrokerAddSubject     = SubjectPrefix + "admin.broker.add"
	BrokerRemoveSubject  = SubjectPrefix + "admin.broker.remove"
)

// ProduceSubject is where a batch for a partition goes.
func ProduceSubject(topic string, p Partition) string { return partitionSubject("produce.", topic, p) }

// PubSubject is where one plain message goes; p may be [AnyPartition].
func PubSubject(topic string, p Partition) string { return partitionSubject("pub.", topic, p) }

// FetchSubject is where a partition's committed batches are asked for.
func FetchSubject(topic string, p Partition) string { return partitionSubject("fetch.", topic, p) }

// OffsetsSubject is where a partition's offsets are asked for.
func OffsetsSubject(topic string, p Partition) string { return partitionSubject("offsets.", topic, p) }

func partitionSubject(op, topic string, p Partition) string {
	return SubjectPrefix + op + p.String() + "." + topic
}

// ParseSubject splits a request's subject into operation, partition and topic; partition and topic are zero for operations
// that address none. The topic is valid in the sense of [ValidateTopic], the partition is not checked against the topic.
// The error is an *[Error] that names the subject.
func ParseSubject(s string) (Op, Partition, string, error) {
	rest, ok := strings.CutPrefix(s, SubjectPrefix)
	if !ok {
		return 0, 0, "", Errorf(InvalidRequest, "subject %q: want one that starts with %q", clip(s), SubjectPrefix)
	}
	switch s {
	case MetaSubject:
		return OpMeta, 0, "", nil
	case TopicCreateSubject:
		return OpTopicCreate, 0, "", nil
	case TopicListSubject:
		return OpTopicList, 0, "", nil
	case TopicDescribeSubject:
		return OpTopicDescribe, 0, "", nil
	case TopicDeleteSubject:
		return OpTopicDelete, 0, "", nil
	case ClusterStatusSubject:
		return OpClusterStatus, 0, "", nil
	case TopicReassignSubject:
		return OpTopicReassign, 0, "", nil
	case TopicAlterSubject:
		return OpTopicAlter, 0, "", nil
	case BrokerDrainSubject:
		return OpBrokerDrain, 0, "", nil
	case BrokerAddSubject:
		return OpBrokerAdd, 0, "", nil
	case BrokerRemoveSubject:
		return OpBrokerRemove, 0, "", nil
	}
	verb, rest, _ := strings.Cut(rest, ".")
	op := partitionOp(verb)
	if op == 0 {
		return 0, 0, "", Errorf(InvalidRequest, "subject %q: no such operation", clip(s))
	}
	token, topic, ok := strings.Cut(rest, ".")
	if !ok {
		return 0, 0, "", Errorf(InvalidRequest, "subject %q: want %s%s.<partition>.<topic>", clip(s), SubjectPrefix, verb)
	}
	p, err := parsePartition(token, op == OpPub)
	if err != nil {
		return 0, 0, "", err
	}
	if err := ValidateTopic(topic); err != nil {
		return 0, 0, "", err
	}
	return op, p, topic, nil
}

func partitionOp(verb string) Op {
	for op := OpProduce; op.Partitioned(); op++ {
		if opText[op] == verb {
			return op
		}
	}
	return 0
}

// parsePartition accepts exactly what [Partition.String] writes, so that a partition has one subject and permissions
// cannot be passed by with "00".
func parsePartition(token string, anyAllowed bool) (Partition, error) {
	if token == "_" {
		if anyAllowed {
			return AnyPartition, nil
		}
		return 0, Errorf(InvalidRequest, "partition %q: only pub lets the broker choose; give a number", token)
	}
	n, ok := 0, len(token) > 0 && len(token) <= 6 && (token[0] != '0' || len(token) == 1)
	for i := 0; ok && i < len(token); i++ {
		ok = token[i] >= '0' && token[i] <= '9'
		n = n*10 + int(token[i]-'0')
	}
	if !ok || n >= MaxPartitions {
		return 0, Errorf(InvalidRequest, "partition %q: want a decimal number below %d", clip(token), MaxPartitions)
	}
	return Partition(n), nil
}
