package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

// conn is one greeted connection: a reader and a writer, both ended by close.
type conn struct {
	t      *Transport
	nc     net.Conn
	br     *bufio.Reader
	peer   protocol.BrokerID
	class  class
	dialed bool
	out    *outbox
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	stats  *classStats

	asked    requests     // ours, waiting for replies
	answered atomic.Int32 // theirs, under way here

	once sync.Once
	err  error // why it ended; set before ctx is done
}

func (t *Transport) newConn(nc net.Conn, br *bufio.Reader, id protocol.BrokerID, cl class, dialed bool) *conn {
	limit := t.o.ControlQueueBytes
	if cl == classBulk {
		limit = t.o.BulkQueueBytes
	}
	c := &conn{t: t, nc: nc, br: br, peer: id, class: cl, dialed: dialed, out: newOutbox(limit), stats: t.stats.of(cl)}
	c.ctx, c.cancel = context.WithCancel(t.ctx)
	c.asked.waiting = make(map[uint64]*request)
	return c
}

// serve runs the connection until it fails or the transport closes.
func (c *conn) serve() error {
	var wg sync.WaitGroup
	wg.Go(c.write)
	wg.Go(func() {
		<-c.ctx.Done() // the transport closes, or this connection does
		c.end(ErrClosed)
	})
	c.end(c.read())
	wg.Wait()
	return c.err
}

// end closes the connection once and settles its requests: those that never
// left are unsent, the others unknown.
func (c *conn) end(err error) {
	c.once.Do(func() {
		c.err = err
		_ = c.nc.Close() // the reason to end is err, not this
		for _, it := range c.out.close() {
			if it.req != nil && it.req.state.CompareAndSwap(requestQueued, requestDone) {
				it.req.finish(nil, &UnsentError{To: c.peer, Cause: err})
			}
		}
		c.asked.fail(func() error { return &UnknownOutcomeError{To: c.peer, Cause: err} })
		c.cancel()
	})
}

// write sends what is queued: at once when idle, and what gathers meanwhile with
// the next system call.
func (c *conn) write() {
	ping := time.NewTicker(c.t.o.Ping)
	defer ping.Stop()
	var (
		items   []item
		scratch []byte
		bufs    net.Buffers
	)
	for {
		items = c.out.take(items)
		if len(items) == 0 {
			select {
			case <-c.out.wake:
			case <-ping.C:
				if c.dialed {
					c.out.put(small(framePing, nil, nil))
				}
			case <-c.ctx.Done():
				return
			}
			continue
		}
		live := items[:0]
		for _, it := range items {
			if it.req == nil || it.req.state.CompareAndSwap(requestQueued, requestSent) {
				live = append(live, it)
			}
		}
		scratch, bufs = gather(live, scratch, bufs)
		if err := c.nc.SetWriteDeadline(time.Now().Add(c.t.o.Silence)); err != nil {
			c.end(fmt.Errorf("set a deadline: %w", err))
			return
		}
		out := bufs // WriteTo consumes the slice header
		n, err := out.WriteTo(c.nc)
		c.stats.sent(len(live), n)
		clear(bufs)
		if err != nil {
			c.end(fmt.Errorf("write to broker %d: %w", c.peer, err))
			return
		}
	}
}

// read takes frames until the connection ends.
func (c *conn) read() error {
	for {
		if err := c.nc.SetReadDeadline(time.Now().Add(c.t.o.Silence)); err != nil {
			return fmt.Errorf("set a deadline: %w", err)
		}
		f, err := readFrame(c.br, c.t.o.MaxFrameBytes)
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return fmt.Errorf("broker %d said nothing for %v: %w", c.peer, c.t.o.Silence, errSilent)
			}
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("broker %d closed the connection: %w", c.peer, err)
			}
			return fmt.Errorf("read from broker %d: %w", c.peer, err)
		}
		c.stats.received(len(f.head) + len(f.body) + frameHeader)
		if err := c.handle(&f); err != nil {
			return fmt.Errorf("from broker %d: %w", c.peer, err)
		}
	}
}

func (c *conn) handle(f *frame) error {
	switch f.t {
	case frameRaft:
		var m raft.Message
		n, err := m.Decode(f.head)
		if err != nil || n != len(f.head) {
			return &FrameError{What: fmt.Sprintf("raft message: %v", err)}
		}
		if from := protocol.BrokerOf(uint64(m.From)); from != c.peer {
			return &FrameError{What: fmt.Sprintf("it sends a message in the name of broker %d", from)}
		}
		c.t.o.Handler.HandleRaft(c.peer, &m, f.body)
	case frameGossip:
		c.t.o.Handler.HandleGossip(c.peer, f.body)
	case frameRequest:
		return c.handleRequest(f)
	case frameReply, frameRefused:
		if len(f.head) != 8 {
			return &FrameError{What: "reply without an id"}
		}
		r := c.asked.take(binary.LittleEndian.Uint64(f.head))
		if r == nil {
			return nil // its caller has given up
		}
		if f.t == frameRefused {
			r.finish(nil, &UnsentError{To: c.peer, Cause: errRefused})
		} else {
			r.finish(f.body, nil)
		}
	case framePing:
		c.out.put(small(framePong, nil, nil))
	case framePong:
	}
	return nil
}

// handleRequest hands a forwarded request to the handler; the reply comes back
// on this connection, or nowhere if it is gone.
func (c *conn) handleRequest(f *frame) error {
	if len(f.head) != 12 {
		return &FrameError{What: "request without id and deadline"}
	}
	id := f.head[:8:8]
	if c.answered.Add(1) > maxRequests {
		c.answered.Add(-1)
		c.out.put(small(frameRefused, id, nil))
		return nil
	}
	left := time.Duration(binary.LittleEndian.Uint32(f.head[8:])) * time.Millisecond
	ctx, cancel := context.WithTimeout(c.ctx, left)
	var once sync.Once
	c.t.o.Handler.HandleRequest(ctx, c.peer, f.body, func(reply []byte) {
		once.Do(func() {
			cancel()
			c.answered.Add(-1)
			c.out.put(framed(frameReply, id, [][]byte{reply}))
		})
	})
	return nil
}

// small returns a frame that lies whole in one buffer.
func small(t frameType, head, body []byte) item {
	wire := make([]byte, 0, frameHeader+len(head)+len(body))
	wire = append(appendHeader(wire, t, head, len(body)), body...)
	return item{wire: wire, bytes: len(wire)}
}

// framed returns a frame whose body is written from where it lies, or copied
// when it is small.
func framed(t frameType, head []byte, body [][]byte) item {
	n := 0
	for _, b := range body {
		n += len(b)
	}
	if n <= inlineBytes {
		wire := make([]byte, 0, frameHeader+len(head)+n)
		wire = appendHeader(wire, t, head, n)
		for _, b := range body {
			wire = append(wire, b...)
		}
		return item{wire: wire, bytes: len(wire)}
	}
	wire := appendHeader(make([]byte, 0, frameHeader+len(head)), t, head, n)
	return item{wire: wire, parts: body, bytes: len(wire) + n}
}
