package raft_test

import (
	"testing"

	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/raft"
)

// flatLog has entries of one size and no bytes.
type flatLog struct{ size int }

// Fit implements raft.Log.
func (l flatLog) Fit(lo, hi raft.Index, maxBytes int) (raft.Index, int) {
	n := min(int(hi-lo), max(1, maxBytes/l.size))
	return lo + raft.Index(n), n * l.size
}

// lane drives three cores with instant disks and a network that is a queue, and
// allocates nothing itself: what the benchmarks and the allocation test measure
// is the core.
type lane struct {
	cores   [3]*raft.Core
	net     []raft.Message
	head    int
	sizes   []int
	handled int
}

func newLane(tb testing.TB, size int) *lane {
	tb.Helper()
	l := &lane{sizes: []int{size}}
	for i := range l.cores {
		c, err := raft.New(raft.Options{
			ID: raft.ReplicaID(i + 1), Voters: []raft.ReplicaID{1, 2, 3}, ElectionTicks: 10, HeartbeatTicks: 2, MaxUncommittedBytes: 1 << 30,
		}, flatLog{size}, raft.HardState{}, raft.LogState{})
		if err != nil {
			tb.Fatal(err)
		}
		l.cores[i] = c
	}
	l.cores[0].Campaign()
	l.settle()
	if s := l.cores[0].Status(); !s.Serving {
		tb.Fatalf("no leader: %+v", s)
	}
	return l
}

// drain carries out what a core wants.
func (l *lane) drain(c *raft.Core) {
	for c.Pending() {
		r := c.Ready()
		l.net = append(l.net, r.Send...)
		if r.N != 0 {
			c.Persisted(r.N)
		}
	}
}

// settle delivers until nothing is on its way.
func (l *lane) settle() {
	for _, c := range l.cores {
		l.drain(c)
	}
	for ; l.head < len(l.net); l.head++ {
		m := &l.net[l.head]
		c := l.cores[m.To-1]
		_ = c.Step(m) // late votes are refused
		l.handled++
		l.drain(c)
	}
	l.net, l.head = l.net[:0], 0
}

func (l *lane) propose(tb testing.TB) {
	if _, err := l.cores[0].Propose(0, l.sizes); err != nil {
		tb.Fatal(err)
	}
	l.drain(l.cores[0])
}

// In the steady state nothing is allocated: not for an entry, a heartbeat, a read
// or a look at the state.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	l := newLane(t, 1000)
	one := func() {
		l.propose(t)
		l.propose(t)
		l.settle()
		if _, err := l.cores[0].Read(); err != nil {
			t.Fatal(err)
		}
		for _, c := range l.cores {
			c.Tick()
		}
		l.settle()
		s := l.cores[0].Status()
		if s.Match(2) != s.Last {
			t.Fatalf("match %d, last %d", s.Match(2), s.Last)
		}
	}
	for range 100 {
		one()
	}
	// The checks of an invariants build format their arguments.
	if n := testing.AllocsPerRun(1000, one); n != 0 && !invariants.Enabled {
		t.Errorf("%v allocations in a round of proposals, a read and a tick", n)
	}
	if s := l.cores[0].Status(); s.Commit < 2000 || s.Commit != s.Last {
		t.Errorf("commit %d, last %d", s.Commit, s.Last)
	}
}

// An idle group costs a comparison a tick, and a heartbeat to each follower.
func TestIdleFollowerHasNothingPending(t *testing.T) {
	l := newLane(t, 1000)
	c := l.cores[1]
	for range 9 {
		c.Tick()
		if c.Pending() {
			t.Fatal("a tick makes work on an idle follower")
		}
	}
}
