// Package raft is the Raft consensus algorithm for one replica of one group, as a
// pure step function over a log whose bytes it never sees.
//
// A Core knows of its log where it begins and ends, what of it is durable, and at
// which index each term starts; that answers every term lookup and finds the end
// of a common prefix in about one round trip. There is no goroutine, clock, disk,
// network or global random source in it: the same inputs give the same outputs.
//
//	c, err := raft.New(raft.Options{Group: g, ID: 1, Voters: ids, Seed: s}, log, hardState, logState)
//	c.Tick()                                 // time
//	err = c.Step(&msg)                       // a message
//	first, err := c.Propose(0, []int{size})  // a proposal
//	for c.Pending() {
//		r := c.Ready()                       // what to write, send, commit
//	}
//	c.Persisted(n)                           // the disk work of Ready n is done
//
// # Duties of the driver
//
// For each Ready, in this order:
//
//  1. Hand the disk work, if N is not 0, to the disk: Hard to the journal; then
//     Install, Truncate and Append, in this order, to the log. The log must show them at once
//     to the core's Fit and to whoever attaches bytes to messages; that they are on
//     disk is told later. The entries of Append are the leader's no-op (KindNoOp), or
//     the proposals handed to Propose, or those of the message just stepped.
//  2. Take note of Commit, Lost, Reads and Role.
//  3. Send the messages, in order, with the bytes of [Lo, Hi) of each MsgAppend.
//     They need not wait for the disk: what promises something stays in the core
//     until it is durable. Any of them may be lost, delayed, duplicated or reordered.
//  4. When both files have done the work of Ready n, and of every one before it,
//     call Persisted(n), in the order of the numbers. Work may be batched, also over
//     many groups; a later hard state replaces an earlier one. After a failed write or
//     sync call Faulted instead, and open the replica anew.
//
// Call Ready after each Propose, after each Step of a MsgAppend with entries, and
// after Persisted, so that a Ready appends from one source; ErrReadyFirst says that
// it was forgotten. Call Tick at a steady pace. Call Sent if the transport knows that
// it dropped a message; the core finds out by itself, more slowly.
//
// A Core isn't safe for concurrent use. What Ready and Status return is valid until
// the next call of the same core. The core keeps no reference to what it is given.
//
// Errors of Step mean that a message had no effect beyond a reply; count them, and
// log a *ProtocolError. Errors of Propose mean definitely not written. A broken
// invariant of the core panics with *invariants.Violation, before anything wrong is
// handed out; the host recovers it and stops this one group.
//
// # Messages
//
//	PreVote, PreVoteReply    would an election succeed? changes nothing at the voter
//	Vote, VoteReply          an election; requests and grants leave when durable
//	Append, AppendReply      entries, or a probe for the common prefix; the reply tells
//	                         what is durable and what is verified, or hints where to look
//	Heartbeat, …Reply        leadership, commit index, reads; the reply repeats what an
//	                         AppendReply says, so that a lost one is made up for
//	TimeoutNow               take over leadership
//	Jump                     begin the log where the leader's begins (the paper's InstallSnapshot)
//
// # What is durable when
//
// Entries and term on disk, then the acknowledgement. The vote on disk, then the
// grant. The own vote and the whole log on disk, then the requests of a candidate.
// A leader sends entries before its own disk has them (dissertation §10.2.1) and
// counts itself only for what its disk has. All of this is derived from the durable
// state when Persisted reports it; nothing is queued that could go stale. A write
// whose entries a later truncation replaced vouches only for the entries before it.
//
// # Invariants
//
// The commit index never falls, and nothing at or below it is ever truncated. A
// follower commits and acknowledges only the prefix that messages of the current
// term have verified, never simply its log. Within a term the vote is set once. A
// match is durable by definition. The checks that cost a comparison are always
// compiled in; those that scan run with the build tag "invariants".
//
// # Beside the paper
//
// Pre-vote and check-quorum are always on, and a replica that hears its leader
// takes no part in elections, unless that leader hands over (MsgTimeoutNow sets
// Transfer). A replica whose newest vote is not on disk yet starts no election, and
// each election without a result doubles a candidate's patience up to eightfold: so
// disks that are slower than the election timeout still elect. Commits alone send no
// message; followers learn them by the next append or heartbeat. A proposal that was
// truncated is not lost yet: Lost comes when an entry is committed that excludes it.
//
// # Membership
//
// A configuration is an entry of the log and in force from the moment it is
// appended (§6), also on followers, so the core keeps those that a truncation could
// bring back. ProposeConfig changes it, one change at a time and only after an entry
// of the leader's own term is committed; a change of voters goes through a joint
// state, which the leader leaves by itself. New voters are learners that have caught
// up. A leader that is no voter any more leads until that is committed and then lets
// the closest voter campaign.
//
// # The start of the log
//
// Trim tells that retention has moved it. A follower that needs what is before the
// leader's first entry gets a MsgJump, throws its log away and begins anew there;
// there is no other snapshot. It never goes back behind its own commit index.
//
// # A disk that lies, hangs or forgets
//
// LogState.Promised says that the log lost what was durable: the replica abstains
// from elections until it has it again. A leader whose write hangs for an election
// timeout while others have it on disk hands over. Faulted ends everything.
//
// # Limits
//
// Terms and indexes end at 1<<62. At most 4,096 reads wait at once. The proposals of
// at most 256 of a replica's leaderships wait for their outcome. A configuration has
// at most 32 voters and 32 learners.
//
// The API may change before v1.
package raft
