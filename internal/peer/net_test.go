package peer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
)

// pipes is a network of net.Pipes, which run on the virtual time of synctest.
// An address is a name.
type pipes struct {
	mu        sync.Mutex
	listeners map[string]*pipeListener
	dials     []time.Time
}

func newPipes() *pipes { return &pipes{listeners: map[string]*pipeListener{}} }

func (p *pipes) listen(addr string) *pipeListener {
	l := &pipeListener{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
	p.mu.Lock()
	p.listeners[addr] = l
	p.mu.Unlock()
	return l
}

func (p *pipes) dial(ctx context.Context, addr string) (net.Conn, error) {
	p.mu.Lock()
	p.dials = append(p.dials, time.Now())
	l := p.listeners[addr]
	p.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("%s: connection refused", addr)
	}
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, fmt.Errorf("%s: connection refused", addr)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type pipeListener struct {
	addr  string
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: l.addr} }

// fake plays broker 2 byte by byte. It accepts what broker 1 dials; broker 1
// listens on "one".
type fake struct {
	t   *testing.T
	net *pipes
	l   *pipeListener
}

// against starts broker 1 with o, and a fake broker 2 for it to dial.
func against(t *testing.T, o peer.Options) (*peer.Transport, *fake) {
	t.Helper()
	n := newPipes()
	f := &fake{t: t, net: n, l: n.listen("two")}
	o.Self, o.Peers, o.Listener, o.Dial = 1, map[protocol.BrokerID]string{2: "two"}, n.listen("one"), n.dial
	if o.Handler == nil {
		o.Handler = newRecorder()
	}
	tr, err := peer.New(o)
	if err != nil {
		t.Fatal(err)
	}
	tr.Start()
	return tr, f
}

// accept greets both connections that broker 1 dials and returns them.
func (f *fake) accept() (control, bulk net.Conn) {
	f.t.Helper()
	for control == nil || bulk == nil {
		c, err := f.l.Accept()
		if err != nil {
			f.t.Fatal(err)
		}
		class, from, to, _, err := peer.ReadHello(c)
		if err != nil || from != 1 || to != 2 {
			f.t.Fatalf("greeting of %d to %d: %v", from, to, err)
		}
		if err := peer.WriteVerdict(c, ""); err != nil {
			f.t.Fatal(err)
		}
		if class == 1 {
			control = c
		} else {
			bulk = c
		}
	}
	return control, bulk
}

// call dials broker 1 as broker 2 and greets.
func (f *fake) call(class uint8) net.Conn {
	f.t.Helper()
	c, err := f.net.dial(f.t.Context(), "one")
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := c.Write(peer.Hello(class, 2, 1, "")); err != nil {
		f.t.Fatal(err)
	}
	if err := peer.ReadVerdict(c); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// swallow reads a connection to its end.
func swallow(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// abrupt closes without draining.
func abrupt(t *testing.T, tr *peer.Transport) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := tr.Close(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
