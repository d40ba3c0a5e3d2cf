package raft

// Ready is what a Core wants done. Its slices and pointers are reused: they are
// valid until the next call of any method of the Core but Status.
type Ready struct {
	// N, if not 0, numbers the disk work of this Ready: Hard (if SaveHard) for the
	// journal, then Truncate and Append for the log. Give N to Persisted when both
	// are on disk, in the order of the numbers.
	N        uint64
	Hard     HardState
	SaveHard bool
	// Truncate, if not 0, drops the entries from it on, before Append.
	Truncate Index
	// Append is the range of entries to add at the end of the log.
	Append Entries
	// Send may leave at once and in order: what waits for the disk stays in the
	// core until Persisted. The bytes of a MsgAppend are those of [Lo, Hi).
	Send []Message
	// Commit is the new commit index, 0 if it has not moved.
	Commit Index
	// Reads are the outcomes of Read.
	Reads []ReadResult
	// Lost are own proposals that another leader's entries have replaced: they are
	// definitely not written and never will be.
	Lost []LostRange
	// Role is set when the role, the leader, the term or the readiness to serve
	// has changed.
	Role *RoleChange
}

// Entries are the entries [Lo, Hi), all of one term; Lo == Hi is none.
type Entries struct {
	Lo, Hi Index
	Term   Term
	// Kind is KindNoOp for the leader's own no-op, which the driver writes without
	// a payload. KindData stands for own proposals, and for the entries that came
	// with the stepped message, whatever their kinds.
	Kind Kind
}

// ReadResult is the outcome of one Read.
type ReadResult struct {
	ID uint64
	// Index is the index up to which the log must be applied before the read may be
	// answered; it is committed. 0 if Lost.
	Index Index
	// Lost is set when leadership ended before it was confirmed: ask again.
	Lost bool
}

// LostRange is a range [Lo, Hi) of own proposals of Term.
type LostRange struct {
	Lo, Hi Index
	Term   Term
}

// RoleChange is the new state of affairs.
type RoleChange struct {
	Role   Role
	Leader ReplicaID // 0: unknown
	Term   Term
	// Serving is set on a leader whose no-op is committed.
	Serving bool
}
