package raft

import (
	"errors"

	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/raft/quorum"
)

// noOpSize is what a no-op counts in windows, whose real size only the driver
// knows.
const noOpSize = 1

// errNoProposal refuses a Propose without entries.
var errNoProposal = errors.New("raft: Propose needs at least one entry, and no size may be negative")

// leaderState is what only a leader has beside its peers' progress. Zero unless
// leading.
type leaderState struct {
	// noop is the index of the entry that opened the term. Only at or behind it may
	// an index be committed by counting (§5.4.2).
	noop Index

	// round numbers heartbeats, regular ones and those that reads ask for; beat is
	// the round of the last regular one, beats how many of those there were.
	round, beat  uint64
	beats        uint64
	ticks        uint64 // of this leadership
	sinceBeat    int    // ticks
	reads        ring[pendingRead]
	transfer     transferState
	quota        ring[proposed]
	quotaInBytes int // Invariant: the sum over quota

	// The lease: rounds whose answers are waited for, and the newest answered one.
	sentAt     ring[leaseRound]
	leaseFrom  uint64
	leased     bool
	handedOver bool   // someone was asked to take over, in this term
	hush       uint64 // the round in which the followers were asked to be quiet
}

// proposed is a proposal that is not committed.
type proposed struct {
	last  Index
	bytes int
}

// Propose appends entries of the given sizes, in bytes, as leader (one of size 0
// counts 1 in the quota); the driver
// writes their bytes when the next Ready names the range. term is the leader
// term that the caller counts on, 0 for any.
//
// Errors, which all mean that nothing was written: *NotLeaderError (also when
// the term is another), ErrBusy beyond MaxUncommittedBytes, ErrTransferring,
// ErrReadyFirst, ErrFaulted.
func (c *Core) Propose(term Term, sizes []int) (first Index, err error) {
	switch {
	case c.fault != nil:
		return 0, ErrFaulted
	case c.role != RoleLeader || term != 0 && term != c.hard.Term:
		return 0, &NotLeaderError{Leader: c.leader, Term: c.hard.Term}
	case c.lead.transfer.to != 0:
		return 0, ErrTransferring
	case c.staged.Lo < c.staged.Hi && c.staged.Kind != KindData || c.truncate != 0:
		return 0, ErrReadyFirst
	case len(sizes) == 0 || c.view.last > maxIndex-Index(len(sizes)):
		return 0, errNoProposal
	}
	total := 0
	for _, s := range sizes {
		if s < 0 {
			return 0, errNoProposal
		}
		total += max(s, 1)
	}
	if c.lead.quotaInBytes > 0 && c.lead.quotaInBytes+total > c.o.MaxUncommittedBytes {
		return 0, ErrBusy
	}
	first = c.view.last + 1
	hi := first + Index(len(sizes))
	c.stage(Entries{Lo: first, Hi: hi, Term: c.hard.Term, Kind: KindData})
	c.stagedBy = append(c.stagedBy, sizes...)
	c.lead.quota.push(proposed{last: hi - 1, bytes: total})
	c.lead.quotaInBytes += total
	c.quiet = false
	c.claim(first, hi)
	c.sendDue = true
	c.check()
	return first, nil
}

// tickLeader sends heartbeats, checks the quorum and times transfers.
func (c *Core) tickLeader() {
	c.lead.ticks++
	if c.elapsed >= c.o.ElectionTicks {
		c.elapsed = 0
		c.checkQuorum()
		if c.role != RoleLeader {
			return
		}
	}
	c.lead.sinceBeat++
	beat := c.lead.sinceBeat >= c.o.HeartbeatTicks
	if beat {
		c.broadcastHeartbeat(true)
		c.renewLease()
		c.confirmReads()
	}
	c.tickTransfer(beat)
}

// broadcastHeartbeat starts a round. regular ones come by the clock and are the
// measure for lost appends.
func (c *Core) broadcastHeartbeat(regular bool) {
	c.lead.round++
	if regular {
		c.lead.sinceBeat, c.lead.beat = 0, c.lead.round
		c.lead.beats++
	}
	c.noteRound()
	quiet := regular && c.settled()
	if quiet {
		c.lead.hush = c.lead.round
	}
	for i := range c.peers {
		p := &c.peers[i]
		p.quiet = false
		if regular {
			p.mark()
		}
		c.send(p.id, Message{Type: MsgHeartbeat, Commit: c.commit, Context: c.lead.round, Quiet: quiet})
	}
	c.quiet = quiet && len(c.peers) == 0
}

// heardLeader notes a message of the current term's leader, which every other
// role follows from then on. The vote stays as it is.
func (c *Core) heardLeader(m *Message) error {
	switch {
	case c.role == RoleLeader, c.role == RoleFollower && c.leader != 0 && c.leader != m.From:
		return &ProtocolError{From: m.From, Type: m.Type, Term: m.Term, What: "another replica leads this term"}
	case c.role != RoleFollower || c.leader == 0:
		c.becomeFollower(c.hard.Term, m.From)
	}
	c.elapsed, c.tries, c.polls, c.quiet = 0, 0, 0, false
	return nil
}

// stepHeartbeat answers with what an append would be answered with, so that a
// lost acknowledgement is made up for.
func (c *Core) stepHeartbeat(m *Message) error {
	if err := c.heardLeader(m); err != nil {
		return err
	}
	c.commitTo(min(m.Commit, c.follow.verified))
	c.hush(m)
	c.send(m.From, Message{Type: MsgHeartbeatReply, Index: c.ackable(), HintIndex: c.follow.verified, Context: m.Context, Quiet: c.quiet})
	return nil
}

// ackable is the end of the prefix that may be acknowledged: verified, and both
// its entries and the term in which that is promised on disk (docs/internals/raft.md, D4).
func (c *Core) ackable() Index {
	if c.hardDurable.Term != c.hard.Term || c.installing != 0 {
		return 0
	}
	return min(c.follow.verified, c.sound())
}

// stepAppend is AppendEntries (§5.3) with what late and duplicated messages
// need: entries that are there already are never removed, and what is verified
// is the prefix that this and earlier appends of the term speak of, not the log.
func (c *Core) stepAppend(m *Message, configs []ConfigEntry) error {
	if err := c.heardLeader(m); err != nil {
		return err
	}
	prev := EntryID{Term: m.LogTerm, Index: m.Index}
	if !c.view.has(prev) && m.Index > c.commit {
		if c.follow.waits {
			return ErrDamaged // it follows on what is refused; an answer would only make the leader hurry
		}
		e, first := c.view.hint(prev)
		c.send(m.From, Message{
			Type: MsgAppendReply, Reject: true, Index: m.Index, LogTerm: m.LogTerm,
			HintIndex: e.Index, HintTerm: e.Term, HintFirst: first, Context: m.Context,
		})
		return nil
	}
	from := m.Hi
	if lo := max(m.Lo, c.view.prev.Index+1); lo < m.Hi {
		from = c.view.conflict(lo, m.Hi, m.EntryTerm)
	}
	if what := c.contradiction(m, from); what != "" {
		return &ProtocolError{From: m.From, Type: m.Type, Term: m.Term, What: what}
	}
	if c.damaged != 0 && c.damaged < from && from <= c.view.last && from < m.Hi {
		// What is cut off may be the evidence that what is damaged was there.
		c.follow.waits = true
		return ErrDamaged
	}
	if from < m.Hi {
		if from <= c.view.last {
			c.truncateFrom(from)
		}
		c.stage(Entries{Lo: from, Hi: m.Hi, Term: m.EntryTerm, Kind: KindData})
		for _, e := range configs {
			if e.Index >= from {
				c.adopt(ConfigEntry{Index: e.Index, Config: e.Config.Clone()})
			}
		}
	}
	c.follow.verified = max(c.follow.verified, m.Hi-1)
	c.follow.accepted, c.follow.context = true, m.Context
	c.commitTo(min(m.Commit, c.follow.verified))
	if from >= m.Hi {
		c.acknowledge()
	}
	return nil
}

// contradiction says how the leader of m contradicts what is committed or what
// it has said before, "" if it doesn't: no correct leader does. from is the first
// entry that m would add or replace.
func (c *Core) contradiction(m *Message, from Index) string {
	switch prev := (EntryID{Term: m.LogTerm, Index: m.Index}); {
	case m.Index >= c.view.prev.Index && !c.view.has(prev):
		return "it puts another entry before the new ones where one is committed"
	case from >= m.Hi:
		return ""
	case from <= c.follow.verified:
		return "it would replace an entry that is committed or that it has sent itself"
	}
	if t, _ := c.view.term(from - 1); t > m.EntryTerm {
		return "the term falls along its log"
	}
	return ""
}

// acknowledge tells the leader how far this log equals its own and is durable.
func (c *Core) acknowledge() {
	c.follow.acked = c.ackable()
	c.send(c.leader, Message{
		Type: MsgAppendReply, Index: c.follow.acked, HintIndex: c.follow.verified, Context: c.follow.context,
	})
}

// truncateFrom drops the entries from i on, which another leader replaces.
func (c *Core) truncateFrom(i Index) {
	if i <= c.commit {
		invariants.Assertf(false, "truncation at %d, committed is %d", i, c.commit)
	}
	c.view.truncate(i)
	// A write on its way says nothing about what will stand from i on (D1).
	for k := range c.writes.len() {
		w := c.writes.at(k)
		w.through = min(w.through, i-1)
	}
	c.truncate = i
	if c.unsettled >= i {
		c.unsettled = 0
	}
	if c.damaged >= i {
		c.damaged = 0
	}
	if c.lostConfig >= i {
		c.lostConfig = 0
	}
	c.dropConfigs(i)
}

// commitTo moves the commit index up to i.
func (c *Core) commitTo(i Index) {
	if i <= c.commit {
		return
	}
	if i > c.view.last {
		invariants.Assertf(false, "commit %d of a log that ends at %d", i, c.view.last)
	}
	c.commit = i
	c.follow.verified = max(c.follow.verified, i)
	c.settleOwn()
	if len(c.configs) > 1 {
		c.settleConfigs()
	}
	if c.role != RoleLeader {
		return
	}
	for c.lead.quota.len() > 0 && c.lead.quota.front().last <= i {
		c.lead.quotaInBytes -= c.lead.quota.popFront().bytes
	}
	c.confirmReads()
}

func (p *progress) matched() uint64  { return uint64(p.match) }
func (p *progress) answered() uint64 { return p.round }

// reached returns what a majority has reached, in the joint state of each set of
// voters. self is this replica's own share, if it votes.
func (c *Core) reached(self uint64, share func(*progress) uint64) uint64 {
	r := c.reachedBy(self, share, false)
	if c.joint {
		r = min(r, c.reachedBy(self, share, true))
	}
	return r
}

func (c *Core) reachedBy(self uint64, share func(*progress) uint64, outgoing bool) uint64 {
	c.scratch = c.scratch[:0]
	if c.seat.in && !outgoing || c.seat.out && outgoing {
		c.scratch = append(c.scratch, self)
	}
	for i := range c.peers {
		if p := &c.peers[i]; p.seat.in && !outgoing || p.seat.out && outgoing {
			c.scratch = append(c.scratch, share(p))
		}
	}
	return quorum.Reached(c.scratch)
}

// maybeCommit commits what a majority has on disk, if the last such entry is of
// this leader's own term: an older one can still be replaced (§5.4.2, figure 8).
// The leader's own share is what is durable here, not what it wrote (D4).
func (c *Core) maybeCommit() {
	if i := Index(c.reached(uint64(c.sound()), (*progress).matched)); i > c.commit && i >= c.lead.noop {
		if t, ok := c.view.term(i); !ok || t != c.hard.Term {
			invariants.Assertf(false, "entry %d behind the no-op %d of term %d has term %d", i, c.lead.noop, c.hard.Term, t)
		}
		c.commitTo(i)
	}
}
