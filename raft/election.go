package raft

import (
	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/raft/quorum"
)

// pollState is the election or pre-vote that is running. The answers are in the
// peers' progress.
type pollState struct {
	// round numbers pre-votes, so that an answer to an earlier one is not counted.
	round uint64
	// open: an election's requests have left, because this replica's own vote is
	// durable. Until then no answer can be to this election.
	open bool
	// transfer: the leader has asked for this election.
	transfer bool
}

// resetTimer starts the wait for a leader anew, with a new timeout.
func (c *Core) resetTimer() {
	c.elapsed = 0
	e := c.o.ElectionTicks
	switch {
	case c.tries > 0 || c.o.Priority == 0:
		c.timeout = e + c.random(e)
	case c.o.Priority > 0:
		c.timeout = e + c.random((e+3)/4)
	default:
		c.timeout = 2*e + c.random(e)
	}
}

// random returns a number in [0, n).
func (c *Core) random(n int) int { return int(c.pcg.Uint64() % uint64(n)) }

// sticky says that this replica has a leader that it hears, or leads with a
// quorum that hears it, and so takes no part in elections: a replica that was
// cut off must not depose a leader who serves everyone else (diss. §4.2.3).
//
// With leases a replica that comes back must keep what it doesn't remember: it
// may have answered a leader just before it stopped.
func (c *Core) sticky() bool {
	if c.o.Lease > 0 && c.cameBack && c.ticks < uint64(c.o.ElectionTicks) {
		return true
	}
	return c.leader != 0 && c.elapsed < c.o.ElectionTicks
}

// Campaign starts an election as if the election timeout had passed: with a
// pre-vote, which asks for a majority's consent before it disturbs the term. On
// a leader it does nothing.
func (c *Core) Campaign() {
	if c.fault != nil || c.role == RoleLeader {
		return
	}
	c.quiet = false
	if !c.mayLead() || !c.mayWin() {
		// It misses its leader all the same, and may be a voter by a configuration that
		// it hasn't got: it must not refuse its vote for the leader's sake for ever.
		c.becomeFollower(c.hard.Term, 0)
		c.resetTimer()
		return
	}
	c.tries++
	if c.alone() {
		c.campaign(false)
		return
	}
	c.role, c.leader = RolePreCandidate, 0
	c.resetTimer()
	c.newPoll()
	last := c.lastSound()
	for i := range c.peers {
		if !c.peers[i].seat.votes() {
			continue
		}
		c.send(c.peers[i].id, Message{
			Type: MsgPreVote, Term: c.hard.Term + 1, Index: last.Index, LogTerm: last.Term, Context: c.poll.round,
		})
	}
}

func (c *Core) newPoll() {
	c.poll = pollState{round: c.poll.round + 1}
	for i := range c.peers {
		c.peers[i].vote = ballotOpen
	}
}

// campaign enters the next term and votes for itself. The requests wait until
// that vote is durable (openPoll).
func (c *Core) campaign(transfer bool) {
	if c.hard.Term >= maxTerm {
		return
	}
	c.enterTerm(HardState{Term: c.hard.Term + 1, Vote: c.o.ID})
	c.role = RoleCandidate
	c.resetTimer()
	c.newPoll()
	c.poll.transfer = transfer
}

// patienceMax is how often a candidate's timeout doubles: elections need the disks
// of a majority, which may be slower than the timeout that suits the network.
const patienceMax = 3

// openPoll asks for votes once the own vote is on disk, and with it, since
// writes are persisted in order, every entry of the log that the request speaks
// of. Were it sent before, a crash could take both: the replica could come back
// with a shorter log, campaign in the same term again and count a vote that was
// given for the longer one.
func (c *Core) openPoll() {
	c.poll.open = true
	c.elapsed = 0
	e := c.o.ElectionTicks << min(c.polls, patienceMax)
	c.timeout = e + c.random(e) // of the whole range, or those who collide do so again
	c.polls++
	last := c.lastSound()
	if c.view.durable < last.Index {
		invariants.Assertf(false, "candidate's vote is durable, its log only up to %d of %v", c.view.durable, last)
	}
	for i := range c.peers {
		if !c.peers[i].seat.votes() {
			continue
		}
		c.send(c.peers[i].id, Message{Type: MsgVote, Index: last.Index, LogTerm: last.Term, Transfer: c.poll.transfer})
	}
	c.tally()
}

// poll counts the answers of one set of voters.
type poll struct{ yes, no, n int }

func (p *poll) add(voter bool, b ballot) {
	if !voter {
		return
	}
	p.n++
	switch b {
	case ballotYes:
		p.yes++
	case ballotNo:
		p.no++
	}
}

func (p *poll) result() quorum.Result { return quorum.Count(p.yes, p.no, p.n) }

// alone says that this replica is the only voter.
func (c *Core) alone() bool {
	if c.configLost() {
		return false
	}
	for i := range c.peers {
		if c.peers[i].seat.votes() {
			return false
		}
	}
	return c.seat.votes()
}

// tally counts the running poll, with the own vote.
func (c *Core) tally() {
	var in, out poll
	in.add(c.seat.in, c.ownBallot())
	out.add(c.seat.out, c.ownBallot())
	for i := range c.peers {
		p := &c.peers[i]
		in.add(p.seat.in, p.vote)
		out.add(p.seat.out, p.vote)
	}
	result := in.result()
	if c.joint {
		result = quorum.Both(result, out.result())
	}
	switch result {
	case quorum.Won:
		if c.role == RolePreCandidate {
			c.campaign(false)
		} else {
			c.becomeLeader()
		}
	case quorum.Lost:
		c.becomeFollower(c.hard.Term, 0)
	}
}

// stepPreVote answers whether this replica would vote for the sender in m.Term,
// a term that nobody needs to be in yet. It changes nothing here.
func (c *Core) stepPreVote(m *Message) error {
	if c.sticky() {
		// Who asks has lost trust in a quiet leader; a heartbeat gives it back.
		if c.role == RoleLeader {
			c.Wake(0)
		}
		return ErrSticky
	}
	grant := c.mayTrust(EntryID{Term: m.LogTerm, Index: m.Index}) && !c.stalled() && (m.Term > c.hard.Term || c.mayVote(m.From))
	reply := Message{Type: MsgPreVoteReply, Context: m.Context, Reject: !grant}
	if grant {
		reply.Term = m.Term
	} else {
		c.summon(m)
	}
	c.send(m.From, reply)
	return nil
}

// mayVote says whether the vote of the current term is free for id, or id's.
func (c *Core) mayVote(id ReplicaID) bool {
	return c.hard.Vote == id || c.hard.Vote == 0 && c.leader == 0
}

// summon notes that a candidate has counted on this replica, and is behind its log.
func (c *Core) summon(m *Message) {
	c.summoned = c.summoned || !c.view.behind(EntryID{Term: m.LogTerm, Index: m.Index})
}

// stepVote answers a candidate of the current term. A grant leaves when it is
// durable.
func (c *Core) stepVote(m *Message) error {
	if !c.mayVote(m.From) || !c.mayTrust(EntryID{Term: m.LogTerm, Index: m.Index}) {
		c.summon(m)
		c.send(m.From, Message{Type: MsgVoteReply, Reject: true})
		return nil
	}
	if c.role == RolePreCandidate {
		c.becomeFollower(c.hard.Term, 0) // another got further
	}
	if c.hard.Vote == 0 {
		c.hard.Vote, c.hardDirty = m.From, true
	}
	c.elapsed = 0
	c.follow.grant = m.From
	c.releaseGrant()
	return nil
}

// releaseGrant tells the candidate once the vote is durable.
func (c *Core) releaseGrant() {
	if c.follow.grant != 0 && c.hardDurable == c.hard {
		c.send(c.follow.grant, Message{Type: MsgVoteReply})
		c.follow.grant = 0
		c.elapsed = 0
	}
}

// stepVoteReply counts an answer to the running poll: of its kind, its term and,
// for a pre-vote, its round.
func (c *Core) stepVoteReply(m *Message) error {
	if m.Type == MsgPreVoteReply {
		if c.role != RolePreCandidate || m.Context != c.poll.round || !m.Reject && m.Term != c.hard.Term+1 {
			return ErrStale
		}
	} else if c.role != RoleCandidate || !c.poll.open {
		return ErrStale
	}
	p := c.peer(m.From)
	if p.vote != ballotOpen || !p.seat.votes() {
		return ErrStale
	}
	p.vote = ballotYes
	if m.Reject {
		p.vote = ballotNo
	}
	c.tally()
	return nil
}

// checkQuorum ends a leadership that a majority doesn't hear any more: another
// leader may exist, and clients must not wait here (diss. §6.2).
func (c *Core) checkQuorum() {
	var in, out poll
	in.add(c.seat.in, ballotYes)
	out.add(c.seat.out, ballotYes)
	for i := range c.peers {
		p := &c.peers[i]
		heard := ballotOpen
		if p.active {
			heard = ballotYes
		} else {
			p.caughtUp, p.roundStart, p.roundEnd = false, c.lead.ticks, c.view.last
		}
		in.add(p.seat.in, heard)
		out.add(p.seat.out, heard)
		p.active = false
	}
	if in.result() != quorum.Won || c.joint && out.result() != quorum.Won {
		c.becomeFollower(c.hard.Term, 0)
	}
}
