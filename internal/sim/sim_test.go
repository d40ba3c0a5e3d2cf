package sim_test

import (
	"flag"
	"testing"
	"time"

	"github.com/logq/logq/internal/sim"
)

var (
	seed      = flag.Uint64("seed", 0, "play this one history, with its trace")
	first     = flag.Uint64("first", 1, "first seed")
	histories = flag.Int("histories", 300, "how many histories to play")
	steps     = flag.Int("steps", 2000, "events in the phase with faults")
)

// TestSim plays seeded histories. With -seed it plays one and shows its trace.
func TestSim(t *testing.T) {
	if *seed != 0 {
		rep, fail := sim.Run(*seed, sim.Options{Steps: *steps, Trace: true})
		if fail != nil {
			for _, line := range fail.Trace {
				t.Log(line)
			}
			t.Fatal(fail)
		}
		t.Logf("%+v", rep)
		return
	}
	start := time.Now()
	var total sim.Report
	for i := range *histories {
		rep, fail := sim.Run(*first+uint64(i), sim.Options{Steps: *steps})
		if fail != nil {
			t.Fatalf("after %d histories: %v", i+1, fail)
		}
		total.Add(rep)
	}
	t.Logf("%d histories in %v: %+v", *histories, time.Since(start).Round(time.Millisecond), total)
}

// TestSameSeedSameHistory: a failure that can't be played again is worth little.
func TestSameSeedSameHistory(t *testing.T) {
	for s := range uint64(20) {
		a, failA := sim.Run(s+1000, sim.Options{Steps: 500})
		b, failB := sim.Run(s+1000, sim.Options{Steps: 500})
		if a != b || (failA == nil) != (failB == nil) {
			t.Fatalf("seed %d played twice:\n%+v %v\n%+v %v", s+1000, a, failA, b, failB)
		}
	}
}
