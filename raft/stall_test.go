package raft_test

import (
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// S24, D7: a leader whose disk hangs hands over when others have on disk what it
// has not; it neither campaigns nor grants a pre-vote until a write is done.
func TestS24_HungDiskLosesLeadership(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Node(1).AutoDisk = false
	propose(t, c, 1, "a")
	c.Stabilize()
	want(t, "committed by the followers alone", status(c, 1).Commit, 2)
	for range electionTicks {
		c.TickAll()
	}
	want(t, "role after an election timeout", status(c, 1).Role, raft.RoleLeader)
	c.TickAll()
	s := status(c, 1)
	want(t, "role when the write is older", s.Role, raft.RoleFollower)
	want(t, "stalled", s.Stalled, true)
	lead := c.Leader()
	if lead == 1 || lead == 0 || status(c, lead).Term != 2 {
		t.Fatalf("nobody took over at once: %v", c.Nodes)
	}
	// The new leader dies. 1 doesn't stand, and doesn't encourage others either.
	c.Isolate(lead)
	other := 5 - lead // of 2 and 3
	c.Tick(1, 4*electionTicks)
	want(t, "role of the replica whose disk hangs", status(c, 1).Role, raft.RoleFollower)
	c.Take(nil)
	c.Campaign(other)
	c.Deliver(typed(raft.MsgPreVote, 1))
	for _, m := range sentTo(c, raft.MsgPreVoteReply, other) {
		want(t, "refused", m.Reject, true)
	}
	c.Node(1).AutoDisk = true
	c.Node(1).Flush()
	want(t, "stalled after the write", status(c, 1).Stalled, false)
	c.Stabilize()
	forget(c, 1, other)
	c.Campaign(other)
	c.Stabilize()
	want(t, "role of the other", status(c, other).Role, raft.RoleLeader)
}

// A follower whose disk hangs doesn't stand: it could not even save its vote.
func TestS24_HungFollowerDoesNotCampaign(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Node(2).AutoDisk = false
	propose(t, c, 1, "a")
	c.Stabilize()
	c.Isolate(1)
	c.Tick(2, electionTicks+1)
	want(t, "stalled", status(c, 2).Stalled, true)
	c.Tick(2, 4*electionTicks)
	want(t, "role", status(c, 2).Role, raft.RoleFollower)
	c.Node(2).Flush()
	c.Tick(2, 2*electionTicks)
	want(t, "role after the write", status(c, 2).Role, raft.RolePreCandidate)
}

// When all disks are as slow, a change of leaders mends nothing: the leader stays.
func TestS24_SlowDisksEverywhereKeepTheLeader(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	for _, n := range c.Nodes {
		n.AutoDisk = false
	}
	propose(t, c, 1, "a")
	for range 3 * electionTicks {
		c.TickAll()
	}
	want(t, "role", status(c, 1).Role, raft.RoleLeader)
	for _, n := range c.Nodes {
		n.Flush()
	}
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, 2)
}

// A single voter has nobody to hand over to.
func TestS24_SingleVoterStays(t *testing.T) {
	c := newCluster(t, 1, func(o *rafttest.Options) {})
	elect(t, c, 1)
	c.Node(1).AutoDisk = false
	propose(t, c, 1, "a")
	c.Tick(1, 3*electionTicks)
	want(t, "role", status(c, 1).Role, raft.RoleLeader)
}
