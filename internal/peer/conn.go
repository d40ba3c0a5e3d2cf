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

// conn is one greeted connection: a reader and a writer, both ended by end.
type conn struct {
	t      *Transport
	nc     net.Conn
	fr     frameReader
	peer   protocol.BrokerID
	class  class
	dialed bool
	out    *outbox
	ctx    context.Context // ends with the connection
	cancel context.CancelCauseFunc
	stats  *classStats

	asked   requests // ours, waiting for replies
	answers answers  // theirs, under way here

	pingDue bool // the writer's
	pongDue atomic.Bool
	msg     raft.Message   // the reader's
	msgs    []raft.Message // the reader's

	once  sync.Once
	ended atomic.Bool
	err   error // why it ended; set before ended is
}

func (t *Transport) newConn(ctx context.Context, nc net.Conn, br *bufio.Reader, id protocol.BrokerID, cl class, dialed bool) *conn {
	limit := t.o.ControlQueueBytes
	if cl == classBulk {
		limit = t.o.BulkQueueBytes
	}
	c := &conn{
		t: t, nc: nc, peer: id, class: cl, dialed: dialed, out: newOutbox(limit), stats: t.stats.of(cl),
		fr:      frameReader{r: br, limit: t.o.MaxFrameBytes},
		asked:   requests{max: t.o.MaxRequests, maxBytes: t.o.MaxRequestBytes, waiting: make(map[uint64]*request)},
		answers: answers{max: t.o.MaxRequests, maxBytes: t.o.MaxRequestBytes},
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c
}

// patience is a connection whose reads fail when nothing came for a while,
// however large the frame that is being read.
type patience struct {
	net.Conn
	silence atomic.Int64 // 0: no limit, as during the greeting, which has its own
}

func (p *patience) Read(b []byte) (int, error) {
	if d := time.Duration(p.silence.Load()); d > 0 {
		if err := p.SetReadDeadline(time.Now().Add(d)); err != nil {
			return 0, err
		}
	}
	return p.Conn.Read(b)
}

// serve runs the connection until it fails or the transport closes.
func (c *conn) serve() error {
	if !c.t.enroll(c) {
		err := ErrClosed
		if !c.t.closed.Load() {
			err = errRemoved
		}
		c.end(err)
		return err
	}
	defer c.t.discharge(c)
	if h := c.t.hosts; h != nil && c.class == classControl && !c.dialed {
		h.HandleLink(c.peer)
		defer h.HandleLink(c.peer) // behind all that came over it
	}
	var wg sync.WaitGroup
	wg.Go(c.write)
	wg.Go(func() {
		<-c.ctx.Done() // the transport closes, or this connection does
		c.end(context.Cause(c.ctx))
	})
	c.end(c.read())
	wg.Wait()
	return c.err
}

// end closes the connection once and settles its requests.
func (c *conn) end(err error) {
	c.once.Do(func() {
		c.err = err
		c.ended.Store(true)
		_ = c.nc.Close() // the reason to end is err, not this
		c.out.close()
		c.asked.fail(c.peer, err)
		c.cancel(err)
	})
}

// read takes frames until the connection ends.
func (c *conn) read() error {
	for {
		f, err := c.fr.next()
		if err != nil {
			var timeout net.Error
			switch {
			case errors.As(err, &timeout) && timeout.Timeout():
				return fmt.Errorf("broker %d sent nothing for %v: %w", c.peer, c.t.o.Silence, errSilent)
			case err == io.EOF:
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
		return c.handleRaft(f)
	case frameBatch:
		return c.handleBatch(f)
	case framePulse:
		if h := c.t.hosts; h != nil {
			h.HandlePulse(c.peer, f.head)
		}
	case frameGossip:
		c.t.o.Handler.HandleGossip(c.peer, f.head)
	case frameRequest:
		c.answer(f)
	case frameReply, frameRefused:
		r := c.asked.take(binary.LittleEndian.Uint64(f.head))
		switch {
		case r == nil: // its caller has given up
		case f.t == frameRefused:
			r.finish(nil, &UnsentError{To: c.peer, Cause: errRefused})
		default:
			r.finish(f.head[replyHead:], nil)
		}
	case framePing:
		// What a greeting could not compare, as one side had no cluster yet.
		if reason := c.t.strange(c.peer, string(f.head)); reason != "" {
			return &GreetingError{Reason: reason}
		}
		c.pongDue.Store(true)
		c.out.nudge()
	case framePong:
	}
	return nil
}

func (c *conn) handleRaft(f *frame) error {
	n, err := c.decode(&c.msg, f.head)
	if err != nil {
		return err
	}
	if n != len(f.head) {
		return &FrameError{What: fmt.Sprintf("%d bytes after a message", len(f.head)-n)}
	}
	c.t.o.Handler.HandleRaft(c.peer, &c.msg, f.body)
	return nil
}

func (c *conn) decode(m *raft.Message, b []byte) (int, error) {
	n, err := m.Decode(b)
	if err != nil {
		return 0, err
	}
	if from := protocol.BrokerOf(uint64(m.From)); from != c.peer {
		return 0, &FrameError{What: fmt.Sprintf("it sends a message in the name of broker %d", from)}
	}
	return n, nil
}

// handleBatch hands over a batch as one if all of it decodes, else nothing of it.
func (c *conn) handleBatch(f *frame) error {
	c.msgs = c.msgs[:0]
	for rest := f.head; len(rest) > 0; {
		if len(c.msgs) == MaxBatch {
			return &FrameError{What: fmt.Sprintf("more than %d messages in a batch", MaxBatch)}
		}
		c.msgs = append(c.msgs, raft.Message{})
		n, err := c.decode(&c.msgs[len(c.msgs)-1], rest)
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	if h := c.t.hosts; h != nil {
		h.HandleBatch(c.peer, c.msgs)
		return nil
	}
	for i := range c.msgs {
		c.t.o.Handler.HandleRaft(c.peer, &c.msgs[i], nil)
	}
	return nil
}

// putRaft queues a message with its entries.
func (c *conn) putRaft(m *raft.Message, frames [][]byte) bool {
	n := 0
	for _, f := range frames {
		n += len(f)
	}
	if n+raft.MaxMessageSize > c.t.o.MaxFrameBytes {
		return false
	}
	return c.out.put(inlineHead+n, func(wire []byte) int {
		head := m.AppendTo(wire[frameHeader:frameHeader])
		return len(appendHeader(wire[:0], frameRaft, n, head)) + len(head)
	}, nil, frames, nil)
}

// putBatch queues messages without entries as one frame.
func (c *conn) putBatch(msgs []raft.Message) bool {
	body := make([]byte, 0, len(msgs)*batchedBytes)
	for i := range msgs {
		body = msgs[i].AppendTo(body)
	}
	return c.putCovered(frameBatch, nil, body, nil)
}

// putCovered queues a frame whose checksum covers all of it.
func (c *conn) putCovered(t frameType, head, body []byte, req *request) bool {
	return c.out.put(frameHeader+len(head)+len(body), func(wire []byte) int {
		return len(append(appendHeader(wire[:0], t, 0, head, body), head...))
	}, body, nil, req)
}
