package service

import (
	"context"
	"encoding/json"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// administer carries out a metadata or admin request on a goroutine of its own.
func (s *Service) administer(c *call) {
	if !s.admin.take(1) {
		c.fail(protocol.Errorf(protocol.ThrottlingQuotaExceeded, "%s: broker %d has %d such requests under way, which is its limit", c.req.Op, s.id, s.admin.limit))
		return
	}
	started := s.tasks.start(func() {
		defer s.admin.give(1)
		ctx, cancel := c.context()
		defer cancel()
		c.finish(s.administerAt(ctx, c))
	})
	if !started {
		s.admin.give(1)
		c.fail(s.stopping())
	}
}

func (s *Service) administerAt(ctx context.Context, c *call) *protocol.Response {
	switch c.req.Op {
	case protocol.OpMeta:
		return s.metadata(ctx, c)
	case protocol.OpTopicCreate:
		return s.createTopic(ctx, c)
	case protocol.OpTopicList:
		return s.listTopics(ctx)
	case protocol.OpTopicDescribe:
		return s.describeTopic(ctx, c)
	case protocol.OpTopicDelete:
		return s.deleteTopic(ctx, c)
	case protocol.OpClusterStatus:
		return s.clusterStatus(ctx)
	case protocol.OpRegisterBroker:
		return s.registerPeer(ctx, c)
	case protocol.OpMetaSync:
		return s.metaEndFor(ctx)
	case protocol.OpTopicReassign:
		return s.reassignPartition(ctx, c)
	case protocol.OpTopicAlter:
		return s.alterTopic(ctx, c)
	case protocol.OpBrokerDrain:
		return s.drainBroker(ctx, c)
	case protocol.OpBrokerAdd:
		return s.addBroker(ctx, c)
	case protocol.OpBrokerRemove:
		return s.removeBroker(ctx, c)
	case protocol.OpBrokerJoin:
		return s.joinBroker(ctx, c)
	case protocol.OpPartitionMoved:
		return s.partitionMoved(ctx, c)
	case protocol.OpMetaState:
		return s.metaStateFor(ctx, c)
	case protocol.OpTopicStatus:
		return s.topicStatusFor(c.req)
	default:
		return &protocol.Response{Err: protocol.Errorf(protocol.InvalidRequest, "%s is not an operation", c.req.Op)}
	}
}

// atController has the controller carry out a request that may be repeated: here if this broker is the controller, else
// there. It goes on through changes of controller until there is a final answer or ctx ends. An attempt whose outcome is
// unknown makes every later failure unknown too, because the attempt may yet have its effect.
func (s *Service) atController(ctx context.Context, req *protocol.Request, here func(context.Context) *protocol.Response) *protocol.Response {
	wait := backoff{least: s.opts.RetryMin / 4, most: s.opts.RetryMax / 8}
	unknown := false
	for {
		changed := s.changes.wait()
		r := s.askController(ctx, req, here)
		if r.Err == nil || !repeatable(r.Err) {
			return r
		}
		unknown = unknown || r.Err.Outcome != protocol.NotWritten
		lost := s.controller() == 0
		if !s.waitChange(ctx, wait.next(), nil) || lost && s.controller() == 0 && !s.waitChange(ctx, s.opts.LeaderWait, changed) {
			if unknown {
				r.Err = r.Err.WithOutcome(protocol.Unknown)
			}
			return r
		}
	}
}

// repeatable reports whether the same request may succeed at another controller, or later.
func repeatable(e *protocol.Error) bool {
	switch e.Code {
	case protocol.NotController, protocol.NotLeaderOrFollower, protocol.LeaderNotAvailable, protocol.BrokerNotAvailable,
		protocol.NotEnoughReplicas, protocol.NotEnoughReplicasAfterAppend, protocol.RequestTimedOut:
		return true
	default:
		return false
	}
}

func (s *Service) askController(ctx context.Context, req *protocol.Request, here func(context.Context) *protocol.Response) *protocol.Response {
	l := s.leaderOf(s.meta)
	switch l.broker {
	case s.id:
		return here(ctx)
	case 0:
		return &protocol.Response{Err: s.notController()}
	}
	deadline, _ := ctx.Deadline()
	req.Hops, req.DeadlineMs = 1, remainingMs(deadline)
	r, err := s.ask(ctx, l.broker, req)
	switch {
	case err == nil:
		return r
	case unsent(err):
		return &protocol.Response{Err: protocol.Errorf(protocol.BrokerNotAvailable, "the controller, broker %d, cannot be reached: %v", l.broker, err)}
	default:
		return &protocol.Response{Err: protocol.Errorf(protocol.RequestTimedOut, "no answer from the controller, broker %d: %v", l.broker, err)}
	}
}

// jsonResponse wraps a reply body.
func jsonResponse(v any) *protocol.Response {
	body, err := json.Marshal(v)
	if err != nil {
		return &protocol.Response{Err: protocol.Errorf(protocol.UnknownServerError, "the reply cannot be encoded: %v", err)}
	}
	return &protocol.Response{Body: body}
}

// refresh brings the metadata up to date if that is possible soon, so that a client sees what it has done through another
// broker. It reports whether it was.
func (s *Service) refresh(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	return s.syncMeta(ctx) == nil
}

// untilMargin shortens ctx, so that there is time to answer when waiting was in vain.
func untilMargin(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	left := time.Until(deadline)
	return context.WithDeadline(ctx, deadline.Add(-min(left/4, replyMargin)))
}
