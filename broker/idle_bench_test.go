package broker_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/logq/logq/internal/journal"
)

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkIdle measures what groups cost in which nothing happens: three
// brokers with as many replicas each, over TCP, for five seconds, quiet as they are
// and kept awake. Everything is per broker.
func BenchmarkIdle(b *testing.B) {
	for _, awake := range []bool{false, true} {
		for _, n := range []int{100, 1000, 10000} {
			b.Run(fmt.Sprintf("groups=%d/awake=%v", n, awake), func(b *testing.B) { benchmarkIdle(b, n, awake) })
		}
	}
}

func benchmarkIdle(b *testing.B, n int, awake bool) {
	w := startWired(b, awake, func() journal.Journal { return journal.NewMem() })
	before := heap()
	w.open(n, 0, 1, 2)
	w.led(n, w.hosts[:])
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
}
