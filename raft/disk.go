package raft

import (
	"fmt"

	"github.com/logq/logq/internal/invariants"
)

// What the core knows of its disk beside numbered writes: what it lost, and
// whether it hangs.

// upToDate says whether a log that ends with e is at least as up-to-date as one
// that ends with o (§5.4.1).
func (e EntryID) upToDate(o EntryID) bool {
	if e.Term != o.Term {
		return e.Term > o.Term
	}
	return e.Index >= o.Index
}

// repairing says that the log has lost what this replica had acknowledged, and
// hasn't got it again (docs/internals/raft.md, S8). A majority that counted on it
// may be gone then, so the replica votes only for whom the whole log would have
// voted for, and counts for nothing in an election of its own.
func (c *Core) repairing() bool { return c.promised.Index != 0 }

// checkRepaired ends the repair when what is durable is as up-to-date as what was
// lost: a leader has sent that, or committed something in its place.
func (c *Core) checkRepaired() {
	if !c.repairing() || c.installing != 0 {
		return
	}
	if t, ok := c.view.term(c.view.durable); ok && (EntryID{Term: t, Index: c.view.durable}).upToDate(c.promised) {
		c.promised = EntryID{}
	}
}

// SetDamaged tells which entries of the log can't be read: the bytes are damaged,
// though which entries they were is known. first is the first of them, 0 if there is
// none; unsettled is the first that lies above the commit index, 0 if none does. The
// driver tells again when its commit index passes unsettled.
//
// What is committed is on others too, and doesn't bear on this replica's part in the
// group: it is missing only to those who want to read it here. An entry that may not be
// committed does: the replica acknowledges only what is before, and a leader hands
// over. It votes by its whole log, since what was counted on it for was the whole log.
func (c *Core) SetDamaged(first, unsettled Index) error {
	if c.fault != nil {
		return ErrFaulted
	}
	for _, i := range [...]Index{first, unsettled} {
		if i != 0 && (i <= c.view.prev.Index || i > c.view.last) || unsettled != 0 && (first == 0 || first > unsettled) {
			return fmt.Errorf("raft: entries from %d and %d on are damaged in a log of (%d, %d]", first, unsettled, c.view.prev.Index, c.view.last)
		}
	}
	c.damaged, c.unsettled, c.quiet, c.follow.waits = first, unsettled, false, false
	c.settleAlone()
	unsettled = c.unsettled
	switch {
	case c.role == RoleLeader && unsettled > c.commit:
		c.yield()
	case unsettled != 0 && (c.role == RoleCandidate || c.role == RolePreCandidate):
		c.becomeFollower(c.hard.Term, 0) // it has asked with a log that it hasn't got
	case c.role == RoleLeader:
		c.maybeCommit()
		c.retire()
	case c.role == RoleFollower && c.leader != 0 && c.follow.accepted && c.ackable() > c.follow.acked:
		c.acknowledge()
	}
	c.check()
	return nil
}

// settleAlone: all that is on the disk of the only voter is committed, and nobody else
// could have it.
func (c *Core) settleAlone() {
	if c.alone() {
		c.unsettled = 0
	}
}

// abstains says that this replica's own vote counts for nothing, since its log has
// gaps. It still campaigns, with what is before the gap, if nothing is missing that
// is known to be committed: when a majority of the others votes for that, none of
// them has what is missing, and so it can't have been committed, since a majority
// with this replica and one without it share another one. The missing entries are
// dropped then. Without this a replica whose unique, never committed entry is
// damaged could refuse its vote to everyone else for ever.
func (c *Core) abstains() bool { return c.repairing() || c.unsettled != 0 }

// mayWin says whether a campaign makes sense. What is behind the damage would be
// dropped, a configuration too: with one there this replica doesn't campaign, since it
// would count votes by a configuration that its log, as far as it counts, hasn't got.
// And nothing is cut off behind damage that is settled: that is repaired first.
func (c *Core) mayWin() bool {
	if c.configLost() && (c.unsettled == 0 || c.lostConfig < c.unsettled) {
		return false // it would count votes by a configuration that isn't in force any more
	}
	return !c.abstains() || !c.alone() && (c.unsettled == 0 || c.unsettled > c.commit && c.damaged == c.unsettled && c.config().Index < c.unsettled)
}

// configLost says that the configuration in force can't be read.
func (c *Core) configLost() bool { return c.lostConfig > c.config().Index }

// ownBallot is this replica's vote for itself.
func (c *Core) ownBallot() ballot {
	if c.abstains() {
		return ballotOpen
	}
	return ballotYes
}

// lastSound returns the last entry before any unsettled damage: what a candidate has
// to offer.
func (c *Core) lastSound() EntryID {
	if c.unsettled == 0 {
		return c.view.lastID()
	}
	t, ok := c.view.term(c.unsettled - 1)
	if !ok {
		invariants.Assertf(false, "unsettled damaged entry %d of a log of (%d, %d]", c.unsettled, c.view.prev.Index, c.view.last)
	}
	return EntryID{Term: t, Index: c.unsettled - 1}
}

// dropMissing gives up, as a new leader, what a majority of the others hasn't got.
func (c *Core) dropMissing() {
	if c.unsettled != 0 {
		c.truncateFrom(c.unsettled)
	}
	c.promised = EntryID{}
}

// sound returns the end of the prefix that is on disk, and readable where it isn't
// settled.
func (c *Core) sound() Index {
	if c.unsettled != 0 {
		return min(c.view.durable, c.unsettled-1)
	}
	return c.view.durable
}

// mayTrust says whether a vote for a candidate whose log ends with last keeps
// what this replica has promised.
func (c *Core) mayTrust(last EntryID) bool { return c.view.behind(last) && last.upToDate(c.promised) }

// stalled says that the oldest write is on its way for longer than an election
// timeout: the disk hangs, though no call has failed (docs/internals/raft.md, D7).
func (c *Core) stalled() bool {
	return c.writes.len() > 0 && c.ticks-c.writes.front().at > uint64(c.o.ElectionTicks)
}

// yieldStalled hands leadership over if the own disk hangs and another's doesn't:
// a voter has on disk what this replica wrote earlier and has not. The group could
// go on with this leader as long as a majority without it has working disks, but
// it would be a crash that nobody notices. If all disks are that slow, a change of
// leaders mends nothing.
func (c *Core) yieldStalled() {
	if c.role != RoleLeader || !c.stalled() {
		return
	}
	for i := range c.peers {
		if p := &c.peers[i]; p.seat.in && p.active && p.match > c.view.durable {
			c.yield()
			return
		}
	}
}

// yield ends the leadership and lets the closest voter campaign at once.
func (c *Core) yield() {
	if to := c.closest(0); to != 0 {
		c.sendAppends(c.peer(to)) // what it has not got yet goes first
		c.send(to, Message{Type: MsgTimeoutNow})
	}
	c.becomeFollower(c.hard.Term, 0)
}
