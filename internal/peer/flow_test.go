package peer_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

func appendMessage(index int) *raft.Message {
	i := raft.Index(index)
	return &raft.Message{Type: raft.MsgAppend, From: 1, To: 2, Term: 7, Index: i, Lo: i + 1, Hi: i + 2, EntryTerm: 7, LogTerm: 6}
}

// TestQueueIsBounded: a peer that does not read fills its queue; Send says so at
// once, the other class goes on, and there is room again when it reads.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet()
		o.BulkQueueBytes, o.ControlQueueBytes = 64<<10, 4<<10
		tr, f := against(t, o)
		control, bulk := f.accept()
		synctest.Wait()
		payload := [][]byte{make([]byte, 3000), make([]byte, 7000)}
		sent := 0
		for tr.Send(2, appendMessage(sent), payload) {
			if sent++; sent > 100 {
				t.Fatal("the queue has no end")
			}
		}
		if sent != 6 {
			t.Errorf("%d messages of 10 kB fit in 64 KiB", sent)
		}
		if s := tr.Stats(); s.Bulk.Dropped != 1 || s.Control.Dropped != 0 {
			t.Errorf("dropped %+v", s)
		}
		// The bulk connection is stuck in a write; control does not wait for it.
		if !tr.Send(2, &raft.Message{Type: raft.MsgHeartbeat, From: 1, To: 2, Term: 7}, nil) {
			t.Error("a heartbeat was dropped")
		}
		if typ, _, _, err := peer.NewFrameReader(control, 1000).Next(); err != nil || typ != peer.FrameRaft {
			t.Errorf("a heartbeat behind data: type %d, %v", typ, err)
		}
		fr := peer.NewFrameReader(bulk, 1<<20)
		for i := range sent {
			_, head, body, err := fr.Next()
			var m raft.Message
			if err != nil || len(body) != 10_000 {
				t.Fatalf("message %d: %d bytes, %v", i, len(body), err)
			}
			if _, err := m.Decode(head); err != nil || m.Index != raft.Index(i) {
				t.Fatalf("message %d is %v, %v", i, m, err)
			}
		}
		synctest.Wait()
		if !tr.Send(2, appendMessage(sent), payload) {
			t.Error("still full")
		}
		if tr.Send(2, appendMessage(0), [][]byte{make([]byte, 33<<20)}) {
			t.Error("a message over the frame limit was taken")
		}
		gossips := 0
		for tr.Gossip(2, make([]byte, 500)) {
			gossips++
		}
		if gossips > 6 {
			t.Errorf("%d messages of 756 bytes in 4 KiB", gossips)
		}
		abrupt(t, tr)
		control.Close()
		bulk.Close()
	})
}

// TestOneAlwaysFits: a message beyond the queue's size passes when it is alone.
func TestOneAlwaysFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet()
		o.BulkQueueBytes = 1000
		tr, f := against(t, o)
		control, bulk := f.accept()
		synctest.Wait()
		big := [][]byte{make([]byte, 5<<20)}
		if !tr.Send(2, appendMessage(0), big) || tr.Send(2, appendMessage(1), big) {
			t.Error("want exactly one to be taken")
		}
		if _, _, body, err := peer.NewFrameReader(bulk, 8<<20).Next(); err != nil || len(body) != 5<<20 {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		abrupt(t, tr)
		control.Close()
		bulk.Close()
	})
}

// TestListOfFramesIsCopied: the caller uses the list of frames again at once.
func TestListOfFramesIsCopied(t *testing.T) {
	b := newRecorder()
	ta, _ := pair(t, newRecorder(), b)
	list := make([][]byte, 2)
	one, two := bytes.Repeat([]byte("1"), 5000), bytes.Repeat([]byte("2"), 10)
	for i := range 200 {
		list[0], list[1] = one, two
		if !ta.Send(2, appendMessage(i), list) {
			t.Fatal("dropped")
		}
		list[0], list[1] = nil, nil
	}
	for range 200 {
		if got := <-b.frames; len(got) != 5010 {
			t.Fatalf("%d bytes", len(got))
		}
	}
}

// TestHalfOpen: a peer that is connected and says nothing is given up after
// Silence, on both sides of a connection, and dialled again.
func TestHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, f := against(t, peer.Options{Ping: time.Second, Silence: 5 * time.Second})
		control, bulk := f.accept()
		accepted := f.call(1) // asks nothing either
		go swallow(control)
		go swallow(bulk)
		synctest.Wait()
		start := time.Now()
		if !tr.Connected(2) {
			t.Fatal("not connected")
		}
		again := make(chan struct{})
		go func() {
			control, bulk := f.accept()
			close(again)
			go swallow(control)
			swallow(bulk)
		}()
		swallow(accepted)
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("the accepted connection ended after %v", d)
		}
		<-again
		if d := time.Since(start); d < 5*time.Second || d > 7*time.Second {
			t.Errorf("dialled again after %v", d)
		}
		abrupt(t, tr)
	})
}

// TestStuckWriter: a peer that answers keep-alives no more and reads nothing
// holds the writer up, but not for ever.
func TestStuckWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, f := against(t, peer.Options{Ping: time.Second, Silence: 5 * time.Second})
		control, bulk := f.accept()
		go swallow(control)
		synctest.Wait()
		if !tr.Send(2, appendMessage(1), [][]byte{make([]byte, 1000)}) {
			t.Fatal("dropped")
		}
		after(t, 11*time.Second)
		if tr.Send(2, appendMessage(2), [][]byte{make([]byte, 1000)}) {
			t.Error("still connected")
		}
		abrupt(t, tr)
		bulk.Close()
	})
}

// TestDeafPeer: a peer that goes on asking and never reads the answers is cut
// off by the deadline of the write.
func TestDeafPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, f := against(t, peer.Options{Ping: time.Second, Silence: 5 * time.Second})
		deaf := f.call(1)
		start := time.Now()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			if _, err := deaf.Write(peer.AppendFrame(nil, peer.FramePing, nil, nil)); err != nil {
				break
			}
			<-tick.C
		}
		if d := time.Since(start); d < 4*time.Second || d > 12*time.Second {
			t.Errorf("cut off after %v", d)
		}
		abrupt(t, tr)
	})
}

// TestQueueMakesRoomAsItIsWritten: what has left a batch counts no more, though
// the rest of it is still being written.
func TestQueueMakesRoomAsItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet()
		o.BulkQueueBytes = 4 << 20
		tr, f := against(t, o)
		control, bulk := f.accept()
		synctest.Wait()
		big := [][]byte{make([]byte, 1200<<10)}
		if !tr.Send(2, appendMessage(0), [][]byte{{1}}) {
			t.Fatal("dropped")
		}
		synctest.Wait() // the writer is stuck with this one
		for i := 1; i <= 3; i++ {
			if !tr.Send(2, appendMessage(i), big) {
				t.Fatal("dropped")
			}
		}
		if tr.Send(2, appendMessage(4), big) {
			t.Error("4 MiB hold more than that")
		}
		fr := peer.NewFrameReader(bulk, 2<<20)
		for range 2 {
			if _, _, _, err := fr.Next(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if !tr.Send(2, appendMessage(4), big) {
			t.Error("no room after the first of three was written")
		}
		abrupt(t, tr)
		control.Close()
		bulk.Close()
	})
}

// TestKeepAlive: a healthy idle pair stays connected for hours.
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, f := against(t, peer.Options{})
		control, bulk := f.accept()
		for _, c := range []net.Conn{control, bulk} {
			go func() {
				fr := peer.NewFrameReader(c, 1000)
				for {
					typ, _, _, err := fr.Next()
					if err != nil || typ != peer.FramePing {
						return
					}
					if _, err := c.Write(peer.AppendFrame(nil, peer.FramePong, nil, nil)); err != nil {
						return
					}
				}
			}()
		}
		after(t, 3*time.Hour)
		if s := tr.Stats(); !tr.Connected(2) || s.Dials != 2 || s.Control.BytesSent < 3*3600*peer.FrameHeader || s.Control.FramesSent != 0 {
			t.Errorf("%+v", s)
		}
		abrupt(t, tr)
		control.Close()
		bulk.Close()
	})
}

// TestSaturatedStaysConnected keeps a bulk queue full for many times Silence:
// keep-alives pass between the data.
func TestSaturatedStaysConnected(t *testing.T) {
	la, lb := listen(t), listen(t)
	in := &counter{window: make(chan struct{}, 64)}
	o := peer.Options{Ping: 50 * time.Millisecond, Silence: 700 * time.Millisecond}
	a, b := o, o
	a.Self, a.Peers, a.Listener, a.Handler = 1, map[protocol.BrokerID]string{2: lb.Addr().String()}, la, newRecorder()
	b.Self, b.Peers, b.Listener, b.Handler = 2, map[protocol.BrokerID]string{1: la.Addr().String()}, lb, in
	ta := start(t, a)
	start(t, b)
	connected(t, ta, 2)
	before := ta.Stats().Dials
	payload := [][]byte{make([]byte, 256<<10)}
	end := time.After(2 * time.Second)
	for n := 0; ; n++ {
		select {
		case <-end:
			if s := ta.Stats(); s.Dials != before {
				t.Errorf("%d messages, and %d connections were lost", n, s.Dials-before)
			}
			return
		case in.window <- struct{}{}:
			ta.Send(2, appendMessage(n), payload)
		}
	}
}

// TestReconnectBackoff dials an address where nobody is: the pauses grow to the
// limit, with jitter, and an incoming connection of the peer ends one.
func TestReconnectBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		o := quiet()
		o.Self, o.Peers, o.Listener, o.Dial, o.Handler = 1, map[protocol.BrokerID]string{2: "two"}, n.listen("one"), n.dial, newRecorder()
		o.BackoffMin, o.BackoffMax = 100*time.Millisecond, 10*time.Second
		tr, err := peer.New(o)
		if err != nil {
			t.Fatal(err)
		}
		tr.Start()
		after(t, 10*time.Minute)
		n.mu.Lock()
		dials := n.dials
		n.mu.Unlock()
		// 60 to 120 tries in ten minutes at 5 to 10 s each, by two connections.
		if len(dials) < 120 || len(dials) > 280 {
			t.Errorf("%d dials in ten minutes", len(dials))
		}
		gaps := map[time.Duration]bool{}
		for i := 20; i < len(dials); i++ {
			gaps[dials[i].Sub(dials[i-1])] = true
		}
		if len(gaps) < 50 {
			t.Errorf("%d different pauses: no jitter", len(gaps))
		}
		f := &fake{t: t, net: n, l: n.listen("two")}
		began := time.Now()
		f.call(1) // the peer is back
		control, bulk := f.accept()
		if d := time.Since(began); d > time.Millisecond {
			t.Errorf("dialled %v after the peer came back", d)
		}
		synctest.Wait()
		if !tr.Connected(2) {
			t.Error("not connected")
		}
		abrupt(t, tr)
		control.Close()
		bulk.Close()
	})
}

// TestKicksDoNotSpin: two brokers that can greet, and lose each connection at
// once, do not kick each other into a loop.
func TestKicksDoNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, f := against(t, peer.Options{BackoffMin: 100 * time.Millisecond, BackoffMax: time.Second})
		var wg sync.WaitGroup
		count := 0
		wg.Go(func() {
			for {
				c, err := f.l.Accept()
				if err != nil {
					return
				}
				count++
				if _, _, _, _, err := peer.ReadHello(c); err == nil {
					_ = peer.WriteVerdict(c, "")
				}
				c.Close()
				kick := f.call(1)
				_, err = kick.Write(make([]byte, peer.FrameHeader)) // no frame: it is cut off, once it has kicked
				if _, err2 := kick.Read(make([]byte, 1)); err != nil || err2 == nil {
					return
				}
				kick.Close()
				if count > 1000 {
					return
				}
			}
		})
		after(t, 20*time.Second)
		abrupt(t, tr)
		f.l.Close()
		wg.Wait()
		if count > 400 {
			t.Errorf("%d connections in 20 s", count)
		}
	})
}

// TestCloseDrains: what was queued before Close arrives; with a context that is
// done it need not.
func TestCloseDrains(t *testing.T) {
	for range 5 {
		la, lb := listen(t), listen(t)
		b := newRecorder()
		ta, err := peer.New(peer.Options{Self: 1, Peers: map[protocol.BrokerID]string{2: lb.Addr().String()}, Listener: la, Handler: newRecorder()})
		if err != nil {
			t.Fatal(err)
		}
		ta.Start()
		start(t, peer.Options{Self: 2, Peers: map[protocol.BrokerID]string{1: la.Addr().String()}, Listener: lb, Handler: b})
		connected(t, ta, 2)
		payload := [][]byte{make([]byte, 100<<10)}
		for i := range 100 {
			if !ta.Send(2, appendMessage(i), payload) {
				t.Fatal("dropped")
			}
		}
		if !ta.Send(2, &raft.Message{Type: raft.MsgTimeoutNow, From: 1, To: 2, Term: 7}, nil) {
			t.Fatal("dropped")
		}
		if err := ta.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 101 {
			select {
			case <-b.raft:
			case <-time.After(10 * time.Second):
				t.Fatalf("only %d messages arrived", i)
			}
		}
		if ta.Send(2, appendMessage(1), payload) || ta.Gossip(2, nil) || ta.Connected(2) {
			t.Error("a closed transport sends")
		}
		if err := ta.Close(t.Context()); err != nil {
			t.Errorf("second Close: %v", err)
		}
	}
}

// TestCloseIsBounded: a peer that reads nothing does not hold Close up beyond
// its context.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, f := against(t, quiet())
		control, bulk := f.accept()
		synctest.Wait()
		tr.Send(2, appendMessage(1), [][]byte{make([]byte, 1000)})
		waiting := ask(tr, t.Context(), []byte("x"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := tr.Close(ctx); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("closed after %v", d)
		}
		wantUnsent(t, (<-waiting).err)
		control.Close()
		bulk.Close()
	})
}

// TestManyToMany connects five brokers and lets each send to each.
func TestManyToMany(t *testing.T) {
	const brokers = 5
	listeners := map[protocol.BrokerID]net.Listener{}
	for id := protocol.BrokerID(1); id <= brokers; id++ {
		listeners[id] = listen(t)
	}
	recorders, transports := map[protocol.BrokerID]*recorder{}, map[protocol.BrokerID]*peer.Transport{}
	for id := range listeners {
		peers := map[protocol.BrokerID]string{}
		for other, l := range listeners {
			if other != id {
				peers[other] = l.Addr().String()
			}
		}
		recorders[id] = newRecorder()
		recorders[id].serve = func(_ context.Context, body []byte, reply func([]byte)) {
			reply(fmt.Appendf(body, " by %d", id))
		}
		transports[id] = start(t, peer.Options{Self: id, Peers: peers, Listener: listeners[id], Handler: recorders[id]})
	}
	for id, tr := range transports {
		for to := range transports {
			if to == id {
				continue
			}
			connected(t, tr, to)
			got, err := tr.Request(t.Context(), to, fmt.Appendf(nil, "from %d", id))
			if want := fmt.Sprintf("from %d by %d", id, to); err != nil || string(got) != want {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		}
		if n := tr.Stats().Connected; n != brokers-1 {
			t.Errorf("broker %d is connected to %d", id, n)
		}
	}
}
