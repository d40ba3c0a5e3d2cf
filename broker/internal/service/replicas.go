package service

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// partitionStatus is what a broker knows of a partition of which it has a replica: as the leader how far everybody is,
// otherwise only what is wrong with its own replica.
type partitionStatus struct {
	ID            protocol.Partition     `json:"id"`
	Leads         bool                   `json:"leads,omitempty"`
	Term          uint64                 `json:"term,omitempty"`
	LogStart      int64                  `json:"log_start,omitempty"`
	HighWatermark int64                  `json:"high_watermark,omitempty"`
	InSync        []protocol.BrokerID    `json:"in_sync,omitempty"`
	Replicas      []protocol.ReplicaInfo `json:"replicas,omitempty"`
	State         string                 `json:"state,omitempty"` // "" = nothing is wrong with its own replica
	Reason        string                 `json:"reason,omitempty"`
}

// statusHere describes a partition as far as this broker knows more of it than all others.
func (s *Service) statusHere(p *partition) (partitionStatus, bool) {
	st := partitionStatus{ID: p.id}
	st.State, st.Reason = s.troubleOf(p)
	l, leads := s.ledHere(p)
	if !leads {
		return st, st.State != ""
	}
	st.Leads, st.Term, st.LogStart, st.HighWatermark, st.InSync = true, l.term, int64(l.logStart), int64(l.highWatermark), l.insync
	if g := p.opened(); g != nil {
		st.Replicas = s.progress(g.Status(), l.insync)
	}
	return st, true
}

// troubleOf says what is wrong with this broker's replica of a partition, "" if nothing is or there is none.
func (s *Service) troubleOf(p *partition) (state, reason string) {
	if p.self() == 0 {
		return "", ""
	}
	if e := p.openErr.Load(); e != nil {
		return protocol.ReplicaFailed, e.Message
	}
	if g := p.opened(); g != nil {
		switch st := g.Status(); {
		case st.Err != nil:
			return protocol.ReplicaFailed, protocol.AsError(st.Err).Message
		case st.Damage != "":
			return protocol.ReplicaRepairing, st.Damage
		}
	}
	return "", ""
}

// progress describes the members of a group, of which this broker's is the leader.
func (s *Service) progress(st GroupStatus, insync []protocol.BrokerID) []protocol.ReplicaInfo {
	out := make([]protocol.ReplicaInfo, 0, len(st.Peers))
	for _, p := range st.Peers {
		r := protocol.ReplicaInfo{Broker: p.Broker, Learner: p.Learner, State: protocol.ReplicaCatchingUp}
		if p.Match < st.Last {
			r.Lag = st.Last - p.Match
		}
		switch {
		case p.Broker == s.id:
			r.State = protocol.ReplicaInSync // its own disk may lag behind a majority
		case !s.alive(p.Broker):
			r.State = protocol.ReplicaUnreachable
		case p.Jumping:
			r.State = protocol.ReplicaJumping
		case slices.Contains(insync, p.Broker), p.CaughtUp && r.Lag == 0:
			r.State = protocol.ReplicaInSync
		case p.CaughtUp:
			r.State = protocol.ReplicaBehind
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b protocol.ReplicaInfo) int { return int(a.Broker) - int(b.Broker) })
	return out
}

// details asks the brokers that have replicas of a topic for the state of its partitions. Where a leader does not answer soon, its last
// gossip stands in.
func (s *Service) details(ctx context.Context, t *topic) map[protocol.Partition]partitionStatus {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	out, others := map[protocol.Partition]partitionStatus{}, map[protocol.BrokerID]bool{}
	for _, p := range t.parts {
		if c := p.claim.Load(); c != nil && c.broker == s.leaderOf(p).broker {
			out[p.id] = partitionStatus{ID: p.id, LogStart: c.logStart, HighWatermark: c.highWatermark, InSync: c.insync}
		}
		for _, b := range p.on() {
			if b != s.id && s.alive(b) {
				others[b] = true
			}
		}
	}
	type answer struct {
		from protocol.BrokerID
		all  []partitionStatus
	}
	answers := make(chan answer, len(others)+1)
	answers <- answer{s.id, s.topicStatus(t)}
	for b := range others {
		if !s.tasks.start(func() { answers <- answer{b, s.askTopicStatus(ctx, b, t)} }) {
			answers <- answer{from: b}
		}
	}
	troubled := map[protocol.Partition][]protocol.ReplicaInfo{}
	for range len(others) + 1 {
		a := <-answers
		for _, st := range a.all {
			if st.Leads && st.Term >= out[st.ID].Term {
				out[st.ID] = st
			}
			if st.State != "" {
				troubled[st.ID] = append(troubled[st.ID], protocol.ReplicaInfo{Broker: a.from, State: st.State, Reason: st.Reason})
			}
		}
	}
	for id, all := range troubled {
		st := out[id]
		st.Replicas = withTroubled(st.Replicas, all)
		out[id] = st
	}
	return out
}

// withTroubled puts in what the brokers themselves say is wrong with their replicas.
func withTroubled(replicas, troubled []protocol.ReplicaInfo) []protocol.ReplicaInfo {
	for _, f := range troubled {
		i, found := slices.BinarySearchFunc(replicas, f.Broker, func(r protocol.ReplicaInfo, b protocol.BrokerID) int { return int(r.Broker) - int(b) })
		if found {
			replicas[i].State, replicas[i].Reason = f.State, f.Reason
		} else {
			replicas = slices.Insert(replicas, i, f)
		}
	}
	return replicas
}

func (s *Service) askTopicStatus(ctx context.Context, b protocol.BrokerID, t *topic) []partitionStatus {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(syncTimeout)
	}
	r, err := s.ask(ctx, b, &protocol.Request{Op: protocol.OpTopicStatus, Topic: t.Name, Key: t.ID[:], Hops: 1, DeadlineMs: remainingMs(deadline)})
	if err == nil && r.Err != nil {
		err = r.Err
	}
	var all []partitionStatus
	if err == nil {
		err = json.Unmarshal(r.Body, &all)
	}
	if err != nil {
		s.log.Debug("a broker does not tell the state of its replicas", "broker", b, "topic", t.Name, "error", err)
		return nil
	}
	return slices.DeleteFunc(all, func(st partitionStatus) bool { return st.ID < 0 || int(st.ID) >= len(t.parts) })
}

func (s *Service) topicStatus(t *topic) []partitionStatus {
	all := []partitionStatus{}
	for _, p := range t.parts {
		if st, ok := s.statusHere(p); ok {
			all = append(all, st)
		}
	}
	return all
}

// topicStatusFor answers another broker, about the topic with the id that it has in mind.
func (s *Service) topicStatusFor(req *protocol.Request) *protocol.Response {
	t := s.table.Load().topics[req.Topic]
	if t == nil || string(t.ID[:]) != string(req.Key) {
		return &protocol.Response{Err: protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q is not known to broker %d", req.Topic, s.id)}
	}
	return jsonResponse(s.topicStatus(t))
}
