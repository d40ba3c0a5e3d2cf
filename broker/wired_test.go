package broker_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
)

// wired is three brokers in this process, joined by TCP, in real time.
type wired struct {
	b         *testing.B
	keepAwake bool
	tweak     func(*multiraft.Options) // of brokers that are booted; may be nil
	addrs     [3]string
	disks     [3]*vfs.Mem
	journals  [3]journal.Journal
	hosts     [3]*multiraft.Host
	peers     [3]*peer.Transport
}

// idleHandler gives a host what its transport receives.
type idleHandler struct{ h *multiraft.Host }

func (h idleHandler) HandleRaft(_ protocol.BrokerID, m *raft.Message, frames []byte) {
	h.h.Deliver(m, frames)
}
func (h idleHandler) HandleBatch(_ protocol.BrokerID, msgs []raft.Message)                 { h.h.DeliverAll(msgs) }
func (h idleHandler) HandlePulse(from protocol.BrokerID, body []byte)                      { h.h.Pulse(from, body) }
func (h idleHandler) HandleLink(from protocol.BrokerID)                                    { h.h.Link(from) }
func (idleHandler) HandleRequest(context.Context, protocol.BrokerID, []byte, func([]byte)) {}
func (idleHandler) HandleGossip(protocol.BrokerID, []byte)                                 {}

func startWired(b *testing.B, keepAwake bool, journals func() journal.Journal) *wired {
	b.Helper()
	return (&wired{b: b, keepAwake: keepAwake}).start(journals)
}

func (w *wired) start(journals func() journal.Journal) *wired {
	w.b.Helper()
	var listeners [3]net.Listener
	for i := range listeners {
		listeners[i] = w.listen("127.0.0.1:0")
		w.addrs[i] = listeners[i].Addr().String()
		w.disks[i], w.journals[i] = vfs.NewMem(), journals()
	}
	for i := range w.hosts {
		w.boot(i, listeners[i])
	}
	w.b.Cleanup(func() {
		for i := range w.hosts {
			w.kill(i)
		}
	})
	return w
}

func (w *wired) listen(addr string) net.Listener {
	w.b.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		w.b.Fatal(err)
	}
	return l
}

// boot starts a broker on what its disk holds.
func (w *wired) boot(i int, l net.Listener) {
	w.b.Helper()
	id := protocol.BrokerID(i + 1)
	others := make(map[protocol.BrokerID]string)
	for k, addr := range w.addrs {
		if k != i {
			others[protocol.BrokerID(k+1)] = addr
		}
	}
	h := &idleHandler{}
	tr, err := peer.New(peer.Options{Self: id, Peers: others, Listener: l, Handler: h})
	if err != nil {
		w.b.Fatal(err)
	}
	o := multiraft.Options{
		Broker: id, FS: w.disks[i], Dir: "data", Journal: w.journals[i], Transport: tr, Seed: uint64(id) * 977,
		KeepAwake: w.keepAwake,
	}
	if w.tweak != nil {
		w.tweak(&o)
	}
	h.h, err = multiraft.New(o)
	if err != nil {
		w.b.Fatal(err)
	}
	h.h.Start()
	tr.Start()
	w.hosts[i], w.peers[i] = h.h, tr
}

// kill ends a broker without a word; again does nothing.
func (w *wired) kill(i int) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.peers[i].Close(now); err != nil {
		w.b.Error(err)
	}
	if err := w.hosts[i].Close(now); err != nil {
		w.b.Error(err)
	}
}

// open opens n groups on the given brokers.
func (w *wired) open(n int, on ...int) {
	w.b.Helper()
	var wg sync.WaitGroup
	for _, i := range on {
		wg.Go(func() {
			for k := range n {
				spec := multiraft.Spec{Name: fmt.Sprintf("g%05d", k), Self: raft.ReplicaID(i + 1), Voters: []raft.ReplicaID{1, 2, 3}}
				copy(spec.Group[:], spec.Name)
				copy(spec.Topic[:], spec.Name)
				if _, err := w.hosts[i].Open(context.Background(), spec); err != nil {
					w.b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// led waits until n groups have a leader on one of hosts, and returns how long it
// took until 99 % of them had.
func (w *wired) led(n int, hosts []*multiraft.Host) (most time.Duration) {
	w.b.Helper()
	start := time.Now()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(2 * time.Minute); ; <-look.C {
		led := 0
		for _, h := range hosts {
			for _, g := range h.Groups() {
				if g.Status().Serving {
					led++
				}
			}
		}
		if most == 0 && led >= n-n/100 {
			most = time.Since(start)
		}
		if led == n {
			return most
		}
		if time.Now().After(deadline) {
			w.b.Fatalf("%d of %d groups have a leader", led, n)
		}
	}
}

// quiet waits until no replica is awake.
func (w *wired) quiet() {
	w.b.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(2 * time.Minute); ; <-look.C {
		awake := 0
		for _, h := range w.hosts {
			awake += h.Stats().Awake
		}
		switch {
		case awake == 0:
			return
		case time.Now().After(deadline):
			w.b.Fatalf("%d replicas are awake", awake)
		}
	}
}

// sent returns how many control frames have left, and in how many writes.
func (w *wired) sent() (frames, writes uint64) {
	for _, p := range w.peers {
		st := p.Stats().Control
		frames += st.FramesSent
		writes += st.Writes
	}
	return frames, writes
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
