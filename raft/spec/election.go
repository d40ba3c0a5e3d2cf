package spec

import (
	"slices"

	"github.com/logq/logq/raft"
)

// cause is why an election may begin at an input.
type cause uint8

const (
	never     cause = iota
	byTime          // and this replica is the only voter
	byConsent       // a majority has consented to a pre-vote
	byRequest       // the leader hands over
)

// updateTerm: the replica has seen a later term (UpdateTerm of the paper).
func (r *Replica) updateTerm(t raft.Term) {
	r.enter(t, 0)
	r.role = raft.RoleFollower
}

// enter moves to a later term, in which only the committed prefix is known to be
// the next leader's too.
func (r *Replica) enter(t raft.Term, vote raft.ReplicaID) {
	r.sends.past = append(r.sends.past, r.sends.now)
	r.sends.now = era{term: t}
	r.term, r.vote, r.leader = t, vote, 0
	r.verified = r.commit
	r.poll.votes = r.poll.votes[:0]
}

// preVote: the replica asks whether an election would succeed.
func (r *Replica) preVote() error {
	if err := r.mayCampaign("PreVote"); err != nil {
		return err
	}
	r.role, r.leader = raft.RolePreCandidate, 0
	r.poll.pre = r.poll.pre[:0]
	return nil
}

// timeout: the replica enters the next term as a candidate (Timeout of the paper).
func (r *Replica) timeout(why cause) error {
	const action = "Timeout"
	if err := r.mayCampaign(action); err != nil {
		return err
	}
	switch why {
	case never:
		return r.refuse(action, "an election begins by time, consent or the leader's request", "candidate of term %d", r.term+1)
	case byTime:
		if !r.alone() {
			return r.refuse(action, "a majority has consented to a pre-vote", "of %v nobody was asked", r.config().Config)
		}
	case byConsent:
		if !r.majority(func(id raft.ReplicaID) bool { return id == r.id && !r.abstains() || slices.Contains(r.poll.pre, id) }) {
			return r.refuse(action, "a majority has consented to a pre-vote", "%d of %v in round %d", r.poll.pre, r.config().Config, r.poll.round)
		}
	}
	r.enter(r.term+1, r.id)
	r.role = raft.RoleCandidate
	r.poll.offer, r.poll.transfer = r.offer(), why == byRequest
	return nil
}

func (r *Replica) mayCampaign(action string) error {
	// raft.tla lets any server time out. The core lets no one disturb the others that
	// isn't a member by any configuration that may count.
	member := slices.ContainsFunc(r.configs, func(e raft.ConfigEntry) bool { return e.Config.Contains(r.id) })
	switch {
	case r.faulted:
		return r.refuse(action, "the disk works", "it has failed")
	case r.role == raft.RoleLeader:
		return r.refuse(action, "the replica doesn't lead", "it leads term %d", r.term)
	case !member:
		return r.refuse(action, "the replica is a member", "it is none in %v", r.configs)
	case r.abstains() && (r.alone() || r.unsettled != 0 && (r.unsettled <= r.commit || r.config().Index >= r.unsettled)):
		return r.refuse(action, "nothing that is committed is missing", "promised %v, damaged %d, commit %d", r.promised, r.unsettled, r.commit)
	}
	return nil
}

// vote: the replica gives its vote (HandleRequestVoteRequest of the paper).
func (r *Replica) giveVote(m *raft.Message) error {
	const action = "HandleRequestVote"
	last := raft.EntryID{Term: m.LogTerm, Index: m.Index}
	switch {
	case m.Term != r.term:
		return r.refuse(action, "the candidate is of this term", "%d of %d", m.Term, r.term)
	case r.vote != 0 && r.vote != m.From:
		return r.refuse(action, "the vote of the term is free", "replica %d has it", r.vote)
	case !upToDate(last, r.log.lastID()):
		return r.refuse(action, "the candidate's log is at least as up-to-date", "it ends with %v, this one with %v", last, r.log.lastID())
	case !upToDate(last, r.promised):
		return r.refuse(action, "the candidate's log is at least as up-to-date as what was promised", "it ends with %v, promised was %v", last, r.promised)
	}
	r.vote = m.From
	return nil
}

// countVote: an answer comes (HandleRequestVoteResponse of the paper).
func (r *Replica) countVote(m *raft.Message) error {
	if r.role != raft.RoleCandidate || m.Term != r.term || m.Reject {
		return nil
	}
	if !r.g.o.Forged {
		v := r.g.find(m.From)
		if v == nil || v.past.vote(m.Term) != r.id {
			return r.refuse("HandleRequestVoteResponse", "the voter has given its vote", "replica %d in term %d", m.From, m.Term)
		}
	}
	r.poll.votes = add(r.poll.votes, m.From)
	return nil
}

// countConsent: a pre-vote is answered.
func (r *Replica) countConsent(m *raft.Message) {
	if r.role == raft.RolePreCandidate && !m.Reject && m.Term == r.term+1 && m.Context == r.poll.round {
		r.poll.pre = add(r.poll.pre, m.From)
	}
}

func add(ids []raft.ReplicaID, id raft.ReplicaID) []raft.ReplicaID {
	if slices.Contains(ids, id) {
		return ids
	}
	return append(ids, id)
}

// consent: a pre-vote may be granted. It changes nothing here.
func (r *Replica) consent(m *raft.Message) {
	last := raft.EntryID{Term: m.LogTerm, Index: m.Index}
	free := m.Term > r.term || r.vote == m.From || r.vote == 0 && r.leader == 0
	if free && upToDate(last, r.log.lastID()) && upToDate(last, r.promised) {
		r.poll.consents = append(r.poll.consents, consent{to: m.From, term: m.Term})
	}
}

// becomeLeader: a majority has voted for the replica (BecomeLeader of the paper).
// What a majority of the others hasn't got is dropped, and a no-op opens the term.
func (r *Replica) becomeLeader() error {
	const action = "BecomeLeader"
	switch {
	case r.disk.hard != raft.HardState{Term: r.term, Vote: r.id}:
		return r.refuse(action, "the own vote is durable", "on disk is %+v", r.disk.hard)
	case !r.majority(func(id raft.ReplicaID) bool { return id == r.id && !r.abstains() || slices.Contains(r.poll.votes, id) }):
		return r.refuse(action, "a majority has voted for it", "%d of %v, abstains %v", r.poll.votes, r.config().Config, r.abstains())
	}
	if r.unsettled != 0 {
		if err := r.truncate(action, r.unsettled); err != nil {
			return err
		}
	}
	r.promised = raft.EntryID{}
	if err := r.g.elected(r); err != nil {
		return err
	}
	r.role, r.leader = raft.RoleLeader, r.id
	r.lead = lead{noop: r.log.last + 1, peers: r.lead.peers[:0], reads: r.lead.reads[:0]}
	return r.ownAppend(action, raft.KindNoOp, 1)
}

// follow: the replica hears the leader of its term.
func (r *Replica) follow(action string, id raft.ReplicaID) error {
	switch {
	case r.role == raft.RoleLeader || r.leader != 0 && r.leader != id:
		return r.refuse(action, "one leader in a term", "replicas %d and %d in term %d", r.leader, id, r.term)
	case !r.g.led(id, r.term):
		return r.refuse(action, "who is followed leads the term", "replica %d in term %d", id, r.term)
	}
	r.role, r.leader = raft.RoleFollower, id
	return nil
}

// vote returns to whom a vote was told in a term, 0 for nobody.
func (h *history) vote(t raft.Term) raft.ReplicaID {
	for i := len(h.votes) - 1; i >= 0 && h.votes[i].term >= t; i-- {
		if h.votes[i].term == t {
			return h.votes[i].to
		}
	}
	return 0
}

// match returns the highest match told in a term.
func (h *history) match(t raft.Term) raft.Index {
	for i := len(h.acks) - 1; i >= 0 && h.acks[i].term >= t; i-- {
		if h.acks[i].term == t {
			return h.acks[i].match
		}
	}
	return 0
}
