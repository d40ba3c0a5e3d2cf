package spec

import "github.com/logq/logq/raft"

// send checks one message: that the sender is in a state in which an action sends
// it, and that what it says is true.
func (r *Replica) send(m *raft.Message) error {
	if m.From != r.id || m.To == r.id || m.To == 0 {
		return r.wrong(m, "messages go from the replica to another", "from %d", r.id)
	}
	if m.Type == raft.MsgPreVote || m.Type == raft.MsgPreVoteReply && !m.Reject {
		return r.sendPreVote(m)
	}
	e := r.eraOf(m.Term)
	if e == nil {
		return r.wrong(m, "messages are of the current term", "it is %d", r.term)
	}
	switch m.Type {
	case raft.MsgPreVoteReply:
		return nil
	case raft.MsgVote:
		return r.sendVote(m, e)
	case raft.MsgVoteReply:
		if !m.Reject {
			if e.vote != m.To {
				return r.wrong(m, "the vote is durable", "on disk is %+v", r.disk.hard)
			}
			return r.record(m, m.To)
		}
		return nil
	case raft.MsgAppendReply, raft.MsgHeartbeatReply:
		return r.sendReply(m, e)
	}
	if !e.led {
		return r.wrong(m, "the sender leads", "it is %v of term %d", r.role, r.term)
	}
	if !r.member(m.To) {
		return r.wrong(m, "the receiver is a member", "of %v", r.config().Config)
	}
	return r.sendAsLeader(m)
}

// wrong is refuse for a message.
func (r *Replica) wrong(m *raft.Message, guard, format string, args ...any) error {
	v := r.refuse("Send"+m.Type.String(), guard, format, args...).(*Violation)
	v.Input += " sends " + m.String()
	return v
}

// eraOf returns the time since the last Ready in which the replica was in term t,
// nil if there was none.
func (r *Replica) eraOf(t raft.Term) *era {
	if t == r.term {
		return &r.sends.now
	}
	for i := range r.sends.past {
		if r.sends.past[i].term == t {
			return &r.sends.past[i]
		}
	}
	return nil
}

func (r *Replica) sendPreVote(m *raft.Message) error {
	if m.Type == raft.MsgPreVoteReply {
		for _, c := range r.poll.consents {
			if c.to == m.To && c.term == m.Term {
				return nil
			}
		}
		return r.wrong(m, "the vote would be given", "log %v, promised %v, vote %d", &r.log, r.promised, r.vote)
	}
	last := raft.EntryID{Term: m.LogTerm, Index: m.Index}
	switch {
	case m.Term != r.term+1 || r.role != raft.RolePreCandidate:
		return r.wrong(m, "the sender asks for the term after its own", "it is %v of term %d", r.role, r.term)
	case last != r.offer():
		return r.wrong(m, "the log ends so", "it is %v, damaged %d", &r.log, r.unsettled)
	case !r.config().Config.Votes(m.To):
		return r.wrong(m, "voters are asked", "of %v", r.config().Config)
	case m.Context < r.poll.round:
		return r.wrong(m, "rounds ascend", "after %d", r.poll.round)
	}
	if m.Context > r.poll.round {
		r.poll.round, r.poll.pre = m.Context, r.poll.pre[:0]
	}
	return nil
}

func (r *Replica) sendVote(m *raft.Message, e *era) error {
	last := raft.EntryID{Term: m.LogTerm, Index: m.Index}
	switch {
	case e.vote != r.id:
		return r.wrong(m, "the own vote is durable", "on disk is %+v", r.disk.hard)
	case m.Term == r.term && last != r.poll.offer:
		return r.wrong(m, "the log ends so", "it ended with %v", r.poll.offer)
	case m.Term == r.term && r.role == raft.RoleCandidate && r.disk.durable < last.Index:
		return r.wrong(m, "the log that it speaks of is durable", "durable is %d", r.disk.durable)
	case m.Term == r.term && m.Transfer && !r.poll.transfer:
		return r.wrong(m, "the leader has asked for a transfer", "it has not")
	}
	return r.record(m, r.id)
}

// record remembers a vote that was told, for ever: one in a term, in all lives.
func (r *Replica) record(m *raft.Message, to raft.ReplicaID) error {
	h := &r.past
	if n := len(h.votes); n > 0 && h.votes[n-1].term >= m.Term {
		if was := h.vote(m.Term); was != to {
			return r.wrong(m, "one vote in a term", "it went to %d", was)
		}
		return nil
	}
	h.votes = append(h.votes, ballot{term: m.Term, to: to})
	return nil
}

func (r *Replica) sendReply(m *raft.Message, e *era) error {
	if m.Reject {
		return r.sendRefusal(m)
	}
	switch {
	case m.To != e.leader:
		return r.wrong(m, "the leader is answered", "it is %d", e.leader)
	case m.HintIndex > e.verified:
		return r.wrong(m, "what is told as verified is", "verified is %d", e.verified)
	case m.Index > m.HintIndex:
		return r.wrong(m, "what is acknowledged is verified", "verified is %d", e.verified)
	case m.Index > e.match:
		return r.wrong(m, "what is acknowledged is on disk, as is the term", "verified %d, durable %d, damaged %d, on disk %+v, term %d", e.verified, r.disk.durable, r.unsettled, r.disk.hard, r.term)
	case m.Quiet && (r.commit != r.log.last || m.Index != r.log.last):
		return r.wrong(m, "who is quiet has everything", "commit %d, log %v", r.commit, &r.log)
	}
	h := &r.past
	if n := len(h.acks); n > 0 && h.acks[n-1].term >= m.Term {
		if h.acks[n-1].term == m.Term {
			h.acks[n-1].match = max(h.acks[n-1].match, m.Index)
		}
		return nil
	}
	h.acks = append(h.acks, ack{term: m.Term, match: m.Index})
	return nil
}

// sendRefusal: the hint is a run of this log, or nothing.
func (r *Replica) sendRefusal(m *raft.Message) error {
	if m.HintIndex == 0 && m.HintTerm == 0 && m.HintFirst == 0 || m.Term != r.term {
		return nil
	}
	hint := raft.EntryID{Term: m.HintTerm, Index: m.HintIndex}
	if !r.log.holds(hint) || hint.Index > r.log.prev.Index && r.log.runOf(hint.Index).First != m.HintFirst {
		return r.wrong(m, "the hint is a run of the log", "it is %v", &r.log)
	}
	return nil
}

func (r *Replica) sendAsLeader(m *raft.Message) error {
	if m.Commit > r.commit {
		return r.wrong(m, "what is told as committed is", "commit is %d", r.commit)
	}
	switch prev := (raft.EntryID{Term: m.LogTerm, Index: m.Index}); m.Type {
	case raft.MsgAppend:
		if m.Lo != m.Index+1 || m.Hi < m.Lo || !r.log.holds(prev) || m.Lo < m.Hi && !r.log.holdsAll(m.Lo, m.Hi, m.EntryTerm) {
			return r.wrong(m, "the entries and the one before them are in the log", "it is %v", &r.log)
		}
	case raft.MsgJump:
		if prev != r.log.prev {
			return r.wrong(m, "the log begins there", "it is %v", &r.log)
		}
	case raft.MsgHeartbeat:
		if m.Context < r.lead.round {
			return r.wrong(m, "rounds ascend", "after %d", r.lead.round)
		}
		r.lead.round = m.Context
		if m.Quiet && r.commit != r.log.last {
			return r.wrong(m, "all entries are committed", "commit %d of %v", r.commit, &r.log)
		}
	case raft.MsgTimeoutNow:
		if !r.config().Config.Votes(m.To) {
			return r.wrong(m, "a voter takes over", "replica %d of %v", m.To, r.config().Config)
		}
	}
	return nil
}
