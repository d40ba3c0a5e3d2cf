package raft

import (
	"errors"
	"fmt"
)

// Refusals without more to say. All of Propose's errors mean that nothing was
// written.
var (
	// ErrBusy: the leader holds as many uncommitted bytes, or unanswered reads, as
	// its options allow. Try again when some are committed.
	ErrBusy = errors.New("raft: too much is waiting to be committed, try again")
	// ErrTransferring: leadership is being handed over. Try again, at the new
	// leader or, if it doesn't take over, here; it takes an election timeout at most.
	ErrTransferring = errors.New("raft: leadership is being transferred, try again")
	// ErrUnknownPeer: the replica does not belong to the group, or does not vote
	// where a voter is needed.
	ErrUnknownPeer = errors.New("raft: the replica is not a voter of this group")
	// ErrNotServing: the leader has not committed an entry of its own term yet.
	ErrNotServing = errors.New("raft: the leader doesn't know yet what is committed, try again shortly")
	// ErrConfigPending: the last change of configuration is not done.
	ErrConfigPending = errors.New("raft: a change of configuration is under way, try again when it is done")
	// ErrWrongGroup: the message is for another group or another replica.
	ErrWrongGroup = errors.New("raft: the message is addressed to another group or replica")
	// ErrStale: the message is of an earlier term, or answers what was not asked.
	// It had no effect.
	ErrStale = errors.New("raft: stale message")
	// ErrSticky: a vote was ignored because this replica hears its leader. It had
	// no effect.
	ErrSticky = errors.New("raft: vote ignored, the leader is alive")
	// ErrDamaged: the leader replaces entries behind damaged ones (SetDamaged). That
	// has to wait for their repair; the leader has them, and sends this again.
	ErrDamaged = errors.New("raft: entries before those that the leader replaces are damaged")
	// ErrFaulted: Faulted was called; open the replica anew.
	ErrFaulted = errors.New("raft: the replica's disk has failed")
	// ErrReadyFirst: the core already holds entries to append. Carry out Ready,
	// then give it more.
	ErrReadyFirst = errors.New("raft: carry out Ready before giving the core more entries")
)

// NotLeaderError refuses what only a leader does, or only the leader of the
// term that the caller named.
type NotLeaderError struct {
	// Leader is where to go, 0 if unknown. It is the replica itself when it leads,
	// but in another term than was asked for.
	Leader ReplicaID
	// Term is the replica's current term.
	Term Term
}

// Error names the leader.
func (e *NotLeaderError) Error() string {
	if e.Leader == 0 {
		return fmt.Sprintf("raft: not the leader, and none is known in term %d; try again shortly", e.Term)
	}
	return fmt.Sprintf("raft: not the leader asked for; replica %d leads term %d", e.Leader, e.Term)
}

// ProtocolError reports a message that no correct replica can have sent: a
// forged or damaged one, or a sign that two replicas disagree on what is
// committed. The message had no effect. The host should say so loudly.
type ProtocolError struct {
	From ReplicaID
	Type MessageType
	Term Term
	// What says what is wrong with it.
	What string
}

// Error names the sender and the fault.
func (e *ProtocolError) Error() string {
	return fmt.Sprintf("raft: replica %d sent an impossible %v in term %d: %s", e.From, e.Type, e.Term, e.What)
}
