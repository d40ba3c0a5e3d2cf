package peer

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// link keeps one dialled connection to a peer alive.
type link struct {
	t     *Transport
	peer  protocol.BrokerID
	addr  string
	class class
	live  atomic.Pointer[conn]
}

// run dials, serves and dials again until the transport closes.
func (l *link) run() {
	wait := defaultBackoffMin
	for l.t.ctx.Err() == nil {
		start := time.Now()
		err := l.session()
		if l.t.ctx.Err() != nil {
			return
		}
		who := fmt.Sprintf("%d %v", l.peer, l.class)
		if l.t.causes.changed(who, err.Error()) {
			l.t.log.Warn("no connection to a peer", "peer", l.peer, "address", l.addr, "class", l.class.String(), "error", err)
		}
		if time.Since(start) > defaultBackoffMax {
			wait = defaultBackoffMin // it had worked
		}
		// Half of the wait is drawn, so that brokers that lost a peer together don't
		// come back together.
		pause := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-pause.C:
		case <-l.t.ctx.Done():
			pause.Stop()
		}
		wait = min(2*wait, defaultBackoffMax)
	}
}

// session is one connection, from the dial to its end.
func (l *link) session() error {
	ctx, cancel := context.WithTimeout(l.t.ctx, l.t.o.HandshakeTimeout)
	defer cancel()
	nc, err := l.t.o.Dial(ctx, l.addr)
	if err != nil {
		l.t.stats.dialErrors.Add(1)
		return fmt.Errorf("dial: %w", err)
	}
	if l.t.o.TLS != nil {
		cfg := l.t.o.TLS.Clone()
		if cfg.ServerName == "" {
			cfg.ServerName, _, _ = net.SplitHostPort(l.addr)
		}
		nc = tls.Client(nc, cfg)
	}
	br := bufio.NewReaderSize(nc, readBuffer)
	if err := l.greet(ctx, nc, br); err != nil {
		l.t.stats.dialErrors.Add(1)
		return errors.Join(err, nc.Close())
	}
	cancel()
	l.t.stats.dials.Add(1)
	l.t.causes.changed(fmt.Sprintf("%d %v", l.peer, l.class), "")
	c := l.t.newConn(nc, br, l.peer, l.class, true)
	l.live.Store(c)
	err = c.serve()
	l.live.CompareAndSwap(c, nil)
	return err
}

// greet says who we are and waits for the verdict.
func (l *link) greet(ctx context.Context, nc net.Conn, br *bufio.Reader) error {
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	h := hello{class: l.class, from: l.t.o.Self, to: l.peer, cluster: l.t.clusterID()}
	if _, err := nc.Write(h.encode()); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	if err := readVerdict(br); err != nil {
		return err
	}
	if !stop() {
		return ctx.Err()
	}
	return nc.SetDeadline(time.Time{})
}
