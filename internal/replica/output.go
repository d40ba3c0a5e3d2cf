package replica

import (
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
)

// Send is one message for another replica.
type Send struct {
	Message raft.Message
	// Frames holds the entries of an append in wire form, or the start of the log
	// beside a jump; it aliases the log's memory and is immutable.
	Frames [][]byte
	// Cold says that the entries [Message.Lo, Message.Hi) are no longer in
	// memory: the driver reads them with Log().ReadFrames, away from the shard,
	// and then sends.
	Cold bool
}

// AppendResult is the outcome of one Append.
type AppendResult struct {
	// Token is what the caller gave to Append.
	Token uint64
	// Base and Last are the offsets of the batch's first and last record.
	Base, Last record.Offset
	// Term is the leader term that wrote the batch.
	Term raft.Term
	// Err is nil when the batch is committed. *raft.NotLeaderError, raft.ErrBusy,
	// raft.ErrTransferring and *LostError mean definitely not written;
	// *UnknownError means that it may or may not be.
	Err error
}

// ReadResult is the outcome of one Read.
type ReadResult struct {
	Token         uint64
	HighWatermark record.Offset
	// Err is *raft.NotLeaderError when leadership was lost before the read was
	// confirmed: ask again.
	Err error
}

// Output gathers what a replica wants done. Slices are reused by Reset.
type Output struct {
	Sends   []Send
	Appends []AppendResult
	Reads   []ReadResult
	// Changed is set when the commit index, the role, the leader or the term
	// moved, or the replica failed.
	Changed bool
}

// Reset empties o and keeps its memory. References to buffers are dropped, so
// that a burst doesn't pin them.
func (o *Output) Reset() {
	clear(o.Sends)
	clear(o.Appends)
	clear(o.Reads)
	o.Sends, o.Appends, o.Reads, o.Changed = o.Sends[:0], o.Appends[:0], o.Reads[:0], false
}
