package raft_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

func list(v ...raft.ReplicaID) []raft.ReplicaID { return v }

// change asks node 1 for members and lets it finish.
func change(t *testing.T, c *rafttest.Cluster, lead raft.ReplicaID, voters, learners []raft.ReplicaID) {
	t.Helper()
	if _, err := c.ProposeConfig(lead, voters, learners); err != nil {
		t.Fatalf("voters %d, learners %d: %v", voters, learners, err)
	}
	for range 4 {
		c.Stabilize()
		c.TickAll()
	}
}

// §6: a new server is a learner first, catches up, votes after a joint state, and
// then counts for commits.
func TestPaper6_AddServers(t *testing.T) {
	c := newCluster(t, 5, func(o *rafttest.Options) { o.Voters = 3 })
	elect(t, c, 1)
	propose(t, c, 1, "a", "b")
	c.Stabilize()
	change(t, c, 1, list(1, 2, 3), list(4, 5))
	want(t, "learners' logs", len(c.Node(4).Log)+len(c.Node(5).Log), 2*len(c.Node(1).Log))
	change(t, c, 1, list(1, 2, 3, 4, 5), nil)
	s := status(c, 5)
	want(t, "configuration", s.Config.String(), "voters(1,2,3,4,5)")
	want(t, "its entry is committed", s.ConfigIndex <= s.Commit, true)
	// Three of five are needed now.
	c.Isolate(2)
	c.Isolate(3)
	i := propose(t, c, 1, "c")
	c.Stabilize()
	want(t, "commit with 4 and 5", status(c, 1).Commit, i)
	for _, id := range list(1, 5) {
		c.CutLink(4, id)
		c.CutLink(id, 4)
	}
	propose(t, c, 1, "d")
	c.Stabilize()
	want(t, "commit with 5 alone", status(c, 1).Commit, i)
}

// S14, S16: what a change of members refuses, each by its own error.
func TestS14_RefusedChanges(t *testing.T) {
	c := newCluster(t, 4, func(o *rafttest.Options) { o.Voters = 3 })
	refused := func(what string, voters, learners []raft.ReplicaID, is func(error) bool) {
		t.Helper()
		if _, err := c.ProposeConfig(1, voters, learners); err == nil || !is(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	var notLeader *raft.NotLeaderError
	refused("a follower", list(1), nil, func(err error) bool { return errors.As(err, &notLeader) })
	c.Campaign(1)
	for c.Node(1).Core.Status().Role != raft.RoleLeader {
		c.Deliver(nil)
	}
	refused("before an own-term commit", list(1, 2), nil, func(err error) bool { return errors.Is(err, raft.ErrNotServing) })
	c.Stabilize()
	var late *raft.NotCaughtUpError
	refused("a stranger as a voter", list(1, 2, 3, 4), nil, func(err error) bool { return errors.As(err, &late) && late.ID == 4 })
	var invalid *raft.ConfigError
	for what, voters := range map[string][]raft.ReplicaID{"nobody": nil, "not ascending": list(2, 1), "twice": list(1, 1), "zero": list(0, 1)} {
		refused(what, voters, nil, func(err error) bool { return errors.As(err, &invalid) })
	}
	refused("voter and learner", list(1, 2, 3), list(3), func(err error) bool { return errors.As(err, &invalid) })
	var changed *raft.ConfigChangedError
	if _, err := c.Node(1).Core.ProposeConfig(7, list(1, 2), nil); !errors.As(err, &changed) || changed.At != 0 {
		t.Errorf("another configuration than the one that was seen: %v", err)
	}
	if i, err := c.ProposeConfig(1, list(1, 2, 3), nil); err != nil || i != 0 {
		t.Errorf("no change: entry %d, %v", i, err)
	}
	if _, err := c.ProposeConfig(1, list(1, 2), nil); err != nil {
		t.Fatal(err)
	}
	refused("a second one at once", list(1, 3), nil, func(err error) bool { return errors.Is(err, raft.ErrConfigPending) })
	c.Stabilize()
	if err := c.Transfer(1, 2); err != nil {
		t.Fatal(err)
	}
	refused("during a transfer", list(1), nil, func(err error) bool { return errors.Is(err, raft.ErrTransferring) })
}

// S16, diss. §4.2.1: a learner counts as caught up only when its last round took
// less than an election timeout.
func TestS16_SlowLearnerIsNotPromoted(t *testing.T) {
	c := newCluster(t, 4, func(o *rafttest.Options) { o.Voters = 3 })
	elect(t, c, 1)
	c.CutLink(1, 4)
	if _, err := c.ProposeConfig(1, list(1, 2, 3), list(4)); err != nil {
		t.Fatal(err)
	}
	c.Stabilize()
	for range 2 * electionTicks {
		c.TickAll()
	}
	var late *raft.NotCaughtUpError
	if _, err := c.ProposeConfig(1, list(1, 2, 3, 4), nil); !errors.As(err, &late) {
		t.Errorf("a learner that was never heard: %v", err)
	}
	c.Heal()
	for range 2 * heartbeatTicks {
		c.TickAll()
	}
	if _, err := c.ProposeConfig(1, list(1, 2, 3, 4), nil); err != nil {
		t.Errorf("one that has caught up: %v", err)
	}
}

// S17, diss. §4.2.2: a leader that takes itself out leads until that is committed,
// without counting itself, then steps down and lets another campaign at once.
func TestS17_RemovedLeaderStepsDown(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	if _, err := c.ProposeConfig(1, list(2, 3), nil); err != nil {
		t.Fatal(err)
	}
	c.Stabilize()
	want(t, "role", status(c, 1).Role, raft.RoleFollower)
	lead := c.Leader()
	if lead != 2 && lead != 3 {
		t.Fatalf("nobody took over without a tick: %v", c.Nodes)
	}
	// S18: the removed one keeps campaigning, and disturbs nobody.
	term := status(c, lead).Term
	c.CutLink(lead, 1)
	for range 5 * electionTicks {
		c.TickAll()
	}
	want(t, "term", status(c, lead).Term, term)
	want(t, "leader", c.Leader(), lead)
}

// S17: of two voters the leader removes itself, and only its own disk has that when
// it stops leading: the other one can't win, so it must lead again.
func TestS17_RemovedLeaderMustLeadAgain(t *testing.T) {
	c := newCluster(t, 2)
	elect(t, c, 1)
	if _, err := c.ProposeConfig(1, list(2), nil); err != nil {
		t.Fatal(err)
	}
	c.Deliver(nil) // the joint entry reaches 2, and its acknowledgement 1
	c.Deliver(nil)
	want(t, "configuration of 1", status(c, 1).Config.String(), "voters(2)")
	c.Take(nil) // the last entry doesn't reach 2
	c.Node(1).Crash(0)
	c.Node(1).Start()
	if c.WaitLeader(100) == 0 {
		t.Fatalf("no leader: %v", c.Nodes)
	}
	for range 4 * electionTicks {
		c.TickAll()
	}
	want(t, "leader in the end", c.Leader(), 2)
	want(t, "configuration of 2", status(c, 2).Config.String(), "voters(2)")
}

// A leader of the old configuration gives entries to a learner alone and is lost,
// while another replica holds the joint configuration that makes the learner a voter:
// it needs the learner's vote, and the learner's log is newer. The learner must lead.
func TestLearnerMustLead(t *testing.T) {
	c := newCluster(t, 4, func(o *rafttest.Options) { o.Voters = 3 })
	elect(t, c, 1)
	change(t, c, 1, list(1, 2, 3), list(4))
	for range 2 * heartbeatTicks { // 4 catches up
		c.TickAll()
	}
	c.Isolate(1)
	if _, err := c.ProposeConfig(1, list(1, 2, 3, 4), nil); err != nil {
		t.Fatal(err)
	}
	forget(c, 2, 3, 4)
	for c.Campaign(3); status(c, 3).Role != raft.RoleLeader; {
		if c.Deliver(nil) == 0 {
			t.Fatalf("3 doesn't win: %v", c.Nodes)
		}
	}
	c.Take(func(e *rafttest.Envelope) bool { return e.Message.Type == raft.MsgAppend && e.Message.To == 2 })
	c.CutLink(3, 2)
	c.Stabilize() // its no-op reaches 4 alone
	want(t, "end of 4", status(c, 4).Last, status(c, 3).Last)
	c.Node(3).Crash(0)
	c.Heal()
	for range 20 * electionTicks {
		c.TickAll()
	}
	lead := c.Leader()
	if lead != 1 && lead != 2 {
		t.Fatalf("no voter leads in the end: %v", c.Nodes)
	}
	want(t, "configuration", status(c, lead).Config.String(), "voters(1,2,3) learners(4)")
	want(t, "configuration of 1 in the end", status(c, 1).Config.String(), "voters(1,2,3) learners(4)")
}

// S15, diss. §4.1: a configuration that was appended, used and then truncated is
// not in force any more.
func TestS15_ConfigurationRolledBack(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Isolate(1)
	if _, err := c.ProposeConfig(1, list(1, 2), list(3)); err != nil {
		t.Fatal(err)
	}
	want(t, "in force at once", status(c, 1).Config.String(), "voters(1,2) outgoing(1,2,3) learners(3)")
	forget(c, 2, 3)
	elect(t, c, 2)
	c.Heal()
	for range 4 * heartbeatTicks {
		c.TickAll()
	}
	want(t, "after the truncation", status(c, 1).Config.String(), "voters(1,2,3)")
	want(t, "its index", status(c, 1).ConfigIndex, 0)
}

// S13: leaving the joint state waits for a transfer that runs: the target would be
// deposed before it leads by an entry that it hasn't got.
func TestS13_TransferInTheJointState(t *testing.T) {
	c := newCluster(t, 5, func(o *rafttest.Options) { o.Voters = 3 })
	elect(t, c, 1)
	change(t, c, 1, list(1, 2, 3), list(4, 5))
	if _, err := c.ProposeConfig(1, list(1, 4, 5), nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Transfer(1, 4); err != nil {
		t.Fatal(err)
	}
	c.Stabilize()
	want(t, "leader", c.Leader(), 4)
	want(t, "configuration", status(c, 4).Config.String(), "voters(1,4,5)")
}

// S13: the leader dies in the joint state; its successor leaves it.
func TestS13_SuccessorLeavesTheJointState(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	if _, err := c.ProposeConfig(1, list(2, 3), nil); err != nil {
		t.Fatal(err)
	}
	c.Deliver(typed(raft.MsgAppend, 0)) // they have it; nobody knows that it is committed
	c.Take(nil)
	c.Node(1).Crash(0)
	want(t, "configuration of 2", status(c, 2).Config.String(), "voters(2,3) outgoing(1,2,3)")
	forget(c, 2, 3)
	elect(t, c, 2)
	want(t, "configuration in the end", status(c, 2).Config.String(), "voters(2,3)")
	want(t, "committed", status(c, 2).ConfigIndex <= status(c, 2).Commit, true)
}

// Answers count from members only, requests are heard from anyone.
func TestStrangers(t *testing.T) {
	c := newCluster(t, 5, madeUp, func(o *rafttest.Options) { o.Voters = 3 })
	elect(t, c, 1)
	change(t, c, 1, list(1, 2, 3), list(4))
	m := raft.Message{Type: raft.MsgAppendReply, From: 5, To: 1, Term: 1, Index: 2, HintIndex: 2}
	if err := c.Node(1).Core.Step(&m); !errors.Is(err, raft.ErrUnknownPeer) {
		t.Errorf("an answer of a stranger: %v", err)
	}
	// A learner's grant decides nothing.
	c.Tick(2, 2*electionTicks)
	c.Take(nil)
	c.Campaign(2)
	round := sentTo(c, raft.MsgPreVote, 3)[0].Context
	want(t, "questions to a learner", len(sentTo(c, raft.MsgPreVote, 4)), 0)
	c.Take(nil)
	before := status(c, 2)
	hand(c, raft.Message{Type: raft.MsgPreVoteReply, From: 4, To: 2, Term: before.Term + 1, Context: round})
	want(t, "role after a learner's grant", status(c, 2).Role, before.Role)
}

func FuzzDecodeConfig(f *testing.F) {
	for _, c := range []raft.Config{{}, {Voters: list(1, 2, 1<<40)}, {Voters: list(1), Outgoing: list(1, 2), Learners: list(2)}} {
		f.Add(c.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := raft.DecodeConfig(b)
		if err == nil && (!bytes.Equal(c.AppendTo(nil), b) || c.Validate() != nil) {
			t.Errorf("%x is %v, which is %x", b, c, c.AppendTo(nil))
		}
	})
}
