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

// SetDamaged tells that entry first of the log, and maybe others behind it, can't
// be read: the bytes are damaged, though which entries they were is known. 0 tells
// that all are good again. Until then the replica acknowledges only what is before.
// It votes by its whole log, since what was counted on it for was the whole log. A
// leader goes on if the damage is in what is committed, which others have; else it
// hands over.
func (c *Core) SetDamaged(first Index) error {
	if c.fault != nil {
		return ErrFaulted
	}
	if first != 0 && (first <= c.view.prev.Index || first > c.view.last) {
		return fmt.Errorf("raft: entry %d is damaged in a log of (%d, %d]", first, c.view.prev.Index, c.view.last)
	}
	c.damaged, c.quiet = first, false
	switch {
	case c.role == RoleLeader && first > c.commit:
		c.yield()
	case first != 0 && (c.role == RoleCandidate || c.role == RolePreCandidate):
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

// abstains says that this replica's own vote counts for nothing, since its log has
// gaps. It still campaigns, with what is before the gap, if nothing is missing that
// is known to be committed: when a majority of the others votes for that, none of
// them has what is missing, and so it can't have been committed, since a majority
// with this replica and one without it share another one. The missing entries are
// dropped then. Without this a replica whose unique, never committed entry is
// damaged could refuse its vote to everyone else for ever.
func (c *Core) abstains() bool { return c.repairing() || c.damaged != 0 }

// mayWin says whether a campaign makes sense.
func (c *Core) mayWin() bool {
	return !c.abstains() || !c.alone() && (c.damaged == 0 || c.damaged > c.commit)
}

// ownBallot is this replica's vote for itself.
func (c *Core) ownBallot() ballot {
	if c.abstains() {
		return ballotOpen
	}
	return ballotYes
}

// lastSound returns the last entry before any damage: what a candidate has to offer.
func (c *Core) lastSound() EntryID {
	if c.damaged == 0 {
		return c.view.lastID()
	}
	t, ok := c.view.term(c.damaged - 1)
	if !ok {
		invariants.Assertf(false, "damaged entry %d of a log of (%d, %d]", c.damaged, c.view.prev.Index, c.view.last)
	}
	return EntryID{Term: t, Index: c.damaged - 1}
}

// dropMissing gives up, as a new leader, what a majority of the others hasn't got.
func (c *Core) dropMissing() {
	if c.damaged != 0 {
		c.truncateFrom(c.damaged)
	}
	c.promised = EntryID{}
}

// sound returns the end of the prefix that is on disk and can be read.
func (c *Core) sound() Index {
	if c.damaged != 0 {
		return min(c.view.durable, c.damaged-1)
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
