package peer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder hands what arrives to channels.
type recorder struct {
	raft   chan raft.Message
	frames chan []byte
	gossip chan []byte
	serve  func(ctx context.Context, body []byte, reply func([]byte))
}

func newRecorder() *recorder {
	return &recorder{raft: make(chan raft.Message, 1000), frames: make(chan []byte, 1000), gossip: make(chan []byte, 100)}
}

func (r *recorder) HandleRaft(_ protocol.BrokerID, m *raft.Message, frames []byte) {
	r.raft <- *m
	r.frames <- frames
}

func (r *recorder) HandleRequest(ctx context.Context, _ protocol.BrokerID, body []byte, reply func([]byte)) {
	r.serve(ctx, body, reply)
}

func (r *recorder) HandleGossip(_ protocol.BrokerID, body []byte) { r.gossip <- body }

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func start(t *testing.T, o peer.Options) *peer.Transport {
	t.Helper()
	tr, err := peer.New(o)
	if err != nil {
		t.Fatal(err)
	}
	tr.Start()
	t.Cleanup(func() {
		if err := tr.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// pair starts brokers 1 and 2, joined.
func pair(t *testing.T, a, b *recorder) (*peer.Transport, *peer.Transport) {
	t.Helper()
	la, lb := listen(t), listen(t)
	ta := start(t, peer.Options{Self: 1, Peers: map[protocol.BrokerID]string{2: lb.Addr().String()}, Listener: la, Handler: a})
	tb := start(t, peer.Options{Self: 2, Peers: map[protocol.BrokerID]string{1: la.Addr().String()}, Listener: lb, Handler: b})
	connected(t, ta, 2)
	connected(t, tb, 1)
	return ta, tb
}

func connected(t *testing.T, tr *peer.Transport, to protocol.BrokerID) {
	t.Helper()
	eventually(t, fmt.Sprintf("a connection to broker %d", to), func() bool { return tr.Connected(to) })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no %s within 10 s", what)
		}
	}
}

func TestMessagesArriveInOrderOnTheirClass(t *testing.T) {
	b := newRecorder()
	ta, _ := pair(t, newRecorder(), b)
	big := bytes.Repeat([]byte("entries"), 20_000)
	for i := range 100 {
		m := raft.Message{Type: raft.MsgAppend, From: 1, To: 2, Term: 7, Index: raft.Index(i), Lo: raft.Index(i) + 1, Hi: raft.Index(i) + 2, EntryTerm: 7, LogTerm: 6}
		if !ta.Send(2, &m, [][]byte{big[:i], big[i:]}) {
			t.Fatal("dropped")
		}
	}
	for i := range 100 {
		if m := <-b.raft; m.Index != raft.Index(i) || m.Term != 7 {
			t.Fatalf("message %d is %+v", i, m)
		}
		if got := <-b.frames; !bytes.Equal(got, big) {
			t.Fatalf("message %d has %d other bytes", i, len(got))
		}
	}
	m := raft.Message{Type: raft.MsgHeartbeat, From: 1, To: 2, Term: 8}
	if !ta.Send(2, &m, nil) {
		t.Fatal("dropped")
	}
	if got := <-b.raft; got.Type != raft.MsgHeartbeat || got.Term != 8 {
		t.Errorf("got %+v", got)
	}
	eventually(t, "count of what was sent", func() bool {
		s := ta.Stats()
		return s.Bulk.FramesSent == 100 && s.Control.FramesSent > 0
	})
}

func TestRequestAndGossip(t *testing.T) {
	b := newRecorder()
	b.serve = func(_ context.Context, body []byte, reply func([]byte)) {
		go reply(append([]byte("re: "), body...))
	}
	ta, _ := pair(t, newRecorder(), b)
	for _, n := range []int{0, 10, 3 << 20} {
		body := bytes.Repeat([]byte("x"), n)
		got, err := ta.Request(t.Context(), 2, body)
		if err != nil || !bytes.Equal(got, append([]byte("re: "), body...)) {
			t.Errorf("%d bytes: %d back, %v", n, len(got), err)
		}
	}
	if !ta.Gossip(2, []byte("hello")) {
		t.Fatal("gossip dropped")
	}
	if got := <-b.gossip; string(got) != "hello" {
		t.Errorf("gossip %q", got)
	}
}

func TestRequestOutcomes(t *testing.T) {
	b := newRecorder()
	entered := make(chan struct{}, 10)
	b.serve = func(ctx context.Context, _ []byte, reply func([]byte)) {
		entered <- struct{}{}
		context.AfterFunc(ctx, func() { reply(nil) })
	}
	ta, tb := pair(t, newRecorder(), b)

	if _, err := ta.Request(t.Context(), 9, nil); !peer.IsUnsent(err) {
		t.Errorf("to an unknown broker: %v, want unsent", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	var unknown *peer.UnknownOutcomeError
	if _, err := ta.Request(ctx, 2, []byte("x")); !errors.As(err, &unknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("called off after it arrived: %v, want unknown", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := ta.Request(context.Background(), 2, []byte("y"))
		done <- err
	}()
	<-entered
	if err := tb.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.As(err, &unknown) {
		t.Errorf("the broker went away after it arrived: %v, want unknown", err)
	}
	// The two connections end one after the other.
	eventually(t, "refusal of a message", func() bool { return !ta.Send(2, &raft.Message{Type: raft.MsgHeartbeat, From: 1, To: 2}, nil) })
	eventually(t, "refusal of a request", func() bool {
		_, err := ta.Request(t.Context(), 2, nil)
		return peer.IsUnsent(err)
	})
}

func TestReconnects(t *testing.T) {
	la, lb := listen(t), listen(t)
	addr := lb.Addr().String()
	ta := start(t, peer.Options{Self: 1, Peers: map[protocol.BrokerID]string{2: addr}, Listener: la, Handler: newRecorder()})
	first, err := peer.New(peer.Options{Self: 2, Peers: map[protocol.BrokerID]string{1: la.Addr().String()}, Listener: lb, Handler: newRecorder()})
	if err != nil {
		t.Fatal(err)
	}
	first.Start()
	connected(t, ta, 2)
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "disconnect", func() bool { return !ta.Connected(2) })
	again, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	b := newRecorder()
	start(t, peer.Options{Self: 2, Peers: map[protocol.BrokerID]string{1: la.Addr().String()}, Listener: again, Handler: b})
	connected(t, ta, 2)
	if !ta.Gossip(2, []byte("again")) {
		t.Fatal("dropped")
	}
	<-b.gossip
}

// TestGarbageOnThePort: whatever comes in is cut off, and the peers don't
// notice.
func TestGarbageOnThePort(t *testing.T) {
	la, lb := listen(t), listen(t)
	b := newRecorder()
	ta := start(t, peer.Options{Self: 1, Peers: map[protocol.BrokerID]string{2: lb.Addr().String()}, Listener: la, Handler: newRecorder()})
	start(t, peer.Options{Self: 2, Peers: map[protocol.BrokerID]string{1: la.Addr().String()}, Listener: lb, Handler: b, HandshakeTimeout: 300 * time.Millisecond})
	connected(t, ta, 2)
	for name, bytesIn := range map[string][]byte{
		"http": []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "zeros": make([]byte, 4096),
		"magic only": []byte("LOGQPEER"), "nothing": nil,
		"huge": append([]byte("LOGQPEER\x01\x01\x01\x00\x02\x00\xff"), bytes.Repeat([]byte{0xff}, 300)...),
	} {
		c, err := net.Dial("tcp", lb.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(bytesIn); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		// A reset counts as being cut off too.
		if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: not cut off: %v", name, err)
		}
		c.Close()
	}
	if !ta.Gossip(2, []byte("still here")) {
		t.Fatal("dropped")
	}
	<-b.gossip
}

func TestGreetingRefusals(t *testing.T) {
	id := func(s string) func() string { return func() string { return s } }
	for name, c := range map[string]struct {
		a, b peer.Options // a dials b as broker 2
		want string
	}{
		"other cluster": {peer.Options{Self: 1, ClusterID: id("red")}, peer.Options{Self: 2, ClusterID: id("blue")}, "cluster"},
		"wrong broker":  {peer.Options{Self: 1}, peer.Options{Self: 3}, "this is broker 3"},
		"not a member":  {peer.Options{Self: 9}, peer.Options{Self: 2}, "--peers"},
	} {
		t.Run(name, func(t *testing.T) {
			la, lb := listen(t), listen(t)
			c.a.Listener, c.a.Handler, c.a.Peers = la, newRecorder(), map[protocol.BrokerID]string{2: lb.Addr().String()}
			c.b.Listener, c.b.Handler, c.b.Peers = lb, newRecorder(), map[protocol.BrokerID]string{1: la.Addr().String()}
			ta := start(t, c.a)
			tb := start(t, c.b)
			eventually(t, "refusal", func() bool { return tb.Stats().Refused > 0 && ta.Stats().DialErrors > 0 })
			if ta.Connected(2) {
				t.Error("connected all the same")
			}
		})
	}
}

func TestNewReportsAllFaults(t *testing.T) {
	_, err := peer.New(peer.Options{Peers: map[protocol.BrokerID]string{0: "x"}})
	for _, want := range []string{"Self", "Handler", "Listener"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("%v doesn't name %s", err, want)
		}
	}
}
