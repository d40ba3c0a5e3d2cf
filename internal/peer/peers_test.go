package peer_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
)

// TestPeersJoinAndLeave: a broker that is not a peer yet is turned away, is let in
// once it is added, and out again when it is removed.
func TestPeersJoinAndLeave(t *testing.T) {
	la, lb := listen(t), listen(t)
	a, b := newRecorder(), newRecorder()
	entered := make(chan struct{})
	b.serve = func(ctx context.Context, _ []byte, reply func([]byte)) {
		close(entered)
		context.AfterFunc(ctx, func() { reply(nil) })
	}
	ta := start(t, peer.Options{Self: 1, Listener: la, Handler: a})
	tb := start(t, peer.Options{Self: 2, Listener: lb, Handler: b, Peers: map[protocol.BrokerID]string{1: la.Addr().String()}})
	eventually(t, "refusal", func() bool { return ta.Stats().Refused > 0 })
	if ta.Connected(2) || tb.Connected(1) || ta.Gossip(2, nil) {
		t.Error("connected to a stranger")
	}
	if err := ta.AddPeer(2, lb.Addr().String()); err != nil {
		t.Fatal(err)
	}
	connected(t, ta, 2)
	connected(t, tb, 1)
	if got := ta.Peers(); !slices.Equal(got, []protocol.BrokerID{2}) {
		t.Errorf("peers %v", got)
	}
	if !ta.Gossip(2, []byte("welcome")) || string(<-b.gossip) != "welcome" {
		t.Error("no gossip to the new peer")
	}

	// A request that is under way when the peer is removed has an unknown outcome.
	done := make(chan error, 1)
	go func() {
		_, err := ta.Request(context.Background(), 2, []byte("x"))
		done <- err
	}()
	<-entered
	ta.RemovePeer(2)
	ta.RemovePeer(2) // nothing more to do
	var unknown *peer.UnknownOutcomeError
	if err := <-done; !errors.As(err, &unknown) {
		t.Errorf("a request to the removed peer: %v", err)
	}
	eventually(t, "end of the connections", func() bool { return !tb.Connected(1) && ta.Stats().Connected == 0 })
	if _, err := ta.Request(t.Context(), 2, nil); !peer.IsUnsent(err) || ta.Gossip(2, nil) || len(ta.Peers()) > 0 {
		t.Errorf("the removed peer is still one: %v", err)
	}
	before := ta.Stats().Refused
	eventually(t, "refusal of the removed peer", func() bool { return ta.Stats().Refused > before })

	if err := ta.AddPeer(2, lb.Addr().String()); err != nil {
		t.Fatal(err)
	}
	connected(t, ta, 2)
	connected(t, tb, 1)
}

// TestPeerMoves: a peer whose address was wrong, or has changed, is found at the new
// one without a wait.
func TestPeerMoves(t *testing.T) {
	la, lb := listen(t), listen(t)
	nowhere := listen(t)
	if err := nowhere.Close(); err != nil {
		t.Fatal(err)
	}
	ta := start(t, peer.Options{
		Self: 1, Listener: la, Handler: newRecorder(), Peers: map[protocol.BrokerID]string{2: nowhere.Addr().String()},
		BackoffMin: time.Hour, BackoffMax: time.Hour,
	})
	b := newRecorder()
	start(t, peer.Options{Self: 2, Listener: lb, Handler: b, Peers: map[protocol.BrokerID]string{1: nowhere.Addr().String()}})
	eventually(t, "failed dials", func() bool { return ta.Stats().DialErrors >= 2 })
	if err := ta.SetAddress(2, lb.Addr().String()); err != nil {
		t.Fatal(err)
	}
	connected(t, ta, 2)
	if err := ta.AddPeer(2, lb.Addr().String()); err != nil { // is one, there
		t.Error(err)
	}
	if !ta.Gossip(2, []byte("found")) || string(<-b.gossip) != "found" {
		t.Error("no gossip")
	}
}

func TestPeersThatCannotBe(t *testing.T) {
	alone := start(t, peer.Options{Self: 1, Handler: newRecorder()})
	if err := alone.AddPeer(2, "x:1"); err == nil {
		t.Error("a peer of a broker without a port")
	}
	tr := start(t, peer.Options{Self: 1, Handler: newRecorder(), Listener: listen(t)})
	for _, id := range []protocol.BrokerID{0, 1} {
		if err := tr.AddPeer(id, "x:1"); err == nil {
			t.Errorf("broker %d is a peer of broker 1", id)
		}
	}
	if err := tr.SetAddress(3, "x:1"); err == nil {
		t.Error("a stranger has an address")
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tr.AddPeer(2, "x:1"); !errors.Is(err, peer.ErrClosed) {
		t.Errorf("a peer of a closed transport: %v", err)
	}
	// Added before Start, a peer is dialled with the others.
	lb := listen(t)
	start(t, peer.Options{Self: 2, Handler: newRecorder(), Listener: lb, Peers: map[protocol.BrokerID]string{1: "127.0.0.1:1"}})
	early, err := peer.New(peer.Options{Self: 1, Handler: newRecorder(), Listener: listen(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := early.AddPeer(2, lb.Addr().String()); err != nil {
		t.Fatal(err)
	}
	early.Start()
	connected(t, early, 2)
	if err := early.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
