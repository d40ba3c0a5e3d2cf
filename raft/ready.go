package raft

import "github.com/logq/logq/internal/invariants"

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
	// Install, if not nil, replaces the whole log, before Append.
	Install *Jump
	// Append is the range of entries to add at the end of the log; Config is what the
	// one entry of KindConfig holds.
	Append Entries
	Config Config
	// Send may leave at once and in order: what waits for the disk stays in the
	// core until Persisted. The bytes of a MsgAppend are those of [Lo, Hi).
	Send []Message
	// Commit is the new commit index, 0 if it has not moved.
	Commit Index
	// Reads are the outcomes of Read.
	Reads []ReadResult
	// Lost are own proposals that never will be committed, because other entries
	// are in their place: they are definitely not written. An entry that was only
	// truncated is not lost yet; see claim.
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
	// a payload, and KindConfig for one entry whose payload is Ready.Config. KindData stands for own proposals, and for the entries that came
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

// Pending says whether Ready has something to hand out.
func (c *Core) Pending() bool {
	return c.hardDirty || c.truncate != 0 || c.installing == installDue || c.staged.Lo < c.staged.Hi || c.sendDue || len(c.msgs) > 0 ||
		c.commit != c.toldTo || len(c.results) > 0 || len(c.lost) > 0 || c.joint && c.leaveDue() || c.now() != c.told
}

// Ready hands out everything that is wanted since the last call. Call it after
// each Propose, after each Step of a MsgAppend with entries, and after
// Persisted; between other inputs it may gather.
func (c *Core) Ready() Ready {
	if c.joint && c.leaveDue() {
		c.appendConfig(c.config().Config.left())
	}
	if c.sendDue {
		c.sendDue = false
		for i := range c.peers {
			c.sendAppends(&c.peers[i])
		}
	}
	r := Ready{
		Hard: c.hard, SaveHard: c.hardDirty, Truncate: c.truncate, Append: c.staged, Config: c.stagedConfig,
		Send: c.msgs, Reads: c.results, Lost: c.lost,
	}
	install := c.installing == installDue
	if r.SaveHard || install || r.Append.Lo < r.Append.Hi { // a truncation comes with an append
		c.n++
		r.N = c.n
		c.writes.push(write{n: c.n, hard: c.hard, through: c.view.last, at: c.ticks})
		if install {
			r.Install, c.installing = &c.jump, c.n
		}
	}
	if c.commit != c.toldTo {
		r.Commit, c.toldTo = c.commit, c.commit
	}
	if now := c.now(); now != c.told {
		c.told, c.change = now, now
		r.Role = &c.change
	}
	c.hardDirty, c.truncate, c.staged, c.stagedBy, c.stagedConfig = false, 0, Entries{}, c.stagedBy[:0], Config{}
	c.msgs, c.results, c.lost = c.msgs[:0], c.results[:0], c.lost[:0]
	return r
}

// stage orders entries to be appended by the next Ready. They are of one source:
// the driver calls Ready in between.
func (c *Core) stage(e Entries) {
	s := &c.staged
	switch {
	case s.Lo == s.Hi:
		*s = e
	case s.Kind == KindData && c.role == RoleLeader && s.Hi == e.Lo && s.Term == e.Term:
		s.Hi = e.Hi
	default:
		invariants.Assertf(false, "entries [%d, %d) staged onto [%d, %d): Ready was not called in between", e.Lo, e.Hi, s.Lo, s.Hi)
	}
	c.view.append(e.Hi, e.Term)
}

// Persisted reports that the disk work of Ready n and of all before it is done:
// hard state in the journal, truncation and entries in the log. Numbers come in
// order; one that was reported before is ignored.
func (c *Core) Persisted(n uint64) {
	if n > c.n {
		invariants.Assertf(false, "Ready %d is reported as persisted, the last one was %d", n, c.n)
	}
	if c.fault != nil || c.writes.len() == 0 || c.writes.front().n > n {
		return
	}
	for c.writes.len() > 0 && c.writes.front().n <= n {
		w := c.writes.popFront()
		c.hardDurable = w.hard
		c.view.durable = max(c.view.durable, w.through)
		if c.installing == w.n {
			c.installing = 0
		}
	}
	c.checkRepaired()
	switch {
	case c.role == RoleLeader:
		c.maybeCommit()
	case c.role == RoleCandidate && !c.poll.open && c.hardDurable == c.hard:
		c.openPoll()
	default:
		c.releaseGrant()
		if c.role == RoleFollower && c.leader != 0 && c.follow.accepted && c.ackable() > c.follow.acked {
			c.acknowledge()
		}
	}
	c.retire()
	c.check()
}

// Status returns the state at this moment.
func (c *Core) Status() Status {
	s := Status{
		ID: c.o.ID, Term: c.hard.Term, Vote: c.hard.Vote, Role: c.role, Leader: c.leader, Serving: c.serving(),
		Transferring: c.lead.transfer.to, Commit: c.commit, Last: c.view.last, Durable: c.view.durable,
		Quiet: c.quiet, Repairing: c.repairing(), Stalled: c.stalled(), First: c.view.prev.Index + 1, Damaged: c.damaged, Unsettled: c.unsettled,
		Config: c.config().Config, ConfigIndex: c.config().Index,
		LastTerm: c.view.lastTerm(), UncommittedBytes: c.lead.quotaInBytes, Faulted: c.fault,
	}
	c.peersAt = c.peersAt[:0]
	for i := range c.peers {
		p := &c.peers[i]
		ps := PeerStatus{ID: p.id, Voter: p.seat.votes()}
		if c.role == RoleLeader {
			ps = PeerStatus{
				ID: p.id, Voter: p.seat.votes(), CaughtUp: p.caughtUp, Jumping: p.jumping, Match: p.match, Next: p.next, Replicating: p.replicating,
				InflightBytes: p.windowBytes, InflightMessages: p.window.len(), Active: p.active,
			}
		}
		c.peersAt = append(c.peersAt, ps)
	}
	s.Peers = c.peersAt
	return s
}
