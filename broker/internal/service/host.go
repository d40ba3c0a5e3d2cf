package service

import (
	"context"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// Group is a partition's replica on this broker, as the service needs it. Every error that a Group gives is a
// *[protocol.Error] with the right outcome; [NewHost] adapts the production host so.
type Group interface {
	// Append hands a batch to the replica, which must lead in the given term (0 = any). The callee owns the batch until
	// done is called, exactly once, from a goroutine that must not be blocked.
	Append(batch record.Batch, term uint64, deadline time.Time, done func(AppendResult))
	// Read appends whole committed batches from the offset on to dst, at least one if there is any; it may touch the disk.
	// An offset outside the log is no error: the result then has no batches, and its bounds tell.
	Read(dst []byte, from record.Offset, maxBytes int) (ReadResult, error)
	// WaitFor returns a channel that is closed once the high watermark is above from, or leadership changes, or the group
	// stops. It may be closed early: look again.
	WaitFor(from record.Offset) <-chan struct{}
	// Latest confirms the high watermark with a majority and hands it to done, from a goroutine that must not be blocked.
	Latest(done func(record.Offset, error))
	// OffsetForTime finds the first committed record at or after a time in milliseconds; it may touch the disk.
	OffsetForTime(timestampMs int64) (at record.Offset, recordMs int64, found bool, err error)
	// Leader tells who leads, cheaply.
	Leader() LeaderStatus
	// Status is a full snapshot; like Leader it never blocks.
	Status() GroupStatus
	// Change asks for other members, both lists ascending, as the leader: at is the [Members.At] that the caller has seen. It
	// returns when they are in force for good, or with the reason why that is not known or not so.
	Change(ctx context.Context, at uint64, voters, learners []uint64) error
	// Transfer hands leadership to a replica, as the leader. It returns before that is done.
	Transfer(to uint64) error
	// Trim lets the log of this replica begin at or before the entry first, as far as what comes before is committed.
	Trim(first uint64) error
}

// AppendResult is the end of an append.
type AppendResult struct {
	Base, Last record.Offset
	Term       uint64
	Err        error // nil = durable on a majority
}

// ReadResult is what a read found.
type ReadResult struct {
	Batches       []byte        // dst, extended
	Next          record.Offset // where to read on
	HighWatermark record.Offset
	LogStart      record.Offset
	Term          uint64
}

// LeaderStatus is who leads a group, as this broker's replica knows it.
type LeaderStatus struct {
	Leader  protocol.BrokerID // 0 = not known
	Term    uint64
	Serving bool  // this replica leads, and the no-op of its term is committed
	Err     error // the replica is out of service
}

// GroupStatus is a snapshot of a replica.
type GroupStatus struct {
	LeaderStatus
	HighWatermark record.Offset
	LogStart      record.Offset
	Commit        uint64         // Raft index of the last committed entry
	Last          uint64         // Raft index of the last entry
	Durable       uint64         // Raft index of the last entry on this broker's own disk
	Peers         []PeerProgress // all members; on the leader only
	Members       Members
	Damage        string // what of the log cannot be read here and is to be repaired, "" = nothing
}

// Members are who belongs to a group, as this replica's log says.
type Members struct {
	At               uint64   // names this state
	Voters, Learners []uint64 // replica ids, ascending
	Settled          bool     // committed, and no change is under way
}

// PeerProgress is how far a replica's log is known to match the leader's.
type PeerProgress struct {
	Broker   protocol.BrokerID
	Replica  uint64
	Match    uint64 // Raft index
	Learner  bool   // it does not vote
	CaughtUp bool   // it keeps pace: a learner may become a voter
	Jumping  bool   // it needs what this log does not hold any more, and begins where this log does
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
	// Open creates the replica or opens what is there. An error with [protocol.StorageError] that is not retriable will not
	// go away by itself.
	Open(ctx context.Context, spec Spec) (Group, error)
	// Remove stops the replica if it runs and deletes its data. Removing what does not exist is no error, and another replica
	// of the same partition is left alone.
	Remove(ctx context.Context, spec Spec) error
	// Dirs returns the names of the replicas whose data is there, open or not, and maybe of what else is beside them.
	Dirs() ([]string, error)
}

// Peers reaches the other brokers.
type Peers interface {
	// Request sends a forwarded request and waits for the reply. When the request definitely has not left this broker,
	// errors.As finds an [UnsentError] in the error; any other error means that it may have been carried out.
	Request(ctx context.Context, to protocol.BrokerID, body []byte) ([]byte, error)
	// Gossip sends without an answer and never blocks; false = dropped.
	Gossip(to protocol.BrokerID, body []byte) bool
}

// Network is told which brokers there are.
type Network interface {
	// AddPeer adds a broker at HOST:PORT, or gives one that is known that address.
	AddPeer(id protocol.BrokerID, addr string) error
	// RemovePeer ends the connections with a broker; it may connect anew if it is added again.
	RemovePeer(id protocol.BrokerID)
}

// UnsentError marks the errors of [Peers.Request] after which the request cannot have been carried out.
type UnsentError interface {
	error
	// Unsent reports that the request was not sent, not even in part.
	Unsent() bool
}
