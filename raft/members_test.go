package raft_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// The tests of this file follow chapter 4 of the dissertation, on changes of
// membership. The named scenarios about it are in members_nasty_test.go.

// §4.1: a server accepts appends from a leader that its own configuration doesn't
// hold, or a new server that knows nobody could never be reached.
func TestDiss41_LeaderMayBeAStranger(t *testing.T) {
	core := newCore(t, raft.Options{ID: 4}, raft.HardState{}, raft.LogState{})
	want(t, "configuration", core.Status().Config.String(), "nobody")
	joint := raft.Config{Voters: ids(1, 2, 3), Learners: ids(4)}
	sent := core.step(t, raft.Message{Type: raft.MsgAppend, From: 1, Term: 3, Lo: 1, Hi: 3, EntryTerm: 3, Context: 1},
		raft.ConfigEntry{Index: 2, Config: joint})
	want(t, "answers", len(sent), 1)
	want(t, "acknowledged", sent[0].Index, 2)
	want(t, "configuration", core.Status().Config.String(), "voters(1,2,3) learners(4)")
	want(t, "leader", core.Status().Leader, 1)
}

// §4.1: and it gives its vote to a candidate that its own configuration doesn't
// hold, which may be the only one that can win.
func TestDiss41_CandidateMayBeAStranger(t *testing.T) {
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, raft.LogState{
		Last: 1, Terms: []raft.TermStart{{Term: 3, First: 1}},
	})
	sent := core.step(t, raft.Message{Type: raft.MsgPreVote, From: 9, Term: 4, Index: 2, LogTerm: 3, Context: 7})
	want(t, "pre-vote granted", len(sent) == 1 && !sent[0].Reject && sent[0].To == 9, true)
	sent = core.step(t, raft.Message{Type: raft.MsgVote, From: 9, Term: 4, Index: 2, LogTerm: 3})
	want(t, "vote granted", len(sent) == 1 && !sent[0].Reject && sent[0].To == 9, true)
	// Its log counts as anyone's.
	sent = core.step(t, raft.Message{Type: raft.MsgVote, From: 8, Term: 5})
	want(t, "vote for an empty log", sent[0].Reject, true)
}

// But answers count from members only, and grants from voters only.
func TestDiss41_AnswersOfStrangersDontCount(t *testing.T) {
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, raft.LogState{
		Last: 1, Terms: []raft.TermStart{{Term: 3, First: 1}},
		Configs: []raft.ConfigEntry{{Index: 1, Config: raft.Config{Voters: ids(1, 2, 3), Learners: ids(4)}}},
	})
	core.Campaign()
	core.pump()
	for _, from := range ids(8, 9) {
		m := raft.Message{Type: raft.MsgPreVoteReply, From: from, To: 1, Term: 4, Context: 1}
		if err := core.Step(&m); !errors.Is(err, raft.ErrUnknownPeer) {
			t.Errorf("the answer of stranger %d gives %v", from, err)
		}
	}
	core.step(t, raft.Message{Type: raft.MsgPreVoteReply, From: 4, Term: 4, Context: 1})
	want(t, "role after the consent of a learner", core.Status().Role, raft.RolePreCandidate)
	core.step(t, raft.Message{Type: raft.MsgPreVoteReply, From: 2, Term: 4, Context: 1})
	want(t, "role after that of a voter", core.Status().Role, raft.RoleCandidate)
	core.step(t, raft.Message{Type: raft.MsgVoteReply, From: 4, Term: 4})
	want(t, "role after the vote of a learner", core.Status().Role, raft.RoleCandidate)
	core.step(t, raft.Message{Type: raft.MsgVoteReply, From: 3, Term: 4})
	want(t, "role after that of a voter", core.Status().Role, raft.RoleLeader)
}

// §4.1: the configuration is what the log says, also after a restart, and whether
// it is known to be committed or not.
func TestDiss41_ConfigurationSurvivesARestart(t *testing.T) {
	for _, forgetful := range []bool{false, true} {
		c := newCluster(t, 5, founders(3))
		elect(t, c, 1)
		teach(t, c, 1, 4, 5)
		at := configure(t, c, 1, ids(1, 4, 5), ids(2))
		propose(t, c, 1, "a")
		c.Stabilize()
		for range heartbeatTicks {
			c.TickAll()
		}
		for _, n := range c.Nodes {
			n.Crash(0)
		}
		for _, n := range c.Nodes {
			if forgetful {
				n.StartForgetful()
			} else {
				n.Start()
			}
		}
		for _, id := range ids(1, 2, 4, 5) {
			want(t, "configuration", configOf(c, id), "voters(1,4,5) learners(2)")
			want(t, "its entry", status(c, id).ConfigIndex, at+2)
		}
		want(t, "configuration of the one that left", configOf(c, 3), "voters(1,4,5) outgoing(1,2,3) learners(2)")
		lead := c.WaitLeader(10 * electionTicks)
		want(t, "a voter leads", lead == 1 || lead == 4 || lead == 5, true)
	}
}

// §4.1: when a new leader's log begins with an entry of its own, all configurations
// before it are settled; so changes wait for that, and for each other.
func TestDiss41_ChangesWaitForEachOther(t *testing.T) {
	c := newCluster(t, 5, founders(3))
	elect(t, c, 1)
	configure(t, c, 1, ids(1, 2, 3), ids(4))
	if _, err := c.ProposeConfig(1, ids(1, 2, 3), ids(4, 5)); !errors.Is(err, raft.ErrConfigPending) {
		t.Errorf("a second change gives %v, want ErrConfigPending", err)
	}
	c.Stabilize()
	at := configure(t, c, 1, ids(1, 2, 3), ids(4, 5))
	c.Stabilize()
	// The same again is no change.
	again, err := c.ProposeConfig(1, ids(1, 2, 3), ids(4, 5))
	want(t, "the same again", again, at)
	want(t, "error", err, nil)
	want(t, "last", status(c, 1).Last, at)
}

// §4.1: who proposes a change names the configuration that it has seen.
func TestDiss41_ChangeComparesAndSets(t *testing.T) {
	c := newCluster(t, 5, founders(3))
	elect(t, c, 1)
	seen := status(c, 1).ConfigIndex
	at := configure(t, c, 1, ids(1, 2, 3), ids(4))
	c.Stabilize()
	var changed *raft.ConfigChangedError
	if _, err := c.Node(1).Core.ProposeConfig(seen, ids(1, 2, 3), ids(5)); !errors.As(err, &changed) || changed.At != at {
		t.Errorf("a change from entry %d gives %v, want that it is %d now", seen, err, at)
	}
	if _, err := c.Node(1).Core.ProposeConfig(at+1, ids(1, 2, 3), ids(5)); !errors.As(err, &changed) {
		t.Errorf("a change from entry %d gives %v", at+1, err)
	}
}

// Who can't change the configuration says why, and changes nothing.
func TestDiss41_Refusals(t *testing.T) {
	c := newCluster(t, 5, founders(3))
	elect(t, c, 1)
	before := fmt.Sprint(c.Node(1))
	var not *raft.NotLeaderError
	if _, err := c.ProposeConfig(2, ids(1, 2), nil); !errors.As(err, &not) || not.Leader != 1 {
		t.Errorf("a follower answers %v, want the leader", err)
	}
	many := make([]raft.ReplicaID, raft.MembersMax+1)
	for i := range many {
		many[i] = raft.ReplicaID(i + 1)
	}
	var invalid *raft.ConfigError
	for name, tc := range map[string]struct{ voters, learners []raft.ReplicaID }{
		"no voter":           {nil, ids(1, 2, 3)},
		"nobody":             {nil, nil},
		"descending":         {ids(3, 2, 1), nil},
		"twice":              {ids(1, 1, 2), nil},
		"replica 0":          {ids(0, 1, 2), nil},
		"voter and learner":  {ids(1, 2, 3), ids(3)},
		"too many learners":  {ids(1), many[1:]},
		"learners descend":   {ids(1, 2, 3), ids(5, 4)},
		"learner 0":          {ids(1, 2, 3), ids(0)},
		"too many, in a row": {many, nil},
	} {
		if name == "too many learners" {
			tc.learners = append(tc.learners, raft.MembersMax+2)
		}
		if _, err := c.ProposeConfig(1, tc.voters, tc.learners); !errors.As(err, &invalid) {
			t.Errorf("%s gives %v, want a ConfigError", name, err)
		}
	}
	var late *raft.NotCaughtUpError
	if _, err := c.ProposeConfig(1, ids(1, 2, 3, 4), nil); !errors.As(err, &late) || late.ID != 4 {
		t.Errorf("a voter that was no learner gives %v", err)
	}
	if err := c.Transfer(1, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ProposeConfig(1, ids(1, 2, 3), ids(4)); !errors.Is(err, raft.ErrTransferring) {
		t.Errorf("during a transfer it gives %v", err)
	}
	c.Tick(1, electionTicks)
	c.Take(nil)
	want(t, "state", fmt.Sprint(c.Node(1)), before)

	core := newCore(t, raft.Options{ID: 1, Voters: ids(1)}, raft.HardState{}, raft.LogState{})
	core.lead(t)
	if _, err := core.Propose(0, []int{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := core.ProposeConfig(0, ids(1), ids(2)); !errors.Is(err, raft.ErrReadyFirst) {
		t.Errorf("in the Ready of a proposal it gives %v", err)
	}
	core.pump()
	if _, err := core.ProposeConfig(0, ids(1), ids(2)); err != nil {
		t.Errorf("after it: %v", err)
	}
	if _, err := core.Propose(0, []int{1}); !errors.Is(err, raft.ErrReadyFirst) {
		t.Errorf("a proposal in the Ready of a configuration gives %v", err)
	}
	core.Faulted(nil)
	if _, err := core.ProposeConfig(0, ids(1), ids(2)); !errors.Is(err, raft.ErrFaulted) {
		t.Errorf("after a fault it gives %v", err)
	}
	for _, err := range []error{&raft.ConfigChangedError{At: 7}, &raft.NotCaughtUpError{ID: 4}, &raft.ConfigError{What: "x"}} {
		want(t, "an error says where it comes from", err.Error()[:6], "raft: ")
	}
}

// §4.2.1: a new voter catches up in rounds, each of what the log held when the
// round began; the last one must be shorter than an election timeout.
func TestDiss421_CatchUpInRounds(t *testing.T) {
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1)}, raft.HardState{}, raft.LogState{})
	core.lead(t)
	if _, err := core.ProposeConfig(0, ids(1), ids(2)); err != nil {
		t.Fatal(err)
	}
	core.pump()
	ack := func(i raft.Index) {
		core.step(t, raft.Message{Type: raft.MsgAppendReply, From: 2, Term: 1, Index: i, HintIndex: i, Context: 1})
	}
	caughtUp := func() bool { return core.Status().Peers[0].CaughtUp }
	grow := func() {
		if _, err := core.Propose(0, []int{1}); err != nil {
			t.Fatal(err)
		}
		core.pump()
	}
	tick := func(n int) {
		for range n {
			core.Tick()
			core.pump()
		}
	}
	promote := func() error {
		_, err := core.ProposeConfig(2, ids(1, 2), nil)
		return err
	}
	var late *raft.NotCaughtUpError
	tick(electionTicks - 1)
	ack(1) // alive, and not done
	tick(2)
	grow()
	ack(2) // the first round is done, and was too long; the second one has entry 3
	want(t, "caught up after a long round", caughtUp(), false)
	if err := promote(); !errors.As(err, &late) || late.ID != 2 {
		t.Errorf("promotion after a long round gives %v", err)
	}
	tick(electionTicks)
	grow()
	ack(3)
	want(t, "caught up after a round of an election timeout", caughtUp(), true)
	// It stays so while the log grows and it is heard.
	grow()
	tick(electionTicks)
	ack(3)
	tick(electionTicks)
	want(t, "caught up while it is heard", caughtUp(), true)
	// Who falls silent must catch up again.
	tick(electionTicks)
	want(t, "caught up after a silence", caughtUp(), false)
	if err := promote(); !errors.As(err, &late) {
		t.Errorf("promotion after a silence gives %v", err)
	}
	ack(5)
	want(t, "caught up with everything again", caughtUp(), true)
	if err := promote(); err != nil {
		t.Errorf("promotion gives %v", err)
	}
	want(t, "configuration", core.Status().Config.String(), "voters(1,2) outgoing(1)")
}

// §4.2.1: what a learner does or doesn't do holds up nobody.
func TestDiss421_LearnersHoldUpNobody(t *testing.T) {
	c := newCluster(t, 5, founders(3))
	elect(t, c, 1)
	configure(t, c, 1, ids(1, 2, 3), ids(4, 5)) // neither can be reached
	cutOff(c, 4)
	cutOff(c, 5)
	c.Stabilize()
	at := propose(t, c, 1, "a")
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, at)
	id, _ := c.Read(1)
	c.Stabilize()
	want(t, "read", c.Node(1).Reads[id].Index, at)
	for range 3 * electionTicks {
		c.TickAll()
	}
	want(t, "leader", c.Leader(), 1)
}

// §4.2.2: a leader that is not in the new configuration hands over as it steps
// down: to the voter with the longest log, at once.
func TestDiss422_RemovedLeaderHandsOver(t *testing.T) {
	c := newCluster(t, 4)
	elect(t, c, 1)
	c.Cut = func(e *rafttest.Envelope) bool { return e.Type == raft.MsgAppend && e.To == 2 }
	configure(t, c, 1, ids(2, 3, 4), nil)
	c.Cut = func(e *rafttest.Envelope) bool { return e.To == 2 }
	elections, _ := c.Stats()
	c.Stabilize()
	want(t, "role of the removed one", status(c, 1).Role, raft.RoleFollower)
	lead := c.Leader()
	want(t, "leader, without a tick", lead == 3 || lead == 4, true)
	again, _ := c.Stats()
	want(t, "elections", again, elections+1)
	want(t, "configuration", configOf(c, lead), "voters(2,3,4)")
}

// §4.2.2: it counts itself neither for commits, nor for reads, nor for its quorum.
func TestDiss422_RemovedLeaderDoesNotCount(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	configure(t, c, 1, ids(2, 3), nil)
	c.Cut = typed(raft.MsgAppend, 0) // the new configuration goes nowhere
	c.Stabilize()
	want(t, "configuration", configOf(c, 1), "voters(2,3)")
	c.Isolate(3)
	id, _ := c.Read(1)
	c.Stabilize()
	_, answered := c.Node(1).Reads[id]
	want(t, "read confirmed by 1 and 2", answered, false)
	for range 2 * electionTicks {
		c.Tick(1, 1)
		c.Stabilize()
	}
	want(t, "role of a leader that one of two voters hears", status(c, 1).Role, raft.RoleFollower)
}

// §4.2.3: a replica that is no member any more and knows it asks for nothing.
func TestDiss423_WhoKnowsOfItsRemovalIsSilent(t *testing.T) {
	c := newCluster(t, 4)
	elect(t, c, 1)
	configure(t, c, 1, ids(1, 2, 3), ids(4))
	c.Stabilize()
	c.TickAll()
	c.TickAll()
	want(t, "configuration of the demoted one", configOf(c, 4), "voters(1,2,3) learners(4)")
	c.Take(nil)
	c.Tick(4, 20*electionTicks)
	c.Campaign(4)
	want(t, "messages", len(c.Take(func(e *rafttest.Envelope) bool { return e.From == 4 })), 0)
	want(t, "term", status(c, 4).Term, 1)
}

// §4.3: joint consensus takes any change in one step: some come, some go, some
// become learners, and the leader may be among them.
func TestDiss43_AnyChangeAtOnce(t *testing.T) {
	for _, tc := range []struct {
		voters, learners []raft.ReplicaID
		want             string
	}{
		{ids(1), nil, "voters(1)"},
		{ids(1, 2, 3, 4, 5), nil, "voters(1,2,3,4,5)"},
		{ids(3, 4), nil, "voters(3,4)"},
		{ids(1, 4), ids(2, 3, 5), "voters(1,4) learners(2,3,5)"},
		{ids(4, 5), ids(1), "voters(4,5) learners(1)"},
		{ids(5), ids(1, 2, 3, 4), "voters(5) learners(1,2,3,4)"},
		{ids(1, 2, 3), ids(4), "voters(1,2,3) learners(4)"},
	} {
		c := newCluster(t, 5, founders(3))
		elect(t, c, 1)
		teach(t, c, 1, 4, 5)
		configure(t, c, 1, tc.voters, tc.learners)
		c.Stabilize()
		lead := c.WaitLeader(10 * electionTicks)
		if lead == 0 {
			t.Errorf("%v: no leader: %v", tc.want, c.Nodes)
			continue
		}
		want(t, "configuration", configOf(c, lead), tc.want)
		at := propose(t, c, lead, "a")
		c.Stabilize()
		want(t, tc.want+": commit", status(c, lead).Commit, at)
		for _, id := range append(tc.voters, tc.learners...) {
			want(t, fmt.Sprintf("%s: log of %d", tc.want, id), len(c.Node(id).Log), int(at))
		}
		// And back, by who leads now.
		var back []raft.ReplicaID
		for id := raft.ReplicaID(1); id <= 3; id++ {
			if !status(c, lead).Config.Contains(id) {
				back = append(back, id)
			} else if !status(c, lead).Config.Votes(id) {
				back = append(back, id)
			}
		}
		if len(back) > 0 {
			teach(t, c, lead, back...)
		}
		configure(t, c, lead, ids(1, 2, 3), nil)
		c.Stabilize()
		lead = c.WaitLeader(10 * electionTicks)
		want(t, tc.want+": configuration in the end", configOf(c, lead), "voters(1,2,3)")
	}
}

// §4.3: a voter of the old configuration that becomes a learner votes until the
// joint state is left.
func TestDiss43_DemotedVoterVotesInTheJointState(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	at := configure(t, c, 1, ids(1), ids(2, 3))
	want(t, "configuration", configOf(c, 1), "voters(1) outgoing(1,2,3) learners(2,3)")
	want(t, "voter in the joint state", peerOf(c, 1, 2).Voter, true)
	want(t, "commit by the new voter alone", status(c, 1).Commit, at-1)
	c.Deliver(typed(raft.MsgAppend, 2))
	c.Deliver(typed(raft.MsgAppendReply, 1))
	want(t, "configuration", configOf(c, 1), "voters(1) learners(2,3)")
	want(t, "voter after it", peerOf(c, 1, 2).Voter, false)
	want(t, "commit", status(c, 1).Commit, at+1)
}

// A learner is no target of a transfer, nor a voter that is on its way out.
func TestDiss43_TransfersGoToVotersThatStay(t *testing.T) {
	c := newCluster(t, 5, founders(3))
	elect(t, c, 1)
	teach(t, c, 1, 4)
	if err := c.Transfer(1, 4); !errors.Is(err, raft.ErrUnknownPeer) {
		t.Errorf("a transfer to a learner gives %v", err)
	}
	c.Isolate(2)
	c.Isolate(3)
	configure(t, c, 1, ids(1, 2, 4), nil) // stays joint
	c.Stabilize()
	if err := c.Transfer(1, 3); !errors.Is(err, raft.ErrUnknownPeer) {
		t.Errorf("a transfer to a voter on its way out gives %v", err)
	}
	if err := c.Transfer(1, 0); err != nil {
		t.Error(err)
	}
	want(t, "chosen", status(c, 1).Transferring, 4)
}

// A replica that was removed and comes again is met anew: what it acknowledged
// before counts for nothing.
func TestDiss41_ReturnedReplicaStartsAnew(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.TickAll()
	last := propose(t, c, 1, "a")
	c.Stabilize()
	want(t, "match", peerOf(c, 1, 3).Match, last)
	configure(t, c, 1, ids(1, 2), nil)
	c.Stabilize()
	cutOff(c, 3)
	configure(t, c, 1, ids(1, 2), ids(3))
	c.Stabilize()
	p := peerOf(c, 1, 3)
	want(t, "match", p.Match, 0)
	want(t, "caught up", p.CaughtUp, false)
	c.Heal()
	for range 3 * heartbeatTicks {
		c.TickAll()
	}
	want(t, "match when it is heard", peerOf(c, 1, 3).Match, status(c, 1).Last)
}
