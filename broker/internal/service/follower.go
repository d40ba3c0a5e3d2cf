package service

import (
	"context"
	"encoding/json"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// fetchFollower answers a fetch that any replica may answer, from this broker's, which does not lead. It returns nil when
// the leader has to: the client wants the leader, or an offset that is not below what this replica knows to be committed.
//
// What is committed never changes, so a follower's answer is right however far behind it is. Only "there is no more" can be
// out of date, so a follower says that only while it hears a leader, and never that an offset does not exist.
func (s *Service) fetchFollower(ctx context.Context, c *call, p *partition, g Group) *protocol.Response {
	var req protocol.FetchRequest
	if len(c.req.Body) > protocol.MaxJSONBytes || json.Unmarshal(c.req.Body, &req) != nil || req.Replica != protocol.ReplicaAny {
		return nil // the leader says what is wrong with it
	}
	s.fetchDefaults(&req)
	timer := time.NewTimer(c.waitFor(&req))
	defer timer.Stop()
	f := fetch{s: s, p: p, g: g, req: req, next: record.Offset(req.Offset)}
	for {
		changed := g.WaitFor(f.next)
		st := g.Leader()
		inside := false
		if st.Err == nil {
			var e *protocol.Error
			if inside, e = f.take(ctx); e != nil && e.Code == protocol.ThrottlingQuotaExceeded && len(f.body) == 0 {
				return &protocol.Response{Err: e}
			}
		}
		switch {
		case f.enough(), !inside && len(f.body) > 0:
			return f.answerFollower()
		case !inside, st.Leader == 0 && len(f.body) == 0:
			return nil
		}
		select {
		case <-changed:
			continue
		case <-timer.C:
		case <-ctx.Done():
			if s.drain.Err() != nil && len(f.body) == 0 {
				return &protocol.Response{Err: s.stopping()}
			}
		}
		return f.answerFollower()
	}
}

func (f *fetch) answerFollower() *protocol.Response {
	f.s.stats.followerFetches.Add(1)
	return f.answer()
}
