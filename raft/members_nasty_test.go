package raft_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// The tests of this file are the named scenarios about membership.

// S13: the leader dies while the group is in the joint state. Whoever leads next
// goes on or goes back, and leaves the joint state by itself.
func TestS13_LeaderDiesInTheJointState(t *testing.T) {
	for _, tc := range []struct {
		name string
		// stop brings the change from 1,2,3 to 1,4,5 to where the leader dies.
		stop func(c *rafttest.Cluster)
		next raft.ReplicaID
		want string
	}{
		{"only the leader has the joint entry", func(*rafttest.Cluster) {}, 2, "voters(1,2,3) learners(4,5)"},
		{"an old one has it, not committed", func(c *rafttest.Cluster) {
			c.Deliver(typed(raft.MsgAppend, 2))
		}, 2, "voters(1,4,5)"},
		{"a new one has it, not committed", func(c *rafttest.Cluster) {
			c.Deliver(typed(raft.MsgAppend, 4))
		}, 4, "voters(1,4,5)"},
		{"it is committed, the next entry is nowhere else", func(c *rafttest.Cluster) {
			c.Deliver(typed(raft.MsgAppend, 2))
			c.Deliver(typed(raft.MsgAppend, 4))
			c.Deliver(typed(raft.MsgAppendReply, 1))
		}, 2, "voters(1,4,5)"},
		{"a new one has both entries", func(c *rafttest.Cluster) {
			c.Deliver(typed(raft.MsgAppend, 2))
			c.Deliver(typed(raft.MsgAppend, 4))
			c.Deliver(typed(raft.MsgAppendReply, 1))
			c.Deliver(typed(raft.MsgAppend, 4))
		}, 4, "voters(1,4,5)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCluster(t, 5, founders(3))
			elect(t, c, 1)
			teach(t, c, 1, 4, 5)
			configure(t, c, 1, ids(1, 4, 5), nil)
			tc.stop(c)
			c.Node(1).Crash(0)
			c.Take(nil)
			forget(c, 2, 3, 4, 5)
			elections, _ := c.Stats()
			c.Campaign(tc.next)
			c.Stabilize()
			if again, _ := c.Stats(); again == elections {
				t.Fatalf("node %d doesn't win: %v", tc.next, c.Nodes)
			}
			for range 10 * electionTicks {
				c.TickAll()
			}
			lead := c.Leader()
			if lead == 0 {
				t.Fatalf("no leader: %v", c.Nodes)
			}
			want(t, "configuration", configOf(c, lead), tc.want)
			propose(t, c, lead, "a")
			c.Stabilize()
			// The one that died comes back into the same.
			c.Node(1).Start()
			for range 5 * electionTicks {
				c.TickAll()
			}
			want(t, "configuration of the returned one", configOf(c, 1), tc.want)
		})
	}
}

// S13: the joint state is committed while a transfer runs. The entry that leaves it
// waits for the transfer: the target, which hasn't got it, would lose its election.
func TestS13_JointStateIsLeftAfterATransfer(t *testing.T) {
	c := newCluster(t, 5, founders(3))
	elect(t, c, 1)
	teach(t, c, 1, 4, 5)
	configure(t, c, 1, ids(1, 4, 5), nil)
	if err := c.Transfer(1, 4); err != nil {
		t.Fatal(err)
	}
	elections, _ := c.Stats()
	c.Stabilize()
	want(t, "leader", c.Leader(), 4)
	again, _ := c.Stats()
	want(t, "elections", again, elections+1)
	want(t, "configuration", configOf(c, 4), "voters(1,4,5)")
	want(t, "it is committed", status(c, 4).Commit >= status(c, 4).ConfigIndex, true)

	// When the target doesn't take over, the old leader leaves the joint state.
	c = newCluster(t, 5, founders(3))
	elect(t, c, 1)
	teach(t, c, 1, 4, 5)
	configure(t, c, 1, ids(1, 4, 5), nil)
	c.Cut = typed(raft.MsgTimeoutNow, 0)
	if err := c.Transfer(1, 4); err != nil {
		t.Fatal(err)
	}
	c.Stabilize()
	want(t, "joint while the transfer runs", status(c, 1).Config.Joint(), true)
	for range electionTicks {
		c.TickAll()
	}
	want(t, "configuration", configOf(c, 1), "voters(1,4,5)")
}

// S14 (etcd-io/raft#80): while a change is not done, another is refused with a type,
// in each of its phases.
func TestS14_SecondChangeIsRefused(t *testing.T) {
	c := newCluster(t, 5, founders(3))
	elect(t, c, 1)
	teach(t, c, 1, 4, 5)
	pending := func(phase string) {
		t.Helper()
		for _, to := range [][]raft.ReplicaID{ids(1, 2, 3), ids(1, 2), ids(1, 2, 3, 4), ids(1, 2, 3, 4, 5)} {
			if _, err := c.ProposeConfig(1, to, nil); !errors.Is(err, raft.ErrConfigPending) {
				t.Errorf("%s: %v, want ErrConfigPending", phase, err)
			}
		}
	}
	at := configure(t, c, 1, ids(1, 2, 3, 4), nil)
	pending("the joint entry is not committed")
	c.Deliver(typed(raft.MsgAppend, 0))
	c.Deliver(typed(raft.MsgAppendReply, 1))
	want(t, "commit", status(c, 1).Commit, at)
	pending("the new one is not committed")
	c.Deliver(typed(raft.MsgAppend, 0))
	c.Deliver(typed(raft.MsgAppendReply, 1))
	want(t, "commit", status(c, 1).Commit, at+1)
	configure(t, c, 1, ids(1, 2, 3), nil)
}

// S14 (raft-dev, July 2015): changes from one old configuration by two leaders, the
// second of which has not committed anything of its own term. Both could find a
// majority; so it must wait, and then it knows the first one or has undone it.
func TestS14_ChangeBeforeAnOwnTermCommit(t *testing.T) {
	type change struct{ voters, learners []raft.ReplicaID }
	for name, both := range map[string][2]change{
		"two adds":       {{ids(1, 2, 3, 4, 5), nil}, {ids(1, 2, 3, 4, 6), nil}},
		"two removes":    {{ids(1, 2, 3), nil}, {ids(1, 2, 4), nil}},
		"add and remove": {{ids(1, 2, 3, 4, 5), nil}, {ids(1, 2, 3), nil}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 6, founders(4))
			elect(t, c, 1)
			teach(t, c, 1, 5, 6)
			// 1 changes, and only it and a new one know.
			at := configure(t, c, 1, both[0].voters, both[0].learners)
			c.Deliver(typed(raft.MsgAppend, 5))
			c.Take(nil)
			cutOff(c, 1)
			cutOff(c, 5)
			forget(c, 2, 3, 4, 6)
			c.Campaign(2)
			for range 4 {
				c.Deliver(nil)
			}
			want(t, "leader", c.Leader(), 2)
			want(t, "serving", status(c, 2).Serving, false)
			c.Take(nil)
			if _, err := c.ProposeConfig(2, both[1].voters, both[1].learners); !errors.Is(err, raft.ErrNotServing) {
				t.Fatalf("a change before a commit of the own term gives %v, want ErrNotServing", err)
			}
			for range 3 * heartbeatTicks {
				c.TickAll()
			}
			want(t, "serving", status(c, 2).Serving, true)
			for _, id := range append(both[1].voters, both[1].learners...) {
				if id == 6 {
					for range electionTicks {
						c.TickAll()
					}
				}
			}
			configure(t, c, 2, both[1].voters, both[1].learners)
			c.Stabilize()
			// The first leader returns with what it did, and it is undone.
			c.Heal()
			for range 5 * electionTicks {
				c.TickAll()
			}
			lead := c.Leader()
			if status(c, lead).Commit <= at {
				t.Errorf("commit %d, want more than %d", status(c, lead).Commit, at)
			}
			want(t, "configuration", configOf(c, lead), raft.Config{Voters: both[1].voters, Learners: both[1].learners}.String())
			want(t, "configuration of the first leader", configOf(c, 1), configOf(c, lead))
		})
	}
}

// S15 (diss. §4.1): a configuration that was appended and used is truncated by a new
// leader; the one before is in force again at once, also two steps back.
func TestS15_TruncatedConfiguration(t *testing.T) {
	first, joint := raft.Config{Voters: ids(1, 2, 3), Learners: ids(4)}, raft.Config{Voters: ids(1, 2, 4), Outgoing: ids(1, 2, 3)}
	for from, wanted := range map[raft.Index]string{
		5: "voters(1,2,4)", 4: joint.String(), 3: first.String(), 2: "voters(1,2,3)",
	} {
		core := newCore(t, raft.Options{ID: 2, Voters: ids(1, 2, 3)}, raft.HardState{}, raft.LogState{})
		core.step(t, raft.Message{Type: raft.MsgAppend, From: 1, Term: 1, Lo: 1, Hi: 6, EntryTerm: 1},
			raft.ConfigEntry{Index: 2, Config: first}, raft.ConfigEntry{Index: 3, Config: joint},
			raft.ConfigEntry{Index: 4, Config: raft.Config{Voters: ids(1, 2, 4)}})
		want(t, "configuration", core.Status().Config.String(), "voters(1,2,4)")
		core.hold = true // in force at once, not when the disk has it
		core.step(t, raft.Message{Type: raft.MsgAppend, From: 3, Term: 2, Index: from - 1, LogTerm: 1, Lo: from, Hi: from + 1, EntryTerm: 2})
		want(t, "truncated from", fmt.Sprint(core.cuts), fmt.Sprint([]raft.Index{from}))
		want(t, fmt.Sprintf("configuration after a truncation at %d", from), core.Status().Config.String(), wanted)
		core.flush()
		for range 2 * electionTicks {
			core.Tick()
		}
		var asked []raft.ReplicaID
		for _, p := range core.Status().Peers {
			if p.Voter {
				asked = append(asked, p.ID)
			}
		}
		want(t, "asked for pre-votes", fmt.Sprint(receivers(core.pump(), raft.MsgPreVote)), fmt.Sprint(asked))
	}
}

// S15: the entry that replaces a configuration may be one itself.
func TestS15_ConfigurationReplacedByAnother(t *testing.T) {
	core := newCore(t, raft.Options{ID: 2, Voters: ids(1, 2, 3)}, raft.HardState{}, raft.LogState{})
	core.step(t, raft.Message{Type: raft.MsgAppend, From: 1, Term: 1, Lo: 1, Hi: 3, EntryTerm: 1},
		raft.ConfigEntry{Index: 2, Config: raft.Config{Voters: ids(1, 2, 3), Learners: ids(4)}})
	other := raft.Config{Voters: ids(1, 2, 3), Learners: ids(5)}
	core.step(t, raft.Message{Type: raft.MsgAppend, From: 3, Term: 2, Index: 1, LogTerm: 1, Lo: 2, Hi: 3, EntryTerm: 2},
		raft.ConfigEntry{Index: 2, Config: other})
	want(t, "configuration", core.Status().Config.String(), other.String())
	// Told again it changes nothing; it isn't taken for a second one.
	core.step(t, raft.Message{Type: raft.MsgAppend, From: 3, Term: 2, Index: 1, LogTerm: 1, Lo: 2, Hi: 4, EntryTerm: 2},
		raft.ConfigEntry{Index: 2, Config: other})
	want(t, "its entry", core.Status().ConfigIndex, 2)
	want(t, "last", core.Status().Last, 3)
}

// S16: a learner that has fallen behind is not promoted, and one that is promoted
// and then falls behind holds up no more than one voter may.
func TestS16_LearnerLags(t *testing.T) {
	c := newCluster(t, 4, founders(3))
	elect(t, c, 1)
	teach(t, c, 1, 4)
	cutOff(c, 4)
	for range 2 * electionTicks {
		c.TickAll()
	}
	var late *raft.NotCaughtUpError
	if _, err := c.ProposeConfig(1, ids(1, 2, 3, 4), nil); !errors.As(err, &late) || late.ID != 4 {
		t.Fatalf("a learner that is cut off is promoted: %v", err)
	}
	c.Heal()
	for range 3 * heartbeatTicks {
		c.TickAll()
	}
	configure(t, c, 1, ids(1, 2, 3, 4), nil)
	cutOff(c, 4)
	c.Take(toAny(4))
	c.Stabilize()
	want(t, "configuration", configOf(c, 1), "voters(1,2,3,4)")
	at := propose(t, c, 1, "a")
	c.Stabilize()
	want(t, "commit without it", status(c, 1).Commit, at)
}

// S16 (etcd campaign_learner_must_vote): a learner is asked for its vote that does
// not know yet that it is a voter. Without its vote nobody could win.
func TestS16_LearnerVotesAsTheCandidateSays(t *testing.T) {
	c := newCluster(t, 4, founders(3))
	elect(t, c, 1)
	teach(t, c, 1, 4)
	configure(t, c, 1, ids(1, 2, 3, 4), nil)
	c.Deliver(typed(raft.MsgAppend, 2))
	c.Node(1).Crash(0)
	c.Take(nil)
	want(t, "configuration of the candidate", configOf(c, 2), "voters(1,2,3,4) outgoing(1,2,3)")
	want(t, "configuration of the learner", configOf(c, 4), "voters(1,2,3) learners(4)")
	// It must miss its leader like anyone else, though it never campaigns.
	c.Tick(2, 3*electionTicks)
	c.Tick(3, 3*electionTicks)
	c.Tick(4, electionTicks-1)
	c.Take(nil)
	c.Campaign(2)
	c.Stabilize()
	want(t, "leader while the learner hears one", c.Leader(), 0)
	c.Tick(4, 2*electionTicks)
	elect(t, c, 2)
	want(t, "configuration in the end", configOf(c, 2), "voters(1,2,3,4)")
	want(t, "that of the promoted one", configOf(c, 4), "voters(1,2,3,4)")
}

// S16: a promoted replica crashes before it has the entry that says so.
func TestS16_PromotedReplicaCrashes(t *testing.T) {
	c := newCluster(t, 4, founders(3))
	elect(t, c, 1)
	teach(t, c, 1, 4)
	c.Node(4).AutoDisk = false
	configure(t, c, 1, ids(1, 2, 3, 4), nil)
	c.Deliver(typed(raft.MsgAppend, 4))
	want(t, "configuration in memory", configOf(c, 4), "voters(1,2,3,4) outgoing(1,2,3)")
	c.Node(4).Crash(0)
	c.Node(4).AutoDisk = true
	c.Node(4).Start()
	want(t, "configuration after the crash", configOf(c, 4), "voters(1,2,3) learners(4)")
	c.Deliver(typed(raft.MsgAppend, 2))
	c.Node(1).Crash(0)
	c.Take(nil)
	forget(c, 2, 3, 4)
	elect(t, c, 2)
	want(t, "configuration in the end", configOf(c, 4), "voters(1,2,3,4)")
}

// S17 (diss. §4.2.2): a leader manages a group of which it is no part; when it is
// done another leads without its disturbance.
func TestS17_RemovedLeader(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	configure(t, c, 1, ids(2, 3), nil)
	at := propose(t, c, 1, "a") // taken: it leads
	c.Stabilize()
	lead := c.Leader()
	want(t, "a remaining one leads", lead == 2 || lead == 3, true)
	if got := status(c, lead).Commit; got < at {
		t.Errorf("commit %d, want the proposal %d", got, at)
	}
	elections, _ := c.Stats()
	for range 20 * electionTicks {
		c.TickAll()
	}
	again, _ := c.Stats()
	want(t, "elections afterwards", again, elections)
	want(t, "leader", c.Leader(), lead)
}

// S17: two voters, and the leader removes itself. The entry is on its own disk only
// when it dies; the other one's log is shorter. It must lead again, without counting
// itself, or nobody can.
func TestS17_RemovedOneOfTwoMustLeadAgain(t *testing.T) {
	for _, forgetful := range []bool{false, true} {
		c := newCluster(t, 2)
		elect(t, c, 1)
		at := configure(t, c, 1, ids(2), nil)
		c.Deliver(typed(raft.MsgAppend, 2))
		c.Deliver(typed(raft.MsgAppendReply, 1))
		want(t, "commit of the joint entry", status(c, 1).Commit, at)
		want(t, "configuration", configOf(c, 1), "voters(2)")
		c.Take(nil)
		c.Node(1).Crash(0)
		c.Tick(2, 2*electionTicks)
		c.Take(nil)
		if forgetful {
			c.Node(1).StartForgetful()
		} else {
			c.Node(1).Start()
		}
		want(t, "configuration after the restart", configOf(c, 1), "voters(2)")
		// The other one can't.
		c.Campaign(2)
		c.Stabilize()
		want(t, "leader with a shorter log", c.Leader(), 0)
		// It doesn't win by itself: its own vote isn't one.
		c.Isolate(1)
		c.Campaign(1)
		c.Stabilize()
		want(t, "role by its own vote", status(c, 1).Role, raft.RolePreCandidate)
		c.Heal()
		lead := c.WaitLeader(20 * electionTicks)
		want(t, "leader in the end", lead, 2)
		want(t, "configuration in the end", configOf(c, 2), "voters(2)")
		propose(t, c, 2, "a")
		c.Stabilize()
	}
}

// S18 (diss. §4.2.3): a replica that was removed and doesn't know keeps campaigning,
// also with a real vote at a high term, also after its own election timeout.
func TestS18_RemovedReplicaCampaigns(t *testing.T) {
	c := newCluster(t, 4, madeUp)
	elect(t, c, 1)
	cutOff(c, 4)
	configure(t, c, 1, ids(1, 2, 3), nil)
	c.Stabilize()
	c.Heal()
	term := status(c, 1).Term
	for i := range 5 * electionTicks {
		c.TickAll()
		for _, to := range ids(1, 2, 3) {
			hand(c, raft.Message{Type: raft.MsgVote, From: 4, To: to, Term: term + raft.Term(i) + 1, Index: 1 << 20, LogTerm: term})
		}
	}
	want(t, "leader", c.Leader(), 1)
	want(t, "term", status(c, 1).Term, term)
	want(t, "term of a follower", status(c, 2).Term, term)
}

// S18 (CCF retired_node_delayed_responses): answers of a removed replica that were
// on their way are not counted, for anything.
func TestS18_RetiredReplicaAnswersLate(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	configure(t, c, 1, ids(1, 2), nil)
	c.Stabilize()
	want(t, "configuration", configOf(c, 1), "voters(1,2)")
	c.Isolate(2)
	at := propose(t, c, 1, "a")
	id, _ := c.Read(1)
	before := fmt.Sprint(c.Node(1))
	term := status(c, 1).Term
	for _, m := range []raft.Message{
		{Type: raft.MsgAppendReply, Index: at, HintIndex: at, Context: 3},
		{Type: raft.MsgHeartbeatReply, Index: at, HintIndex: at, Context: 1 << 20},
		{Type: raft.MsgVoteReply},
		{Type: raft.MsgAppendReply, Reject: true, Term: term + 5},
		{Type: raft.MsgPreVoteReply, Reject: true, Term: term + 5},
	} {
		m.From, m.To = 3, 1
		if m.Term == 0 {
			m.Term = term
		}
		if err := c.Node(1).Core.Step(&m); !errors.Is(err, raft.ErrUnknownPeer) {
			t.Errorf("%v gives %v, want ErrUnknownPeer", m, err)
		}
	}
	want(t, "state", fmt.Sprint(c.Node(1)), before)
	_, answered := c.Node(1).Reads[id]
	want(t, "read answered", answered, false)
}
