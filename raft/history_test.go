package raft_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/logq/logq/raft/rafttest"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this one history of TestRandomHistories, with its trace")
	seedsFlag = flag.Int("histories", 500, "how many histories TestRandomHistories runs")
	stepsFlag = flag.Int("steps", 2000, "how many steps a history has")
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
	var sum rafttest.Report
	for seed := uint64(1); seed <= uint64(*seedsFlag); seed++ {
		rep, err := history(seed, nil)
		if err != nil {
			t.Fatalf("seed %d: %v\nafter %+v", seed, err, rep)
		}
		sum.Steps += rep.Steps
		sum.Elections += rep.Elections
		sum.Committed += rep.Committed
		sum.Lost += rep.Lost
		sum.Crashes += rep.Crashes
		sum.Reads += rep.Reads
		sum.Configs += rep.Configs
		sum.Joint += rep.Joint
		sum.Jumps += rep.Jumps
		sum.Trims += rep.Trims
		sum.Quiet += rep.Quiet
		sum.Rots += rep.Rots
		sum.Damages += rep.Damages
	}
	t.Logf("%d histories: %+v", *seedsFlag, sum)
	if sum.Elections < *seedsFlag || sum.Committed < 10**seedsFlag || sum.Lost == 0 || sum.Crashes == 0 || sum.Joint < *seedsFlag/2 || sum.Jumps < *seedsFlag/10 || sum.Quiet < *seedsFlag/10 || sum.Rots < *seedsFlag/10 || sum.Damages < *seedsFlag/10 {
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
