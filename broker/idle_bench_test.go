package broker_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
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
	hosts [3]*multiraft.Host
	peers [3]*peer.Transport
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

func startWired(b *testing.B) *wired {
	b.Helper()
	w := &wired{}
	var listeners [3]net.Listener
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		listeners[i] = l
	}
	for i := range w.hosts {
		id := protocol.BrokerID(i + 1)
		others := make(map[protocol.BrokerID]string)
		for k, l := range listeners {
			if k != i {
				others[protocol.BrokerID(k+1)] = l.Addr().String()
			}
		}
		h := &idleHandler{}
		tr, err := peer.New(peer.Options{Self: id, Peers: others, Listener: listeners[i], Handler: h})
		if err != nil {
			b.Fatal(err)
		}
		h.h, err = multiraft.New(multiraft.Options{
			Broker: id, FS: vfs.NewMem(), Dir: "data", Journal: journal.NewMem(), Transport: tr, Seed: uint64(id) * 977,
		})
		if err != nil {
			b.Fatal(err)
		}
		h.h.Start()
		tr.Start()
		w.hosts[i], w.peers[i] = h.h, tr
	}
	b.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		for i := range w.hosts {
			if err := w.peers[i].Close(now); err != nil {
				b.Error(err)
			}
			if err := w.hosts[i].Close(now); err != nil {
				b.Error(err)
			}
		}
	})
	return w
}

// open opens n groups on every broker and waits until all have a leader.
func (w *wired) open(b *testing.B, n int) {
	b.Helper()
	var wg sync.WaitGroup
	for i, h := range w.hosts {
		wg.Go(func() {
			for k := range n {
				spec := multiraft.Spec{Name: fmt.Sprintf("g%05d", k), Self: raft.ReplicaID(i + 1), Voters: []raft.ReplicaID{1, 2, 3}}
				copy(spec.Group[:], spec.Name)
				copy(spec.Topic[:], spec.Name)
				if _, err := h.Open(context.Background(), spec); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(2 * time.Minute); ; <-look.C {
		led := 0
		for _, h := range w.hosts {
			for _, g := range h.Groups() {
				if g.Status().Serving {
					led++
				}
			}
		}
		if led == n {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d groups have a leader", led, n)
		}
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkIdle measures what groups cost in which nothing happens: three
// brokers with as many replicas each, over TCP, for five seconds. Everything is
// per broker.
func BenchmarkIdle(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprintf("groups=%d", n), func(b *testing.B) {
			w := startWired(b)
			before := heap()
			w.open(b, n)
			for b.Loop() {
				rest := time.NewTimer(5 * time.Second) // what elections left behind is done
				<-rest.C
				frames, writes := w.sent()
				cpu, start := cpuTime(b), time.Now()
				rest.Reset(5 * time.Second)
				<-rest.C
				took := time.Since(start).Seconds()
				b.ReportMetric(100*(cpuTime(b)-cpu).Seconds()/took/3, "%core")
				f, n := w.sent()
				b.ReportMetric(float64(f-frames)/took/3, "frames/s")
				b.ReportMetric(float64(n-writes)/took/3, "writes/s")
			}
			b.ReportMetric(float64(heap()-before)/float64(3*n), "B/group")
			b.ReportMetric(0, "ns/op")
		})
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
