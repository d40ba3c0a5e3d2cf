package raft_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/logq/logq/raft/rafttest"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this one history of TestRandomHistories, with its trace")
	seedsFlag = flag.Int("histories", 2000, "how many histories TestRandomHistories runs")
	stepsFlag = flag.Int("steps", 5000, "how many steps a history has")
)

// TestRandomHistories runs seeded histories of small clusters with everything
// that can go wrong, and checks the safety properties after every step and
// liveness at the end. A failure names its seed:
//
//	go test ./raft -run TestRandomHistories -seed 17 -v
func TestRandomHistories(t *testing.T) {
	if *seedFlag != 0 {
		rep, err := history(*seedFlag, os.Stdout)
		t.Logf("%+v", rep)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	var (
		mu   sync.Mutex
		sum  rafttest.Report
		last atomic.Uint64 // seed that was taken
		left sync.WaitGroup
		// failed is the lowest seed that failed, so that a run is the same each time.
		failed uint64
		why    error
	)
	for range runtime.GOMAXPROCS(0) {
		left.Go(func() {
			for {
				seed := last.Add(1)
				mu.Lock()
				stop := seed > uint64(*seedsFlag) || failed != 0 && seed > failed
				mu.Unlock()
				if stop {
					return
				}
				rep, err := history(seed, nil)
				mu.Lock()
				sum.Add(rep)
				if err != nil && (failed == 0 || seed < failed) {
					failed, why = seed, fmt.Errorf("%w\nafter %+v", err, rep)
				}
				mu.Unlock()
			}
		})
	}
	left.Wait()
	if failed != 0 {
		t.Fatalf("seed %d: %v", failed, why)
	}
	t.Logf("%d histories: %+v", *seedsFlag, sum)
	n := *seedsFlag * *stepsFlag / 5000 // histories of the usual length
	if sum.Elections < n || sum.Committed < 10*n || sum.Lost == 0 || sum.Crashes == 0 || sum.Joint < n/2 || sum.Jumps < n/10 || sum.Quiet < n/10 || sum.Rots < n/10 || sum.Damages < n/10 {
		t.Errorf("too little happened: %+v", sum)
	}
}

func history(seed uint64, trace *os.File) (rafttest.Report, error) {
	r := rand.New(rand.NewPCG(seed, 1))
	if trace == nil {
		return rafttest.RunHistory(r.IntN, *stepsFlag, nil)
	}
	return rafttest.RunHistory(r.IntN, *stepsFlag, trace)
}
