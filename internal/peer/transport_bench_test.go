package peer_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

// counter counts what arrives, lets as many more be sent, and answers requests
// with their body.
type counter struct {
	messages atomic.Int64
	window   chan struct{}
}

func (c *counter) HandleRaft(protocol.BrokerID, *raft.Message, []byte) {
	c.messages.Add(1)
	<-c.window
}
func (c *counter) HandleRequest(_ context.Context, _ protocol.BrokerID, body []byte, reply func([]byte)) {
	reply(body)
}
func (c *counter) HandleGossip(protocol.BrokerID, []byte) {}

func benchPair(b *testing.B, window int) (*peer.Transport, *counter) {
	b.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		return l
	}
	la, lb := listen(), listen()
	in := &counter{window: make(chan struct{}, window)}
	start := func(o peer.Options) *peer.Transport {
		tr, err := peer.New(o)
		if err != nil {
			b.Fatal(err)
		}
		tr.Start()
		b.Cleanup(func() { _ = tr.Close(context.Background()) })
		return tr
	}
	ta := start(peer.Options{Self: 1, Peers: map[protocol.BrokerID]string{2: lb.Addr().String()}, Listener: la, Handler: &counter{}})
	start(peer.Options{Self: 2, Peers: map[protocol.BrokerID]string{1: la.Addr().String()}, Listener: lb, Handler: in})
	for !ta.Connected(2) {
		runtime.Gosched()
	}
	return ta, in
}

// BenchmarkAppends sends entries on the bulk connection, at most 8 MiB ahead of
// what has arrived.
func BenchmarkAppends(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			ta, in := benchPair(b, max(8, 8<<20/size))
			frames := [][]byte{make([]byte, size)}
			m := raft.Message{Type: raft.MsgAppend, From: 1, To: 2, Term: 5, Index: 1 << 30, Lo: 1<<30 + 1, Hi: 1<<30 + 2, EntryTerm: 5, Commit: 1 << 30}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				in.window <- struct{}{}
				if !ta.Send(2, &m, frames) {
					b.Fatal("dropped")
				}
			}
			for in.messages.Load() < int64(b.N) {
				runtime.Gosched()
			}
		})
	}
}

// BenchmarkHeartbeats sends small messages on the control connection.
func BenchmarkHeartbeats(b *testing.B) {
	ta, in := benchPair(b, 4096)
	m := raft.Message{Type: raft.MsgHeartbeat, From: 1, To: 2, Term: 5, Commit: 1 << 30, Context: 77}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		in.window <- struct{}{}
		if !ta.Send(2, &m, nil) {
			b.Fatal("dropped")
		}
	}
	for in.messages.Load() < int64(b.N) {
		runtime.Gosched()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkRequest is one forwarded request after the other, there and back.
func BenchmarkRequest(b *testing.B) {
	for _, size := range []int{100, 64 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			ta, _ := benchPair(b, 1)
			body := make([]byte, size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ta.Request(b.Context(), 2, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
