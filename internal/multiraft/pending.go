package multiraft

import (
	"time"

	"github.com/logq/logq/internal/invariants"
)

// pendingAppends holds the callbacks of a group's appends by token. Tokens are
// dense, and most complete in order, so a slice with a moving base does what a
// map would, without its cost.
type pendingAppends struct {
	base  uint64 // token of slots[0]
	slots []pendingAppend
}

type pendingAppend struct {
	deadline time.Time
	done     func(AppendResult) // nil: answered
}

// add returns the token of a new append.
func (p *pendingAppends) add(deadline time.Time, done func(AppendResult)) uint64 {
	p.slots = append(p.slots, pendingAppend{deadline: deadline, done: done})
	return p.base + uint64(len(p.slots)) - 1
}

// finish answers the append r.Token, unless its deadline answered it already.
func (p *pendingAppends) finish(r AppendResult) {
	i := r.Token - p.base
	if r.Token < p.base {
		return // expired, and the slots before it are gone
	}
	invariants.Assertf(i < uint64(len(p.slots)), "result for append %d, of %d from %d", r.Token, len(p.slots), p.base)
	if done := p.slots[i].done; done != nil {
		p.slots[i].done = nil
		done(r)
	}
	p.trim()
}

// expire answers what is past its deadline.
func (p *pendingAppends) expire(now time.Time, err error) {
	for i := range p.slots {
		s := &p.slots[i]
		if s.done != nil && now.After(s.deadline) {
			done := s.done
			s.done = nil
			done(AppendResult{Token: p.base + uint64(i), Err: err})
		}
	}
	p.trim()
}

// trim drops answered slots from the front, and moves the rest down when the
// front has grown, so that memory follows what is pending.
func (p *pendingAppends) trim() {
	n := 0
	for n < len(p.slots) && p.slots[n].done == nil {
		n++
	}
	if n == 0 || n < len(p.slots) && n < len(p.slots)/2 {
		return
	}
	p.base += uint64(n)
	live := copy(p.slots, p.slots[n:])
	clear(p.slots[live:])
	p.slots = p.slots[:live]
}
