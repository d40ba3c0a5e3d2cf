package natsplane

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// link is an in-process connection to the embedded server with back-pressure.
//
// Left alone, nats.go reads as fast as it can and drops what its subscriptions
// have no room for, and the server cuts off a connection that is behind: either
// way requests would vanish. Here nothing is read while too much waits for its
// callback, and the server has been told not to queue for a connection that is
// three quarters full: it answers "no responders" instead, which is definite and
// at once.
type link struct {
	nc      *nats.Conn
	server  *server.Server
	subs    atomic.Pointer[[]*nats.Subscription] // replaced as a whole, by one caller at a time
	waiting atomic.Bool                          // the reader waits for callbacks
	resume  chan struct{}                        // wakes it
}

// newLink connects. The connection comes back by itself if the server cuts it.
func newLink(s *server.Server, user, secret string, log *slog.Logger) (*link, error) {
	l := &link{server: s, resume: make(chan struct{}, 1)}
	l.subs.Store(&[]*nats.Subscription{})
	log = log.With("user", user)
	var err error
	l.nc, err = nats.Connect("", nats.InProcessServer(l), nats.UserInfo(user, secret), nats.Name(user),
		nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("an in-process connection was cut, its requests are lost", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			if !errors.Is(err, nats.ErrConnectionClosed) {
				log.Warn("an in-process connection has a problem", "subject", subject, "error", err)
			}
		}))
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server as %s: %w", user, err)
	}
	return l, nil
}

// subscribe has f called with each message, one after the other.
func (l *link) subscribe(subject string, f nats.MsgHandler) (*nats.Subscription, error) {
	sub, err := l.nc.Subscribe(subject, func(m *nats.Msg) {
		f(m)
		if l.waiting.Load() {
			l.wake()
		}
	})
	if err == nil {
		err = sub.SetPendingLimits(-1, -1) // the reader keeps the limit
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	subs := append([]*nats.Subscription{sub}, *l.subs.Load()...)
	l.subs.Store(&subs)
	return sub, nil
}

func (l *link) unsubscribe(sub *nats.Subscription) error {
	var subs []*nats.Subscription
	for _, s := range *l.subs.Load() {
		if s != sub {
			subs = append(subs, s)
		}
	}
	l.subs.Store(&subs)
	return sub.Unsubscribe()
}

func (l *link) wake() {
	select {
	case l.resume <- struct{}{}:
	default:
	}
}

// behind reports whether as much waits for callbacks as may.
func (l *link) behind() bool {
	messages, bytes := 0, 0
	for _, s := range *l.subs.Load() {
		if m, b, err := s.Pending(); err == nil {
			messages, bytes = messages+m, bytes+b
		}
	}
	return messages >= backlogMessages || bytes >= backlogBytes
}

// InProcessConn is how nats.go connects.
func (l *link) InProcessConn() (net.Conn, error) {
	nc, err := l.server.InProcessConn()
	if err != nil {
		return nil, err
	}
	return &gatedConn{Conn: nc, link: l, closed: make(chan struct{})}, nil
}

// gatedConn is read only while its link is not behind.
type gatedConn struct {
	net.Conn
	link   *link
	once   sync.Once
	closed chan struct{}
}

// Read waits until there is room for what it brings.
func (c *gatedConn) Read(b []byte) (int, error) {
	if c.link.behind() {
		if err := c.wait(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

// wait ends when callbacks have caught up. The flag is set before the second look,
// and every callback that ends after that look sees it, so that no wake-up is lost;
// the tick is for subscriptions that go away with what they hold.
func (c *gatedConn) wait() error {
	c.link.waiting.Store(true)
	defer c.link.waiting.Store(false)
	tick := time.NewTicker(gateTick)
	defer tick.Stop()
	for c.link.behind() {
		select {
		case <-c.link.resume:
		case <-tick.C:
		case <-c.closed:
			return net.ErrClosed
		}
	}
	return nil
}

// Close closes the connection and ends a waiting Read.
func (c *gatedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
