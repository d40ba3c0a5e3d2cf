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
func (c *Core) sticky() bool { return c.leader != 0 && c.elapsed < c.o.ElectionTicks }

// Campaign starts an election as if the election timeout had passed: with a
// pre-vote, which asks for a majority's consent before it disturbs the term. On
// a leader it does nothing.
func (c *Core) Campaign() {
	if c.fault != nil || c.role == RoleLeader {
		return
	}
	c.tries++
	if c.voters() == 1 {
		c.campaign(false)
		return
	}
	c.role, c.leader = RolePreCandidate, 0
	c.resetTimer()
	c.newPoll()
	last := c.view.lastID()
	for i := range c.peers {
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
	c.resetTimer()
	c.timeout <<= min(c.polls, patienceMax)
	c.polls++
	last := c.view.lastID()
	if c.view.durable < last.Index {
		invariants.Assertf(false, "candidate's vote is durable, its log only up to %d of %v", c.view.durable, last)
	}
	for i := range c.peers {
		c.send(c.peers[i].id, Message{Type: MsgVote, Index: last.Index, LogTerm: last.Term, Transfer: c.poll.transfer})
	}
	c.tally()
}

// tally counts the running poll, with the own vote.
func (c *Core) tally() {
	yes, no := 1, 0
	for i := range c.peers {
		switch c.peers[i].vote {
		case ballotYes:
			yes++
		case ballotNo:
			no++
		}
	}
	switch quorum.Count(yes, no, c.voters()) {
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
		return ErrSticky
	}
	grant := c.view.behind(EntryID{Term: m.LogTerm, Index: m.Index}) && (m.Term > c.hard.Term || c.mayVote(m.From))
	reply := Message{Type: MsgPreVoteReply, Context: m.Context, Reject: !grant}
	if grant {
		reply.Term = m.Term
	}
	c.send(m.From, reply)
	return nil
}

// mayVote says whether the vote of the current term is free for id, or id's.
func (c *Core) mayVote(id ReplicaID) bool {
	return c.hard.Vote == id || c.hard.Vote == 0 && c.leader == 0
}

// stepVote answers a candidate of the current term. A grant leaves when it is
// durable.
func (c *Core) stepVote(m *Message) error {
	if !c.mayVote(m.From) || !c.view.behind(EntryID{Term: m.LogTerm, Index: m.Index}) {
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
	if p.vote != ballotOpen {
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
	active := 1
	for i := range c.peers {
		if c.peers[i].active {
			active++
		}
		c.peers[i].active = false
	}
	if active < quorum.Size(c.voters()) {
		c.becomeFollower(c.hard.Term, 0)
	}
}
