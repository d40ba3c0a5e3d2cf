package replica

import (
	"errors"
	"fmt"

	"github.com/logq/logq/raft"
)

// LostError says that another entry was committed in the place of an appended
// batch: it is definitely not written, and a retry is safe.
type LostError struct {
	Index raft.Index
	Term  raft.Term
}

// Error names the entry.
func (e *LostError) Error() string {
	return fmt.Sprintf("another entry was committed in the place of entry %d of term %d; it is not written, send it again", e.Index, e.Term)
}

// errSkipped is why a batch's outcome is unknown after a jump.
var errSkipped = errors.New("this replica was behind the start of its leader's log and was not told what was committed before it")

// UnknownError says that nobody here can tell any more whether a batch will be
// committed: the disk failed, the replica stopped or the deadline passed while
// it was on its way to a majority.
type UnknownError struct{ Cause error }

// Error names the cause.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("outcome unknown, the batch may or may not be committed: %v", e.Cause)
}

// Unwrap returns the cause.
func (e *UnknownError) Unwrap() error { return e.Cause }

// FailedError says that the replica does no more work until it is opened anew,
// and why. A batch refused with it is not written.
type FailedError struct{ Cause error }

// Error names the cause.
func (e *FailedError) Error() string { return fmt.Sprintf("replica is out of service: %v", e.Cause) }

// Unwrap returns the cause.
func (e *FailedError) Unwrap() error { return e.Cause }

// FrameError says that the entries of an append message did not pass their
// checks; the message is dropped and the leader sends again.
type FrameError struct {
	From  raft.ReplicaID
	Cause error
}

// Error names the sender and the fault.
func (e *FrameError) Error() string {
	return fmt.Sprintf("entries from replica %d refused: %v", e.From, e.Cause)
}

// Unwrap returns the cause.
func (e *FrameError) Unwrap() error { return e.Cause }
