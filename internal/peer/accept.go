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
			if t.closed.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely: wait for some to come free.
			if t.causes.changed("accept", err.Error()) {
				t.log.Warn("accept a peer connection", "error", err)
			}
			pause := time.NewTimer(t.o.BackoffMax)
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
			t.wg.Go(func() { t.welcome(nc) })
		default:
			t.stats.refused.Add(1)
			_ = nc.Close() // too many that don't greet; a peer dials again
		}
	}
}

// welcome greets one accepted connection and serves it. Whoever doesn't greet in
// time, or says something else, is cut off; nothing else has happened by then.
func (t *Transport) welcome(raw net.Conn) {
	p := &patience{Conn: raw}
	nc, in := raw, net.Conn(p)
	if t.o.TLS != nil {
		nc = tls.Server(p, t.o.TLS)
		in = nc
	}
	br := bufio.NewReaderSize(in, readBuffer)
	h, err := t.greeted(nc, br)
	if err == nil && h.class == classAsk {
		t.answer(nc, br, &h)
		<-t.slots
		return
	}
	<-t.slots
	if err != nil {
		t.stats.refused.Add(1)
		host, _, _ := net.SplitHostPort(raw.RemoteAddr().String())
		if !t.closed.Load() && t.causes.changed("from "+host, err.Error()) {
			t.log.Warn("turned a connection to the peer port away", "remote", raw.RemoteAddr().String(), "error", err)
		}
		_ = nc.Close() // err is the reason
		return
	}
	p.silence.Store(int64(t.o.Silence))
	if l := t.linksOf(h.from); l != nil {
		l.wake()
	}
	c := t.newConn(t.ctx, nc, br, h.from, h.class, false)
	if err := c.serve(); err != nil && !t.closed.Load() {
		t.log.Debug("a peer connection ended", "peer", h.from, "class", h.class.String(), "error", err)
	}
}

// greeted reads a greeting and answers it, within the handshake's timeout.
func (t *Transport) greeted(nc net.Conn, br *bufio.Reader) (hello, error) {
	ctx, cancel := context.WithTimeout(t.ctx, t.o.HandshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	h, err := readHello(br)
	if err == nil {
		if refusal := t.judge(&h); refusal != nil {
			err = refusal
		}
	}
	var refusal *GreetingError
	if errors.As(err, &refusal) {
		// Whoever it is learns why; that it may be gone already changes nothing.
		_ = writeAnswer(nc, refusal.Reason, refusal.Fenced)
		return h, err
	}
	if err == nil {
		err = writeVerdict(nc, "")
	}
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		return h, tlsHint(err)
	}
	return h, nc.SetDeadline(time.Time{})
}
