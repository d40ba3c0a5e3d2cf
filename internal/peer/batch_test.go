package peer_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

// hostRecorder notes in one line each what a host is told.
type hostRecorder struct {
	*recorder
	events chan string
}

func newHostRecorder() *hostRecorder {
	return &hostRecorder{recorder: newRecorder(), events: make(chan string, 1000)}
}

func (r *hostRecorder) HandleRaft(_ protocol.BrokerID, m *raft.Message, _ []byte) {
	r.events <- fmt.Sprintf("raft %d", m.Commit)
}

func (r *hostRecorder) HandleBatch(_ protocol.BrokerID, msgs []raft.Message) {
	line := "batch"
	for i := range msgs {
		line += fmt.Sprintf(" %d", msgs[i].Commit)
	}
	r.events <- line
}

func (r *hostRecorder) HandlePulse(_ protocol.BrokerID, body []byte) {
	r.events <- "pulse " + string(body)
}

func (r *hostRecorder) HandleLink(from protocol.BrokerID) { r.events <- fmt.Sprintf("link %d", from) }

func (r *hostRecorder) take(n int) (got []string) {
	for range n {
		got = append(got, <-r.events)
	}
	return got
}

func beats(n int) (msgs []raft.Message) {
	for i := range n {
		msgs = append(msgs, raft.Message{Type: raft.MsgHeartbeat, From: 1, To: 2, Term: 3, Commit: raft.Index(i + 1)})
	}
	return msgs
}

// TestBatchesAndPulsesKeepTheOrder: everything on the control connection arrives
// in the order in which it was sent, whatever its kind.
func TestBatchesAndPulsesKeepTheOrder(t *testing.T) {
	b := newHostRecorder()
	la, lb := listen(t), listen(t)
	ta := start(t, peer.Options{Self: 1, Peers: map[protocol.BrokerID]string{2: lb.Addr().String()}, Listener: la, Handler: newRecorder()})
	tb := start(t, peer.Options{Self: 2, Peers: map[protocol.BrokerID]string{1: la.Addr().String()}, Listener: lb, Handler: b})
	connected(t, ta, 2)
	msgs := beats(4)
	if !ta.SendAll(2, msgs[:3]) || !ta.SendPulse(2, []byte("one")) || !ta.Send(2, &msgs[3], nil) || !ta.SendPulse(2, nil) {
		t.Fatal("dropped")
	}
	want := []string{"link 1", "batch 1 2 3", "pulse one", "raft 4", "pulse "}
	if got := b.take(len(want)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if ta.SendAll(2, beats(peer.MaxBatch+1)) || ta.SendPulse(2, make([]byte, peer.MaxPulse+1)) || ta.SendAll(9, msgs) {
		t.Error("more than may be sent was queued")
	}
	if !ta.SendAll(2, beats(peer.MaxBatch)) || !ta.SendPulse(2, bytes.Repeat([]byte("x"), peer.MaxPulse)) {
		t.Error("what may be sent was refused")
	}
	b.take(2)
	// The end of the link comes behind all that came over it.
	if !ta.SendPulse(2, []byte("last")) {
		t.Fatal("dropped")
	}
	if err := ta.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := b.take(2), []string{"pulse last", "link 1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if s := tb.Stats().Control; s.FramesReceived < 7 {
		t.Errorf("%+v", s)
	}
}

// TestBatchWithoutHost: who knows no batches gets messages.
func TestBatchWithoutHost(t *testing.T) {
	b := newRecorder()
	ta, _ := pair(t, newRecorder(), b)
	if !ta.SendPulse(2, []byte("not for you")) || !ta.SendAll(2, beats(3)) {
		t.Fatal("dropped")
	}
	for i := range 3 {
		if m := <-b.raft; m.Commit != raft.Index(i+1) {
			t.Errorf("message %d is %v", i, m)
		}
	}
}

// TestBadBatchesEndTheConnection: nothing of a batch counts when a part of it
// is not what it says.
func TestBadBatchesEndTheConnection(t *testing.T) {
	good := heartbeat(2, 1)
	many := bytes.Repeat(good, peer.MaxBatch+1)
	for name, head := range map[string][]byte{
		"cut off": append(bytes.Clone(good), good[:len(good)-1]...), "in another's name": append(bytes.Clone(good), heartbeat(3, 1)...),
		"too many": many,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newHostRecorder()
				tr, f := against(t, peer.Options{Handler: r})
				defer abrupt(t, tr)
				go func() {
					control, bulk := f.accept()
					go swallow(control)
					go swallow(bulk)
				}()
				c := f.call(1)
				if _, err := c.Write(peer.AppendFrame(nil, peer.FrameBatch, head, nil)); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, c); err != nil {
					t.Logf("cut off: %v", err)
				}
				synctest.Wait()
				if got := r.take(2); got[0] != "link 2" || got[1] != "link 2" || len(r.events) > 0 {
					t.Errorf("the host was told %q and %d more", got, len(r.events))
				}
			})
		})
	}
}

// TestBacklog says what waits for a peer that takes nothing.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, f := against(t, peer.Options{Silence: time.Hour})
		defer abrupt(t, tr)
		if n := tr.Backlog(2) + tr.Backlog(9); n != 0 {
			t.Errorf("%d bytes wait without a connection", n)
		}
		go func() {
			control, _ := f.accept()
			swallow(control)
		}()
		synctest.Wait()
		m := raft.Message{Type: raft.MsgAppend, From: 1, To: 2, Term: 1, Lo: 1, Hi: 2, EntryTerm: 1}
		for range 2 {
			if !tr.Send(2, &m, [][]byte{make([]byte, 1<<20)}) {
				t.Fatal("dropped")
			}
		}
		synctest.Wait()
		if n := tr.Backlog(2); n < 2<<20 || n > 2<<20+4096 {
			t.Errorf("%d bytes wait, want 2 MiB", n)
		}
	})
}
