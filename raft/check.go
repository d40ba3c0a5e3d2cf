package raft

import "github.com/logq/logq/internal/invariants"

// check proves what the fields promise, after every input. It compiles to
// nothing without the build tag "invariants".
func (c *Core) check() {
	if !invariants.Enabled {
		return
	}
	l := &c.view
	invariants.Assertf(l.prev.Index <= l.durable && l.durable <= l.last, "durable %d of a log of (%d, %d]", l.durable, l.prev.Index, l.last)
	invariants.Assertf(l.prev.Index <= c.commit && c.commit <= l.last, "commit %d of a log of (%d, %d]", c.commit, l.prev.Index, l.last)
	invariants.Assertf((len(l.terms) == 0) == (l.last == l.prev.Index), "%d terms in a log of (%d, %d]", len(l.terms), l.prev.Index, l.last)
	const newest = 16 // the others don't change
	for i := max(0, len(l.terms)-newest); i < len(l.terms); i++ {
		before, t := TermStart{Term: l.prev.Term, First: l.prev.Index}, l.terms[i]
		if i > 0 {
			before = l.terms[i-1]
		}
		invariants.Assertf(t.First > before.First && t.First <= l.last && (t.Term > before.Term || i == 0 && t.Term == before.Term), "term start %v after %v", t, before)
	}
	for i, e := range c.configs {
		invariants.Assertf(e.Index <= l.last && (i == 0 || e.Index > max(c.commit, c.configs[i-1].Index)), "configuration %d of entry %d, commit %d, last %d", i, e.Index, c.commit, l.last)
	}
	invariants.Assertf(len(c.configs) > 0 && c.seat == seatOf(&c.config().Config, c.o.ID) && c.joint == c.config().Config.Joint(), "seat %v in %v", c.seat, c.configs)
	invariants.Assertf(!c.quiet || c.role == RoleLeader && c.settled() || c.role == RoleFollower && c.leader != 0 && c.commit == l.last, "a %v is quiet, commit %d, last %d", c.role, c.commit, l.last)
	invariants.Assertf(c.hardDurable.Term <= c.hard.Term, "durable term %d is ahead of %d", c.hardDurable.Term, c.hard.Term)
	invariants.Assertf(c.hardDurable.Term < c.hard.Term || c.hardDurable.Vote == 0 || c.hardDurable.Vote == c.hard.Vote, "vote changes from %d to %d in term %d", c.hardDurable.Vote, c.hard.Vote, c.hard.Term)
	for i := range c.writes.len() {
		w := c.writes.at(i)
		invariants.Assertf(w.n <= c.n && (i == 0 || c.writes.at(i-1).n < w.n), "write %d out of order", w.n)
		invariants.Assertf(w.through <= l.last, "write %d through %d, last is %d", w.n, w.through, l.last)
	}
	if c.role == RoleLeader {
		c.checkLeader()
		return
	}
	invariants.Assertf(c.lead.noop == 0 && c.lead.transfer.to == 0 && c.lead.reads.len() == 0, "a %v kept a leader's state", c.role)
	invariants.Assertf(c.commit <= c.follow.verified && c.follow.verified <= l.last, "verified %d, commit %d, last %d", c.follow.verified, c.commit, l.last)
	invariants.Assertf(c.follow.acked <= l.durable || c.role != RoleFollower, "acknowledged %d, durable %d", c.follow.acked, l.durable)
}

func (c *Core) checkLeader() {
	invariants.Assertf(c.leader == c.o.ID && c.hard.Vote == c.o.ID && c.hardDurable == c.hard, "leader of term %d with hard state %v, durable %v", c.hard.Term, c.hard, c.hardDurable)
	invariants.Assertf(c.lead.noop > 0 && c.lead.noop <= c.view.last, "no-op %d, last %d", c.lead.noop, c.view.last)
	invariants.Assertf(!c.serving() || len(c.configs) <= 2 && (len(c.configs) == 1 || c.configs[0].Index <= c.commit), "a leader with more than one configuration that isn't committed: %v", c.configs)
	sum := 0
	for i := range c.lead.quota.len() {
		sum += c.lead.quota.at(i).bytes
	}
	invariants.Assertf(sum == c.lead.quotaInBytes, "quota %d, sum %d", c.lead.quotaInBytes, sum)
	for i := range c.peers {
		p := &c.peers[i]
		invariants.Assertf(p.match < p.next && p.next <= c.view.last+1, "replica %d: match %d, next %d, last %d", p.id, p.match, p.next, c.view.last)
		bytes, next := 0, Index(0)
		for k := range p.window.len() {
			w := p.window.at(k)
			if w.lo >= w.hi || next != 0 && w.lo != next {
				invariants.Assertf(false, "replica %d: window entry [%d, %d) after %d", p.id, w.lo, w.hi, next)
			}
			bytes, next = bytes+w.bytes, w.hi
		}
		invariants.Assertf(bytes == p.windowBytes && next <= p.next, "replica %d: window of %d bytes to %d, sum %d, next %d", p.id, p.windowBytes, next, bytes, p.next)
	}
}
