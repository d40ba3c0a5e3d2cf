package service

import (
	"context"
	"slices"
	"time"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

// addBroker gives a broker that has joined its share of the replicas. The moves are those of a reassignment: they go on when
// the answer has been given. Asked again it plans what is missing.
func (s *Service) addBroker(ctx context.Context, c *call) *protocol.Response {
	var req protocol.AddBrokerRequest
	if e := decodeJSON(c.req, &req); e != nil {
		return &protocol.Response{Err: e}
	}
	s.awaitBroker(ctx, func() bool { return s.table.Load().snap.Broker(req.Broker) != nil && s.alive(req.Broker) })
	return s.changeOrTell(ctx, c, req.DryRun, func(snap meta.Snapshot) ([]meta.Command, *protocol.Error) {
		if snap.Broker(req.Broker) == nil {
			return nil, protocol.Errorf(protocol.BrokerIDNotRegistered,
				"broker %d is not part of the cluster yet; start it first, on an empty directory: logq server --id %d --join HOST:PORT --peer-listen HOST:PORT --data DIR", req.Broker, req.Broker)
		}
		plan, e := meta.PlanSpread(snap, s.alive, req.Broker)
		return commands(plan), e
	})
}

// awaitBroker gives a broker that has just been started the time to show itself, or one that was just stopped the time to be
// missed.
func (s *Service) awaitBroker(ctx context.Context, is func() bool) {
	for until := time.Now().Add(s.opts.LeaderWait); ; {
		changed := s.changes.wait()
		left := time.Until(until)
		if is() || left <= 0 || !s.waitChange(ctx, left, changed) {
			return
		}
	}
}

// removeBroker takes a broker out of the cluster. One that lives stops voting on the metadata before that, so that the others
// can go on without it.
func (s *Service) removeBroker(ctx context.Context, c *call) *protocol.Response {
	var req protocol.RemoveBrokerRequest
	if e := decodeJSON(c.req, &req); e != nil {
		return &protocol.Response{Err: e}
	}
	if req.DataLost {
		s.awaitBroker(ctx, func() bool { return !s.alive(req.Broker) })
	}
	plan := func(snap meta.Snapshot) ([]meta.Command, *protocol.Error) { return s.planRemove(snap, req) }
	for {
		r := s.change(ctx, c, plan)
		if r.Err != nil || c.from != 0 || s.table.Load().snap.Broker(req.Broker) == nil {
			return r
		}
		if !s.waitChange(ctx, s.opts.MoveInterval, nil) {
			return &protocol.Response{Err: protocol.Errorf(protocol.RequestTimedOut, "broker %d is not removed yet; try again", req.Broker)}
		}
	}
}

func (s *Service) planRemove(snap meta.Snapshot, req protocol.RemoveBrokerRequest) ([]meta.Command, *protocol.Error) {
	b := snap.Broker(req.Broker)
	if b == nil {
		if snap.Removed(req.Broker) {
			return nil, nil
		}
		return nil, protocol.Errorf(protocol.BrokerIDNotRegistered, "broker %d is not registered", req.Broker)
	}
	cmd := meta.RemoveBroker{Broker: b.ID, Incarnation: b.Incarnation, DataLost: req.DataLost}
	if e := meta.CheckRemove(snap, cmd); e != nil {
		return nil, e
	}
	if req.DataLost {
		if s.alive(b.ID) {
			return nil, protocol.Errorf(protocol.InvalidRequest, "broker %d is alive, so its data is not lost; run \"logq broker drain %d --wait\" and remove it without --data-lost, or stop it first", b.ID, b.ID)
		}
		return []meta.Command{cmd}, nil
	}
	g := s.leaderOf(s.meta).group
	switch {
	case g == nil:
		return nil, s.notController()
	case !slices.Contains(g.Status().Members.Voters, b.MetaReplica()):
		return []meta.Command{cmd}, nil
	case !snap.Draining(b.ID):
		return []meta.Command{meta.DrainBroker{Broker: b.ID, Draining: true}}, nil
	}
	return nil, protocol.Errorf(protocol.BrokerNotAvailable, "broker %d still votes on the cluster's metadata, because no other broker is ready to; it is removed when one is", b.ID)
}
