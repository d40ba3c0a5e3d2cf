package sim

import (
	"fmt"
	"strings"
)

// Report counts what a history did, or many.
type Report struct {
	Histories, Steps             int
	Appends, Acked               int
	NotWritten, Unknown          int
	Reads, ReadsServed           int // of the high watermark
	Fetches                      int // of records, from any replica
	Operations                   int // in histories that were checked for linearizability
	Delivered, Elections         int
	Truncations, ColdReads       int
	CommittedEntries             int
	Configs, Joint, Trims, Jumps int
	Quiet                        int // times that a leader fell quiet
	Replaced                     int // replicas with new ids in the place of lost ones
	Refused                      int // replicas that are beyond repair, since their log was damaged
	Found                        int // damaged places that a running replica found
	Tails                        int // of logs that were lost while the replica was stopped in order
	Repairs                      int // writes of entries in the place of damaged ones
	// SlowestHeal is the longest simulated time that a history took to converge.
	SlowestHeal micros
	// SlowestAck is the longest simulated time after the faults until an append was
	// acknowledged.
	SlowestAck micros
	// HealElections is how many elections a history needed at most after the faults.
	HealElections int
	Faults        [faultKinds]int
	// Trace is a hash of everything that happened; of several reports, of all.
	Trace uint64
}

// Add sums reports.
func (r *Report) Add(o *Report) {
	for _, c := range r.counts() {
		*c.n += *c.of(o)
	}
	r.SlowestHeal = max(r.SlowestHeal, o.SlowestHeal)
	r.SlowestAck, r.HealElections = max(r.SlowestAck, o.SlowestAck), max(r.HealElections, o.HealElections)
	for f := range r.Faults {
		r.Faults[f] += o.Faults[f]
	}
	r.Trace += o.Trace // in any order
}

// count is one counter.
type count struct {
	name string
	n    *int
	of   func(*Report) *int
}

func (r *Report) counts() []count {
	fields := []struct {
		name string
		of   func(*Report) *int
	}{
		{"histories", func(r *Report) *int { return &r.Histories }},
		{"steps", func(r *Report) *int { return &r.Steps }},
		{"appends", func(r *Report) *int { return &r.Appends }},
		{"acknowledged", func(r *Report) *int { return &r.Acked }},
		{"not written", func(r *Report) *int { return &r.NotWritten }},
		{"unknown", func(r *Report) *int { return &r.Unknown }},
		{"reads", func(r *Report) *int { return &r.Reads }},
		{"reads served", func(r *Report) *int { return &r.ReadsServed }},
		{"fetches", func(r *Report) *int { return &r.Fetches }},
		{"operations checked", func(r *Report) *int { return &r.Operations }},
		{"messages delivered", func(r *Report) *int { return &r.Delivered }},
		{"elections", func(r *Report) *int { return &r.Elections }},
		{"truncations", func(r *Report) *int { return &r.Truncations }},
		{"cold reads", func(r *Report) *int { return &r.ColdReads }},
		{"entries committed", func(r *Report) *int { return &r.CommittedEntries }},
		{"configurations", func(r *Report) *int { return &r.Configs }},
		{"joint ones", func(r *Report) *int { return &r.Joint }},
		{"trims", func(r *Report) *int { return &r.Trims }},
		{"jumps", func(r *Report) *int { return &r.Jumps }},
		{"falls quiet", func(r *Report) *int { return &r.Quiet }},
		{"replicas replaced", func(r *Report) *int { return &r.Replaced }},
		{"damage found", func(r *Report) *int { return &r.Found }},
		{"tails lost", func(r *Report) *int { return &r.Tails }},
		{"repairs", func(r *Report) *int { return &r.Repairs }},
		{"replicas beyond repair", func(r *Report) *int { return &r.Refused }},
	}
	counts := make([]count, len(fields))
	for i, f := range fields {
		counts[i] = count{name: f.name, n: f.of(r), of: f.of}
	}
	return counts
}

// String prints the counters, then the faults, on two lines.
func (r *Report) String() string {
	var b strings.Builder
	for i, c := range r.counts() {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", c.name, *c.n)
	}
	fmt.Fprintf(&b, ", after the faults at most %.2f s to the first ack, %.1f s to convergence, %d elections, trace %016x\nfaults:",
		float64(r.SlowestAck)/float64(second), float64(r.SlowestHeal)/float64(second), r.HealElections, r.Trace)
	for f, n := range r.Faults {
		if f > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %v %d", Fault(f), n)
	}
	return b.String()
}
