package raft

import "fmt"

// GroupID names a Raft group: 16 bytes of topic UUID and the partition, opaque
// here.
type GroupID [20]byte

// ReplicaID names one incarnation of a replica's data directory. 0 is nobody.
// An id is never used again after its directory was lost.
type ReplicaID uint64

// Term counts leaderships. A group has at most one leader in a term; 0 is the
// time before the first election.
type Term uint64

// Index is a position in a group's log. The first entry has index 1; 0 is the
// place before it.
type Index uint64

// Kind says what an entry holds. The numbers are those of the frames on disk.
type Kind uint8

// The kinds of entries. 0 is invalid.
const (
	KindData   Kind = 1 // bytes that the core never sees
	KindNoOp   Kind = 2 // opens a leader's term
	KindConfig Kind = 3 // a configuration
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case KindData:
		return "data"
	case KindNoOp:
		return "no-op"
	case KindConfig:
		return "config"
	default:
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
}

// EntryID names an entry: two logs that hold the same EntryID hold the same
// entries up to it (Log Matching, §5.3).
type EntryID struct {
	Term  Term
	Index Index
}

// String returns term/index.
func (e EntryID) String() string { return fmt.Sprintf("%d/%d", e.Term, e.Index) }

// HardState is what a replica must remember across a crash beside its log.
type HardState struct {
	// Term is the highest term seen.
	Term Term
	// Vote is whom this replica has voted for in Term, 0 for nobody.
	Vote ReplicaID
}

// TermStart is the first index of the entries of one term in a log.
type TermStart struct {
	Term  Term
	First Index
}

// MessageType says what a Message asks or answers.
type MessageType uint8

// The message types. 0 is invalid. The comment names the fields in use beside
// Type, Group, From, To and Term; see Message.
const (
	// MsgPreVote asks whether a vote in Term, the sender's next, would be granted.
	// Index, LogTerm (the sender's last entry), Context (the round of asking).
	MsgPreVote MessageType = 1 + iota
	// MsgPreVoteReply: with Reject, Term is the voter's; else the Term asked for.
	// Context as asked.
	MsgPreVoteReply
	// MsgVote asks for the vote in Term. Index, LogTerm, Transfer.
	MsgVote
	// MsgVoteReply: Reject. A grant is durable at the voter.
	MsgVoteReply
	// MsgAppend carries entries, or with Lo == Hi only verifies the entry before
	// them. Index, LogTerm, Commit, Lo, Hi, EntryTerm, Context.
	MsgAppend
	// MsgAppendReply: without Reject Index, HintIndex; with it Index, LogTerm and
	// the hint triple. Context as in the append that is answered.
	MsgAppendReply
	// MsgHeartbeat keeps a leadership alive. Commit, Context (the round).
	MsgHeartbeat
	// MsgHeartbeatReply: Index, HintIndex as in an accepting MsgAppendReply,
	// Context as asked.
	MsgHeartbeatReply
	// MsgTimeoutNow asks the receiver to campaign at once, to take over leadership.
	MsgTimeoutNow
	// MsgJump tells a follower that needs what is not in the leader's log any more
	// to begin its own after the entry Index, LogTerm. Commit, Context as in an
	// append, and answered like one.
	MsgJump
	// MsgRepair and MsgRepairReply go between drivers, about entries whose bytes are
	// damaged; Step refuses them. MsgRepair asks for the entries [Lo, Hi), all of
	// EntryTerm. Context.
	MsgRepair
	// MsgRepairReply brings entries [Lo, Hi) of EntryTerm, or with Reject none; then
	// Index, LogTerm are the entry before the sender's log if that begins behind Lo,
	// so that they are committed. Context as asked.
	MsgRepairReply

	messageTypeEnd
)

var messageTypeNames = [...]string{
	MsgPreVote: "PreVote", MsgPreVoteReply: "PreVoteReply", MsgVote: "Vote", MsgVoteReply: "VoteReply",
	MsgAppend: "Append", MsgAppendReply: "AppendReply", MsgHeartbeat: "Heartbeat", MsgHeartbeatReply: "HeartbeatReply",
	MsgTimeoutNow: "TimeoutNow", MsgJump: "Jump", MsgRepair: "Repair", MsgRepairReply: "RepairReply",
}

// reply says that the type answers another.
func (t MessageType) reply() bool {
	return t == MsgPreVoteReply || t == MsgVoteReply || t == MsgAppendReply || t == MsgHeartbeatReply
}

// String returns the type's name.
func (t MessageType) String() string {
	if t == 0 || t >= messageTypeEnd {
		return fmt.Sprintf("MessageType(%d)", uint8(t))
	}
	return messageTypeNames[t]
}

// Message is what replicas of a group tell each other. It is flat: it holds no
// pointer, and copying it copies everything. The entries of a MsgAppend travel
// beside it; it only names their range.
type Message struct {
	Type MessageType
	// Reject turns a reply into a refusal.
	Reject bool
	// Transfer marks a vote that a leader asked for with MsgTimeoutNow: the voter
	// need not wait until it misses its leader (dissertation §4.2.3).
	Transfer bool
	// Quiet in a MsgHeartbeat asks the follower to wait for no more of them, in the
	// reply it agrees. See Core.Quiet.
	Quiet bool

	Group    GroupID
	From, To ReplicaID
	Term     Term

	// Index and LogTerm name an entry. MsgAppend: the one before Lo. MsgVote and
	// MsgPreVote: the sender's last. MsgAppendReply with Reject: the one that the
	// refused append named; without: Index is the match, the end of the prefix
	// that equals the leader's log and is durable at the sender, and LogTerm is 0.
	Index   Index
	LogTerm Term

	// Commit is the leader's commit index; the receiver takes of it what it has
	// verified.
	Commit Index

	// Lo, Hi and EntryTerm describe the entries [Lo, Hi), all of one term, of a
	// MsgAppend, with Lo == Index+1, or of a repair.
	Lo, Hi    Index
	EntryTerm Term

	// HintIndex, HintTerm and HintFirst answer a refused append: the sender's last
	// entry that may equal the leader's, its term, and the first index of that term
	// in the sender's log. In an accepting reply HintIndex is the end of the prefix
	// that equals the leader's log, durable or not, and the others are 0.
	HintIndex Index
	HintTerm  Term
	HintFirst Index

	// Context matches an answer to its question: the round of a heartbeat or
	// pre-vote, the number of an append to this receiver.
	Context uint64
}

// Entries says how many entries a MsgAppend carries.
func (m *Message) Entries() int {
	if m.Hi <= m.Lo {
		return 0
	}
	return int(m.Hi - m.Lo)
}

// String returns the fields that the type uses, on one line, for traces.
func (m Message) String() string {
	s := fmt.Sprintf("%d->%d %v term=%d", m.From, m.To, m.Type, m.Term)
	switch m.Type {
	case MsgPreVote, MsgVote:
		s += fmt.Sprintf(" last=%d/%d", m.LogTerm, m.Index)
	case MsgAppend:
		s += fmt.Sprintf(" prev=%d/%d commit=%d", m.LogTerm, m.Index, m.Commit)
		if m.Entries() > 0 {
			s += fmt.Sprintf(" entries=[%d,%d) of %d", m.Lo, m.Hi, m.EntryTerm)
		}
	case MsgRepair, MsgRepairReply:
		s += fmt.Sprintf(" entries=[%d,%d) of %d", m.Lo, m.Hi, m.EntryTerm)
		if m.Reject && m.Index > 0 {
			s += fmt.Sprintf(" log after %d/%d", m.LogTerm, m.Index)
		}
	case MsgJump:
		s += fmt.Sprintf(" to=%d/%d commit=%d", m.LogTerm, m.Index, m.Commit)
	case MsgAppendReply:
		if m.Reject {
			s += fmt.Sprintf(" prev=%d/%d hint=%d/%d first=%d", m.LogTerm, m.Index, m.HintTerm, m.HintIndex, m.HintFirst)
		} else {
			s += fmt.Sprintf(" match=%d verified=%d", m.Index, m.HintIndex)
		}
	case MsgHeartbeat:
		s += fmt.Sprintf(" commit=%d", m.Commit)
	case MsgHeartbeatReply:
		s += fmt.Sprintf(" match=%d verified=%d", m.Index, m.HintIndex)
	}
	if m.Context != 0 {
		s += fmt.Sprintf(" ctx=%d", m.Context)
	}
	if m.Transfer {
		s += " transfer"
	}
	if m.Quiet {
		s += " quiet"
	}
	if m.Reject {
		s += " reject"
	}
	return s
}
