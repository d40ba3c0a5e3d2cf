package raft_test

import (
	"fmt"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// The tests of this file follow §6 of the Raft paper, on changes of membership;
// members_test.go has what chapter 4 of the dissertation adds.

// §6: "once a given server adds the new configuration entry to its log, it uses
// that configuration for all future decisions", committed or not, leader or not.
func TestPaper6_ConfigurationIsInForceFromItsAppend(t *testing.T) {
	c := newCluster(t, 4, founders(3))
	elect(t, c, 1)
	at := configure(t, c, 1, ids(1, 2, 3), ids(4))
	want(t, "leader's configuration", configOf(c, 1), "voters(1,2,3) learners(4)")
	want(t, "its entry", status(c, 1).ConfigIndex, at)
	want(t, "commit", status(c, 1).Commit, at-1)
	c.Node(2).AutoDisk = false
	c.Deliver(typed(raft.MsgAppend, 2))
	want(t, "follower's configuration before its disk has it", configOf(c, 2), "voters(1,2,3) learners(4)")
	want(t, "its commit", status(c, 2).Commit, at-1)
	want(t, "another follower's", configOf(c, 3), "voters(1,2,3)")
	c.Node(2).Flush()
	c.Stabilize()
	want(t, "configuration of the new one", configOf(c, 4), "voters(1,2,3) learners(4)")
}

// §6: in the joint state "agreement (for elections and entry commitment) requires
// separate majorities from both the old and new configurations": commitment.
func TestPaper6_JointCommitNeedsBothMajorities(t *testing.T) {
	for _, tc := range []struct {
		old, new raft.ReplicaID // voters 1..old become voters new..6
		acks     []raft.ReplicaID
		commits  bool
	}{
		{3, 4, ids(2, 3), false},      // of the old ones all
		{3, 4, ids(4, 5, 6), false},   // of the new ones all, of the old ones the leader
		{3, 4, ids(2, 4), false},      // one of three new ones
		{3, 4, ids(2, 4, 5), true},    // two of three each
		{3, 4, ids(3, 5, 6), true},    // others
		{3, 3, ids(2, 3), false},      // 3 alone of (3,4,5,6)
		{3, 3, ids(3, 4), false},      // two of four
		{3, 3, ids(3, 4, 5), true},    // 3 counts in both
		{4, 3, ids(3, 4), false},      // (1,3,4) of four, (3,4) of four
		{4, 3, ids(3, 4, 5), true},    // three of each
		{1, 2, ids(2, 3, 4), true},    // one voter is its own majority
		{1, 2, ids(2, 3), false},      // two of five
		{5, 6, ids(2, 3), false},      // 6 alone decides on its side
		{5, 6, ids(6), false},         // but not on the other
		{5, 6, ids(2, 3, 6), true},    // together they do
		{5, 6, ids(2, 4, 5), false},   // without it nothing
		{5, 6, ids(3, 4, 6), true},    // any majority of the old ones
		{2, 3, ids(3, 4, 5), false},   // two old ones must both agree
		{2, 3, ids(2, 3, 4, 5), true}, // and they do
	} {
		c := newCluster(t, 6, founders(int(tc.old)))
		elect(t, c, 1)
		var voters, learners []raft.ReplicaID
		for id := tc.new; id <= 6; id++ {
			if voters = append(voters, id); id > tc.old {
				learners = append(learners, id)
			}
		}
		teach(t, c, 1, learners...)
		at := configure(t, c, 1, voters, nil)
		c.Deliver(func(e *rafttest.Envelope) bool { return e.Type == raft.MsgAppend && toAny(tc.acks...)(e) })
		c.Cut = typed(raft.MsgAppend, 0)
		c.Deliver(typed(raft.MsgAppendReply, 1))
		want(t, fmt.Sprintf("old 1..%d, new %d..6, acknowledged by the leader and %d: committed", tc.old, tc.new, tc.acks),
			status(c, 1).Commit >= at, tc.commits)
	}
}

// §6: elections. Each set of voters has its own majority; a refusal counts in the
// sets that the voter is in.
func TestPaper6_JointElectionNeedsBothMajorities(t *testing.T) {
	joint := raft.Config{Outgoing: ids(1, 2, 3), Voters: ids(1, 4, 5)}
	for _, tc := range []struct {
		yes, no []raft.ReplicaID
		role    raft.Role
	}{
		{ids(2), nil, raft.RoleCandidate},
		{ids(2, 3), nil, raft.RoleCandidate},
		{ids(4, 5), nil, raft.RoleCandidate},
		{ids(2, 4), nil, raft.RoleLeader},
		{ids(3, 5), nil, raft.RoleLeader},
		{ids(2, 4), ids(3, 5), raft.RoleLeader},
		{nil, ids(2, 4), raft.RoleCandidate},
		{ids(4, 5), ids(2, 3), raft.RoleFollower},
		{ids(2), ids(4, 5), raft.RoleFollower},
	} {
		core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 1}, raft.LogState{
			Last: 1, Terms: []raft.TermStart{{Term: 1, First: 1}}, Configs: []raft.ConfigEntry{{Index: 1, Config: joint}},
		})
		core.Campaign()
		asked := core.pump()
		want(t, "pre-votes asked of", fmt.Sprint(receivers(asked, raft.MsgPreVote)), "[2 3 4 5]")
		for _, id := range ids(2, 3, 4, 5) {
			core.step(t, raft.Message{Type: raft.MsgPreVoteReply, From: id, Term: 2, Context: 1})
		}
		want(t, "role after the pre-votes", core.Status().Role, raft.RoleCandidate)
		for _, id := range tc.no {
			core.step(t, raft.Message{Type: raft.MsgVoteReply, From: id, Term: 2, Reject: true})
		}
		for _, id := range tc.yes {
			core.step(t, raft.Message{Type: raft.MsgVoteReply, From: id, Term: 2})
		}
		want(t, fmt.Sprintf("yes %d, no %d: role", tc.yes, tc.no), core.Status().Role, tc.role)
	}
}

// §6: "any server from either configuration may serve as leader": one that only
// the old configuration has, and one that only the new one has.
func TestPaper6_EitherConfigurationMayLead(t *testing.T) {
	for _, winner := range ids(2, 4) {
		c := newCluster(t, 6, founders(3))
		elect(t, c, 1)
		teach(t, c, 1, 4, 5, 6)
		at := toJoint(t, c, 1, ids(4, 5, 6), nil)
		c.Deliver(typed(raft.MsgAppend, 0))
		c.Node(1).Crash(0)
		c.Take(nil)
		for _, n := range c.Nodes[1:] {
			want(t, "configuration", configOf(c, n.ID), "voters(4,5,6) outgoing(1,2,3)")
		}
		forget(c, 2, 3, 4, 5, 6)
		c.Campaign(winner)
		for range 4 {
			c.Deliver(nil)
		}
		want(t, "leader", c.Leader(), winner)
		c.Stabilize()
		if got := status(c, winner); got.Commit < at {
			t.Errorf("leader %d has committed %d, the joint configuration is entry %d", winner, got.Commit, at)
		}
		for range 2 * electionTicks {
			c.TickAll()
		}
		lead := c.Leader()
		want(t, "configuration in the end", configOf(c, lead), "voters(4,5,6)")
		want(t, "a removed replica leads", lead < 4, false)
	}
}

// §6: once the joint configuration is committed, the leader creates the entry of
// the new one, and the change is done when that is committed, under the new rules.
func TestPaper6_JointStateIsLeft(t *testing.T) {
	c := newCluster(t, 5, founders(3))
	elect(t, c, 1)
	teach(t, c, 1, 4, 5)
	at := configure(t, c, 1, ids(1, 4, 5), nil)
	want(t, "configuration", configOf(c, 1), "voters(1,4,5) outgoing(1,2,3)")
	c.Deliver(typed(raft.MsgAppend, 2))
	c.Deliver(typed(raft.MsgAppend, 4))
	c.Deliver(typed(raft.MsgAppendReply, 1))
	want(t, "commit", status(c, 1).Commit, at)
	want(t, "configuration", configOf(c, 1), "voters(1,4,5)")
	want(t, "its entry", status(c, 1).ConfigIndex, at+1)
	// The old voters don't count any more.
	cutOff(c, 4)
	cutOff(c, 5)
	c.Take(toAny(4, 5))
	c.Stabilize()
	want(t, "commit with the old voters alone", status(c, 1).Commit, at)
	c.Heal()
	cutOff(c, 2)
	cutOff(c, 3)
	for range 3 * heartbeatTicks {
		c.Tick(1, 1)
		c.Stabilize()
	}
	want(t, "commit with a new one", status(c, 1).Commit, at+1)
	want(t, "configuration of a new one", configOf(c, 5), "voters(1,4,5)")
}

// §6: a change to another set of servers altogether, while proposals go on.
func TestPaper6_ReplaceAllServers(t *testing.T) {
	c := newCluster(t, 6, founders(3))
	elect(t, c, 1)
	propose(t, c, 1, "a")
	teach(t, c, 1, 4, 5, 6)
	configure(t, c, 1, ids(4, 5, 6), nil)
	propose(t, c, 1, "b")
	c.Stabilize()
	lead := c.WaitLeader(10 * electionTicks)
	want(t, "a new one leads", lead > 3, true)
	want(t, "configuration", configOf(c, lead), "voters(4,5,6)")
	for id := raft.ReplicaID(1); id <= 3; id++ {
		c.Node(id).Crash(0)
	}
	at := propose(t, c, lead, "c")
	c.Stabilize()
	want(t, "commit with the new ones alone", status(c, lead).Commit, at)
	for _, n := range c.Nodes[3:] {
		var values []string
		for _, e := range n.Log {
			if e.Kind == raft.KindData {
				values = append(values, e.Data)
			}
		}
		want(t, "data", fmt.Sprint(values), "[a b c]")
	}
}

// §6, first issue: new servers join as non-voting members: they get the log, and
// are counted for nothing.
func TestPaper6_NewServersDontVoteAtFirst(t *testing.T) {
	c := newCluster(t, 6, founders(3))
	elect(t, c, 1)
	teach(t, c, 1, 4, 5, 6)
	want(t, "log of a learner", len(c.Node(4).Log), len(c.Node(1).Log))
	want(t, "voter", peerOf(c, 1, 2).Voter, true)
	want(t, "voter", peerOf(c, 1, 4).Voter, false)
	// A commit.
	cutOff(c, 2)
	cutOff(c, 3)
	at := propose(t, c, 1, "a")
	c.Stabilize()
	want(t, "match of a learner", peerOf(c, 1, 6).Match, at)
	want(t, "commit by learners", status(c, 1).Commit, at-1)
	// A read.
	id, _ := c.Read(1)
	c.Stabilize()
	_, answered := c.Node(1).Reads[id]
	want(t, "read confirmed by learners", answered, false)
	// The leader's quorum.
	for range 2 * electionTicks {
		c.Tick(1, 1)
		c.Stabilize()
	}
	want(t, "role of a leader whom only learners hear", status(c, 1).Role, raft.RoleFollower)
	// An election: they are not asked, and don't campaign.
	c.Take(nil)
	c.Campaign(1)
	for id := raft.ReplicaID(4); id <= 6; id++ {
		want(t, "pre-votes asked of a learner", len(sentTo(c, raft.MsgPreVote, id)), 0)
	}
	c.Tick(4, 5*electionTicks)
	c.Campaign(5)
	want(t, "messages of learners", len(c.Take(func(e *rafttest.Envelope) bool { return e.From > 3 })), 0)
	want(t, "role", status(c, 4).Role, raft.RoleFollower)
}

// §6, second issue: the leader may not be in the new configuration. It manages a
// group of which it is no part, replicates and doesn't count itself, and steps down
// when C_new is committed.
func TestPaper6_LeaderIsNotInTheNewConfiguration(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	at := configure(t, c, 1, ids(2, 3), nil)
	c.Deliver(typed(raft.MsgAppend, 2))
	c.Deliver(typed(raft.MsgAppendReply, 1))
	want(t, "commit of the joint entry by 1 and 2", status(c, 1).Commit, at-1)
	c.Deliver(typed(raft.MsgAppend, 3))
	c.Deliver(typed(raft.MsgAppendReply, 1))
	want(t, "commit of the joint entry by all", status(c, 1).Commit, at)
	want(t, "configuration", configOf(c, 1), "voters(2,3)")
	c.Cut = typed(raft.MsgTimeoutNow, 0)
	c.Deliver(typed(raft.MsgAppend, 2))
	c.Deliver(typed(raft.MsgAppendReply, 1))
	want(t, "commit of the new one by 1 and 2", status(c, 1).Commit, at)
	want(t, "role meanwhile", status(c, 1).Role, raft.RoleLeader)
	c.Deliver(typed(raft.MsgAppend, 3))
	c.Deliver(typed(raft.MsgAppendReply, 1))
	want(t, "commit of the new one by 2 and 3", status(c, 1).Commit, at+1)
	want(t, "role then", status(c, 1).Role, raft.RoleFollower)
}

// §6, third issue: removed servers, which hear no leader, can't disturb those that
// do, whatever they ask for.
func TestPaper6_RemovedServersDontDisrupt(t *testing.T) {
	c := newCluster(t, 4)
	elect(t, c, 1)
	cutOff(c, 4) // it never learns of its removal
	configure(t, c, 1, ids(1, 2, 3), nil)
	c.Stabilize()
	want(t, "configuration", configOf(c, 1), "voters(1,2,3)")
	c.Heal()
	before := status(c, 1)
	for range 20 * electionTicks {
		c.TickAll()
		want(t, "leader", c.Leader(), 1)
	}
	want(t, "term", status(c, 1).Term, before.Term)
	want(t, "the removed one asks in vain", status(c, 4).Role, raft.RolePreCandidate)
	at := propose(t, c, 1, "a")
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, at)
}
