package raft

import (
	"sort"

	"github.com/logq/logq/internal/invariants"
)

// logView is what the core knows of its log: where it begins and ends, what is
// durable, and where each term starts. That answers every term lookup without
// the entries. Indexes are those of the log as ordered, durable or not.
type logView struct {
	prev EntryID // the entry before the first; always committed
	last Index   // Invariant: last >= prev.Index

	// durable is the end of the prefix that is on disk as it stands in this view.
	// Invariant: prev.Index <= durable <= last. A truncation lowers it.
	durable Index

	// terms are the runs of entries of one term. Invariant: Term and First ascend
	// strictly; the first run starts at prev.Index+1; no run is empty.
	terms []TermStart
}

func (l *logView) lastTerm() Term {
	if len(l.terms) == 0 {
		return l.prev.Term
	}
	return l.terms[len(l.terms)-1].Term
}

func (l *logView) lastID() EntryID { return EntryID{Term: l.lastTerm(), Index: l.last} }

// run returns which run holds entry i, -1 if none does.
func (l *logView) run(i Index) int {
	if i <= l.prev.Index || i > l.last {
		return -1
	}
	k := len(l.terms) - 1
	if l.terms[k].First <= i { // most lookups are near the end
		return k
	}
	return sort.Search(k, func(j int) bool { return l.terms[j].First > i }) - 1
}

// end returns the index after run k's last entry.
func (l *logView) end(k int) Index {
	if k+1 < len(l.terms) {
		return l.terms[k+1].First
	}
	return l.last + 1
}

// term returns the term of entry i, which may be the one before the first.
func (l *logView) term(i Index) (Term, bool) {
	if i == l.prev.Index {
		return l.prev.Term, true
	}
	k := l.run(i)
	if k < 0 {
		return 0, false
	}
	return l.terms[k].Term, true
}

// has says whether the log holds e, or begins right after it.
func (l *logView) has(e EntryID) bool {
	t, ok := l.term(e.Index)
	return ok && t == e.Term
}

// append adds the entries [last+1, hi) of term t.
func (l *logView) append(hi Index, t Term) {
	if hi <= l.last+1 || t == 0 || t < l.lastTerm() {
		invariants.Assertf(false, "append up to %d of term %d after %v", hi, t, l.lastID())
	}
	if len(l.terms) == 0 || l.terms[len(l.terms)-1].Term != t {
		l.terms = append(l.terms, TermStart{Term: t, First: l.last + 1})
	}
	l.last = hi - 1
}

// truncate drops the entries from i on.
func (l *logView) truncate(i Index) {
	if i <= l.prev.Index || i > l.last {
		invariants.Assertf(false, "truncation at %d of a log of (%d, %d]", i, l.prev.Index, l.last)
	}
	k := l.run(i)
	if l.terms[k].First == i {
		k--
	}
	l.terms = l.terms[:k+1]
	l.last = i - 1
	l.durable = min(l.durable, l.last)
}

// behind says whether e, the last entry of a candidate, is at least as
// up-to-date as this log (§5.4.1): a later last term wins, then the longer log.
func (l *logView) behind(e EntryID) bool {
	if t := l.lastTerm(); e.Term != t {
		return e.Term > t
	}
	return e.Index >= l.last
}

// conflict returns the first index in [lo, hi) at which the log does not hold an
// entry of term t: missing, or of another term. It is hi when all are there.
// Entry lo-1 must be in the log or before its first.
func (l *logView) conflict(lo, hi Index, t Term) Index {
	if lo > l.last {
		return lo
	}
	k := l.run(lo)
	if l.terms[k].Term != t {
		return lo
	}
	return min(hi, l.end(k))
}

// floor returns the last entry at or before i whose term is at most t, and the
// first index of its term. It never goes before prev.
func (l *logView) floor(i Index, t Term) (e EntryID, first Index) {
	i = min(i, l.last)
	k := l.run(i)
	if k >= 0 && l.terms[k].Term > t {
		k = sort.Search(k, func(j int) bool { return l.terms[j].Term > t }) - 1
	}
	if k < 0 {
		return l.prev, l.prev.Index
	}
	return EntryID{Term: l.terms[k].Term, Index: min(i, l.end(k)-1)}, l.terms[k].First
}

// hint answers a refused append after prev: this log's last entry that may be in
// the leader's log too. The leader holds prev, and terms never fall along a log,
// so nothing here of a later term than prev's can be in it up to there.
func (l *logView) hint(prev EntryID) (e EntryID, first Index) {
	return l.floor(prev.Index, prev.Term)
}

// resolve is the leader's side of hint: the last entry of this log that may be
// in the follower's, and whether it certainly is.
//
// Entries of one term form one run, which starts at the same index in every log
// that holds any of it. So when this log holds the hinted term, both logs hold
// the common part of its run, and the probe after this one succeeds. When it
// doesn't, none of the follower's run is here, and all of it is skipped at once.
func (l *logView) resolve(hint EntryID, first Index) (i Index, sure bool) {
	e, _ := l.floor(hint.Index, hint.Term)
	if e.Term == hint.Term && first <= e.Index && e.Index <= hint.Index {
		return e.Index, true
	}
	if first > 0 {
		e.Index = min(e.Index, first-1)
	}
	return max(e.Index, l.prev.Index), false
}
