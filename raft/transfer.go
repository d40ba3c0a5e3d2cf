package raft

// transferState is a leadership being handed over. It is part of leaderState,
// so that stepping down clears it: a flag that outlives the leadership would
// make the next one refuse every proposal.
type transferState struct {
	to      ReplicaID // 0: no transfer
	best    bool      // the leader chose, and may choose another
	elapsed int       // ticks since it began; it is over after ElectionTicks
}

// Transfer hands leadership to the voter to, or with 0 to the one that is
// closest. It returns at once; until the other leads, or for an election timeout
// at most, proposals are refused with ErrTransferring. Then this replica serves
// on if the other did not take over.
//
// Errors: *NotLeaderError, ErrUnknownPeer when there is no such voter (a learner
// or a voter on its way out can't take over),
// ErrTransferring while another transfer runs, ErrFaulted. A transfer to the
// leader itself is done at once.
func (c *Core) Transfer(to ReplicaID) error {
	switch {
	case c.fault != nil:
		return ErrFaulted
	case c.role != RoleLeader:
		return &NotLeaderError{Leader: c.leader, Term: c.hard.Term}
	case c.lead.transfer.to != 0:
		return ErrTransferring
	case to == c.o.ID:
		return nil
	}
	t := transferState{to: to, best: to == 0}
	if t.best {
		t.to = c.closest(0)
	}
	p := c.peer(t.to)
	if p == nil || !p.seat.in {
		return ErrUnknownPeer
	}
	c.lead.transfer = t
	c.quiet = false
	c.handOver(p)
	c.check()
	return nil
}

// closest returns the peer with the longest durable log, one that was heard
// lately if there is any, and not but. 0: there is none.
func (c *Core) closest(but ReplicaID) ReplicaID {
	var best *progress
	for i := range c.peers {
		p := &c.peers[i]
		if p.id == but || !p.seat.in {
			continue
		}
		if best == nil || p.active && !best.active || p.active == best.active && p.match > best.match {
			best = p
		}
	}
	if best == nil {
		return 0
	}
	return best.id
}

// handOver lets the target campaign as soon as its log is as long as this one.
// No entry is added meanwhile, so that comes about if the target lives.
func (c *Core) handOver(p *progress) {
	if c.lead.transfer.to == p.id && p.match == c.view.last {
		c.send(p.id, Message{Type: MsgTimeoutNow})
	}
}

// tickTransfer gives up after an election timeout. Halfway there the leader, if
// the choice was its own, tries the next best.
func (c *Core) tickTransfer(heartbeat bool) {
	t := &c.lead.transfer
	if t.to == 0 {
		return
	}
	t.elapsed++
	switch {
	case t.elapsed >= c.o.ElectionTicks:
		*t = transferState{}
	case t.best && t.elapsed == (c.o.ElectionTicks+1)/2:
		if other := c.closest(t.to); other != 0 {
			t.to = other
		}
		c.handOver(c.peer(t.to))
	case heartbeat:
		c.handOver(c.peer(t.to)) // the first request may be lost
	}
}

// stepTimeoutNow campaigns at once on the leader's behalf, without a pre-vote:
// the leader wants to be deposed.
func (c *Core) stepTimeoutNow(m *Message) error {
	if c.role != RoleFollower || c.leader != 0 && c.leader != m.From || !c.mayLead() || !c.mayWin() {
		return ErrStale
	}
	c.campaign(true)
	return nil
}
