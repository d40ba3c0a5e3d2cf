package spec

import (
	"errors"

	"github.com/logq/logq/raft"
)

// Other tells of an input that only lets time pass or tells of the network: Tick,
// Campaign, Transfer, Sent, Wake, PeerDown, SetClock.
func (r *Replica) Other(name string, s *raft.Status) error {
	r.now = name
	return r.finish(s, byTime)
}

// finish finds the actions that may follow any input, by what came of it, and
// compares.
func (r *Replica) finish(s *raft.Status, why cause) error {
	return r.finishUpTo(s, why, r.commit)
}

// finishUpTo is finish after a message that lets a follower commit up to bound.
func (r *Replica) finishUpTo(s *raft.Status, why cause, bound raft.Index) error {
	if s.Term == r.term+1 && s.Role == raft.RoleCandidate && s.Vote == r.id {
		if err := r.timeout(why); err != nil {
			return err
		}
	}
	if s.Term == r.term && s.Role != r.role {
		var err error
		switch {
		case s.Role == raft.RolePreCandidate:
			err = r.preVote()
		case s.Role == raft.RoleLeader && r.role == raft.RoleCandidate:
			err = r.becomeLeader()
		}
		if err != nil {
			return err
		}
	}
	if s.Commit != r.commit {
		if err := r.advance(s.Commit, bound); err != nil {
			return err
		}
	}
	r.note() // before a leader that steps down
	if s.Term == r.term && s.Role == raft.RoleFollower && r.role != raft.RoleFollower {
		r.role, r.leader = raft.RoleFollower, 0 // StepDown: always allowed, and keeps the vote
	}
	if s.Leader == 0 && r.role != raft.RoleLeader {
		r.leader = 0 // it is missed: always allowed
	}
	return r.expect(s)
}

// note remembers what messages may say.
func (r *Replica) note() {
	e := &r.sends.now
	e.term = r.term
	e.led = e.led || r.role == raft.RoleLeader
	if r.disk.hard.Term == r.term {
		e.vote = r.disk.hard.Vote
	}
	if r.leader != 0 {
		e.leader = r.leader
	}
	e.match, e.verified = max(e.match, r.ackable()), max(e.verified, r.verified)
}

// Stepped: message m was handed in, with the configurations in its entries, and
// err came back.
func (r *Replica) Stepped(m *raft.Message, configs []raft.ConfigEntry, err error, s *raft.Status) error {
	r.now = "Step"
	v := r.stepped(m, configs, err, s)
	if e, ok := v.(*Violation); ok {
		e.Input = "Step(" + m.String() + ")"
	}
	return v
}

func (r *Replica) stepped(m *raft.Message, configs []raft.ConfigEntry, err error, s *raft.Status) error {
	var impossible *raft.ProtocolError
	switch {
	case err == nil, errors.Is(err, raft.ErrDamaged):
	case errors.As(err, &impossible):
		if !r.g.o.Forged {
			return r.refuse("Receive", "replicas send what is possible", "%v", err)
		}
	case !errors.Is(err, raft.ErrStale):
		return r.expect(s) // lost, as far as the algorithm is concerned
	}
	if m.Term > r.term && s.Term >= m.Term && m.Type != raft.MsgPreVote && (m.Type != raft.MsgPreVoteReply || m.Reject) {
		r.updateTerm(m.Term)
	}
	if m.Term < r.term {
		return r.finish(s, never) // only a reply
	}
	switch m.Type {
	case raft.MsgPreVote:
		r.consent(m)
	case raft.MsgVote:
		if s.Vote == m.From && r.vote != m.From && s.Term == r.term {
			if v := r.giveVote(m); v != nil {
				return v
			}
		}
	case raft.MsgPreVoteReply:
		r.countConsent(m)
		return r.finish(s, byConsent)
	case raft.MsgVoteReply:
		if v := r.countVote(m); v != nil {
			return v
		}
	case raft.MsgAppend, raft.MsgJump, raft.MsgHeartbeat:
		return r.fromLeader(m, configs, err, s)
	case raft.MsgAppendReply, raft.MsgHeartbeatReply:
		if v := r.answered(m, err, s); v != nil {
			return v
		}
	case raft.MsgTimeoutNow:
		return r.timeoutNow(m, err, s)
	}
	return r.finish(s, never)
}

// timeoutNow: the leader lets this replica campaign at once (diss. §3.10).
func (r *Replica) timeoutNow(m *raft.Message, err error, s *raft.Status) error {
	if m.Term != r.term {
		return r.finish(s, never)
	}
	if s.Leader == m.From || s.Term > m.Term {
		if !r.g.led(m.From, m.Term) {
			return r.refuse("TimeoutNow", "the leader of the term asks", "replica %d in term %d", m.From, m.Term)
		}
		if r.leader == 0 && r.role == raft.RoleFollower {
			r.leader = m.From
		}
	}
	if err != nil {
		return r.finish(s, never)
	}
	if r.role != raft.RoleFollower {
		return r.refuse("TimeoutNow", "the replica follows", "it is %v", r.role)
	}
	return r.finish(s, byRequest)
}

// fromLeader: a message of the leader of the term.
func (r *Replica) fromLeader(m *raft.Message, configs []raft.ConfigEntry, err error, s *raft.Status) error {
	if err != nil {
		// Made up, or refused for now: the sender may be followed all the same.
		if s.Leader == m.From && s.Term == m.Term && r.role != raft.RoleLeader && (r.leader == 0 || r.leader == m.From) {
			r.role, r.leader = raft.RoleFollower, m.From
		}
		return r.finish(s, never)
	}
	if v := r.follow(m.Type.String(), m.From); v != nil {
		return v
	}
	var v error
	switch m.Type {
	case raft.MsgAppend:
		v = r.handleAppend(m, configs)
	case raft.MsgJump:
		v = r.handleJump(m, configs)
	}
	if v != nil {
		return v
	}
	return r.finishUpTo(s, never, max(r.commit, min(m.Commit, r.verified)))
}
