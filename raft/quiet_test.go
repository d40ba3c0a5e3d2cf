package raft_test

import (
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

func quiesce(o *rafttest.Options) { o.Raft.Quiesce = true }

// quietCluster is a cluster of three that has fallen quiet under node 1.
func quietCluster(t *testing.T) *rafttest.Cluster {
	t.Helper()
	c := newCluster(t, 3, quiesce)
	elect(t, c, 1)
	propose(t, c, 1, "a")
	for range 3 {
		c.Stabilize()
		c.Tick(1, heartbeatTicks)
	}
	c.Stabilize()
	for _, n := range c.Nodes {
		if !n.Core.Quiet() {
			t.Fatalf("node %d is not quiet: %v", n.ID, n)
		}
	}
	return c
}

// A settled group sends nothing and waits for nothing, for as long as nobody
// wakes it.
func TestQuiet(t *testing.T) {
	c := quietCluster(t)
	for range 10 * electionTicks {
		c.TickAll()
	}
	want(t, "messages", len(c.Net), 0)
	want(t, "role", status(c, 1).Role, raft.RoleLeader)
	propose(t, c, 1, "b")
	c.Stabilize()
	want(t, "quiet after a proposal", c.Node(1).Core.Quiet() || c.Node(2).Core.Quiet(), false)
	want(t, "commit", status(c, 1).Commit, 3)
}

// A follower that is woken without its leader campaigns after an election
// timeout, of which the ticks that it has missed count.
func TestQuietFollowerWakes(t *testing.T) {
	c := quietCluster(t)
	c.Isolate(1)
	for _, id := range []raft.ReplicaID{2, 3} {
		c.Node(id).Wake(electionTicks - 1)
	}
	for range 2 * electionTicks {
		c.TickAll()
	}
	if l := c.Leader(); l == 1 || l == 0 {
		t.Errorf("nobody took over: %v", c.Nodes)
	}
}

// A leader is quiet only when all followers are: else one of them would miss it.
func TestQuietNeedsAllFollowers(t *testing.T) {
	c := newCluster(t, 3, quiesce)
	elect(t, c, 1)
	c.CutLink(3, 1) // 3 agrees, and nobody hears it
	for range 3 {
		c.Tick(1, heartbeatTicks)
		c.Stabilize()
	}
	want(t, "quiet leader", c.Node(1).Core.Quiet(), false)
	// One that is down isn't waited for, as long as the others are a majority.
	c.Node(1).PeerDown(3, true)
	c.Tick(1, heartbeatTicks)
	c.Stabilize()
	want(t, "quiet without the one that is down", c.Node(1).Core.Quiet(), true)
	c.Node(1).PeerDown(2, true)
	want(t, "quiet without a majority", c.Node(1).Core.Quiet(), false)
}

// What wakes a quiet leader: a read that needs a round, a transfer, a pre-vote of
// someone who misses it, a peer that is back.
func TestQuietLeaderWakes(t *testing.T) {
	for name, wake := range map[string]func(c *rafttest.Cluster){
		"read":      func(c *rafttest.Cluster) { _, _ = c.Read(1) },
		"transfer":  func(c *rafttest.Cluster) { _ = c.Transfer(1, 2) },
		"pre-vote":  func(c *rafttest.Cluster) { c.Campaign(3); c.Deliver(typed(raft.MsgPreVote, 1)) },
		"host":      func(c *rafttest.Cluster) { c.Node(1).Wake(0) },
		"peer back": func(c *rafttest.Cluster) { c.Node(1).PeerDown(3, true); c.Node(1).PeerDown(3, false) },
	} {
		c := quietCluster(t)
		wake(c)
		if c.Node(1).Core != nil && c.Node(1).Core.Quiet() {
			t.Errorf("%s: still quiet", name)
		}
	}
}
