package raft

// openRangesMax bounds how many leaderships of this replica may have proposals
// whose fate is open. The oldest are forgotten first: their proposers are never
// told, which leaves the outcome unknown.
const openRangesMax = 256

// claim remembers [lo, hi) as own proposals of the current term, until they are
// committed or lost.
//
// That they are truncated here says nothing yet. With five replicas, A of term 5
// writes an entry to B, and C of term 6, elected by D and E, replaces it on A
// and dies; then B is elected by D and E and commits the entry of term 5 after
// all. It is lost only when an entry is committed that excludes it.
func (c *Core) claim(lo, hi Index) {
	if n := len(c.own); n > 0 && c.own[n-1].Term == c.hard.Term {
		c.own[n-1].Hi = hi
		return
	}
	if len(c.own) == openRangesMax {
		c.own = c.own[:copy(c.own, c.own[1:])]
	}
	c.own = append(c.own, LostRange{Lo: lo, Hi: hi, Term: c.hard.Term})
}

// settleOwn decides, after the commit index has moved, which own proposals are
// committed and which are lost.
func (c *Core) settleOwn() {
	if len(c.own) == 0 {
		return
	}
	committed, _ := c.view.term(c.commit)
	open := c.own[:0]
	for _, r := range c.own {
		// Entries of one term are one run, which starts at the same index in every
		// log that holds any of it: what is left of this range in the log is its front.
		if t, ok := c.view.term(r.Lo); ok && t == r.Term {
			r.Lo = min(r.Hi, max(r.Lo, min(c.commit+1, c.view.end(c.view.run(r.Lo)))))
		}
		switch {
		case r.Lo == r.Hi:
		case r.Lo <= c.commit || r.Term < committed:
			// Another entry is committed at Lo, or one of a later term before it, and
			// terms never fall along a log.
			c.lost = append(c.lost, r)
		default:
			open = append(open, r)
		}
	}
	c.own = open
}
