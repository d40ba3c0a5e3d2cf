package client

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// seed is the caller's connection. nats.go reconnects it; this type only watches.
type seed struct {
	*link
	status     chan nats.Status
	reconnects uint64 // seen by watch
}

func newSeed(c *Client, nc *nats.Conn) (*seed, error) {
	status := nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	l, err := newLink(nc, "", c.start)
	if err != nil {
		nc.RemoveStatusListener(status)
		return nil, fmt.Errorf("the NATS connection cannot be used: %w", err)
	}
	s := &seed{link: l, status: status, reconnects: nc.Stats().Reconnects}
	l.up.Store(nc.Status() == nats.CONNECTED)
	c.start(s.watch)
	return s, nil
}

// watch follows the state of the connection until close removes the listener. Events may be missing when they come fast,
// so each is only the occasion to look.
func (s *seed) watch() {
	for range s.status {
		if s.nc.Status() != nats.CONNECTED {
			s.fail(errDisconnected)
		} else if n := s.nc.Stats().Reconnects; n != s.reconnects || !s.up.Load() {
			s.reconnects = n
			s.reconnected()
		}
	}
}

// reconnected lets requests through again. What was under way when the connection broke is lost even if the break was too
// short to be seen: its reply went to a socket that is gone.
func (s *seed) reconnected() {
	s.fail(errDisconnected)
	s.suspect.Store(0)
	s.timeouts.Store(0)
	s.used.Store(time.Now().UnixNano())
	s.up.Store(true)
}

func (s *seed) close() {
	s.nc.RemoveStatusListener(s.status)
	s.fail(errClosed)
	// It fails when the connection is closed already, which has the same effect.
	_ = s.sub.Unsubscribe()
}
