package raft_test

import (
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// S20: a leader is paused for longer than its lease, as by SIGSTOP, and another is
// elected and commits. When it goes on it answers no read from what it knew: its clock
// has gone on, though it has counted no tick and read no message.
func TestS20_PausedLeader(t *testing.T) {
	for _, naive := range []bool{true, false} {
		c := newCluster(t, 3, leased, func(o *rafttest.Options) { o.Unchecked = naive })
		elect(t, c, 1)
		now := uint64(1000)
		clock := func() {
			for _, n := range c.Nodes {
				if n.ID != 1 {
					n.Core.SetClock(now)
				}
			}
		}
		clock()
		c.Node(1).Core.SetClock(now)
		c.Tick(1, heartbeatTicks)
		c.Stabilize()
		want(t, "at once, under the lease", readNow(t, c, 1), true)
		c.Isolate(1)
		for range 4 * electionTicks {
			now += 10
			clock()
			c.Tick(2, 1)
			c.Tick(3, 1)
			c.Stabilize()
		}
		lead := c.Leader()
		want(t, "another leads", lead == 2 || lead == 3, true)
		propose(t, c, lead, "new")
		c.Stabilize()
		// The naive host, whose clock stood still with it or was set back, is caught by
		// nothing: so the clock must be one that goes on.
		if !naive {
			c.Node(1).Core.SetClock(now)
		}
		want(t, "a stale read at once", readNow(t, c, 1), naive)
	}
}

// S20: in the joint state a lease needs a majority of each set, and one that was had
// by the old set alone lasts no longer than before.
func TestS20_LeaseOfTheJointState(t *testing.T) {
	c := newCluster(t, 5, founders(3), leased)
	elect(t, c, 1)
	lead := c.Node(1).Core
	lead.SetClock(1000)
	teach(t, c, 1, 4, 5)
	c.Tick(1, heartbeatTicks)
	c.Stabilize()
	want(t, "at once", readNow(t, c, 1), true)
	cutOff(c, 4)
	cutOff(c, 5)
	configure(t, c, 1, ids(1, 4, 5), nil)
	c.Stabilize()
	want(t, "joint", status(c, 1).Config.Joint(), true)
	for range 2 {
		lead.SetClock(1000 + leaseFor/2)
		c.Tick(1, heartbeatTicks)
		c.Stabilize() // the old set answers
	}
	lead.SetClock(1000 + leaseFor - 1)
	want(t, "at once, within the old lease", readNow(t, c, 1), true)
	lead.SetClock(1000 + leaseFor)
	want(t, "at once, by the old set alone", readNow(t, c, 1), false)
	c.Heal()
	c.Tick(1, heartbeatTicks)
	c.Stabilize()
	want(t, "at once, by both", readNow(t, c, 1), true)
}

// S20: a leadership begins without a lease, also the second one of the same replica.
func TestS20_NewLeadershipHasNoLease(t *testing.T) {
	c := newCluster(t, 3, leased)
	elect(t, c, 1)
	lead := c.Node(1).Core
	lead.SetClock(1000)
	c.Tick(1, heartbeatTicks)
	c.Stabilize()
	want(t, "at once", readNow(t, c, 1), true)
	if err := c.Transfer(1, 2); err != nil {
		t.Fatal(err)
	}
	c.Stabilize()
	want(t, "leader", c.Leader(), 2)
	if err := c.Transfer(2, 1); err != nil {
		t.Fatal(err)
	}
	c.Stabilize()
	want(t, "leader", c.Leader(), 1)
	want(t, "at once, in the next term", readNow(t, c, 1), false)
	c.Tick(1, heartbeatTicks)
	c.Stabilize()
	want(t, "at once, after a heartbeat of it", readNow(t, c, 1), true)
	var zero raft.ReadResult
	want(t, "no read is lost", c.Node(1).Reads[0], zero)
}
