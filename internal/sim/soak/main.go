package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"github.com/logq/logq/internal/sim"
)

func main() {
	var s soak
	flag.IntVar(&s.histories, "histories", 1_000_000, "how many histories to play")
	flag.Uint64Var(&s.first, "seed", 1, "seed of the first history; the others follow")
	flag.DurationVar(&s.limit, "for", 0, "stop after this time; 0: when all are played")
	flag.IntVar(&s.options.Steps, "steps", sim.DefaultSteps, "events of a history in its phase with faults")
	flag.BoolVar(&s.options.Known, "known", false, "with the faults that known bugs don't stand")
	flag.DurationVar(&s.shrink, "shrink", time.Minute, "how long to look for a smaller history that fails the same way")
	flag.Parse()
	debug.SetGCPercent(400) // worlds are small and short-lived
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := s.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// soak is one long run.
type soak struct {
	histories     int
	first         uint64
	limit, shrink time.Duration
	options       sim.Options

	total  sim.Report
	played int
	began  time.Time
}

// chunk is how many histories are played between looks at the clock.
const chunk = 500

func (s *soak) run(ctx context.Context) error {
	if s.limit > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, s.limit)
		defer stop()
	}
	s.began = time.Now()
	s.options.Coverage = new(sim.Coverage)
	told := s.began
	var fail *sim.Failure
	for s.played < s.histories && fail == nil && ctx.Err() == nil {
		var sum sim.Report
		sum, _, fail = sim.Many(ctx, s.first+uint64(s.played), min(chunk, s.histories-s.played), s.options)
		s.total.Add(&sum)
		s.played += sum.Histories
		if now := time.Now(); now.Sub(told) >= 30*time.Second {
			told = now
			fmt.Printf("%v: %s\n", now.Sub(s.began).Round(time.Second), s.speed())
		}
	}
	fmt.Printf("%s, seeds from %d on\n%v\n%v\n%s", s.speed(), s.first, &s.total, s.options.Coverage, s.options.Coverage.Table())
	if fail == nil {
		return nil
	}
	small := sim.Shrink(fail, s.shrink, time.Now)
	fmt.Printf("the smallest of %d histories that fail like seed %d: step %d, faults %q\n", small.Tries, fail.Seed, small.Step, small.Faults)
	for _, line := range small.Trace {
		fmt.Println(line)
	}
	return errors.Join(fail, fmt.Errorf("the smallest: %w", small.Err))
}

func (s *soak) speed() string {
	minutes := time.Since(s.began).Minutes()
	return fmt.Sprintf("%d histories, %.0f histories and %.1f million steps a minute", s.played, float64(s.played)/minutes, float64(s.total.Steps)/minutes/1e6)
}
