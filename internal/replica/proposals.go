package replica

import (
	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
)

// proposal is one batch appended here as leader, not yet committed.
type proposal struct {
	index      raft.Index
	term       raft.Term
	base, last record.Offset
	token      uint64
}

// proposals wait for the commit index to reach them. They outlive leadership: a
// batch of a deposed leader may still be committed by its successor, and then it
// is done. They even outlive their own truncation here: another replica, or this
// one's disk after a crash, may still hold the entry, and win with it. Only
// another entry committed at the index makes "not written" definite.
type proposals struct {
	q         fifo[proposal] // in the log, in index order
	displaced []proposal     // truncated here, in no order
}

func (p *proposals) push(v proposal) {
	if n := p.q.len(); n > 0 {
		invariants.Assertf(p.q.at(n-1).index < v.index, "proposal %d after %d", v.index, p.q.at(n-1).index)
	}
	p.q.push(v)
}

// commit decides all up to index i; term tells which entry is committed at an
// index.
func (p *proposals) commit(i raft.Index, term func(raft.Index) raft.Term, out *Output) {
	n := 0
	for ; n < p.q.len() && p.q.at(n).index <= i; n++ {
		p.q.at(n).done(out)
	}
	if n > 0 {
		p.q.drop(n)
	}
	if len(p.displaced) == 0 {
		return
	}
	waiting := p.displaced[:0]
	for _, v := range p.displaced {
		switch {
		case v.index > i:
			waiting = append(waiting, v)
		case term(v.index) == v.term: // it came back: index and term name one entry
			v.done(out)
		default:
			out.Appends = append(out.Appends, AppendResult{Token: v.token, Err: &LostError{Index: v.index, Term: v.term}})
		}
	}
	p.displaced = waiting
}

func (v *proposal) done(out *Output) {
	out.Appends = append(out.Appends, AppendResult{Token: v.token, Base: v.base, Last: v.last, Term: v.term})
}

// truncate notes that the entries from index i on are gone here. Truncation
// always drops a suffix, so what goes is the tail of the queue.
func (p *proposals) truncate(i raft.Index) {
	n := p.q.len()
	for n > 0 && p.q.at(n-1).index >= i {
		n--
		p.displaced = append(p.displaced, *p.q.at(n))
	}
	if n < p.q.len() {
		p.q.keep(n)
	}
}

// jump ends those up to index i as unknown: the log now begins behind them, and
// what was committed there is not told.
func (p *proposals) jump(i raft.Index, out *Output) {
	unknown := func(v *proposal) {
		out.Appends = append(out.Appends, AppendResult{Token: v.token, Err: &UnknownError{Cause: errSkipped}})
	}
	n := p.q.len()
	for k := range n {
		if v := p.q.at(k); v.index <= i {
			unknown(v)
		} else {
			p.displaced = append(p.displaced, *v)
		}
	}
	p.q.drop(n)
	waiting := p.displaced[:0]
	for _, v := range p.displaced {
		if v.index <= i {
			unknown(&v)
		} else {
			waiting = append(waiting, v)
		}
	}
	p.displaced = waiting
}

// fail reports all as unknown.
func (p *proposals) fail(cause error, out *Output) {
	for k := range p.q.len() {
		out.Appends = append(out.Appends, AppendResult{Token: p.q.at(k).token, Err: &UnknownError{Cause: cause}})
	}
	p.q.drop(p.q.len())
	for _, v := range p.displaced {
		out.Appends = append(out.Appends, AppendResult{Token: v.token, Err: &UnknownError{Cause: cause}})
	}
	p.displaced = nil
}
