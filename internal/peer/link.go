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
	ctx   context.Context // ends with the transport, or when the peer is removed
	peer  protocol.BrokerID
	addr  *atomic.Pointer[string]
	class class
	live  atomic.Pointer[conn]
	kick  chan struct{} // the peer has just shown that it is there
}

// run dials, serves and dials again until the transport closes or the peer is
// removed.
func (l *link) run() {
	who := fmt.Sprintf("%d %v", l.peer, l.class)
	wait, kicked := l.t.o.BackoffMin, false
	for !l.over() {
		lasted, err := l.session(who)
		if l.over() {
			return
		}
		if l.t.causes.changed(who, err.Error()) {
			l.t.log.Warn("no connection to a peer", "peer", l.peer, "address", *l.addr.Load(), "class", l.class.String(), "error", err)
		}
		if lasted > l.t.o.BackoffMax {
			wait, kicked = l.t.o.BackoffMin, false
		}
		// One kick in a row: two brokers that can greet and not talk would kick each
		// other without a pause.
		kick := l.kick
		if kicked {
			kick = nil
		}
		kicked = l.pause(wait, kick)
		wait = min(2*wait, l.t.o.BackoffMax)
	}
}

// over says that no connection is wanted any more.
func (l *link) over() bool { return l.t.closed.Load() || l.ctx.Err() != nil }

// pause waits before the next try. Half of the wait is drawn, so that brokers
// that lost a peer together don't come back together. A peer that connects to us
// is there again: it is dialled at once, and pause returns true.
func (l *link) pause(wait time.Duration, kick <-chan struct{}) bool {
	timer := time.NewTimer(wait/2 + rand.N(wait/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-kick:
		return true
	case <-l.ctx.Done():
	}
	return false
}

// session is one connection, from the dial to its end. It returns how long the
// connection lasted.
func (l *link) session(who string) (lasted time.Duration, err error) {
	nc, br, silence, err := l.connect()
	if err != nil {
		l.t.stats.dialErrors.Add(1)
		return 0, err
	}
	silence.Store(int64(l.t.o.Silence))
	l.t.stats.dials.Add(1)
	if l.t.causes.changed(who, "") {
		l.t.log.Info("connected to a peer", "peer", l.peer, "address", *l.addr.Load(), "class", l.class.String())
	}
	start := time.Now()
	c := l.t.newConn(l.ctx, nc, br, l.peer, l.class, true)
	l.live.Store(c)
	err = c.serve()
	l.live.CompareAndSwap(c, nil)
	return time.Since(start), err
}

// connect dials and greets, within the handshake's timeout.
func (l *link) connect() (net.Conn, *bufio.Reader, *atomic.Int64, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.t.o.HandshakeTimeout)
	defer cancel()
	addr := *l.addr.Load()
	raw, err := l.t.o.Dial(ctx, addr)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("dial: %w", err)
	}
	p := &patience{Conn: raw}
	nc, in := raw, net.Conn(p)
	if l.t.o.TLS != nil {
		cfg := l.t.o.TLS.Clone()
		if cfg.ServerName == "" {
			cfg.ServerName, _, _ = net.SplitHostPort(addr)
		}
		nc = tls.Client(p, cfg)
		in = nc
	}
	br := bufio.NewReaderSize(in, readBuffer)
	if err := l.greet(ctx, nc, br); err != nil {
		_ = nc.Close() // err is the reason
		return nil, nil, nil, tlsHint(err)
	}
	return nc, br, &p.silence, nil
}

// greet says who we are and waits for the verdict.
func (l *link) greet(ctx context.Context, nc net.Conn, br *bufio.Reader) error {
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	h := hello{class: l.class, from: l.t.o.Self, to: l.peer, cluster: l.t.clusterID()}
	if l.t.o.Introduce != nil {
		h.who = l.t.o.Introduce()
	}
	if _, err := nc.Write(h.encode()); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	if err := readVerdict(br); err != nil {
		var refused *GreetingError
		if errors.As(err, &refused) && refused.Fenced && l.t.o.OnFenced != nil {
			l.t.o.OnFenced(l.peer, refused.Reason)
		}
		return err
	}
	if !stop() {
		return ctx.Err()
	}
	return nc.SetDeadline(time.Time{})
}

// tlsHint adds what to do when only one side uses TLS.
func tlsHint(err error) error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return &GreetingError{Reason: "no TLS is on the other side; either both brokers or none must use TLS between peers (" + err.Error() + ")"}
	}
	return err
}
