package service

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// nullGroup accepts everything at once: what is left is the service's own cost.
type nullGroup struct {
	Group
	next atomic.Int64
}

func (*nullGroup) Leader() LeaderStatus { return LeaderStatus{Leader: 1, Term: 1, Serving: true} }

func (g *nullGroup) Append(b record.Batch, _ uint64, _ time.Time, done func(AppendResult)) {
	n := int64(b.Count())
	base := g.next.Add(n) - n
	done(AppendResult{Base: record.Offset(base), Last: record.Offset(base + n - 1), Term: 1})
}

func benchService(b *testing.B) *Service {
	w := newWorld(b)
	w.start(1, func(o *Options) { o.Peers = nil })
	b.Cleanup(w.closeAll)
	w.ready()
	s := w.services[1]
	done := make(chan *protocol.Response, 1)
	s.Handle(b.Context(), &protocol.Request{Op: protocol.OpTopicCreate, Body: []byte(`{"name":"t","partitions":1}`)}, func(r *protocol.Response) { done <- r })
	if r := <-done; r.Err != nil {
		b.Fatal(r.Err)
	}
	p := s.table.Load().topics["t"].parts[0]
	p.group.Store(&openGroup{&nullGroup{Group: p.opened()}})
	return s
}

// BenchmarkProduce is an append of one batch, from Handle to the reply.
func BenchmarkProduce(b *testing.B) {
	for _, size := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s := benchService(b)
			batch := batchOf(b, string(make([]byte, size)))
			done := make(chan *protocol.Response, 1)
			reply := func(r *protocol.Response) { done <- r }
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				req := produceReq("t", 0, batch)
				s.Handle(context.Background(), &req, reply)
				if r := <-done; r.Err != nil {
					b.Fatal(r.Err)
				}
			}
		})
	}
}

// BenchmarkPub is one plain message of 100 bytes, from Handle to the reply, with many under way.
func BenchmarkPub(b *testing.B) {
	s := benchService(b)
	value := string(make([]byte, 100))
	window := make(chan struct{}, 1000)
	b.ReportAllocs()
	for b.Loop() {
		window <- struct{}{}
		req := pubReq("t", 0, value)
		s.Handle(context.Background(), &req, func(r *protocol.Response) {
			if r.Err != nil {
				b.Error(r.Err)
			}
			<-window
		})
	}
	for range cap(window) {
		window <- struct{}{}
	}
}

// BenchmarkRoute is what finding the leader costs when it is elsewhere, or here.
func BenchmarkRoute(b *testing.B) {
	s := benchService(b)
	p := s.table.Load().topics["t"].parts[0]
	for b.Loop() {
		if s.leaderOf(p).group == nil {
			b.Fatal("no leader")
		}
	}
}
