package broker_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
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

func startWired(b *testing.B, journals func() journal.Journal) *wired {
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
			Broker: id, FS: vfs.NewMem(), Dir: "data", Journal: journals(), Transport: tr, Seed: uint64(id) * 977,
		})
		if err != nil {
			b.Fatal(err)
		}
		h.h.Start()
		tr.Start()
		w.hosts[i], w.peers[i] = h.h, tr
	}
	b.Cleanup(func() {
		for i := range w.hosts {
			w.kill(b, i)
		}
	})
	return w
}

// kill ends a broker without a word; again does nothing.
func (w *wired) kill(b *testing.B, i int) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.peers[i].Close(now); err != nil {
		b.Error(err)
	}
	if err := w.hosts[i].Close(now); err != nil {
		b.Error(err)
	}
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
	w.led(b, n, w.hosts[:])
}

// led waits until n groups have a leader on one of hosts, and returns how long it
// took until 99 % of them had.
func (w *wired) led(b *testing.B, n int, hosts []*multiraft.Host) (most time.Duration) {
	b.Helper()
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
			w := startWired(b, func() journal.Journal { return journal.NewMem() })
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

// slowJournal takes as long for a save as a disk does for a sync.
type slowJournal struct {
	journal.Journal
	saves atomic.Int64
}

func (j *slowJournal) Save(entries []journal.Entry) error {
	j.saves.Add(1)
	sync := time.NewTimer(2 * time.Millisecond)
	defer sync.Stop()
	<-sync.C
	return j.Journal.Save(entries)
}

// BenchmarkBrokerLoss kills one of three brokers with 5,000 replicas each, idle but
// for one group that the others serve. How long until every group has a leader, how
// many syncs of the journal do the votes cost each survivor, and how long do appends
// to the busy group take meanwhile? (docs/internals/raft.md, S34.)
func BenchmarkBrokerLoss(b *testing.B) {
	const n = 5000
	for b.Loop() {
		b.StopTimer()
		w := startWired(b, func() journal.Journal { return &slowJournal{Journal: journal.NewMem()} })
		w.open(b, n)
		var busy *multiraft.Group
		for _, g := range w.hosts[1].Groups() {
			if g.Status().Serving {
				busy = g
				break
			}
		}
		rest := time.NewTimer(3 * time.Second)
		<-rest.C
		var worst atomic.Int64
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			pause := time.NewTicker(5 * time.Millisecond)
			defer pause.Stop()
			for {
				select {
				case <-stop:
					return
				case <-pause.C:
				}
				start, result := time.Now(), make(chan error, 1)
				busy.Append(oneRecord(b), 0, time.Time{}, func(r multiraft.AppendResult) { result <- r.Err })
				if err := <-result; err != nil {
					b.Errorf("append to the busy group: %v", err)
					return
				}
				worst.Store(max(worst.Load(), int64(time.Since(start))))
			}
		}()
		before := w.hosts[1].Stats()
		worst.Store(0)
		cpu, start := cpuTime(b), time.Now()
		w.kill(b, 0)
		b.StartTimer()
		most := w.led(b, n, w.hosts[1:])
		b.StopTimer()
		took, after := time.Since(start), w.hosts[1].Stats()
		close(stop)
		<-done
		b.ReportMetric(took.Seconds(), "s-to-leaders")
		b.ReportMetric(most.Seconds(), "s-to-99%")
		b.ReportMetric((cpuTime(b) - cpu).Seconds(), "cpu-s")
		b.ReportMetric(float64(after.JournalEntries-before.JournalEntries), "votes")
		b.ReportMetric(float64(after.JournalSaves-before.JournalSaves), "saves")
		b.ReportMetric(float64(worst.Load())/1e6, "worst-append-ms")
		for i := range w.hosts {
			w.kill(b, i)
		}
		b.StartTimer()
	}
	b.ReportMetric(0, "ns/op")
}

func oneRecord(b *testing.B) record.Batch {
	x := record.NewBuilder(record.BuilderOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	if err := x.Append(record.Record{Timestamp: 1, Value: []byte("x")}); err != nil {
		b.Error(err)
	}
	out, err := x.Seal(nil)
	if err != nil {
		b.Error(err)
	}
	return out
}
