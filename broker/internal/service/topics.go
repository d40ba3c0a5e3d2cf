package service

import (
	"context"
	"encoding/json"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

// defaultReplicas is how many replicas a topic gets that does not say, if there are as many brokers.
const defaultReplicas = 3

// createTopic creates a topic and waits until its partitions have leaders. This broker, which has the client, chooses the
// topic's id: with it the request can be repeated safely when the controller changes in the middle.
func (s *Service) createTopic(ctx context.Context, c *call) *protocol.Response {
	var req protocol.CreateTopicRequest
	e := decodeJSON(c.req, &req)
	if e == nil {
		e = checkName(req.Name)
	}
	if e != nil {
		return &protocol.Response{Err: e}
	}
	if req.Partitions == 0 {
		req.Partitions = 1
	}
	if req.Replicas == 0 {
		req.Replicas = min(defaultReplicas, len(s.members(s.table.Load().snap)))
	}
	id := newTopicID()
	if c.from != 0 {
		if len(c.req.Key) != len(id) {
			return &protocol.Response{Err: protocol.Errorf(protocol.InvalidRequest, "%s from broker %d: no topic id", c.req.Op, c.from)}
		}
		return s.createHere(ctx, req, protocol.TopicID(c.req.Key))
	}
	body, err := json.Marshal(req)
	if err != nil {
		return protocol.ErrorResponse(err)
	}
	short, cancel := untilMargin(ctx)
	defer cancel()
	r := s.atController(short, &protocol.Request{Op: protocol.OpTopicCreate, Key: id[:], Body: body}, func(ctx context.Context) *protocol.Response {
		return s.createHere(ctx, req, id)
	})
	if r.Err != nil {
		return r
	}
	return s.awaitTopic(short, req.Name, id, r.BaseOffset)
}

func checkName(name string) *protocol.Error {
	if err := protocol.ValidateTopic(name); err != nil {
		return protocol.AsError(err)
	}
	return nil
}

// createHere places and creates a topic, as the controller. The answer says how far the metadata must be read to see it.
func (s *Service) createHere(ctx context.Context, req protocol.CreateTopicRequest, id protocol.TopicID) *protocol.Response {
	if e := s.catchUp(ctx); e != nil {
		return &protocol.Response{Err: e}
	}
	e := meta.CheckCounts(s.table.Load().snap, req.Name, req.Partitions, req.Replicas)
	if e == nil {
		e = s.awaitBrokers(ctx, req)
	}
	if e != nil {
		return &protocol.Response{Err: e}
	}
	// One at a time, so that each sees the load of the one before.
	select {
	case s.placing <- struct{}{}:
		defer func() { <-s.placing }()
	case <-ctx.Done():
		return &protocol.Response{Err: protocol.Errorf(protocol.RequestTimedOut, "topic %q: the controller is busy with other topics", req.Name).WithOutcome(protocol.NotWritten)}
	}
	snap := s.table.Load().snap
	if t := snap.Topic(req.Name); t != nil && t.ID == id {
		return &protocol.Response{BaseOffset: t.Offset + 1} // an earlier attempt has succeeded
	}
	placed, e := meta.Place(snap.Candidates(func(b protocol.BrokerID) bool { return s.alive(b) && !snap.Draining(b) }), req.Partitions, req.Replicas)
	if e != nil {
		return &protocol.Response{Err: e}
	}
	cmd := meta.CreateTopic{Name: req.Name, ID: id, Bind: req.Bind, Config: req.Config, Partitions: make([][]uint64, len(placed))}
	for i, brokers := range placed {
		for _, b := range brokers {
			cmd.Partitions[i] = append(cmd.Partitions[i], protocol.ReplicaOf(b, 0))
		}
	}
	if e := meta.CheckCreate(snap, cmd); e != nil {
		return &protocol.Response{Err: e}
	}
	r, e := s.propose(ctx, cmd)
	if e != nil {
		return &protocol.Response{Err: e}
	}
	s.log.Info("topic created", "topic", req.Name, "id", id.String(), "partitions", req.Partitions, "replicas", req.Replicas)
	return &protocol.Response{BaseOffset: r.Offset + 1}
}

// catchUp makes sure that this broker is the controller and has folded everything that is committed.
func (s *Service) catchUp(ctx context.Context) *protocol.Error {
	l := s.leaderOf(s.meta)
	if l.group == nil {
		return s.notController()
	}
	at, e := s.latest(ctx, l.group)
	if e == nil {
		e = s.await(ctx, int64(at))
	}
	if e != nil {
		return e.WithOutcome(protocol.NotWritten)
	}
	return nil
}

// awaitBrokers waits until enough brokers have registered, if enough are configured: a topic may be created while a cluster
// starts.
func (s *Service) awaitBrokers(ctx context.Context, req protocol.CreateTopicRequest) *protocol.Error {
	for {
		changed := s.changes.wait()
		snap := s.table.Load().snap
		have, configured := len(snap.Brokers()), len(s.members(snap))
		if have >= req.Replicas {
			return nil
		}
		e := protocol.Errorf(protocol.InvalidReplicationFactor, "topic %q: %d replicas need as many brokers; %d of the %d configured have registered",
			req.Name, req.Replicas, have, configured)
		if req.Replicas > configured {
			return e
		}
		if !s.waitChange(ctx, s.opts.DefaultDeadline, changed) {
			return e
		}
	}
}

// awaitTopic waits until this broker knows the topic and leaders of all its partitions, and describes it. A topic that has
// no leaders in time exists all the same: the answer then carries an error with the outcome done.
func (s *Service) awaitTopic(ctx context.Context, name string, id protocol.TopicID, offset int64) *protocol.Response {
	if e := s.await(ctx, offset); e != nil {
		return &protocol.Response{Err: protocol.Errorf(protocol.RequestTimedOut, "topic %q is created, but broker %d has not heard of it yet", name, s.id).WithOutcome(protocol.Done)}
	}
	for {
		changed := s.changes.wait()
		t := s.table.Load().topics[name]
		if t == nil || t.ID != id {
			return &protocol.Response{Err: protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q was created and deleted again meanwhile", name).WithOutcome(protocol.Done)}
		}
		info, leaderless := s.topicInfo(t), 0
		for _, p := range info.Partitions {
			if p.Leader == 0 {
				leaderless++
			}
		}
		if leaderless == 0 {
			return jsonResponse(info)
		}
		if !s.waitChange(ctx, s.opts.DefaultDeadline, changed) {
			info.Error = protocol.Errorf(protocol.LeaderNotAvailable, "topic %q is created; %d of its partitions have no leader yet", name, leaderless).WithOutcome(protocol.Done)
			return jsonResponse(info)
		}
	}
}

// deleteTopic deletes a topic. It is found by name here, and deleted by id, so that the request can be repeated without
// deleting a topic of the same name that was created since.
func (s *Service) deleteTopic(ctx context.Context, c *call) *protocol.Response {
	var req protocol.DeleteTopicRequest
	e := decodeJSON(c.req, &req)
	if e == nil {
		e = checkName(req.Name)
	}
	if e != nil {
		return &protocol.Response{Err: e}
	}
	if c.from != 0 {
		if len(c.req.Key) != len(protocol.TopicID{}) {
			return &protocol.Response{Err: protocol.Errorf(protocol.InvalidRequest, "%s from broker %d: no topic id", c.req.Op, c.from)}
		}
		return s.deleteHere(ctx, req.Name, protocol.TopicID(c.req.Key))
	}
	t, e := s.known(ctx, req.Name)
	if e != nil {
		return &protocol.Response{Err: e}
	}
	short, cancel := untilMargin(ctx)
	defer cancel()
	r := s.atController(short, &protocol.Request{Op: protocol.OpTopicDelete, Key: t.ID[:], Body: c.req.Body}, func(ctx context.Context) *protocol.Response {
		return s.deleteHere(ctx, req.Name, t.ID)
	})
	if r.Err != nil {
		return r
	}
	if e := s.await(short, r.BaseOffset); e != nil {
		s.log.Info("a deleted topic is still known here", "topic", req.Name, "reason", e)
	}
	return jsonResponse(protocol.DeleteTopicReply{Name: req.Name, ID: t.ID})
}

// deleteHere deletes a topic, as the controller.
func (s *Service) deleteHere(ctx context.Context, name string, id protocol.TopicID) *protocol.Response {
	r, e := s.propose(ctx, meta.DeleteTopic{Name: name, ID: id})
	if e != nil {
		return &protocol.Response{Err: e}
	}
	s.log.Info("topic deleted", "topic", name, "id", id.String())
	return &protocol.Response{BaseOffset: r.Offset + 1}
}

// known finds a topic, asking the controller if it is not known here or may be out of date.
func (s *Service) known(ctx context.Context, name string) (*topic, *protocol.Error) {
	fresh := s.refresh(ctx)
	if t := s.table.Load().topics[name]; t != nil {
		return t, nil
	}
	if !fresh {
		return nil, protocol.Errorf(protocol.LeaderNotAvailable, "topic %q is not known to broker %d, which cannot ask the controller", name, s.id)
	}
	return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q does not exist", name)
}

// listTopics answers with all topics.
func (s *Service) listTopics(ctx context.Context) *protocol.Response {
	s.refresh(ctx)
	t := s.table.Load()
	reply := protocol.ListTopicsReply{Topics: []protocol.TopicInfo{}}
	for _, mt := range t.snap.Topics() {
		reply.Topics = append(reply.Topics, s.topicInfo(t.topics[mt.Name]))
	}
	return jsonResponse(reply)
}

// describeTopic answers with everything about a topic. What only leaders know, and what is wrong
// with a replica, is asked of the brokers that have one.
func (s *Service) describeTopic(ctx context.Context, c *call) *protocol.Response {
	var req protocol.DescribeTopicRequest
	e := decodeJSON(c.req, &req)
	if e == nil {
		e = checkName(req.Name)
	}
	if e != nil {
		return &protocol.Response{Err: e}
	}
	t, e := s.known(ctx, req.Name)
	if e != nil {
		return &protocol.Response{Err: e}
	}
	info := s.topicInfo(t)
	details := s.details(ctx, t)
	for i := range info.Partitions {
		p := &info.Partitions[i]
		if d, ok := details[p.ID]; ok {
			p.LogStart, p.HighWatermark, p.InSync, p.ReplicaStates = d.LogStart, d.HighWatermark, d.InSync, d.Replicas
		}
	}
	return jsonResponse(info)
}

// topicInfo describes a topic as far as every broker knows it.
func (s *Service) topicInfo(t *topic) protocol.TopicInfo {
	info := protocol.TopicInfo{Name: t.Name, ID: t.ID, Bind: t.Bind, Config: t.Config, Defaults: s.defaultsOf(t.Topic), Partitions: make([]protocol.PartitionInfo, len(t.parts))}
	for i, p := range t.parts {
		l := s.leaderOf(p)
		info.Partitions[i] = protocol.PartitionInfo{ID: p.id, Leader: l.broker, Term: l.term, Replicas: p.on(), Target: brokersOf(p.place.Load().target)}
	}
	return info
}

// defaultsOf returns the settings in force that the topic does not have itself.
func (s *Service) defaultsOf(t *meta.Topic) map[string]string {
	all := s.settingsOf(t).Map()
	for name := range t.Config {
		delete(all, name)
	}
	return all
}
