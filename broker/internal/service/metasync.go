package service

import (
	"context"
	"sync"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// metaSync brings this broker's metadata up to what was committed when it was asked for. Callers that come while a question
// is on its way share the next one, so that any number of them costs the controller one question at a time.
type metaSync struct {
	mu      sync.Mutex
	running bool      // guarded by mu
	next    *question // guarded by mu; not asked yet
}

type question struct {
	done chan struct{}
	err  *protocol.Error // set before done is closed
}

// syncMeta waits until what was committed before the call is folded here.
func (s *Service) syncMeta(ctx context.Context) *protocol.Error {
	m := &s.sync
	m.mu.Lock()
	if m.next == nil {
		m.next = &question{done: make(chan struct{})}
	}
	q := m.next
	if !m.running {
		m.running = s.tasks.start(s.askMeta)
	}
	m.mu.Unlock()
	select {
	case <-q.done:
		return q.err
	case <-ctx.Done():
		return protocol.Errorf(protocol.NotController, "the controller has not answered in time")
	}
}

// askMeta asks as long as there is somebody to ask for.
func (s *Service) askMeta() {
	for {
		s.sync.mu.Lock()
		q := s.sync.next
		s.sync.next = nil
		if q == nil {
			s.sync.running = false
			s.sync.mu.Unlock()
			return
		}
		s.sync.mu.Unlock()
		ctx, cancel := context.WithTimeout(s.ctx, syncTimeout)
		q.err = s.askMetaOnce(ctx)
		cancel()
		close(q.done)
	}
}

func (s *Service) askMetaOnce(ctx context.Context) *protocol.Error {
	for {
		changed := s.changes.wait()
		l := s.leaderOf(s.meta)
		if l.broker == 0 {
			if !pause(ctx, syncTimeout, changed) {
				return s.notController()
			}
			continue
		}
		at, e := s.metaEnd(ctx, l)
		if e == nil {
			e = s.await(ctx, at)
		}
		if e == nil || !pause(ctx, s.opts.RetryMin, nil) {
			return e
		}
	}
}

// metaEnd asks the controller how far the committed metadata reaches.
func (s *Service) metaEnd(ctx context.Context, l leader) (int64, *protocol.Error) {
	if l.group != nil {
		at, e := s.latest(ctx, l.group)
		return int64(at), e
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(syncTimeout)
	}
	r, err := s.ask(ctx, l.broker, &protocol.Request{Op: protocol.OpMetaSync, Hops: 1, DeadlineMs: remainingMs(deadline)})
	if err != nil {
		return 0, protocol.Errorf(protocol.NotController, "the controller, broker %d, does not answer: %v", l.broker, err)
	}
	if r.Err != nil {
		return 0, r.Err
	}
	return r.BaseOffset, nil
}

// metaEndFor answers another broker's question, as the controller.
func (s *Service) metaEndFor(ctx context.Context) *protocol.Response {
	l := s.leaderOf(s.meta)
	if l.group == nil {
		return &protocol.Response{Err: s.notController()}
	}
	at, e := s.latest(ctx, l.group)
	if e != nil {
		return &protocol.Response{Err: e}
	}
	return &protocol.Response{BaseOffset: int64(at)}
}
