package sim

import "time"

// Shrink looks for a smaller history that breaks the same rule: without whole
// kinds of faults, without single ones, and shorter. It tries until the budget is
// used up, and returns the smallest with its trace.
func Shrink(f *Failure, budget time.Duration, now func() time.Time) *Shrunk {
	s := &shrinker{kind: f.kind(), seed: f.Seed, now: now, until: now().Add(budget)}
	s.best = Shrunk{Failure: f, Steps: f.options.Steps}
	s.options = f.options
	s.options.Coverage, s.options.Trace = nil, false
	if s.options.Steps > f.Step {
		s.try(func(o *Options) { o.Steps = f.Step })
	}
	s.kinds()
	s.length()
	s.singles()
	s.kinds()
	s.length()
	s.options.Trace = true
	s.run(s.options)
	s.best.Tries = s.tries
	return &s.best
}

// Shrunk is the smallest history found that breaks a rule.
type Shrunk struct {
	*Failure
	Steps  int      // in the phase with faults
	Faults []string // kinds that it needs
	Tries  int
}

type shrinker struct {
	kind    string
	seed    uint64
	now     func() time.Time
	until   time.Time
	options Options
	best    Shrunk
	report  Report
	tries   int
}

// try changes the options and keeps the change if the same rule breaks.
func (s *shrinker) try(change func(o *Options)) bool {
	if s.now().After(s.until) {
		return false
	}
	o := s.options
	o.skip = make(map[int]bool, len(s.options.skip))
	for n := range s.options.skip {
		o.skip[n] = true
	}
	change(&o)
	return s.run(o)
}

func (s *shrinker) run(o Options) bool {
	s.tries++
	report, fail := Run(s.seed, o)
	if fail == nil || fail.kind() != s.kind {
		return false
	}
	s.options, s.report = o, report
	s.best.Failure, s.best.Steps = fail, min(o.Steps, fail.Step)
	s.best.Faults = s.best.Faults[:0]
	for f, n := range report.Faults {
		if n > 0 {
			s.best.Faults = append(s.best.Faults, Fault(f).String())
		}
	}
	return true
}

// kinds leaves out kinds of faults, one at a time.
func (s *shrinker) kinds() {
	for f := range faultKinds {
		if !s.options.Without.Has(f) && (s.best.Faults == nil || s.report.Faults[f] > 0) {
			s.try(func(o *Options) { o.Without = o.Without.With(f) })
		}
	}
}

// length halves the distance to the shortest history that still fails.
func (s *shrinker) length() {
	for low, high := 0, s.best.Steps; high-low > 16; {
		mid := (low + high) / 2
		if s.try(func(o *Options) { o.Steps = mid }) {
			high = min(mid, s.best.Steps)
		} else {
			low = mid
		}
	}
}

// singles leaves out single faults, many at once first.
func (s *shrinker) singles() {
	total := 0
	for _, n := range s.report.Faults {
		total += n
	}
	for width := total / 2; width > 0 && !s.now().After(s.until); width /= 2 {
		for from := 1; from <= total; from += width {
			s.try(func(o *Options) {
				for n := from; n < from+width; n++ {
					o.skip[n] = true
				}
			})
		}
	}
}
