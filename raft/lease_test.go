package raft_test

import (
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// leaseFor is the lease of these tests: a tick is 10 units of the clock.
const leaseFor = 80

func leased(o *rafttest.Options) { o.Raft.Lease = leaseFor }

// readNow asks for a read and says whether it is answered without a message.
func readNow(t *testing.T, c *rafttest.Cluster, id raft.ReplicaID) bool {
	t.Helper()
	before := len(c.Net)
	rid, err := c.Read(id)
	if err != nil {
		t.Fatal(err)
	}
	_, done := c.Node(id).Reads[rid]
	if done && len(c.Net) != before {
		t.Error("a read under a lease sends something")
	}
	return done
}

// S20, diss. §6.4.1: a read is answered at once as long as a majority has
// answered a heartbeat that was sent less than the lease ago, and no longer.
func TestS20_LeaseCountsFromTheHeartbeat(t *testing.T) {
	c := newCluster(t, 3, leased)
	lead := c.Node(1).Core
	lead.SetClock(100)
	elect(t, c, 1)
	want(t, "at once, before any heartbeat was answered", readNow(t, c, 1), false)
	c.Stabilize()
	c.Take(nil)
	lead.SetClock(200)
	c.Tick(1, heartbeatTicks) // sent at 200
	lead.SetClock(230)        // answered at 230
	c.Stabilize()
	lead.SetClock(200 + leaseFor - 1)
	want(t, "at once, within the lease", readNow(t, c, 1), true)
	lead.SetClock(200 + leaseFor)
	want(t, "at once, when the lease is over", readNow(t, c, 1), false)
	lead.SetClock(10) // a clock that goes back is not believed
	want(t, "at once, after a jump of the clock", readNow(t, c, 1), false)
}

// A single voter's own word is a majority.
func TestS20_LeaseNeedsAMajority(t *testing.T) {
	c := newCluster(t, 5, leased)
	elect(t, c, 1)
	lead := c.Node(1).Core
	lead.SetClock(1000)
	c.Isolate(4)
	c.Isolate(5)
	c.CutLink(3, 1)
	c.Tick(1, heartbeatTicks)
	c.Stabilize() // 2 alone answers
	want(t, "at once, by two of five", readNow(t, c, 1), false)
	c.Heal()
	c.Tick(1, heartbeatTicks)
	c.Stabilize()
	want(t, "at once, by all", readNow(t, c, 1), true)
}

// Who was asked to take over may do so at any time, however late the request
// arrives: there is no lease for the rest of the term.
func TestS20_NoLeaseAfterATransfer(t *testing.T) {
	c := newCluster(t, 3, leased)
	elect(t, c, 1)
	if err := c.Transfer(1, 2); err != nil {
		t.Fatal(err)
	}
	c.Take(typed(raft.MsgTimeoutNow, 2)) // and delayed for long
	for range electionTicks {
		c.Tick(1, 1)
		c.Take(typed(raft.MsgTimeoutNow, 2))
		c.Stabilize()
	}
	want(t, "role", status(c, 1).Role, raft.RoleLeader)
	want(t, "transferring", status(c, 1).Transferring, 0)
	want(t, "at once", readNow(t, c, 1), false)
}

// A voter that comes back doesn't know whom it has confirmed before.
func TestS20_RestartedVoterWaits(t *testing.T) {
	c := newCluster(t, 3, leased)
	elect(t, c, 1)
	n := c.Node(2)
	n.Crash(0)
	n.Start()
	c.Take(nil)
	ask := raft.Message{Type: raft.MsgPreVote, From: 3, To: 2, Term: 9, Index: 1, LogTerm: 1, Context: 1}
	hand(c, ask)
	want(t, "answers of a voter that has just come back", len(c.Take(nil)), 0)
	c.Tick(2, electionTicks)
	c.Take(nil)
	hand(c, ask)
	if out := c.Take(nil); len(out) != 1 || out[0].Reject {
		t.Errorf("answers an election timeout later: %v", out)
	}
}

// A follower that asked for a pre-vote, then hears its leader again, must not
// forget it because of a refusal from a later term that is late: a candidate of
// that term would get its vote within the leader's lease.
func TestS20_LateRefusalDoesNotEndStickiness(t *testing.T) {
	c := newCluster(t, 3, leased, madeUp)
	elect(t, c, 1)
	c.Campaign(2)
	c.Take(nil)
	hand(c, raft.Message{Type: raft.MsgHeartbeat, From: 1, To: 2, Term: 1, Context: 9})
	c.Take(nil)
	hand(c, raft.Message{Type: raft.MsgPreVoteReply, Reject: true, From: 3, To: 2, Term: 2})
	want(t, "term", status(c, 2).Term, 1)
	want(t, "leader", status(c, 2).Leader, 1)
	hand(c, raft.Message{Type: raft.MsgVote, From: 3, To: 2, Term: 2, Index: 1, LogTerm: 1})
	want(t, "votes for the later term", len(c.Take(nil)), 0)
}
