//go:build unix

package natsplane_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/broker/internal/natsplane"
	"github.com/logq/logq/internal/protocol"
)

type echo struct{}

func (echo) Handle(_ context.Context, _ *protocol.Request, reply func(*protocol.Response)) {
	reply(&protocol.Response{BaseOffset: 1})
}

// BenchmarkProduce is what the way through the server costs, there and back, with
// 64 requests under way: both account crossings and both copies of the payload.
func BenchmarkProduce(b *testing.B) {
	for _, size := range []int{100, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("payload=%d", size), func(b *testing.B) {
			p, err := natsplane.Start(natsplane.Options{Listen: "127.0.0.1:0", Handler: echo{}, Version: "0.1.0"})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close(context.Background())
			nc, err := nats.Connect(p.ClientURL())
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			inbox := nats.NewInbox()
			window := make(chan struct{}, 64)
			done := make(chan struct{}, b.N)
			if _, err := nc.Subscribe(inbox, func(*nats.Msg) { <-window; done <- struct{}{} }); err != nil {
				b.Fatal(err)
			}
			payload := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			for range b.N {
				window <- struct{}{}
				if err := nc.PublishRequest(protocol.ProduceSubject("bench", 0), inbox, payload); err != nil {
					b.Fatal(err)
				}
			}
			for range b.N {
				<-done
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is the processor time of the process in nanoseconds, which says more
// than the clock's on a machine that is shared.
func cpuTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
