package natsplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/logq/logq/internal/protocol"
)

// Plane is a running NATS side. Its methods may be called concurrently.
type Plane struct {
	o      Options
	log    *slog.Logger
	server *server.Server
	ctx    context.Context // handed to the handler; ends with the plane
	cancel context.CancelFunc

	// Appends and reads have connections of their own, so that large fetch replies
	// don't hold acknowledgements up.
	appends, reads, edge *nats.Conn
	micro                micro.Service

	due   atomic.Int64  // replies that are still to come
	idle  chan struct{} // holds a token when due may have reached 0
	shut  atomic.Bool
	stats counters

	mu    sync.Mutex
	bound map[Binding]*nats.Subscription // guarded by mu
}

// Start starts the server and answers requests.
func Start(o Options) (*Plane, error) {
	s, secret, err := startServer(&o)
	if err != nil {
		return nil, err
	}
	p := &Plane{o: o, log: o.Logger, server: s, bound: make(map[Binding]*nats.Subscription), idle: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.join(secret); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// join makes the in-process connections and subscribes.
func (p *Plane) join(secret string) (err error) {
	for _, c := range []struct {
		nc   **nats.Conn
		user string
	}{{&p.appends, brokerUser}, {&p.reads, brokerUser}, {&p.edge, edgeUser}} {
		if *c.nc, err = inProcess(p.server, c.user, secret, p.log); err != nil {
			return err
		}
	}
	for _, s := range []struct {
		nc      *nats.Conn
		subject string
	}{
		{p.appends, "produce.>"}, {p.appends, "pub.>"}, {p.reads, "fetch.>"}, {p.reads, "offsets.>"},
		// What no other subscription takes must not end in silence.
		{p.reads, "*"}, {p.reads, "admin.>"},
	} {
		if err := p.subscribe(s.nc, protocol.SubjectPrefix+s.subject); err != nil {
			return err
		}
	}
	if err := p.discover(); err != nil {
		return err
	}
	return errors.Join(p.appends.FlushTimeout(flushTimeout), p.reads.FlushTimeout(flushTimeout))
}

func (p *Plane) subscribe(nc *nats.Conn, subject string) error {
	sub, err := nc.Subscribe(subject, func(m *nats.Msg) { p.request(nc, m) })
	if err == nil {
		err = sub.SetPendingLimits(pendingMessages, pendingBytes)
	}
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return nil
}

// ClientURL returns the URL that clients on this machine connect to.
func (p *Plane) ClientURL() string { return p.server.ClientURL() }

// Addr returns HOST:PORT of the listener.
func (p *Plane) Addr() string { return p.server.Addr().String() }

// Close stops taking requests, waits until those taken are answered or ctx is
// done, and stops the server. Replies that come later go nowhere. Further calls
// do nothing.
func (p *Plane) Close(ctx context.Context) error {
	if p.shut.Swap(true) {
		return nil
	}
	err := p.drain(ctx)
	p.stop()
	return err
}

func (p *Plane) drain(ctx context.Context) error {
	for p.due.Load() > 0 {
		select {
		case <-p.idle:
		case <-ctx.Done():
			return fmt.Errorf("close the NATS side: %d requests were still under way: %w", p.due.Load(), ctx.Err())
		}
	}
	return p.flush()
}

// replied counts one reply as sent.
func (p *Plane) replied() {
	if p.due.Add(-1) == 0 {
		select {
		case p.idle <- struct{}{}:
		default:
		}
	}
}

func (p *Plane) flush() error {
	var errs []error
	for _, nc := range []*nats.Conn{p.appends, p.reads, p.edge} {
		if err := nc.FlushTimeout(flushTimeout); err != nil {
			errs = append(errs, fmt.Errorf("flush replies: %w", err))
		}
	}
	errs = append(errs, p.delivered())
	return errors.Join(errs...)
}

// delivered waits until the server has written out what it holds for clients: a
// shutdown drops the rest, and a reply that is dropped makes a done request
// unknown.
func (p *Plane) delivered() error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(drainTimeout)
	defer limit.Stop()
	for {
		conns, err := p.server.Connz(&server.ConnzOptions{Limit: maxConnections})
		if err != nil {
			return fmt.Errorf("look at the clients' connections: %w", err)
		}
		pending := 0
		for _, c := range conns.Conns {
			pending += c.Pending
		}
		if pending == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-limit.C:
			return fmt.Errorf("%d bytes for slow clients were not taken within %v", pending, drainTimeout)
		}
	}
}

func (p *Plane) stop() {
	p.shut.Store(true)
	p.cancel()
	if p.micro != nil {
		if err := p.micro.Stop(); err != nil {
			p.log.Debug("stop service discovery", "error", err)
		}
	}
	for _, nc := range []*nats.Conn{p.appends, p.reads, p.edge} {
		if nc != nil {
			nc.Close()
		}
	}
	p.server.Shutdown()
	p.server.WaitForShutdown()
}
