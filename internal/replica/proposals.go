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

// proposals are in index order. They outlive leadership: a batch of a deposed
// leader may still be committed by its successor, and then it is done.
type proposals struct{ q fifo[proposal] }

func (p *proposals) push(v proposal) {
	if n := p.q.len(); n > 0 {
		invariants.Assertf(p.q.at(n-1).index < v.index, "proposal %d after %d", v.index, p.q.at(n-1).index)
	}
	p.q.push(v)
}

// commit reports all up to index i as done.
func (p *proposals) commit(i raft.Index, out *Output) {
	n := 0
	for ; n < p.q.len() && p.q.at(n).index <= i; n++ {
		v := p.q.at(n)
		out.Appends = append(out.Appends, AppendResult{Token: v.token, Base: v.base, Last: v.last, Term: v.term})
	}
	if n > 0 {
		p.q.drop(n)
	}
}

// truncate reports all from index i on as overwritten. Truncation always drops
// a suffix, so what goes is the tail of the queue.
func (p *proposals) truncate(i raft.Index, out *Output) {
	n := p.q.len()
	for n > 0 && p.q.at(n-1).index >= i {
		n--
	}
	for k := n; k < p.q.len(); k++ {
		v := p.q.at(k)
		out.Appends = append(out.Appends, AppendResult{Token: v.token, Err: &LostError{Index: v.index, Term: v.term}})
	}
	if n < p.q.len() {
		p.q.keep(n)
	}
}

// fail reports all as unknown.
func (p *proposals) fail(cause error, out *Output) {
	for k := range p.q.len() {
		out.Appends = append(out.Appends, AppendResult{Token: p.q.at(k).token, Err: &UnknownError{Cause: cause}})
	}
	p.q.drop(p.q.len())
}
