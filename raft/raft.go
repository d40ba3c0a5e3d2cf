package raft

import (
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/logq/logq/internal/invariants"
)

// Core is one replica's Raft state machine. It is deterministic, does no I/O and
// isn't safe for concurrent use.
type Core struct {
	o     Options // immutable, with defaults filled in
	sizes Log
	pcg   rand.PCG // the only source of chance

	// hard is the newest hard state, hardDurable what is on disk of it. A vote
	// counts, and an acknowledgement leaves, only when the disk has caught up.
	// Invariant: hardDurable.Term <= hard.Term; within one term the vote is set
	// once and never cleared.
	hard        HardState
	hardDurable HardState
	hardDirty   bool // hard was not handed out yet

	view logView
	// commit is the end of the prefix known to be committed.
	// Invariant: view.prev.Index <= commit <= view.last, and it never falls. No
	// entry at or below it is ever truncated.
	commit Index

	// Invariant: a leader has hard.Vote == o.ID, hardDurable == hard, leader == o.ID.
	role   Role
	leader ReplicaID  // of hard.Term, 0 while unknown
	peers  []progress // all other members, ascending by id

	// configs are the configuration in force at commit and all later ones in the
	// log: a truncation goes back to the one before. Invariant: not empty, ascending.
	configs []ConfigEntry
	seat    seat  // this replica's
	joint   bool  // the configuration in force is
	fault   error // set once; nothing happens after that

	// summoned: see mayLead.
	summoned bool

	// promised is the end of a log that was durable here and is lost, zero if none is.
	promised EntryID
	damaged  Index // the first entry that can't be read, 0 if all can
	// unsettled is the first of them that was not known to be committed when the driver
	// told; 0 if there is none.
	unsettled Index
	// lostConfig is the entry of a configuration that can't be read; it doesn't matter
	// when a later one is known.
	lostConfig Index
	// installing is the number of the write that replaces the log, until it is
	// persisted; installDue before it has one. Meanwhile nothing is acknowledged.
	installing uint64
	jump       Jump
	ticks      uint64 // of this life
	clock      uint64 // see SetClock
	quiet      bool   // see Quiet
	cameBack   bool   // this is not its first life

	// elapsed counts ticks since the leader was heard or a vote given; on a leader,
	// since it last checked its quorum. timeout is when an election starts.
	elapsed, timeout int
	tries            int // elections and pre-votes since a leader was heard
	polls            int // elections of them

	follow followerState
	poll   pollState
	lead   leaderState // zero unless leading

	// What the next Ready hands out.
	writes   ring[write] // handed out, not yet persisted; n ascends
	n        uint64      // number of the last disk work handed out
	truncate Index
	staged   Entries
	stagedBy []int // sizes of staged, own proposals only
	// stagedConfig is what a staged entry of KindConfig holds.
	stagedConfig Config
	msgs         []Message
	results      []ReadResult
	lost         []LostRange
	own          []LostRange // own proposals whose fate is open, one range per term, ascending
	told         RoleChange
	change       RoleChange // what Ready.Role points to
	toldTo       Index      // commit of the last Ready
	sendDue      bool       // entries may be waiting to be sent

	readID  uint64   // last id given to a Read
	scratch []uint64 // for quorum.Reached
	encoded []byte   // for the size of a configuration
	peersAt []PeerStatus
}

// write is one numbered Ready with disk work.
type write struct {
	n    uint64
	hard HardState
	// through is the last index that is on disk once this write is. A later
	// truncation lowers it, so that the completion of a write whose entries were
	// replaced says nothing about the new ones (docs/internals/raft.md, D1).
	through Index
	at      uint64 // ticks when it was handed out
}

// followerState is what a replica knows of itself relative to the leader of its
// term. It is cleared whenever the term changes.
type followerState struct {
	// verified is the end of the prefix that equals the log of the term's leader.
	// It starts at commit, which every later leader holds (Leader Completeness).
	// Invariant: commit <= verified <= last.
	verified Index
	// accepted: an append of this term was accepted, so that the leader waits for
	// an acknowledgement.
	accepted bool
	// acked is the highest match told to the leader.
	acked Index
	// context is that of the newest append accepted.
	context uint64
	// waits: an append was refused until damage is repaired.
	waits bool
	// grant is who has this replica's vote but was not told yet, because the vote
	// is not durable.
	grant ReplicaID
}

// New starts a core as a follower on what its disk holds: the hard state hs and
// the log ls, for whose bytes it asks log. All faults of the arguments are
// reported at once.
//
// hs must be what was made durable, nothing newer. If the log was written under a
// later term than hs, the core continues in that term without a vote, and its
// first Ready saves that: the entries' term was never promised to anyone, since
// what promises waits for both files.
func New(o Options, log Log, hs HardState, ls LogState) (*Core, error) {
	o.setDefaults()
	o.Voters = slices.Clone(o.Voters)
	var missing error
	if log == nil {
		missing = errors.New("raft: log is nil")
	}
	if err := errors.Join(o.validate(), ls.validate(), missing); err != nil {
		return nil, err
	}
	c := &Core{o: o, sizes: log, hard: hs, hardDurable: hs}
	c.pcg.Seed(mixSeed(&o))
	c.view = logView{prev: ls.Prev, last: ls.Last, durable: ls.Last, terms: slices.Clone(ls.Terms)}
	c.commit = max(ls.Commit, ls.Prev.Index)
	if t := max(ls.LastTerm(), ls.WriteTerm, ls.Promised.Term); t > c.hard.Term {
		c.hard, c.hardDirty = HardState{Term: t}, true
	}
	c.configs = append(c.configs, ConfigEntry{Config: Config{Voters: slices.Sorted(slices.Values(o.Voters))}})
	for _, e := range ls.Configs {
		c.configs = append(c.configs, ConfigEntry{Index: e.Index, Config: e.Config.Clone()})
	}
	c.settleConfigs()
	c.seatAll()
	c.scratch = make([]uint64, 0, MembersMax)
	c.follow = followerState{verified: c.commit}
	c.toldTo = c.commit
	c.resetTimer()
	c.told = c.now()
	c.promised, c.damaged, c.unsettled, c.cameBack = ls.Promised, ls.Damaged, ls.Unsettled, hs.Term > 0
	c.lostConfig = ls.LostConfig
	c.settleAlone()
	c.checkRepaired()
	return c, nil
}

// mixSeed spreads group, replica and seed over the generator's state, by FNV-1a.
func mixSeed(o *Options) (hi, lo uint64) {
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	mix := func(b byte) { h = (h ^ uint64(b)) * prime }
	for _, b := range o.Group {
		mix(b)
	}
	for s := 0; s < 64; s += 8 {
		mix(byte(o.ID >> s))
	}
	return h, o.Seed
}

// now returns what RoleChange reports.
func (c *Core) now() RoleChange {
	return RoleChange{Role: c.role, Leader: c.leader, Term: c.hard.Term, Serving: c.serving()}
}

// serving: a leader knows all that is committed once an entry of its own term is.
func (c *Core) serving() bool { return c.role == RoleLeader && c.commit >= c.lead.noop }

// peer returns the progress of another member, nil if id is none.
func (c *Core) peer(id ReplicaID) *progress {
	for i := range c.peers {
		if c.peers[i].id == id {
			return &c.peers[i]
		}
	}
	return nil
}

// Tick advances the core's time by one tick.
func (c *Core) Tick() {
	if c.fault != nil {
		return
	}
	c.ticks++
	if c.quiet {
		return
	}
	c.elapsed++
	c.yieldStalled()
	if c.role == RoleLeader {
		c.tickLeader()
	} else if c.elapsed >= c.timeout && c.hardDurable == c.hard && !c.stalled() {
		// A vote that is not on disk yet must have its chance first: were a disk slower
		// than the election timeout to start ever new elections, none would be won.
		c.Campaign()
	}
	c.check()
}

// Step hands in a message from another replica. The error says why it had no
// effect; it is never a reason to stop: ErrWrongGroup, ErrUnknownPeer, ErrStale,
// ErrSticky, ErrFaulted, ErrReadyFirst or a *ProtocolError, which the host
// should log. The core keeps no reference to m.
//
// configs are the configurations that stand in the entries of a MsgAppend, in
// ascending order, or the one in force at the start of a MsgJump; the driver finds them in the bytes, since the kinds of entries
// are not told in the message. Leaving one out breaks the group.
func (c *Core) Step(m *Message, configs ...ConfigEntry) error {
	if err := c.admit(m, configs); err != nil {
		return err
	}
	err := c.step(m, configs)
	c.retire()
	c.check()
	return err
}

func (c *Core) step(m *Message, configs []ConfigEntry) error {
	switch {
	case m.Term < c.hard.Term:
		return c.stepStale(m)
	case m.Term > c.hard.Term:
		if m.Type == MsgPreVote || m.Type == MsgPreVoteReply && !m.Reject {
			break // asks about a term that nobody is in yet
		}
		if m.Type == MsgVote && c.sticky() && !m.Transfer {
			return ErrSticky
		}
		if m.Type.reply() && c.role == RoleFollower && c.sticky() {
			// It answers what was asked before the leader was heard. Entering its term would
			// end the stickiness that the leader's lease counts on.
			return ErrSticky
		}
		leader := ReplicaID(0)
		if m.Type == MsgJump || m.Type == MsgAppend || m.Type == MsgHeartbeat || m.Type == MsgTimeoutNow {
			leader = m.From
		}
		c.becomeFollower(m.Term, leader)
	}
	switch m.Type {
	case MsgPreVote:
		return c.stepPreVote(m)
	case MsgVote:
		return c.stepVote(m)
	case MsgPreVoteReply, MsgVoteReply:
		return c.stepVoteReply(m)
	case MsgAppend:
		return c.stepAppend(m, configs)
	case MsgJump:
		return c.stepJump(m, configs)
	case MsgHeartbeat:
		return c.stepHeartbeat(m)
	case MsgAppendReply, MsgHeartbeatReply:
		return c.stepReply(m)
	default:
		return c.stepTimeoutNow(m)
	}
}

// stepStale answers a message of an earlier term, so that its sender learns the
// current one. A leader that was left behind steps down by it, and a replica
// stranded at a higher term than its leader gets back in.
func (c *Core) stepStale(m *Message) error {
	reply := Message{Reject: true, Context: m.Context}
	switch m.Type {
	case MsgPreVote:
		reply.Type = MsgPreVoteReply
	case MsgVote:
		reply.Type = MsgVoteReply
	case MsgAppend, MsgJump, MsgHeartbeat:
		reply.Type, reply.Index, reply.LogTerm = MsgAppendReply, m.Index, m.LogTerm
	default:
		return ErrStale
	}
	c.send(m.From, reply)
	return ErrStale
}

// send queues a message of the current term; the type's own fields are set.
func (c *Core) send(to ReplicaID, m Message) {
	switch m.Type {
	case MsgTimeoutNow:
		c.lead.handedOver = true
	case MsgAppend, MsgJump:
		c.quiet = false
	}
	if to == 0 || to == c.o.ID {
		invariants.Assertf(false, "%v for replica %d", m.Type, to)
	}
	m.Group, m.From, m.To = c.o.Group, c.o.ID, to
	if m.Term == 0 {
		m.Term = c.hard.Term
	}
	c.msgs = append(c.msgs, m)
}

// becomeFollower enters term, or stays in it. The vote is cleared only by a new
// term: stepping down within a term must not make a second vote possible.
func (c *Core) becomeFollower(term Term, leader ReplicaID) {
	if term < c.hard.Term {
		invariants.Assertf(false, "term falls from %d to %d", c.hard.Term, term)
	}
	was := c.role
	c.quiet = false
	if was == RoleLeader {
		c.loseLeadership()
	}
	if term > c.hard.Term {
		c.enterTerm(HardState{Term: term})
	}
	c.role, c.leader = RoleFollower, leader
	if was != RoleFollower || leader != 0 {
		if leader != 0 {
			c.tries, c.polls, c.summoned = 0, 0, false
		}
		c.resetTimer()
	}
}

// enterTerm moves to a later term and forgets what belonged to the old one.
func (c *Core) enterTerm(hs HardState) {
	if hs.Term <= c.hard.Term {
		invariants.Assertf(false, "term %d follows %d", hs.Term, c.hard.Term)
	}
	c.hard, c.hardDirty = hs, true
	c.leader, c.quiet = 0, false
	c.follow = followerState{verified: c.commit}
}

// becomeLeader opens the term with a no-op (§5.4.2): only an entry of the
// leader's own term can be committed by counting, and everything before with it.
func (c *Core) becomeLeader() {
	if c.role != RoleCandidate || c.hardDurable != c.hard || c.hard.Vote != c.o.ID {
		invariants.Assertf(false, "%v of term %d with hard state %v, durable %v takes the lead", c.role, c.hard.Term, c.hard, c.hardDurable)
	}
	c.role, c.leader = RoleLeader, c.o.ID
	c.elapsed, c.tries, c.polls = 0, 0, 0
	c.dropMissing()
	next := c.view.last + 1
	for i := range c.peers {
		c.peers[i].reset(next)
		c.peers[i].roundEnd = next // of ticks that begin at 0
	}
	c.lead.noop = next
	c.stage(Entries{Lo: next, Hi: next + 1, Term: c.hard.Term, Kind: KindNoOp})
	c.stagedBy = append(c.stagedBy, noOpSize)
	c.sendDue = true
}

// loseLeadership ends what only a leader can go on with. What was proposed stays
// in the log: a successor may still commit it.
func (c *Core) loseLeadership() {
	c.dropReads()
	c.lead = leaderState{reads: c.lead.reads, quota: c.lead.quota, sentAt: c.lead.sentAt}
	c.lead.reads.clear()
	c.lead.sentAt.clear()
	c.lead.quota.clear()
	c.sendDue = false
	for i := range c.peers {
		c.peers[i].reset(c.view.last + 1)
	}
}

// Faulted reports that the disk has failed: a write or sync was not done, and
// nobody knows what is there. The core steps down and from then on answers
// nothing, so that it neither votes nor acknowledges nor campaigns; only the
// pending Ready is still handed out, without disk work. Open the replica anew.
func (c *Core) Faulted(err error) {
	if c.fault != nil {
		return
	}
	if err == nil {
		err = ErrFaulted
	}
	c.becomeFollower(c.hard.Term, 0)
	c.fault = err
	c.follow.grant, c.poll = 0, pollState{}
	c.hardDirty, c.truncate, c.staged, c.stagedBy, c.stagedConfig = false, 0, Entries{}, nil, Config{}
	c.msgs = c.msgs[:0]
	if c.installing == installDue {
		c.installing = 0
	}
}
