package service

import (
	"context"
	"encoding/json"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

// movesAtOnce bounds how many partitions of the cluster the controller lets move away from drained brokers at a time, for
// each broker there is: what is copied takes disks and network from what is produced.
const movesAtOnce = 4

// reassignPartition asks for other replicas of one partition, or ends a move.
func (s *Service) reassignPartition(ctx context.Context, c *call) *protocol.Response {
	var req protocol.ReassignRequest
	e := decodeJSON(c.req, &req)
	if e == nil {
		e = checkName(req.Name)
	}
	if e != nil {
		return &protocol.Response{Err: e}
	}
	return s.change(ctx, c, func(snap meta.Snapshot) ([]meta.Command, *protocol.Error) {
		t := snap.Topic(req.Name)
		if t == nil {
			return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q does not exist", req.Name)
		}
		cmd := meta.ReassignPartition{Name: t.Name, ID: t.ID, Partition: req.Partition, Brokers: req.Replicas}
		if req.Cancel {
			if req.Partition < 0 || int(req.Partition) >= len(t.Partitions) {
				return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q has partitions 0 to %d, not %d", t.Name, len(t.Partitions)-1, req.Partition)
			}
			cmd.Brokers = brokersOf(t.Replicas(req.Partition))
		}
		e := meta.CheckReassign(snap, cmd)
		if e == nil && !req.Cancel {
			e = s.checkTarget(t, cmd)
		}
		if e != nil {
			return nil, e
		}
		return []meta.Command{cmd}, nil
	})
}

// checkTarget refuses new replicas on brokers that could not take them now.
func (s *Service) checkTarget(t *meta.Topic, c meta.ReassignPartition) *protocol.Error {
	for _, b := range c.Brokers {
		if !s.alive(b) {
			return protocol.Errorf(protocol.InvalidReplicationFactor, "topic %q: partition %d can't move to broker %d, which is not alive", t.Name, c.Partition, b)
		}
	}
	return nil
}

// alterTopic changes a topic's settings, the number of its replicas, or both.
func (s *Service) alterTopic(ctx context.Context, c *call) *protocol.Response {
	var req protocol.AlterTopicRequest
	e := decodeJSON(c.req, &req)
	if e == nil {
		e = checkName(req.Name)
	}
	if e != nil {
		return &protocol.Response{Err: e}
	}
	return s.change(ctx, c, func(snap meta.Snapshot) ([]meta.Command, *protocol.Error) {
		t := snap.Topic(req.Name)
		if t == nil {
			return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q does not exist", req.Name)
		}
		var cmds []meta.Command
		if len(req.Config)+len(req.Unset) > 0 {
			cmd := meta.AlterConfig{Name: t.Name, ID: t.ID, Set: req.Config, Unset: req.Unset}
			if e := meta.CheckAlterConfig(snap, cmd); e != nil {
				return nil, e
			}
			if cmds = append(cmds, cmd); req.Replicas == 0 {
				return cmds, nil
			}
		}
		plan, e := meta.PlanReplicas(snap, s.alive, t, req.Replicas)
		return append(cmds, commands(plan)...), e
	})
}

func commands(plan []meta.ReassignPartition) []meta.Command {
	out := make([]meta.Command, len(plan))
	for i, c := range plan {
		out[i] = c
	}
	return out
}

// drainBroker keeps new replicas away from a broker and has the present ones moved, or lets them come again. The moves go on
// when the answer has been given: see shepherd.
func (s *Service) drainBroker(ctx context.Context, c *call) *protocol.Response {
	var req protocol.DrainBrokerRequest
	if e := decodeJSON(c.req, &req); e != nil {
		return &protocol.Response{Err: e}
	}
	return s.change(ctx, c, func(snap meta.Snapshot) ([]meta.Command, *protocol.Error) {
		if snap.Broker(req.Broker) == nil {
			return nil, protocol.Errorf(protocol.InvalidRequest, "broker %d is not registered", req.Broker)
		}
		if !req.Undo {
			if _, e := meta.PlanDrain(snap, s.alive, req.Broker); e != nil {
				return nil, e
			}
		}
		return []meta.Command{meta.DrainBroker{Broker: req.Broker, Draining: !req.Undo}}, nil
	})
}

// change has the controller decide on commands and commit them, and waits until this broker has heard of them. All of them
// may be repeated.
func (s *Service) change(ctx context.Context, c *call, plan func(meta.Snapshot) ([]meta.Command, *protocol.Error)) *protocol.Response {
	return s.changeOrTell(ctx, c, false, plan)
}

// changeOrTell is change, or only says what it would do.
func (s *Service) changeOrTell(ctx context.Context, c *call, dry bool, plan func(meta.Snapshot) ([]meta.Command, *protocol.Error)) *protocol.Response {
	here := func(ctx context.Context) *protocol.Response {
		if e := s.catchUp(ctx); e != nil {
			return &protocol.Response{Err: e}
		}
		select {
		case s.placing <- struct{}{}:
			defer func() { <-s.placing }()
		case <-ctx.Done():
			return &protocol.Response{Err: protocol.Errorf(protocol.RequestTimedOut, "%s: the controller is busy with other requests", c.req.Op).WithOutcome(protocol.NotWritten)}
		}
		cmds, e := plan(s.table.Load().snap)
		if e != nil {
			return &protocol.Response{Err: e}
		}
		reply := protocol.MoveReply{Moves: []protocol.PartitionRef{}}
		at := s.table.Load().snap.Next()
		for _, cmd := range cmds {
			if !dry {
				r, e := s.propose(ctx, cmd)
				if e != nil {
					return &protocol.Response{Err: e}
				}
				at = r.Offset + 1
			}
			if m, ok := cmd.(meta.ReassignPartition); ok {
				reply.Moves = append(reply.Moves, protocol.PartitionRef{Topic: m.Name, Partition: m.Partition})
			}
		}
		body, err := json.Marshal(reply)
		if err != nil {
			return protocol.ErrorResponse(err)
		}
		return &protocol.Response{BaseOffset: at, Body: body}
	}
	if c.from != 0 {
		return here(ctx)
	}
	short, cancel := untilMargin(ctx)
	defer cancel()
	r := s.atController(short, &protocol.Request{Op: c.req.Op, Body: c.req.Body}, here)
	if r.Err == nil {
		if e := s.await(short, r.BaseOffset); e != nil {
			s.log.Info("a change is not known here yet", "request", c.req.Op.String(), "reason", e)
		}
	}
	return r
}

// partitionMoved notes the end of a move that another broker has carried out, as the controller.
func (s *Service) partitionMoved(ctx context.Context, c *call) *protocol.Response {
	var cmd meta.PartitionMoved
	if e := decodeJSON(c.req, &cmd); e != nil {
		return &protocol.Response{Err: e}
	}
	r, e := s.propose(ctx, cmd)
	if e != nil {
		return &protocol.Response{Err: e}
	}
	return &protocol.Response{BaseOffset: r.Offset + 1}
}
