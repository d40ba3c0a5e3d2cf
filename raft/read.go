package raft

// pendingRead waits until a majority has answered a heartbeat of its round or a
// later one. Rounds are counted here and never named by callers: a name that is
// used twice would let an old answer confirm a new read.
type pendingRead struct {
	id    uint64
	round uint64
}

// Read asks for an index up to which a reader who asked now must have applied
// the log in order to see everything committed before (ReadIndex, diss. §6.4).
// The answer comes as a ReadResult with the id, which is never used again.
//
// A read is answered only after the leader's own no-op is committed, since a new
// leader doesn't know before how far the log is committed, and after a majority
// has confirmed, asked after the read was, that there is no later leader. When
// leadership ends before, the result says Lost.
//
// With a lease (Options.Lease) the leader answers at once while it holds.
//
// Errors: *NotLeaderError, ErrBusy when too many reads are waiting, ErrFaulted.
func (c *Core) Read() (id uint64, err error) {
	switch {
	case c.fault != nil:
		return 0, ErrFaulted
	case c.role != RoleLeader:
		return 0, &NotLeaderError{Leader: c.leader, Term: c.hard.Term}
	case c.lead.reads.len() >= maxPendingReads:
		return 0, ErrBusy
	}
	c.readID++
	if c.leased() {
		c.results = append(c.results, ReadResult{ID: c.readID, Index: c.commit})
		return c.readID, nil
	}
	c.quiet = false
	// One round at a time: reads that come while it runs share the next one.
	running := c.lead.reads.len() > 0 && c.lead.reads.front().round <= c.lead.round
	c.lead.reads.push(pendingRead{id: c.readID, round: c.lead.round + 1})
	if !running {
		c.broadcastHeartbeat(false)
	}
	c.confirmReads()
	c.check()
	return c.readID, nil
}

// confirmReads answers the reads whose round a majority has answered, and starts
// the round that others wait for.
func (c *Core) confirmReads() {
	for c.lead.reads.len() > 0 && c.serving() {
		confirmed := c.reached(c.lead.round, (*progress).answered)
		for c.lead.reads.len() > 0 && c.lead.reads.front().round <= confirmed {
			c.results = append(c.results, ReadResult{ID: c.lead.reads.popFront().id, Index: c.commit})
		}
		if c.lead.reads.len() == 0 || c.lead.reads.front().round <= c.lead.round {
			return
		}
		c.broadcastHeartbeat(false) // a single voter confirms it at once
	}
}

// dropReads tells the readers that leadership has ended first.
func (c *Core) dropReads() {
	for c.lead.reads.len() > 0 {
		c.results = append(c.results, ReadResult{ID: c.lead.reads.popFront().id, Lost: true})
	}
}
