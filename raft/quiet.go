package raft

import "github.com/logq/logq/raft/quorum"

// A group in which nothing happens can be quiet: its leader sends no heartbeats
// and its followers wait for none. The driver vouches for the leader instead, for
// all groups between two brokers at once.
//
// Quiet changes who is waited for, never who is counted: votes, acknowledgements
// and commits are as ever, so a driver that vouches wrongly delays an election and
// does nothing worse. It must call Wake on a follower when it loses the connection
// to the leader's broker or hears nothing on it for an election timeout, and on a
// leader likewise; and on all replicas of a group from time to time, since a leader
// may have stepped down without a word.

// Quiet says that the core needs neither Tick nor its peers' heartbeats, until the
// next input or Wake. Only with Options.Quiesce.
func (c *Core) Quiet() bool { return c.quiet }

// Wake ends quiet: a leader sends heartbeats again, beginning with the next Ready;
// a follower counts missed ticks without its leader, and more from there on.
func (c *Core) Wake(missed int) {
	if !c.quiet || c.fault != nil {
		return
	}
	c.quiet = false
	if c.role == RoleLeader {
		c.elapsed = 0
		c.broadcastHeartbeat(true)
	} else {
		c.elapsed = max(0, missed)
	}
	c.check()
}

// PeerDown tells that the driver has lost replica id, or has it again: it hears
// nothing from its broker. A leader doesn't wait for a replica that is down before
// it is quiet, as long as the others are a quorum. Whom to count is not changed by
// it.
func (c *Core) PeerDown(id ReplicaID, down bool) {
	p := c.peer(id)
	if p == nil || c.fault != nil || p.down == down {
		return
	}
	p.down = down
	if c.role == RoleLeader && (!down || !c.settled()) {
		c.Wake(0)
	}
	c.check()
}

// settled says of a leader that no replica that can be reached needs anything
// from it.
func (c *Core) settled() bool {
	if !c.o.Quiesce || !c.serving() || c.damaged != 0 || c.commit != c.view.last || c.view.durable != c.view.last || c.joint ||
		c.lead.transfer.to != 0 || c.lead.reads.len() > 0 || c.writes.len() > 0 || c.staged.Lo < c.staged.Hi {
		return false
	}
	var up poll
	up.add(c.seat.in, ballotYes)
	for i := range c.peers {
		p := &c.peers[i]
		if p.down {
			up.add(p.seat.in, ballotOpen)
			continue
		}
		if p.match != c.view.last || !p.replicating || p.window.len() > 0 {
			return false
		}
		up.add(p.seat.in, ballotYes)
	}
	return up.result() == quorum.Won
}

// hush answers a quiet heartbeat: this replica agrees if it has all that the
// leader has, on disk and committed.
func (c *Core) hush(m *Message) {
	c.quiet = m.Quiet && c.o.Quiesce && m.Commit == c.view.last && c.commit == c.view.last &&
		c.ackable() == c.view.last && c.writes.len() == 0
}

// hushed takes the agreement of one follower; with that of all the leader is
// quiet too.
func (c *Core) hushed(p *progress, m *Message) {
	p.quiet = m.Quiet && m.Index == c.view.last && m.Context == c.lead.round && c.lead.hush == c.lead.round
	if !p.quiet || !c.settled() {
		return
	}
	for i := range c.peers {
		if !c.peers[i].quiet && !c.peers[i].down {
			return
		}
	}
	c.quiet = true
}
