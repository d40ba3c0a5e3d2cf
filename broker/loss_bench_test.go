package broker_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/record"
)

// slowJournal takes as long for a save as a disk does for a sync.
type slowJournal struct {
	journal.Journal
}

func (j slowJournal) Save(entries []journal.Entry) error {
	sync := time.NewTimer(2 * time.Millisecond)
	defer sync.Stop()
	<-sync.C
	return j.Journal.Save(entries)
}

// BenchmarkBrokerLoss kills one of three brokers with 5,000 replicas each, all quiet
// but for one group that the others serve, and starts it again. How long until every
// group has a leader, and until all are quiet again; how many syncs of the journal do
// the votes cost each survivor; how long do appends to the busy group take meanwhile?
// (docs/internals/raft.md, S34.)
func BenchmarkBrokerLoss(b *testing.B) {
	const n = 5000
	for b.Loop() {
		w := startWired(b, false, func() journal.Journal { return slowJournal{journal.NewMem()} })
		w.open(n, 0, 1, 2)
		w.led(n, w.hosts[:])
		w.quiet()
		load := startLoad(b, w.hosts[1])
		before, cpu, start := w.hosts[1].Stats(), cpuTime(b), time.Now()
		w.kill(0)
		b.ReportMetric(w.led(n, w.hosts[1:]).Seconds(), "s-to-99%-led")
		b.ReportMetric(time.Since(start).Seconds(), "s-to-all-led")
		after := w.hosts[1].Stats()
		b.ReportMetric(float64(after.JournalEntries-before.JournalEntries), "votes")
		b.ReportMetric(float64(after.JournalSaves-before.JournalSaves), "saves")
		b.ReportMetric((cpuTime(b) - cpu).Seconds(), "cpu-s-lost")
		b.ReportMetric(load.take(), "worst-append-ms-lost")

		cpu, start = cpuTime(b), time.Now()
		w.boot(0, w.listen(w.addrs[0]))
		w.open(n, 0)
		load.stop()
		w.quiet()
		b.ReportMetric(time.Since(start).Seconds(), "s-to-quiet")
		b.ReportMetric((cpuTime(b) - cpu).Seconds(), "cpu-s-back")
		b.ReportMetric(load.take(), "worst-append-ms-back")
		for i := range w.hosts {
			w.kill(i)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// load appends to one group that a host leads, 200 times a second.
type load struct {
	worst      atomic.Int64
	quit, done chan struct{}
}

func startLoad(b *testing.B, h *multiraft.Host) *load {
	b.Helper()
	var led *multiraft.Group
	for _, g := range h.Groups() {
		if g.Status().Serving {
			led = g
			break
		}
	}
	l := &load{quit: make(chan struct{}), done: make(chan struct{})}
	go l.run(b, led)
	return l
}

func (l *load) run(b *testing.B, g *multiraft.Group) {
	defer close(l.done)
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-pause.C:
		}
		start, result := time.Now(), make(chan error, 1)
		g.Append(records(b, 1), 0, time.Time{}, func(r multiraft.AppendResult) { result <- r.Err })
		if err := <-result; err != nil {
			b.Errorf("append to the busy group: %v", err)
			return
		}
		l.worst.Store(max(l.worst.Load(), int64(time.Since(start))))
	}
}

// take returns the longest append since the last call, in milliseconds.
func (l *load) take() float64 { return float64(l.worst.Swap(0)) / 1e6 }

func (l *load) stop() {
	close(l.quit)
	<-l.done
}

// records returns a batch of one record of size bytes.
func records(b *testing.B, size int) record.Batch {
	x := record.NewBuilder(record.BuilderOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	if err := x.Append(record.Record{Timestamp: 1, Value: make([]byte, size)}); err != nil {
		b.Error(err)
	}
	out, err := x.Seal(nil)
	if err != nil {
		b.Error(err)
	}
	return out
}
