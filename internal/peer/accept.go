package peer

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// accept takes connections until the listener closes.
func (t *Transport) accept() {
	for {
		nc, err := t.o.Listener.Accept()
		if err != nil {
			if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely: wait for some to come free.
			t.log.Warn("accept a peer connection", "error", err)
			pause := time.NewTimer(defaultBackoffMax)
			select {
			case <-pause.C:
			case <-t.ctx.Done():
				pause.Stop()
				return
			}
			continue
		}
		select {
		case t.slots <- struct{}{}:
			t.wg.Go(func() {
				defer func() { <-t.slots }()
				t.welcome(nc)
			})
		default:
			t.stats.refused.Add(1)
			_ = nc.Close() // full; the peer dials again
		}
	}
}

// welcome greets one accepted connection and serves it. Whoever doesn't greet in
// time, or says something else, is cut off; nothing else has happened by then.
func (t *Transport) welcome(nc net.Conn) {
	remote := nc.RemoteAddr().String()
	if t.o.TLS != nil {
		nc = tls.Server(nc, t.o.TLS)
	}
	ctx, cancel := context.WithTimeout(t.ctx, t.o.HandshakeTimeout)
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	br := bufio.NewReaderSize(nc, readBuffer)
	h, err := readHello(br)
	var refusal *GreetingError
	if err == nil {
		if reason := t.judge(&h); reason != "" {
			err = &GreetingError{Reason: reason}
		}
	}
	switch {
	case err == nil:
		err = writeVerdict(nc, "")
	case errors.As(err, &refusal):
		err = errors.Join(err, writeVerdict(nc, refusal.Reason))
	}
	stopped := stop()
	cancel()
	if err != nil || !stopped {
		t.stats.refused.Add(1)
		host, _, _ := net.SplitHostPort(remote)
		if err != nil && t.ctx.Err() == nil && t.causes.changed("from "+host, err.Error()) {
			t.log.Warn("turned a connection to the peer port away", "remote", remote, "error", err)
		}
		_ = nc.Close()
		return
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		_ = nc.Close()
		return
	}
	if err := t.newConn(nc, br, h.from, h.class, false).serve(); err != nil && t.ctx.Err() == nil {
		t.log.Debug("a peer connection ended", "peer", h.from, "class", h.class.String(), "error", err)
	}
}
