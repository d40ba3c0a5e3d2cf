package service

import (
	"context"
	"slices"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// metadata answers who is there and who leads what.
func (s *Service) metadata(ctx context.Context, c *call) *protocol.Response {
	var req protocol.MetaRequest
	if e := decodeJSON(c.req, &req); e != nil {
		return &protocol.Response{Err: e}
	}
	t := s.table.Load()
	if slices.ContainsFunc(req.Topics, func(name string) bool { return t.topics[name] == nil && checkName(name) == nil }) {
		s.refresh(ctx) // it may have been created through another broker a moment ago
		t = s.table.Load()
	}
	reply := protocol.MetaReply{ClusterID: t.snap.ClusterID(), Controller: s.controller(), Brokers: []protocol.BrokerInfo{}, Topics: []protocol.TopicInfo{}}
	for _, id := range s.members(t.snap) {
		if info := s.infoOf(id); info.URL != "" {
			reply.Brokers = append(reply.Brokers, info)
		}
	}
	if len(req.Topics) == 0 {
		for _, mt := range t.snap.Topics() {
			reply.Topics = append(reply.Topics, s.topicInfo(t.topics[mt.Name]))
		}
	}
	for _, name := range req.Topics {
		if topic := t.topics[name]; topic != nil {
			reply.Topics = append(reply.Topics, s.topicInfo(topic))
			continue
		}
		e := checkName(name)
		if e == nil {
			e = protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q does not exist", name)
		}
		reply.Topics = append(reply.Topics, protocol.TopicInfo{Name: name, Partitions: []protocol.PartitionInfo{}, Error: e})
	}
	return jsonResponse(reply)
}

// statusPatience bounds how long a status waits for the controller to say whether the metadata here is the latest. It is
// short: a status is asked for when something is wrong.
const statusPatience = 250 * time.Millisecond

// glance brings the metadata up to date if there is a controller that answers at once, so that a client sees what it has just
// done through another broker.
func (s *Service) glance(ctx context.Context) {
	if s.controller() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	if e := s.syncMeta(ctx); e != nil {
		s.log.Debug("the status may be a moment old", "reason", e)
	}
}

// clusterStatus answers how the cluster is, as this broker sees it from the others' gossip.
func (s *Service) clusterStatus(ctx context.Context) *protocol.Response {
	s.glance(ctx)
	t := s.table.Load()
	reply := protocol.ClusterStatusReply{
		ClusterID: t.snap.ClusterID(), Controller: s.controller(), Partitions: t.snap.PartitionCount(),
		Brokers: []protocol.BrokerStatus{}, UnderReplicated: []protocol.PartitionRef{}, Leaderless: []protocol.PartitionRef{},
		Moving: []protocol.PartitionRef{},
	}
	ledBy, replicas := map[protocol.BrokerID]int{}, map[protocol.BrokerID]int{}
	for _, mt := range t.snap.Topics() {
		for _, p := range t.topics[mt.Name].parts {
			l, ref := s.leaderOf(p), protocol.PartitionRef{Topic: p.name, Partition: p.id}
			ledBy[l.broker]++
			for _, b := range p.on() {
				replicas[b]++
			}
			if p.place.Load().target != nil {
				reply.Moving = append(reply.Moving, ref)
			}
			if l.broker == 0 {
				reply.Leaderless = append(reply.Leaderless, ref)
			}
			if s.underReplicated(t, p, l) {
				reply.UnderReplicated = append(reply.UnderReplicated, ref)
			}
		}
	}
	for _, id := range s.members(t.snap) {
		reply.Brokers = append(reply.Brokers, protocol.BrokerStatus{BrokerInfo: s.infoOf(id), PartitionsLed: ledBy[id], Replicas: replicas[id], Draining: t.snap.Draining(id)})
	}
	return jsonResponse(reply)
}

// underReplicated reports whether a replica of the partition is lost, on a broker that is not alive, or lags behind its leader.
func (s *Service) underReplicated(t *table, p *partition, l leader) bool {
	if slices.ContainsFunc(t.topics[p.name].Replicas(p.id), func(r uint64) bool { return t.lost(p, r) }) {
		return true
	}
	for _, b := range p.on() {
		if !s.alive(b) {
			return true
		}
	}
	var insync []protocol.BrokerID
	if c := p.claim.Load(); l.group == nil && c != nil && c.broker == l.broker {
		insync = c.insync
	} else if in := p.insync.Load(); l.group != nil && in != nil {
		insync = *in
	}
	return len(insync) > 0 && len(insync) < len(p.on())
}
