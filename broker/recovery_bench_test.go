package broker_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
)

// BenchmarkCatchUp lets a broker that was away catch up on 256 MiB, at several
// limits, and measures what that takes and what appends to another group feel.
func BenchmarkCatchUp(b *testing.B) {
	for _, mib := range []int64{25, 100, 1000} {
		b.Run(fmt.Sprintf("limit=%dMiB", mib), func(b *testing.B) { benchmarkCatchUp(b, mib<<20) })
	}
}

func benchmarkCatchUp(b *testing.B, limit int64) {
	const total, size = 256 << 20, 256 << 10
	for b.Loop() {
		dir := b.TempDir()
		w := (&wired{b: b, tweak: func(o *multiraft.Options) {
			o.TailBytes, o.RecoveryBytesPerSecond = 1<<20, limit
			o.FS, o.Dir = vfs.OS(), filepath.Join(dir, o.Broker.String())
		}}).start(func() journal.Journal { return journal.NewMem() })
		w.open(2, 0, 1, 2)
		w.led(2, w.hosts[:])
		w.kill(2)
		w.led(2, w.hosts[:2])
		fill, live := w.leader("g00000"), w.leader("g00001")
		for range total / size {
			appendNow(b, fill, records(b, size))
		}
		w.boot(2, w.listen(w.addrs[2]))
		w.open(2, 2)
		var took []time.Duration
		start, cpu := time.Now(), cpuTime(b)
		pause := time.NewTicker(2 * time.Millisecond)
		behind := w.hosts[2].Groups()[0]
		for int(behind.Status().HighWatermark) < total/size {
			<-pause.C
			was := time.Now()
			appendNow(b, live, records(b, 100))
			took = append(took, time.Since(was))
		}
		pause.Stop()
		slices.Sort(took)
		b.ReportMetric(total/(1<<20)/time.Since(start).Seconds(), "MiB/s")
		b.ReportMetric((cpuTime(b) - cpu).Seconds(), "cpu-s")
		b.ReportMetric(float64(took[len(took)*99/100])/1e6, "live-p99-ms")
		b.ReportMetric(float64(took[len(took)/2])/1e6, "live-p50-ms")
		for i := range w.hosts {
			w.kill(i)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// leader returns the leading replica of a group on the first two brokers.
func (w *wired) leader(name string) *multiraft.Group {
	w.b.Helper()
	for _, h := range w.hosts[:2] {
		for _, g := range h.Groups() {
			if g.Name() == name && g.Status().Serving {
				return g
			}
		}
	}
	w.b.Fatalf("%s has no leader", name)
	return nil
}

func appendNow(b *testing.B, g *multiraft.Group, batch record.Batch) {
	b.Helper()
	result := make(chan error, 1)
	g.Append(batch, 0, time.Time{}, func(r multiraft.AppendResult) { result <- r.Err })
	if err := <-result; err != nil {
		b.Fatal(err)
	}
}
