package quorum_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/logq/logq/raft/quorum"
)

func TestSize(t *testing.T) {
	for n, want := range []int{1, 1, 2, 2, 3, 3, 4, 4} {
		if got := quorum.Size(n); got != want {
			t.Errorf("Size(%d) = %d, want %d", n, got, want)
		}
	}
	// Two majorities of the same voters meet, and one can do without a minority.
	for n := 1; n < 100; n++ {
		if s := quorum.Size(n); 2*s <= n || s > n || 2*(s-1) > n {
			t.Errorf("Size(%d) = %d", n, s)
		}
	}
}

// TestReached compares with the definition: the highest value that at least a
// majority has reached.
func TestReached(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		acked := make([]uint64, r.IntN(9))
		for i := range acked {
			acked[i] = uint64(r.IntN(6))
		}
		want := uint64(0)
		for _, v := range acked {
			n := 0
			for _, a := range acked {
				if a >= v {
					n++
				}
			}
			if n >= quorum.Size(len(acked)) {
				want = max(want, v)
			}
		}
		in := slices.Clone(acked)
		if got := quorum.Reached(in); got != want {
			t.Fatalf("Reached(%v) = %d, want %d", acked, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n := 1; n < 8; n++ {
		for yes := range n + 1 {
			for no := range n - yes + 1 {
				want := quorum.Pending
				switch open := n - yes - no; {
				case 2*yes > n:
					want = quorum.Won
				case 2*(yes+open) <= n:
					want = quorum.Lost
				}
				if got := quorum.Count(yes, no, n); got != want {
					t.Errorf("Count(%d, %d, %d) = %v, want %v", yes, no, n, got, want)
				}
			}
		}
	}
	if s := fmt.Sprint(quorum.Pending, quorum.Won, quorum.Lost, quorum.Result(9)); s != "pending won lost result(9)" {
		t.Errorf("names %q", s)
	}
}

func TestReachedAllocatesNothing(t *testing.T) {
	acked := []uint64{5, 3, 9, 1, 7}
	if n := testing.AllocsPerRun(100, func() { quorum.Reached(acked) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestDescribe shows in testdata/reached.txt which index is committed: commands
// "reached ID=INDEX…".
func TestDescribe(t *testing.T) {
	datadriven.RunTest(t, "testdata/reached.txt", func(t *testing.T, d *datadriven.TestData) string {
		var ids, acked []uint64
		for _, a := range d.CmdArgs {
			var id, v uint64
			if _, err := fmt.Sscanf(a.Key+" "+a.Vals[0], "%d %d", &id, &v); err != nil {
				t.Fatal(err)
			}
			ids, acked = append(ids, id), append(acked, v)
		}
		before := slices.Clone(acked)
		s := quorum.Describe(ids, acked)
		if !slices.Equal(acked, before) {
			t.Error("Describe changes its argument")
		}
		return s
	})
}
