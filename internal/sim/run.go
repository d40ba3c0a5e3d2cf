package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Options bound a history.
type Options struct {
	// Steps is the number of events in the phase with faults; default 5,000.
	Steps int
	// Trace keeps the last events for the failure report.
	Trace bool
	// Without leaves out these faults.
	Without FaultSet
	// Known lets those faults happen too that known bugs don't stand; see untilFixed.
	Known bool
	// Coverage, if not nil, notes which states and transitions were seen.
	Coverage *Coverage

	skip map[int]bool // single faults to leave out, by their number
}

const (
	// DefaultSteps is the length of a history in events.
	DefaultSteps = 5000
	// healSteps and healTime bound the phase without faults, ackTime its time until
	// an append is acknowledged. An election timeout is about 0.1 s; the rest is the
	// backlog, in histories with small messages.
	healSteps = 200_000
	healTime  = 60 * second
	ackTime   = 20 * second
)

// Failure is a broken invariant.
type Failure struct {
	Seed    uint64
	Step    int
	Err     error
	Trace   []string
	options Options
}

// Error tells how to see it again.
func (f *Failure) Error() string {
	steps := ""
	if f.options.Steps != DefaultSteps {
		steps = fmt.Sprintf(" -steps=%d", f.options.Steps)
	}
	if f.options.Known {
		steps += " -known"
	}
	return fmt.Sprintf("seed %d, step %d: %v (again: go test ./internal/sim -run 'TestSim$' -seed=%d%s -v)", f.Seed, f.Step, f.Err, f.Seed, steps)
}

// Unwrap returns the broken invariant.
func (f *Failure) Unwrap() error { return f.Err }

// kind is the failure without its numbers: two failures of one kind break the
// same rule.
func (f *Failure) kind() string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return -1
		}
		return c
	}, f.Err.Error())
}

// Run plays the history of a seed. The failure is nil when every invariant held
// and the replicas converged at the end.
func Run(seed uint64, o Options) (Report, *Failure) {
	if o.Steps == 0 {
		o.Steps = DefaultSteps
	}
	r := rand.New(rand.NewPCG(seed, 0x6c6f6771))
	w := &world{seed: seed, r: r, s: drawSwarm(r), o: o, oracle: newOracle(), clients: newClients()}
	w.report.Histories = 1
	if err := w.play(o.Steps); err != nil {
		return w.report, &Failure{Seed: seed, Step: w.report.Steps, Err: err, Trace: w.lastLines(), options: o}
	}
	return w.report, nil
}
