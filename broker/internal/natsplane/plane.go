package natsplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/logq/logq/internal/gate"
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
	appends, reads, strays, edge *link
	micro                        micro.Service

	gate  *gate.Gate
	stats counters

	mu    sync.Mutex
	bound map[Binding]*nats.Subscription // guarded by mu
}

// partitioned are the subjects of operations on a partition. Each has one
// subscription, so that requests of a client are handed over in its order.
var partitioned = []struct {
	subject string
	reads   bool // on the connection for reads
}{
	{protocol.SubjectPrefix + "produce.>", false},
	{protocol.SubjectPrefix + "pub.>", false},
	{protocol.SubjectPrefix + "fetch.>", true},
	{protocol.SubjectPrefix + "offsets.>", true},
}

// Start starts the server and answers requests.
func Start(o Options) (*Plane, error) {
	s, secret, err := startServer(&o)
	if err != nil {
		return nil, err
	}
	p := &Plane{
		o: o, log: o.Logger, server: s, bound: make(map[Binding]*nats.Subscription),
		gate: gate.New(),
	}
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
		l    **link
		user string
	}{{&p.appends, brokerUser}, {&p.reads, brokerUser}, {&p.strays, strayUser}, {&p.edge, edgeUser}} {
		if *c.l, err = newLink(p.server, c.user, secret, p.log); err != nil {
			return err
		}
	}
	for _, s := range partitioned {
		l := p.appends
		if s.reads {
			l = p.reads
		}
		if _, err := l.subscribe(s.subject, func(m *nats.Msg) { p.request(l.nc, m) }); err != nil {
			return err
		}
	}
	if _, err := p.strays.subscribe(protocol.SubjectAll, p.stray); err != nil {
		return err
	}
	if err := p.discover(); err != nil {
		return err
	}
	return p.flush()
}

// flush waits until the server has taken what was sent to it.
func (p *Plane) flush() error {
	var errs []error
	for _, nc := range p.conns() {
		if err := nc.FlushTimeout(flushTimeout); err != nil {
			errs = append(errs, fmt.Errorf("flush in-process connection %s: %w", nc.Opts.Name, err))
		}
	}
	return errors.Join(errs...)
}

// conns are the in-process connections that were made.
func (p *Plane) conns() []*nats.Conn {
	out := make([]*nats.Conn, 0, 4)
	for _, l := range []*link{p.appends, p.reads, p.strays, p.edge} {
		if l != nil {
			out = append(out, l.nc)
		}
	}
	return out
}

// ClientURL returns the URL that clients on this machine connect to.
func (p *Plane) ClientURL() string { return p.server.ClientURL() }

// Addr returns HOST:PORT of the listener.
func (p *Plane) Addr() string { return p.server.Addr().String() }
