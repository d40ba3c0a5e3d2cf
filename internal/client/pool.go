package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// pool holds the client's own connections, one per broker.
type pool struct {
	c    *Client
	opts nats.Options // of the seed, stripped of what is the caller's own
	user *url.Userinfo
	tls  string // host name to expect of a broker that is known by address only

	mu      sync.Mutex
	slots   map[string]*slot // guarded by mu; by HOST:PORT
	closed  bool             // guarded by mu
	sweeper bool             // guarded by mu
}

// slot is the place of one broker's connection. Guarded by pool.mu.
type slot struct {
	link    *link
	dialing chan struct{} // not nil: closed when the dial under way has ended
	err     error         // of the last dial
	notFrom time.Time     // when the next may be tried
}

func newPool(c *Client, nc *nats.Conn) *pool {
	p := &pool{c: c, slots: map[string]*slot{}, opts: nc.Opts}
	if u, err := url.Parse(nc.ConnectedUrl()); err == nil && u.Host != "" {
		p.user = u.User
		p.tls = u.Hostname()
	} else if list := nc.Servers(); len(list) > 0 {
		if u, err := url.Parse(list[0]); err == nil {
			p.user, p.tls = u.User, u.Hostname()
		}
	}
	o := &p.opts
	o.Servers, o.InProcessServer = nil, nil
	// A broken connection is replaced, not repaired: nothing may be sent later than it was said to be.
	o.AllowReconnect, o.RetryOnFailedConnect, o.ReconnectBufSize = false, false, -1
	o.IgnoreDiscoveredServers, o.UseOldRequestStyle, o.Verbose = true, false, false
	o.Timeout = c.o.DialTimeout
	if o.Dialer != nil {
		d := *o.Dialer
		d.Timeout = c.o.DialTimeout
		o.Dialer = &d
	}
	o.PingInterval, o.MaxPingsOut, o.FlusherTimeout = pingInterval, pingsMissed, flushTimeout
	o.ConnectedCB, o.ReconnectedCB, o.DisconnectedCB, o.DisconnectedErrCB, o.ClosedCB = nil, nil, nil, nil, nil
	o.DiscoveredServersCB, o.AsyncErrorCB, o.ReconnectErrCB, o.ReconnectToServerCB, o.LameDuckModeHandler = nil, nil, nil, nil, nil
	return p
}

// address normalizes a broker's URL to HOST:PORT, "" if it is none.
func address(brokerURL string) string {
	u, err := url.Parse(brokerURL)
	if err != nil || u.Host == "" {
		return ""
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "4222")
	}
	return u.Host
}

var errTooMany = errors.New("the limit of connections is reached, and all are in use")

// get returns the connection to a broker, making one if there is none.
func (p *pool) get(ctx context.Context, brokerURL string) (*link, error) {
	at := address(brokerURL)
	if at == "" {
		return nil, fmt.Errorf("broker URL %q is not nats://HOST:PORT", brokerURL)
	}
	for {
		l, wait, err := p.look(at, brokerURL)
		if l != nil || err != nil {
			return l, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// look returns the connection, or what to wait for, or why there is none. It starts a dial if one is due.
func (p *pool) look(at, brokerURL string) (*link, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, errClosed
	}
	s := p.slots[at]
	switch {
	case s == nil:
		if len(p.slots) >= p.c.o.MaxConns && !p.evict() {
			return nil, nil, errTooMany
		}
		s = &slot{}
		p.slots[at] = s
	case s.link != nil && s.link.up.Load():
		return s.link, nil, nil
	case s.dialing != nil:
		return nil, s.dialing, s.err
	case s.err != nil && time.Now().Before(s.notFrom):
		return nil, nil, s.err
	}
	// Who failed last time is tried again in the background: nobody waits for it twice.
	err := s.err
	s.dialing, s.link = make(chan struct{}), nil
	if !p.c.start(func() { p.dial(at, brokerURL, s) }) {
		s.dialing = nil
		return nil, nil, errClosed
	}
	if !p.sweeper {
		p.sweeper = p.c.start(p.sweep)
	}
	return nil, s.dialing, err
}

// evict makes room by closing a connection that nothing is under way on. The caller holds mu.
func (p *pool) evict() bool {
	now := time.Now()
	for at, s := range p.slots {
		if s.dialing == nil && (s.link == nil || s.link.idle(now, 0)) {
			p.remove(at, s)
			return true
		}
	}
	return false
}

func (p *pool) remove(at string, s *slot) {
	delete(p.slots, at)
	if s.link != nil {
		s.link.drop(errDisconnected)
	}
}

func (p *pool) dial(at, brokerURL string, s *slot) {
	l, err := p.connect(at, brokerURL)
	p.mu.Lock()
	closed := p.closed
	if !closed {
		s.link = l
	}
	s.err, s.notFrom = err, time.Now().Add(p.c.o.RedialPause)
	close(s.dialing)
	s.dialing = nil
	p.mu.Unlock()
	switch {
	case err != nil:
		p.c.log.Debug("a broker cannot be reached", "url", brokerURL, "error", err)
	case closed:
		l.drop(errClosed)
	default:
		p.c.log.Debug("connected to a broker", "url", brokerURL)
	}
}

func (p *pool) connect(at, brokerURL string) (*link, error) {
	o := p.opts
	u := url.URL{Scheme: "nats", Host: at, User: p.user}
	o.Url = u.String()
	// As nats.go does for servers that it discovers: an address has no name to check the certificate against.
	if o.Secure && o.TLSConfig != nil && o.TLSConfig.ServerName == "" && net.ParseIP(hostOf(at)) != nil && net.ParseIP(p.tls) == nil {
		o.TLSConfig = o.TLSConfig.Clone()
		o.TLSConfig.ServerName = p.tls
	}
	// The handlers may run before newLink has returned; they wait for it.
	made := make(chan struct{})
	var l *link
	o.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if <-made; l != nil {
			l.asyncError(err)
		}
	}
	o.ClosedCB = func(nc *nats.Conn) {
		if <-made; l != nil {
			l.fail(nc.LastError())
		}
	}
	defer close(made)
	nc, err := o.Connect()
	if err != nil {
		return nil, fmt.Errorf("connect to the broker at %s: %w", brokerURL, err)
	}
	if l, err = newLink(nc, brokerURL, p.c.start); err != nil {
		l = nil
		nc.Close()
		return nil, fmt.Errorf("connect to the broker at %s: %w", brokerURL, err)
	}
	return l, nil
}

func hostOf(at string) string {
	host, _, err := net.SplitHostPort(at)
	if err != nil {
		return at
	}
	return host
}

// ready returns the connections that are up.
func (p *pool) ready() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	var up []*link
	for _, s := range p.slots {
		if s.link != nil && s.link.up.Load() {
			up = append(up, s.link)
		}
	}
	return up
}

// sweep closes connections that are not used.
func (p *pool) sweep() {
	tick := time.NewTicker(p.c.o.IdleTimeout / 2)
	defer tick.Stop()
	for {
		select {
		case <-p.c.ctx.Done():
			return
		case now := <-tick.C:
			p.mu.Lock()
			for at, s := range p.slots {
				if s.dialing == nil && (s.link == nil || !s.link.up.Load() || s.link.idle(now, p.c.o.IdleTimeout)) {
					p.remove(at, s)
				}
			}
			p.mu.Unlock()
		}
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	slots := p.slots
	p.slots = nil
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range slots {
		if l := s.link; l != nil {
			wg.Go(func() { l.drop(errClosed) })
		}
	}
	wg.Wait()
}
