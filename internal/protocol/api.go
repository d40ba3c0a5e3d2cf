package protocol

// ProduceReply answers a produce request: where the records are. They are durable on a majority.
type ProduceReply struct {
	Topic      string    `json:"topic"`
	Partition  Partition `json:"partition"`
	BaseOffset int64     `json:"base_offset"`
	LastOffset int64     `json:"last_offset"`
	Epoch      Epoch     `json:"epoch"`
}

// PubAck answers a pub request. It has the shape of a JetStream acknowledgement, so that JetStream publishers work.
type PubAck struct {
	Stream    string    `json:"stream"`    // the topic
	Seq       uint64    `json:"seq"`       // offset + 1, because JetStream counts from 1
	Partition int32     `json:"partition"` // where it went
	Offset    int64     `json:"offset"`
	Error     *APIError `json:"error,omitempty"`
}

// APIError is an error in JetStream's shape.
type APIError struct {
	Code        int    `json:"code"`     // as HTTP's status codes
	ErrCode     uint16 `json:"err_code"` // [APIErrCodeBase] + [Code]
	Description string `json:"description"`
}

// APIErrCodeBase keeps logq's codes apart from JetStream's, which are below 11000.
const APIErrCodeBase = 20000

// API returns the error in JetStream's shape.
func (e *Error) API() *APIError {
	status := 503
	switch {
	case e.Code == UnknownTopicOrPartition:
		status = 404
	case e.Code == TopicAuthorizationFailed:
		status = 403
	case e.Code == ThrottlingQuotaExceeded:
		status = 429
	case e.Code == RequestTimedOut || e.Code == NotEnoughReplicasAfterAppend:
		status = 504
	case e.Code == UnknownServerError:
		status = 500
	case !e.Retriable || e.Code == CorruptMessage:
		status = 400
	}
	return &APIError{Code: status, ErrCode: uint16(APIErrCodeBase + int(e.Code)), Description: e.Error()}
}

// FetchRequest asks for committed batches of a partition.
type FetchRequest struct {
	Offset    int64 `json:"offset"`                // first record wanted
	MaxBytes  int   `json:"max_bytes,omitempty"`   // soft limit: at least one batch is sent; 0 = [DefaultFetchBytes]
	MinBytes  int   `json:"min_bytes,omitempty"`   // wait until so much is there; 0 and 1 = any data
	MaxWaitMs int   `json:"max_wait_ms,omitempty"` // how long to wait for MinBytes; 0 = answer at once
	// Replica says who may answer: [ReplicaLeader] (or "") or [ReplicaAny].
	Replica string `json:"replica,omitempty"`
}

// Values of [FetchRequest.Replica].
const (
	ReplicaLeader = "leader" // the leader alone
	ReplicaAny    = "any"    // the broker asked, from its own replica, if that has the offset; else the leader
)

// Values of [OffsetsRequest.At].
const (
	AtEarliest = "earliest" // the log start
	AtLatest   = "latest"   // the high watermark, confirmed by a majority
	AtTime     = "time"     // the first record whose timestamp is at or after TimestampMs
)

// OffsetsRequest asks for an offset of a partition.
type OffsetsRequest struct {
	At          string `json:"at"`
	TimestampMs int64  `json:"timestamp_ms,omitempty"`
}

// OffsetsReply answers an [OffsetsRequest]. A search by time that finds no record answers the high watermark with
// TimestampMs -1.
type OffsetsReply struct {
	Offset      int64 `json:"offset"`
	TimestampMs int64 `json:"timestamp_ms"` // of the record found by time; -1 otherwise
	Epoch       Epoch `json:"epoch"`
}

// MetaRequest asks who is there and who leads what.
type MetaRequest struct {
	Topics []string `json:"topics,omitempty"` // empty = all
}

// MetaReply answers a [MetaRequest]. A topic that was asked for and does not exist is listed with its Error.
type MetaReply struct {
	ClusterID  string       `json:"cluster_id"`
	Controller BrokerID     `json:"controller"` // 0 = none known
	Brokers    []BrokerInfo `json:"brokers"`
	Topics     []TopicInfo  `json:"topics"`
}

// BrokerInfo describes a broker.
type BrokerInfo struct {
	ID    BrokerID `json:"id"`
	URL   string   `json:"url"`            // for clients, nats://HOST:PORT
	HTTP  string   `json:"http,omitempty"` // http://HOST:PORT, "" = off
	Peer  string   `json:"peer,omitempty"` // HOST:PORT for other brokers
	Rack  string   `json:"rack,omitempty"`
	Alive bool     `json:"alive"` // the replying broker has heard of it lately
}

// TopicInfo describes a topic.
type TopicInfo struct {
	Name       string            `json:"name"`
	ID         TopicID           `json:"id"`
	Partitions []PartitionInfo   `json:"partitions"`
	Bind       string            `json:"bind,omitempty"`     // messages on this NATS subject are stored in the topic
	Config     map[string]string `json:"config,omitempty"`   // the topic's own settings
	Defaults   map[string]string `json:"defaults,omitempty"` // those in force for want of own ones, on the broker that answers
	Error      *Error            `json:"error,omitempty"`
}

// PartitionInfo describes a partition. LogStart, HighWatermark, InSync and ReplicaStates are filled by describe only.
type PartitionInfo struct {
	ID            Partition  `json:"id"`
	Leader        BrokerID   `json:"leader"` // 0 = none known
	Term          uint64     `json:"term"`
	Replicas      []BrokerID `json:"replicas"`
	Target        []BrokerID `json:"target,omitempty"` // where the replicas are moving to
	LogStart      int64      `json:"log_start"`
	HighWatermark int64      `json:"high_watermark"`
	InSync        []BrokerID `json:"in_sync,omitempty"` // replicas that have everything committed, seen from the leader
	// ReplicaStates are the members of the group, ordered by broker; describe only. Without a leader only those are there that
	// say themselves that something is wrong with them.
	ReplicaStates []ReplicaInfo `json:"replica_states,omitempty"`
}

// ReplicaInfo describes a replica as its leader sees it.
type ReplicaInfo struct {
	Broker  BrokerID `json:"broker"`
	Learner bool     `json:"learner,omitempty"` // it does not vote, or not yet
	Lag     uint64   `json:"lag"`               // entries of the leader's log that are not known to be durable there
	State   string   `json:"state"`
	Reason  string   `json:"reason,omitempty"` // what is wrong with it
}

// Values of [ReplicaInfo.State].
const (
	ReplicaInSync      = "in_sync"     // it has what was committed at the last look
	ReplicaBehind      = "behind"      // it keeps pace and has not
	ReplicaCatchingUp  = "catching_up" // it is being sent what it has missed
	ReplicaJumping     = "jumping"     // the same, and the leader's log begins after that
	ReplicaUnreachable = "unreachable" // its broker is not heard of
	ReplicaRepairing   = "repairing"   // a part of its log is damaged, and is being got from the others
	ReplicaFailed      = "failed"      // it is out of service
)

// CreateTopicRequest creates a topic; the reply is its [TopicInfo].
type CreateTopicRequest struct {
	Name       string            `json:"name"`
	Partitions int               `json:"partitions"` // 0 = 1
	Replicas   int               `json:"replicas"`   // 0 = 3, or as many as there are brokers if these are fewer
	Bind       string            `json:"bind,omitempty"`
	Config     map[string]string `json:"config,omitempty"`
}

// DeleteTopicRequest deletes a topic with all its data; the reply is a [DeleteTopicReply].
type DeleteTopicRequest struct {
	Name string `json:"name"`
}

// DeleteTopicReply answers a [DeleteTopicRequest].
type DeleteTopicReply struct {
	Name string  `json:"name"`
	ID   TopicID `json:"id"`
}

// DescribeTopicRequest asks for everything about a topic; the reply is its [TopicInfo].
type DescribeTopicRequest struct {
	Name string `json:"name"`
}

// ListTopicsReply answers a request for the list of topics, ordered by name.
type ListTopicsReply struct {
	Topics []TopicInfo `json:"topics"`
}

// BrokerStatus is a broker's row in a cluster's status.
type BrokerStatus struct {
	BrokerInfo
	PartitionsLed int `json:"partitions_led"`
	Replicas      int `json:"replicas"`
	// Draining is set for a broker that gets no new replicas and is to lose those that it has.
	Draining bool `json:"draining,omitempty"`
}

// PartitionRef names a partition.
type PartitionRef struct {
	Topic     string    `json:"topic"`
	Partition Partition `json:"partition"`
}

// ClusterStatusReply answers a request for the cluster's status.
type ClusterStatusReply struct {
	ClusterID       string         `json:"cluster_id"`
	Controller      BrokerID       `json:"controller"`
	Brokers         []BrokerStatus `json:"brokers"`
	Partitions      int            `json:"partitions"`
	UnderReplicated []PartitionRef `json:"under_replicated"` // a replica's broker is not alive, or lags
	Leaderless      []PartitionRef `json:"leaderless"`
	Moving          []PartitionRef `json:"moving"` // replicas are being added or taken away
}

// ReassignRequest asks for other replicas of a partition; the reply is a [MoveReply]. It returns when the move is decided; how
// far it has come shows in [PartitionInfo.Target] and [ClusterStatusReply.Moving].
type ReassignRequest struct {
	Name      string     `json:"name"`
	Partition Partition  `json:"partition"`
	Replicas  []BrokerID `json:"replicas"`         // brokers, the preferred leader first
	Cancel    bool       `json:"cancel,omitempty"` // go back to the present replicas instead
}

// AlterTopicRequest changes settings of a topic, the number of replicas of every partition of it, or both; the reply is a
// [MoveReply].
type AlterTopicRequest struct {
	Name     string            `json:"name"`
	Replicas int               `json:"replicas,omitempty"` // 0 = as many as now, if settings change
	Config   map[string]string `json:"config,omitempty"`   // settings that get these values; the others stay
	Unset    []string          `json:"unset,omitempty"`    // settings that go back to the brokers' defaults
}

// DrainBrokerRequest keeps new replicas away from a broker and moves the present ones to others, or with Undo lets new ones
// come again; the reply is a [MoveReply] without moves, which are decided one after the other.
type DrainBrokerRequest struct {
	Broker BrokerID `json:"broker"`
	Undo   bool     `json:"undo,omitempty"`
}

// AddBrokerRequest gives a broker its share of the replicas; the reply is a [MoveReply]. The broker has joined before.
type AddBrokerRequest struct {
	Broker BrokerID `json:"broker"`
	DryRun bool     `json:"dry_run,omitempty"` // only say which partitions would move
}

// RemoveBrokerRequest takes a broker that holds nothing any more out of the cluster, or with DataLost one that is gone with
// everything it held: its replicas are made anew on others. The reply is a [MoveReply] without moves.
type RemoveBrokerRequest struct {
	Broker   BrokerID `json:"broker"`
	DataLost bool     `json:"data_lost,omitempty"`
}

// MoveReply lists the partitions that will move.
type MoveReply struct {
	Moves []PartitionRef `json:"moves"`
}
