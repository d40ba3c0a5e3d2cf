package sim

import (
	"fmt"
	"hash/crc32"

	"github.com/logq/logq/raft"
)

// mix folds values into the hash of the history.
func (w *world) mix(values ...uint64) {
	h := w.report.Trace
	for _, v := range values {
		h = (h ^ v) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	w.report.Trace = h
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// mixMessage folds in all that a message says.
func (w *world) mixMessage(m *raft.Message, frames []byte) {
	flags := uint64(m.Type)
	for _, b := range [...]bool{m.Reject, m.Transfer, m.Quiet} {
		flags <<= 1
		if b {
			flags |= 1
		}
	}
	w.mix(flags, uint64(m.From), uint64(m.To), uint64(m.Term), uint64(m.Index), uint64(m.LogTerm), uint64(m.Commit), uint64(m.Lo), uint64(m.Hi),
		uint64(m.EntryTerm), uint64(m.HintIndex), uint64(m.HintTerm), uint64(m.HintFirst), m.Context, uint64(crc32.Checksum(frames, castagnoli)))
}

// line is one line of a trace.
type line struct {
	text string
	mark bool // a fault or a change of leaders, not a step like many
}

// tracef notes something that explains what follows.
func (w *world) tracef(format string, args ...any) {
	if w.o.Trace {
		w.trace = append(w.trace, line{fmt.Sprintf("%10.3f ", float64(w.now)/1000) + fmt.Sprintf(format, args...), true})
	}
}

// stepf notes one of many steps.
func (w *world) stepf(format string, args ...any) {
	w.tracef(format, args...)
	if n := len(w.trace); n > 0 {
		w.trace[n-1].mark = false
	}
}

// Of a trace the last marks and the last steps are kept.
const (
	traceMarks = 80
	traceSteps = 60
)

// lastLines returns the end of the trace: what matters of it, and then all.
func (w *world) lastLines() []string {
	from := max(0, len(w.trace)-traceSteps)
	var marks []string
	for i := from - 1; i >= 0 && len(marks) < traceMarks; i-- {
		if w.trace[i].mark {
			marks = append(marks, w.trace[i].text)
		}
	}
	lines := make([]string, 0, len(marks)+traceSteps)
	for i := range marks {
		lines = append(lines, marks[len(marks)-1-i])
	}
	for _, l := range w.trace[from:] {
		lines = append(lines, l.text)
	}
	return lines
}
