package service

import (
	"fmt"
	"strings"

	"github.com/logq/logq/internal/protocol"
)

// leader is who leads a partition as this broker knows it.
type leader struct {
	broker protocol.BrokerID // 0 = not known, or known and not alive
	term   uint64
	group  Group // not nil: this broker leads and serves
}

// leaderOf weighs what this broker's replica knows against what the leader itself says. The higher term wins; a broker that
// was not heard of lately does not lead.
func (s *Service) leaderOf(p *partition) leader {
	var l leader
	if g := p.opened(); g != nil {
		st := g.Leader()
		switch {
		case st.Serving:
			return leader{broker: s.id, term: st.Term, group: g}
		case st.Err == nil && st.Leader == s.id:
			return leader{term: st.Term} // elected, and not sure yet of what is committed
		case st.Err == nil && st.Leader != 0 && s.alive(st.Leader):
			l = leader{broker: st.Leader, term: st.Term}
		}
	}
	if c := p.claim.Load(); c != nil && c.term >= l.term && c.broker != s.id && s.alive(c.broker) {
		l = leader{broker: c.broker, term: c.term}
	}
	return l
}

// notLeader says that this broker does not lead the partition, and who does.
func (s *Service) notLeader(p *partition) *protocol.Error {
	l := s.leaderOf(p)
	switch {
	case l.broker == 0 || l.broker == s.id:
		return s.noLeader(p)
	default:
		return protocol.Errorf(protocol.NotLeaderOrFollower, "partition %s is led by broker %d, not by broker %d", p, l.broker, s.id).
			WithLeader(l.broker, s.urlOf(l.broker))
	}
}

// noLeader says why nothing can be done about a partition without leader. Nothing was written.
func (s *Service) noLeader(p *partition) *protocol.Error {
	var gone []string
	for _, b := range p.on() {
		if !s.alive(b) {
			gone = append(gone, b.String())
		}
	}
	if len(p.on())-len(gone) <= len(p.on())/2 {
		return protocol.Errorf(protocol.NotEnoughReplicas, "partition %s has no majority: broker %d cannot reach broker %s of its %d replicas",
			p, s.id, strings.Join(gone, ", "), len(p.on()))
	}
	if e := p.openErr.Load(); e != nil && len(p.on()) == 1 {
		return e
	}
	if g := p.opened(); g != nil && len(p.on()) == 1 {
		if err := g.Leader().Err; err != nil {
			return protocol.AsError(err)
		}
	}
	return protocol.Errorf(protocol.LeaderNotAvailable, "partition %s has no leader that broker %d knows of; an election is under way, try again", p, s.id)
}

// withLeader completes an error of the replica with what the broker knows: who leads, and where to reach it.
func (s *Service) withLeader(p *partition, e *protocol.Error) *protocol.Error {
	if e.Code != protocol.NotLeaderOrFollower && e.Code != protocol.FencedLeaderEpoch {
		return e
	}
	if l := s.leaderOf(p); l.broker != 0 {
		return e.WithLeader(l.broker, s.urlOf(l.broker))
	}
	return e
}

// fenced says that the client counts on another term than the leader's.
func (s *Service) fenced(p *partition, want, have uint64) *protocol.Error {
	return protocol.Errorf(protocol.FencedLeaderEpoch, "partition %s is led in term %d, the request expects term %d; ask for metadata again", p, have, want).
		WithLeader(s.id, s.urlOf(s.id))
}

// replicaError is the reply for a replica that is out of service.
func replicaError(p *partition, err error) *protocol.Error {
	e := protocol.AsError(err)
	return &protocol.Error{
		Code: e.Code, Name: e.Name, Outcome: protocol.NotWritten, Retriable: e.Retriable,
		Message: fmt.Sprintf("partition %s: %s", p, e.Message),
	}
}
