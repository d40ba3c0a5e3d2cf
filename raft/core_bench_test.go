package raft_test

import (
	"fmt"
	"testing"

	"github.com/logq/logq/raft"
)

// BenchmarkCommit is the core alone: three replicas in one goroutine, with instant
// disks and network. commits/s are entries committed by all three per CPU-second,
// steps/s messages handled.
func BenchmarkCommit(b *testing.B) {
	for _, batch := range []int{1, 16} {
		b.Run(fmt.Sprintf("inflight=%d", batch), func(b *testing.B) {
			l := newLane(b, 1000)
			b.ReportAllocs()
			l.handled = 0
			b.ResetTimer()
			for i := 0; i < b.N; i += batch {
				for range batch {
					l.propose(b)
				}
				l.settle()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			b.ReportMetric(float64(l.handled)/b.Elapsed().Seconds(), "steps/s")
		})
	}
}

// BenchmarkTick is what an idle group costs.
func BenchmarkTick(b *testing.B) {
	l := newLane(b, 1000)
	b.Run("follower", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			l.cores[1].Tick()
			if i%9 == 8 { // before it campaigns
				m := raft.Message{Type: raft.MsgHeartbeat, From: 1, To: 2, Term: 1, Context: 1}
				_ = l.cores[1].Step(&m)
				l.cores[1].Ready()
			}
		}
	})
	b.Run("group", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			for _, c := range l.cores {
				c.Tick()
			}
			l.settle()
		}
	})
}

// BenchmarkElection is a whole election with its pre-vote and the no-op.
func BenchmarkElection(b *testing.B) {
	b.ReportAllocs()
	l := newLane(b, 1000)
	for range b.N {
		s := l.cores[0].Status()
		from, to := l.cores[s.Leader-1], raft.ReplicaID(uint64(s.Leader)%3+1)
		if err := from.Transfer(to); err != nil {
			b.Fatal(err)
		}
		l.settle()
	}
}

// BenchmarkNew is the memory of an idle group's replica.
func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		_, err := raft.New(raft.Options{ID: 1, Voters: []raft.ReplicaID{1, 2, 3}}, noLog{}, raft.HardState{}, raft.LogState{})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMessageCodec encodes and decodes one append's header.
func BenchmarkMessageCodec(b *testing.B) {
	m := goldenMessages()[4]
	buf := make([]byte, 0, raft.MaxMessageSize)
	b.ReportAllocs()
	var back raft.Message
	for range b.N {
		buf = m.AppendTo(buf[:0])
		if _, err := back.Decode(buf); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

// BenchmarkRead is a read with its round of heartbeats.
func BenchmarkRead(b *testing.B) {
	l := newLane(b, 1000)
	b.ReportAllocs()
	for range b.N {
		if _, err := l.cores[0].Read(); err != nil {
			b.Fatal(err)
		}
		l.settle()
	}
}
