package raft

// leaseRound is a heartbeat round and when it was sent, by the driver's clock.
type leaseRound struct{ round, sent uint64 }

// SetClock tells the time of a clock that never goes back, in the unit of
// Options.Lease. With a lease the driver calls it before each Tick, Step and Read.
// Only differences on this replica matter.
func (c *Core) SetClock(now uint64) { c.clock = max(c.clock, now) }

// leased says that no other leader can have been elected yet: a majority has
// answered a heartbeat that was sent less than Options.Lease ago, and takes part in
// no election for an election timeout after it (diss. §6.4.1). A replica that was
// asked to take over takes part in one at any time, however late the request
// arrives, so a leader that has sent one has no lease for the rest of its term.
func (c *Core) leased() bool {
	l := &c.lead
	return c.o.Lease > 0 && c.serving() && !l.handedOver && l.leased && c.clock-l.leaseFrom < c.o.Lease
}

// noteRound remembers when a round was sent. A few are enough: an older one than
// those that are remembered could not give a longer lease.
func (c *Core) noteRound() {
	if c.o.Lease == 0 {
		return
	}
	const roundsMax = 64
	if c.lead.sentAt.len() == roundsMax {
		c.lead.sentAt.popFront()
	}
	c.lead.sentAt.push(leaseRound{round: c.lead.round, sent: c.clock})
}

// renewLease moves the lease to the newest round that a majority has answered.
func (c *Core) renewLease() {
	if c.lead.sentAt.len() == 0 {
		return
	}
	confirmed := c.reached(c.lead.round, (*progress).answered)
	for c.lead.sentAt.len() > 0 && c.lead.sentAt.front().round <= confirmed {
		c.lead.leaseFrom, c.lead.leased = c.lead.sentAt.popFront().sent, true
	}
}
