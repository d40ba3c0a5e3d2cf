package service

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// newTopicID returns a random (version 4) UUID.
func newTopicID() protocol.TopicID {
	var id protocol.TopicID
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the process instead
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// controller returns the broker that leads the metadata, 0 when none is known.
func (s *Service) controller() protocol.BrokerID { return s.leaderOf(s.meta).broker }

// notController says that this broker does not lead the metadata, and who does.
func (s *Service) notController() *protocol.Error {
	if l := s.leaderOf(s.meta); l.broker != 0 && l.broker != s.id {
		return protocol.Errorf(protocol.NotController, "broker %d is the controller, not broker %d", l.broker, s.id).WithLeader(l.broker, s.urlOf(l.broker))
	}
	e := s.noLeader(s.meta)
	if e.Code == protocol.LeaderNotAvailable {
		return protocol.Errorf(protocol.NotController, "the cluster has no controller that broker %d knows of; an election is under way, try again", s.id)
	}
	return e
}

// propose commits a command and returns what it did. Only the controller can; its term fences the command, so that one that
// was decided under an old picture of the cluster is never committed under a newer controller.
func (s *Service) propose(ctx context.Context, c meta.Command) (meta.Result, *protocol.Error) {
	l := s.leaderOf(s.meta)
	if l.group == nil {
		return meta.Result{}, s.notController()
	}
	key, value, err := meta.Encode(c)
	if err != nil {
		return meta.Result{}, protocol.AsError(err)
	}
	deadline, _ := ctx.Deadline()
	b := record.NewBuilder(record.BuilderOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	if err := b.Append(record.Record{Timestamp: time.Now().UnixMilli(), Key: key, Value: value}); err != nil {
		return meta.Result{}, protocol.Errorf(protocol.InvalidRequest, "%s: %v", c.CommandKey(), err)
	}
	batch, err := b.Seal(nil)
	if err != nil {
		return meta.Result{}, protocol.Errorf(protocol.InvalidRequest, "%s: %v", c.CommandKey(), err)
	}
	done := make(chan AppendResult, 1)
	l.group.Append(batch, l.term, deadline, func(r AppendResult) { done <- r })
	r := <-done
	if r.Err != nil {
		e := protocol.AsError(r.Err)
		if e.Code == protocol.NotLeaderOrFollower {
			return meta.Result{}, s.notController()
		}
		return meta.Result{}, e
	}
	if e := s.await(ctx, int64(r.Last)+1); e != nil {
		return meta.Result{}, e
	}
	result, ok := s.fold.result(int64(r.Base))
	if !ok {
		return meta.Result{}, protocol.Errorf(protocol.UnknownServerError, "%s is committed as record %d, but its result is gone", c.CommandKey(), r.Base)
	}
	return result, result.Err
}

// initialise gives a new cluster its id, once this broker is its controller.
func (s *Service) initialise(ctx context.Context) {
	wait := backoff{least: s.opts.RetryMin, most: s.opts.RetryMax}
	for ctx.Err() == nil {
		changed := s.changes.wait()
		if s.ClusterID() != "" {
			return
		}
		l := s.leaderOf(s.meta)
		if l.group == nil {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		if e := s.initialiseOnce(ctx, l.group); e != nil {
			s.log.Warn("the cluster cannot be initialised yet", "error", e)
			pause(ctx, wait.next(), nil)
		}
	}
}

func (s *Service) initialiseOnce(ctx context.Context, g Group) *protocol.Error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.DefaultDeadline)
	defer cancel()
	// A controller that was just elected may not have folded what is committed: the cluster may have an id.
	at, e := s.latest(ctx, g)
	if e == nil {
		e = s.await(ctx, int64(at))
	}
	if e != nil || s.ClusterID() != "" {
		return e
	}
	id := s.opts.ClusterID
	if id == "" {
		id = newTopicID().String()
	}
	_, e = s.propose(ctx, meta.ClusterInit{ClusterID: id, FeatureLevel: meta.SupportedLevel})
	if e == nil {
		s.log.Info("a new cluster begins", "cluster", id)
	}
	return e
}

// register makes this broker known to the cluster, and keeps what the cluster knows of it true. It ends when the cluster does
// not take the broker's data directory.
func (s *Service) register(ctx context.Context) {
	wait := backoff{least: s.opts.RetryMin, most: s.opts.RetryMax}
	for ctx.Err() == nil {
		changed := s.changes.wait()
		if e := meta.CheckIntroduction(s.table.Load().snap, s.id, s.opts.Directory, s.opts.Incarnation); e != nil {
			s.expelled(e)
			return
		}
		if s.registered() || s.ClusterID() == "" || s.controller() == 0 {
			wait.reset()
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		switch e := s.registerOnce(ctx); {
		case e == nil:
		case e.Code == protocol.DuplicateBrokerRegistration || e.Code == protocol.BrokerIDNotRegistered:
			s.expelled(e)
			return
		default:
			s.log.Warn("the broker is not registered yet", "error", e)
			pause(ctx, wait.next(), nil)
		}
	}
}

func (s *Service) selfRecord() meta.Broker {
	b := s.self
	return meta.Broker{ID: b.ID, URL: b.URL, HTTP: b.HTTP, Peer: b.Peer, Rack: b.Rack, FeatureLevel: meta.SupportedLevel,
		Directory: s.opts.Directory, Incarnation: s.opts.Incarnation}
}

func (s *Service) registered() bool {
	b := s.table.Load().snap.Broker(s.id)
	return b != nil && *b == s.selfRecord()
}

func (s *Service) registerOnce(ctx context.Context) *protocol.Error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.DefaultDeadline)
	defer cancel()
	deadline, _ := ctx.Deadline()
	to := s.controller()
	if to == s.id {
		_, e := s.propose(ctx, meta.RegisterBroker{Broker: s.selfRecord()})
		return e
	}
	body, err := json.Marshal(s.selfRecord())
	if err != nil {
		return protocol.AsError(err)
	}
	r, err := s.ask(ctx, to, &protocol.Request{Op: protocol.OpRegisterBroker, Hops: 1, DeadlineMs: remainingMs(deadline), Body: body})
	switch {
	case err != nil:
		return protocol.Errorf(protocol.BrokerNotAvailable, "the controller, broker %d, does not answer: %v", to, err)
	case r.Err != nil:
		return r.Err
	}
	return s.await(ctx, r.BaseOffset)
}

// registerPeer carries out a registration that another broker asks for, as the controller. The answer says how far that
// broker must read the metadata to see it.
func (s *Service) registerPeer(ctx context.Context, c *call) *protocol.Response {
	var b meta.Broker
	if e := decodeJSON(c.req, &b); e != nil {
		return &protocol.Response{Err: e}
	}
	if b.ID != c.from {
		return &protocol.Response{Err: protocol.Errorf(protocol.InvalidRequest, "broker %d asks to register broker %d; a broker registers itself only", c.from, b.ID)}
	}
	r, e := s.propose(ctx, meta.RegisterBroker{Broker: b})
	if e != nil {
		return &protocol.Response{Err: e}
	}
	return &protocol.Response{BaseOffset: r.Offset + 1}
}
