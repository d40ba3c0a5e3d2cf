package sim_test

import (
	"flag"
	"runtime/debug"
	"testing"
	"time"

	"github.com/logq/logq/internal/sim"
)

var (
	seed      = flag.Uint64("seed", 0, "play this one history, with its trace")
	first     = flag.Uint64("first", 1, "first seed")
	histories = flag.Int("histories", defaultHistories, "how many histories to play")
	steps     = flag.Int("steps", sim.DefaultSteps, "events in the phase with faults")
	shrink    = flag.Duration("shrink", 10*time.Second, "how long to look for a smaller history that fails the same way")
	known     = flag.Bool("known", false, "with the faults that known bugs don't stand")
	all       = flag.Bool("all", false, "with -seed: don't look for a smaller history")
)

// TestSim plays seeded histories. With -seed it plays one; if that fails, it shows
// the end of the smallest history that it finds to fail the same way.
func TestSim(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // worlds are small and short-lived
	o := sim.Options{Steps: *steps, Known: *known}
	if *seed != 0 {
		one(t, o)
		return
	}
	start, cover := time.Now(), new(sim.Coverage)
	o.Coverage = cover
	total, played, fail := sim.Many(t.Context(), *first, *histories, o)
	if fail != nil {
		t.Fatalf("after %d histories: %v", played, fail)
	}
	took := time.Since(start)
	t.Logf("%d histories in %v, %.0f histories and %.1f million steps a minute: %v\n%v", played, took.Round(time.Millisecond),
		float64(played)/took.Minutes(), float64(total.Steps)/took.Minutes()/1e6, &total, cover)
}

// one plays the history of -seed.
func one(t *testing.T, o sim.Options) {
	o.Trace = true
	rep, fail := sim.Run(*seed, o)
	t.Logf("%v", &rep)
	if fail == nil {
		return
	}
	if !*all && *shrink > 0 {
		s := sim.Shrink(fail, *shrink, time.Now)
		t.Logf("the smallest of %d histories that fail so: %d steps, step %d, faults %q", s.Tries, s.Steps, s.Step, s.Faults)
		for _, line := range s.Trace {
			t.Log(line)
		}
		t.Logf("it ends with: %v", s.Err)
	} else {
		for _, line := range fail.Trace {
			t.Log(line)
		}
	}
	t.Fatal(fail)
}

// TestSameSeedSameHistory: a failure that can't be played again is worth little.
func TestSameSeedSameHistory(t *testing.T) {
	for s := range uint64(40) {
		a, failA := sim.Run(s+1000, sim.Options{Steps: 700})
		b, failB := sim.Run(s+1000, sim.Options{Steps: 700, Trace: true, Coverage: new(sim.Coverage)})
		if a != b || (failA == nil) != (failB == nil) {
			t.Fatalf("seed %d played twice:\n%v %v\n%v %v", s+1000, &a, failA, &b, failB)
		}
	}
}
