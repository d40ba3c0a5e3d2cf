package service

import (
	"context"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// Group is a partition's replica on this broker, as the service needs it. Every error that a Group returns is a
// *[protocol.Error] with the right outcome; [NewHost] adapts the production host so.
type Group interface {
	// Append hands a batch to the replica, which must lead in the given term (0 = any). The callee owns the batch until
	// done is called, exactly once, from a goroutine that must not be blocked.
	Append(batch []byte, term uint64, deadline time.Time, done func(AppendResult))
	// Read appends whole committed batches from the offset on to dst, at least one if there is any; it may touch the disk.
	Read(dst []byte, from int64, maxBytes int) (ReadResult, error)
	// WaitFor returns a channel that is closed once the high watermark is above from, or leadership changes, or the group
	// stops.
	WaitFor(from int64) <-chan struct{}
	// Latest confirms the high watermark with a majority and hands it to done, from a goroutine that must not be blocked.
	Latest(done func(int64, error))
	// OffsetForTime finds the first committed record at or after a time in milliseconds; it may touch the disk.
	OffsetForTime(timestampMs int64) (at int64, recordMs int64, found bool, err error)
	// Status is a snapshot and never blocks.
	Status() GroupStatus
}

// AppendResult is the end of an append.
type AppendResult struct {
	Base, Last int64
	Term       uint64
	Err        error // nil = durable on a majority
}

// ReadResult is what a read found.
type ReadResult struct {
	Batches       []byte // dst, extended
	Next          int64  // where to read on
	HighWatermark int64
	LogStart      int64
	Term          uint64
}

// GroupStatus is a snapshot of a replica.
type GroupStatus struct {
	Leader        protocol.BrokerID // 0 = not known
	Term          uint64
	Serving       bool // it leads, and the no-op of its term is committed
	HighWatermark int64
	LogStart      int64
	Commit        uint64 // Raft index of the last committed entry
	Peers         []PeerProgress
	Err           error // the replica is parked
}

// PeerProgress is how far a replica's log is known to match the leader's; only a leader knows.
type PeerProgress struct {
	Broker protocol.BrokerID
	Match  uint64 // Raft index
}

// Spec says which replica to open.
type Spec struct {
	Topic        protocol.TopicID
	Partition    protocol.Partition
	Name         string // directory name, unique for ever
	Self         uint64 // replica id
	Voters       []uint64
	SegmentBytes int64 // 0 = the host's default
}

// Host opens and removes the replicas of this broker.
type Host interface {
	Open(ctx context.Context, spec Spec) (Group, error)
	// Remove stops the replica if it runs and deletes its data. Removing what does not exist is no error.
	Remove(ctx context.Context, spec Spec) error
}

// Peers reaches the other brokers.
type Peers interface {
	// Request sends a forwarded request and waits for the reply. The error is an [UnsentError] when the request definitely
	// has not left this broker; any other error means that it may have been carried out.
	Request(ctx context.Context, to protocol.BrokerID, body []byte) ([]byte, error)
	// Gossip sends without an answer and never blocks; false = dropped.
	Gossip(to protocol.BrokerID, body []byte) bool
}

// UnsentError is what errors.As must find in an error of [Peers.Request] when the request never left this broker.
type UnsentError interface {
	error
	// Unsent reports that the request was not sent, not even in part.
	Unsent() bool
}
