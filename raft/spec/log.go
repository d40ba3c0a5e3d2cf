package spec

import (
	"fmt"
	"slices"

	"github.com/logq/logq/raft"
)

// log is a log as the paper sees it: a list of terms. Entries of one term stand in
// a row, so the list is kept as runs, and nothing is ever copied per step. It
// shares no code with the core's own view, on purpose.
type log struct {
	prev raft.EntryID // the entry before the first
	last raft.Index
	runs []raft.TermStart // no run is empty
}

func (l *log) clone() log { return log{prev: l.prev, last: l.last, runs: slices.Clone(l.runs)} }

// copyFrom is clone without a new array.
func (l *log) copyFrom(o *log) {
	l.prev, l.last, l.runs = o.prev, o.last, append(l.runs[:0], o.runs...)
}

// term returns the term of entry i, also of the one before the first.
func (l *log) term(i raft.Index) (raft.Term, bool) {
	if i > l.last || i < l.prev.Index {
		return 0, false
	}
	for k := len(l.runs) - 1; k >= 0; k-- {
		if l.runs[k].First <= i {
			return l.runs[k].Term, true
		}
	}
	return l.prev.Term, true
}

func (l *log) lastID() raft.EntryID {
	if n := len(l.runs); n > 0 {
		return raft.EntryID{Term: l.runs[n-1].Term, Index: l.last}
	}
	return l.prev
}

// holds says whether e is in the log, or the entry before its first.
func (l *log) holds(e raft.EntryID) bool {
	t, ok := l.term(e.Index)
	return ok && t == e.Term
}

// holdsAll says whether all entries [lo, hi) are in the log and of term t.
func (l *log) holdsAll(lo, hi raft.Index, t raft.Term) bool {
	if lo <= l.prev.Index || hi > l.last+1 {
		return false
	}
	a, _ := l.term(lo)
	b, _ := l.term(hi - 1)
	return a == t && b == t
}

// append adds the entries [last+1, hi) of term t.
func (l *log) append(hi raft.Index, t raft.Term) {
	if l.lastID().Term != t || len(l.runs) == 0 {
		l.runs = append(l.runs, raft.TermStart{Term: t, First: l.last + 1})
	}
	l.last = hi - 1
}

// truncate drops the entries from i on.
func (l *log) truncate(i raft.Index) {
	l.last = min(l.last, i-1)
	for len(l.runs) > 0 && l.runs[len(l.runs)-1].First > l.last {
		l.runs = l.runs[:len(l.runs)-1]
	}
}

// trim drops the entries before first, of which there is one at first-1.
func (l *log) trim(first raft.Index) {
	t, ok := l.term(first - 1)
	if !ok {
		return
	}
	k := 0
	for k < len(l.runs) && (k+1 < len(l.runs) && l.runs[k+1].First <= first || first > l.last) {
		k++
	}
	l.runs = slices.Delete(l.runs, 0, k)
	if len(l.runs) > 0 {
		l.runs[0].First = max(l.runs[0].First, first)
	}
	l.prev = raft.EntryID{Term: t, Index: first - 1}
}

// begin makes the log an empty one after prev.
func (l *log) begin(prev raft.EntryID) { l.prev, l.last, l.runs = prev, prev.Index, l.runs[:0] }

// agrees says whether both logs hold the same entries in (from, to], as far as
// both begin before them.
func (l *log) agrees(o *log, to raft.Index) bool {
	if to > l.last || to > o.last {
		return false
	}
	for i := to; i > l.prev.Index && i > o.prev.Index; {
		a, b := l.runOf(i), o.runOf(i)
		if a.Term != b.Term {
			return false
		}
		i = max(a.First, b.First) - 1
	}
	return true
}

// runOf returns the run that entry i belongs to.
func (l *log) runOf(i raft.Index) raft.TermStart {
	for k := len(l.runs) - 1; k >= 0; k-- {
		if l.runs[k].First <= i {
			return l.runs[k]
		}
	}
	return raft.TermStart{Term: l.prev.Term, First: l.prev.Index}
}

// endOf returns the index after the run that entry i belongs to.
func (l *log) endOf(i raft.Index) raft.Index {
	end := l.last + 1
	for k := len(l.runs) - 1; k >= 0 && l.runs[k].First > i; k-- {
		end = l.runs[k].First
	}
	return end
}

// upToDate is §5.4.1: whether a log that ends with e is at least as up-to-date as
// one that ends with o.
func upToDate(e, o raft.EntryID) bool {
	return e.Term > o.Term || e.Term == o.Term && e.Index >= o.Index
}

// String returns the runs for messages.
func (l *log) String() string {
	s := fmt.Sprintf("(%v", l.prev)
	for _, r := range l.runs {
		s += fmt.Sprintf(" %d:%d", r.First, r.Term)
	}
	return s + fmt.Sprintf(" %d]", l.last)
}
