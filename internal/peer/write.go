package peer

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// writer sends what gathers in a connection's outbox. It belongs to one
// goroutine.
type writer struct {
	c       *conn
	buf     *bufio.Writer // TLS: it encrypts buffer by buffer, so they are joined
	scratch []byte        // small frames of one system call, together
	bufs    net.Buffers
	sending net.Buffers // what WriteTo consumes; here, so that it is not allocated
}

// write sends what is queued: at once when idle, and what gathers meanwhile with
// the next system calls. It returns when the connection has ended.
func (c *conn) write() {
	w := &writer{c: c}
	if _, ok := c.nc.(*tls.Conn); ok {
		w.buf = bufio.NewWriterSize(c.nc, tlsBuffer)
	}
	ping := time.NewTicker(c.t.o.Ping)
	defer ping.Stop()
	spare := new(batch)
	for {
		cur := c.out.take(spare)
		if cur == nil {
			if !w.wait(ping.C) {
				return
			}
			continue
		}
		for at := 0; at < len(cur.items); {
			select {
			case <-ping.C:
				c.pingDue = c.dialed
			default:
			}
			n, err := w.send(cur, cur.items[at:])
			if err != nil {
				c.end(err)
				return
			}
			at += n
		}
		cur.reset()
		spare = cur
	}
}

// wait sends keep-alives until there is something else to send; false: the
// connection has ended.
func (w *writer) wait(ping <-chan time.Time) bool {
	c := w.c
	select {
	case <-c.out.wake:
	case <-ping:
		c.pingDue = c.dialed
	case <-c.ctx.Done():
		return false
	}
	if !c.pingDue && !c.pongDue.Load() {
		return true
	}
	if _, err := w.send(nil, nil); err != nil {
		c.end(err)
		return false
	}
	return true
}

// send writes keep-alives that are due, then as many of items as one system call
// should, and returns how many.
func (w *writer) send(b *batch, items []item) (n int, err error) {
	c := w.c
	w.scratch, w.bufs = w.scratch[:0], w.bufs[:0]
	start := 0 // of what in scratch is not in bufs yet
	if c.pingDue {
		c.pingDue = false
		id := c.t.clusterID()
		w.scratch = append(appendHeader(w.scratch, framePing, 0, []byte(id)), id...)
	}
	if c.pongDue.Swap(false) {
		w.scratch = appendHeader(w.scratch, framePong, 0)
	}
	keepAlives := len(w.scratch)
	total, charged, frames := keepAlives, 0, 0
	for n < len(items) && total < gatherBytes {
		it := &items[n]
		n++
		charged += it.bytes + itemOverhead
		if it.req != nil && !it.req.state.CompareAndSwap(requestQueued, requestWriting) {
			continue // called off
		}
		frames++
		total += it.bytes
		w.scratch = append(w.scratch, it.wire[:it.n]...)
		start = w.add(start, it.body)
		for _, part := range b.parts[it.from:it.to] {
			start = w.add(start, part)
		}
	}
	if start < len(w.scratch) {
		w.bufs = append(w.bufs, w.scratch[start:])
	}
	sent, err := w.flush(total)
	c.stats.sent(frames, sent)
	w.settle(items[:n], sent-int64(keepAlives), err)
	clear(w.bufs)
	c.out.written(charged)
	if err != nil {
		return 0, fmt.Errorf("write to broker %d: %w", c.peer, err)
	}
	return n, nil
}

// add appends a part of a frame: to the scratch memory when it is small, else as
// a buffer of its own. What was in bufs of scratch stays valid when that grows,
// as the old memory is not written again before the flush.
func (w *writer) add(start int, part []byte) int {
	if len(part) <= inlineBytes {
		w.scratch = append(w.scratch, part...)
		return start
	}
	w.bufs = append(w.bufs, w.scratch[start:len(w.scratch):len(w.scratch)], part)
	return len(w.scratch)
}

// flush writes bufs. The deadline allows for a slow network: a whole gather of
// bytes may take as long as a peer may be silent.
func (w *writer) flush(bytes int) (int64, error) {
	silence := w.c.t.o.Silence
	limit := silence * time.Duration(1+bytes/gatherBytes)
	if err := w.c.nc.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return 0, err
	}
	if w.buf == nil {
		w.sending = w.bufs
		return w.sending.WriteTo(w.c.nc)
	}
	n := int64(0)
	for _, b := range w.bufs {
		m, err := w.buf.Write(b)
		if n += int64(m); err != nil {
			return n, err
		}
	}
	return n, w.buf.Flush()
}

// settle tells the requests among items what became of them: with an error, one
// whose last byte the system did not take cannot be carried out. Under TLS it is
// not known what the system took.
func (w *writer) settle(items []item, sent int64, err error) {
	c := w.c
	end := int64(0)
	for i := range items {
		r := items[i].req
		if r != nil && r.state.Load() != requestWriting {
			continue // called off before, and not written
		}
		end += int64(items[i].bytes)
		switch {
		case r == nil:
		case err != nil && w.buf == nil && end > sent:
			r.finish(nil, &UnsentError{To: c.peer, Cause: err})
		case err != nil:
			r.finish(nil, &UnknownOutcomeError{To: c.peer, Cause: err})
		default:
			// If the connection ends, who settles it? Whoever ends it, if it sees this
			// state; if it saw the one before, then ended is set already.
			r.state.Store(requestSent)
			if c.ended.Load() {
				r.finish(nil, &UnknownOutcomeError{To: c.peer, Cause: c.err})
			}
		}
	}
}
