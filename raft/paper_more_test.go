package raft_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// The tests of this file follow what the other files named after the Raft paper
// leave out: the properties of figure 3, §5.4.3, §5.5, §5.6 and §8, and chapters 3
// and 6 of the dissertation.

// Figure 3, Leader Append-Only: "a leader never overwrites or deletes entries in its
// log; it only appends new entries", whatever it is told by others.
func TestPaper52_LeaderOnlyAppends(t *testing.T) {
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 2}, raft.LogState{
		Last: 4, Terms: []raft.TermStart{{Term: 1, First: 1}, {Term: 2, First: 3}},
	})
	core.lead(t)
	for _, m := range []raft.Message{
		{Type: raft.MsgAppendReply, Reject: true, Index: 4, LogTerm: 2, Context: 1},
		{Type: raft.MsgAppendReply, Reject: true, Index: 4, LogTerm: 2, HintIndex: 3, HintTerm: 9, HintFirst: 1, Context: 1},
		{Type: raft.MsgHeartbeatReply, Context: 1},
		{Type: raft.MsgAppend, Index: 1, LogTerm: 1, Lo: 2, Hi: 3, EntryTerm: 3},
		{Type: raft.MsgJump, Index: 9, LogTerm: 3, Commit: 9},
		{Type: raft.MsgAppend, Term: 2, Index: 1, LogTerm: 1, Lo: 2, Hi: 3, EntryTerm: 2},
	} {
		m.From, m.To = 2, 1
		if m.Term == 0 {
			m.Term = 3
		}
		_ = core.Step(&m) // some are refused
		core.pump()
		want(t, fmt.Sprintf("last after %v", m), core.Status().Last, 5)
	}
	want(t, "truncations", len(core.cuts)+len(core.jumps), 0)
}

// Figure 3, Log Matching: "if two logs contain an entry with the same index and
// term, then the logs are identical in all entries up through the given index".
func TestPaper53_LogMatching(t *testing.T) {
	c := newCluster(t, 5)
	for round := range 12 {
		lead := raft.ReplicaID(1 + round%5)
		other := raft.ReplicaID(1 + (round+2)%5)
		c.Heal()
		c.Isolate(other)
		for _, n := range c.Nodes {
			if n.ID != lead {
				c.Tick(n.ID, 2*electionTicks)
			}
		}
		c.Take(nil)
		c.Campaign(lead)
		c.Stabilize()
		for i := range 3 {
			_, _ = c.Propose(lead, fmt.Sprintf("%d.%d", round, i)) // some don't lead
		}
		for range round % 4 {
			c.Deliver(nil)
		}
		c.Take(nil)
	}
	matching := 0
	for _, a := range c.Nodes {
		for _, b := range c.Nodes {
			for i := min(len(a.Log), len(b.Log)) - 1; i >= 0; i-- {
				if a.Log[i].Term != b.Log[i].Term {
					continue
				}
				matching++
				if !slices.Equal(a.Log[:i+1], b.Log[:i+1]) {
					t.Fatalf("logs of %d and %d have equal entries %d, and differ before:\n%v\n%v", a.ID, b.ID, i+1, a.Log, b.Log)
				}
				break
			}
		}
	}
	if matching < 20 {
		t.Errorf("%d pairs of logs match somewhere", matching)
	}
}

// §5.4.3, Leader Completeness: an entry that was committed is in the logs of all
// later leaders: for each majority that may have committed it, no one outside wins.
func TestPaper543_LeaderCompleteness(t *testing.T) {
	const nodes = 5
	for without := range 1 << nodes {
		var have, lack []raft.ReplicaID
		for i := range nodes {
			if without>>i&1 == 0 {
				have = append(have, raft.ReplicaID(i+1))
			} else {
				lack = append(lack, raft.ReplicaID(i+1))
			}
		}
		if len(have) != 3 {
			continue
		}
		// Those without it have more, of an earlier term.
		logs := make([][]raft.Term, nodes)
		for i := range logs {
			logs[i] = terms(1, 3)
			if without>>i&1 == 1 {
				logs[i] = terms(1, 2, 2, 2)
			}
		}
		c := newCluster(t, nodes, withLogs(3, logs...))
		for _, id := range lack {
			c.Campaign(id)
			c.Stabilize()
			want(t, fmt.Sprintf("%d, without the entry that %d have, leads", id, have), c.Leader(), 0)
		}
		elect(t, c, have[0])
		want(t, "committed entry", c.Committed()[1].Term, 3)
	}
}

// Figure 3, State Machine Safety: what one replica has committed at an index, no
// other commits otherwise; commit indexes tell only of what is equal.
func TestPaper543_StateMachineSafety(t *testing.T) {
	c := newCluster(t, 3, withLogs(2, terms(1, 2), terms(1, 1, 1), terms(1)))
	elect(t, c, 1)
	for range heartbeatTicks {
		c.TickAll()
	}
	for _, n := range c.Nodes {
		want(t, "commit", n.Commit, 3)
		want(t, "committed", fmt.Sprint(logTerms(n.Log[:n.Commit])), "[1 2 3]")
	}
}

// §5.5: "if a follower or candidate crashes, then future RequestVote and
// AppendEntries RPCs sent to it will fail. Raft handles these failures by retrying
// indefinitely": a follower that was down for very long gets everything.
func TestPaper55_CrashedFollowerCatchesUp(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Node(3).Crash(0)
	for i := range 50 {
		propose(t, c, 1, fmt.Sprint(i))
		for range electionTicks {
			c.TickAll()
		}
	}
	want(t, "leader", c.Leader(), 1)
	c.Node(3).Start()
	for range 4 * heartbeatTicks {
		c.TickAll()
	}
	want(t, "log", len(c.Node(3).Log), 51)
	want(t, "commit", status(c, 3).Commit, 51)
}

// §5.5: "Raft RPCs are idempotent": a server that crashes after it has done what was
// asked, and before it answers, is asked again, and does no harm. So with every
// request, and every answer, any number of times.
func TestPaper55_MessagesAreIdempotent(t *testing.T) {
	c := newCluster(t, 3)
	var all []rafttest.Envelope
	c.Cut = func(e *rafttest.Envelope) bool {
		all = append(all, *e)
		return false
	}
	elect(t, c, 1)
	propose(t, c, 1, "a", "b")
	c.Stabilize()
	propose(t, c, 1, "c")
	for range heartbeatTicks {
		c.TickAll()
	}
	c.Cut = func(*rafttest.Envelope) bool { return true }
	lines := func() (s []string) {
		for _, n := range c.Nodes {
			st := n.Core.Status()
			s = append(s, fmt.Sprint(n.ID, st.Role, st.Term, st.Vote, st.Last, st.Commit, n.Log))
		}
		return s
	}
	before := lines()
	for range 3 {
		for _, e := range all {
			c.Hand(e)
			if after := lines(); !slices.Equal(after, before) {
				t.Fatalf("%v again gives\n%v\nafter\n%v", e.Message, after, before)
			}
		}
		slices.Reverse(all)
	}
}

// §5.6: as long as messages are faster than election timeouts there is one leader,
// for ever, and every second heartbeat may be lost.
func TestPaper56_SteadyLeader(t *testing.T) {
	c := newCluster(t, 5)
	elect(t, c, 1)
	beat := 0
	c.Cut = func(e *rafttest.Envelope) bool {
		if e.Type == raft.MsgHeartbeat {
			beat++
			return beat/4%2 == 0
		}
		return false
	}
	for range 100 * electionTicks {
		c.TickAll()
	}
	want(t, "leader", c.Leader(), 1)
	want(t, "term", status(c, 1).Term, 1)
	elections, _ := c.Stats()
	want(t, "elections", elections, 1)
}

// §8: "clients send all of their requests to the leader"; who isn't it says who is,
// as soon as it knows, and that nobody is when nobody may be.
func TestPaper8_ClientsAreSentToTheLeader(t *testing.T) {
	c := newCluster(t, 3)
	var not *raft.NotLeaderError
	if _, err := c.Propose(2, "a"); !errors.As(err, &not) || not.Leader != 0 {
		t.Errorf("before any election: %v", err)
	}
	elect(t, c, 1)
	for _, id := range ids(2, 3) {
		if _, err := c.Propose(id, "a"); !errors.As(err, &not) || not.Leader != 1 || not.Term != 1 {
			t.Errorf("replica %d says %v, want the leader", id, err)
		}
	}
	c.Isolate(1)
	for range 2 * electionTicks {
		c.Tick(1, 1)
	}
	if _, err := c.Propose(1, "a"); !errors.As(err, &not) || not.Leader != 0 {
		t.Errorf("a leader that lost its quorum says %v", err)
	}
}

// §8: "a leader must have the latest information on which entries are committed";
// "Raft handles this by having each leader commit a blank no-op entry into the log at
// the start of its term".
func TestPaper8_LeaderBeginsWithANoOp(t *testing.T) {
	c := newCluster(t, 3, withLogs(2, terms(1, 2), terms(1, 2), terms(1, 2)))
	c.Campaign(1)
	for status(c, 1).Role != raft.RoleLeader {
		c.Deliver(nil)
	}
	last := c.Node(1).Log[len(c.Node(1).Log)-1]
	want(t, "last entry", last, rafttest.Entry{Term: 3, Kind: raft.KindNoOp})
	want(t, "commit", status(c, 1).Commit, 0)
	want(t, "serving", status(c, 1).Serving, false)
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, 3)
	want(t, "serving", status(c, 1).Serving, true)
	// Each leader has its own.
	forget(c, 2, 3)
	elect(t, c, 2)
	want(t, "last entry", c.Node(2).Log[3], rafttest.Entry{Term: 4, Kind: raft.KindNoOp})
}

// §8: "a leader must check whether it has been deposed before processing a read-only
// request", by "heartbeat messages with a majority of the cluster".
func TestPaper8_ReadsAskAMajority(t *testing.T) {
	for _, tc := range []struct {
		nodes, answers int
		confirmed      bool
	}{{1, 0, true}, {2, 0, false}, {2, 1, true}, {3, 0, false}, {3, 1, true}, {4, 1, false}, {4, 2, true}, {5, 1, false}, {5, 2, true}} {
		c := newCluster(t, tc.nodes)
		elect(t, c, 1)
		at := propose(t, c, 1, "a")
		c.Stabilize()
		id, err := c.Read(1)
		if err != nil {
			t.Fatal(err)
		}
		for i := range tc.answers {
			c.Deliver(typed(raft.MsgHeartbeat, raft.ReplicaID(i+2)))
		}
		c.Deliver(typed(raft.MsgHeartbeatReply, 1))
		r, answered := c.Node(1).Reads[id]
		want(t, fmt.Sprintf("%d of %d answer: confirmed", tc.answers, tc.nodes-1), answered, tc.confirmed)
		if answered {
			want(t, "index", r.Index, at)
		}
	}
}

// Diss. §3.4: votes may be split so that nobody wins. Random timeouts end that soon.
func TestDiss34_SplitVotes(t *testing.T) {
	for seed := range uint64(50) {
		c := newCluster(t, 4, func(o *rafttest.Options) { o.Seed = seed })
		// Two candidates with two votes each.
		c.Campaign(1)
		c.Campaign(2)
		for range 2 {
			c.Deliver(nil)
		}
		c.Deliver(func(e *rafttest.Envelope) bool { return e.From == 1 && e.To == 3 || e.From == 2 && e.To == 4 })
		c.Stabilize()
		want(t, "leader after a split vote", c.Leader(), 0)
		if c.WaitLeader(10*electionTicks) == 0 {
			t.Errorf("seed %d: no leader after %d ticks: %v", seed, 10*electionTicks, c.Nodes)
		}
	}
}

// Diss. §3.6.2: "log entries retain their original term numbers when a leader
// replicates entries from previous terms".
func TestDiss362_EntriesKeepTheirTerms(t *testing.T) {
	c := newCluster(t, 3, withLogs(5, terms(1, 2, 2, 4), nil, terms(1, 2)))
	elect(t, c, 1)
	for _, n := range c.Nodes {
		want(t, "terms", fmt.Sprint(logTerms(n.Log)), "[1 2 2 4 6]")
		for i, e := range n.Log[:4] {
			want(t, "data", e.Data, fmt.Sprintf("%d/%d", e.Term, i+1))
		}
	}
}

// Diss. §3.8: term, vote and log survive a restart; the commit index may be
// forgotten, and is learnt again.
func TestDiss38_WhatSurvivesARestart(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	propose(t, c, 1, "a")
	c.Stabilize()
	for _, n := range c.Nodes {
		before := n.Core.Status()
		n.Crash(0)
		n.StartForgetful()
		after := n.Core.Status()
		want(t, "term", after.Term, before.Term)
		want(t, "vote", after.Vote, before.Vote)
		want(t, "last", after.Last, before.Last)
		want(t, "role", after.Role, raft.RoleFollower)
		want(t, "leader", after.Leader, 0)
		want(t, "commit", after.Commit, 0)
	}
	// A candidate of the same term finds the votes given.
	hand(c, raft.Message{Type: raft.MsgVote, From: 3, To: 2, Term: 1, Index: 9, LogTerm: 1})
	want(t, "second vote in the term is refused", sentTo(c, raft.MsgVoteReply, 3)[0].Reject, true)
	c.Take(nil)
	lead := c.WaitLeader(10 * electionTicks)
	if lead == 0 || status(c, lead).Commit < 3 {
		t.Errorf("commit isn't learnt again: %v", c.Nodes)
	}
}

// Diss. §3.9: a candidate's own election takes no more than a few exchanges; with a
// leader dead the next one serves within two election timeouts, nearly always.
func TestDiss39_ElectionTakesOneOrTwoTimeouts(t *testing.T) {
	slow := 0
	const runs = 200
	for seed := range uint64(runs) {
		c := newCluster(t, 5, func(o *rafttest.Options) { o.Seed = seed })
		elect(t, c, 1)
		c.TickAll()
		c.Node(1).Crash(0)
		if c.WaitLeader(2*electionTicks) == 0 {
			slow++
			if c.WaitLeader(8*electionTicks) == 0 {
				t.Errorf("seed %d: no leader: %v", seed, c.Nodes)
			}
		}
	}
	if slow > runs/20 {
		t.Errorf("%d of %d elections take longer than two timeouts", slow, runs)
	}
}

// Diss. §4.2.4: a change never makes the group unavailable that is available by the
// old and by the new configuration: proposals are committed all the time, with one
// voter of each set down.
func TestDiss424_AvailableDuringAChange(t *testing.T) {
	c := newCluster(t, 6, founders(3))
	elect(t, c, 1)
	teach(t, c, 1, 4, 5, 6)
	c.Node(3).Crash(0)
	configure(t, c, 1, ids(1, 4, 5, 6), nil)
	c.Node(6).Crash(0)
	for i := range 20 {
		at := propose(t, c, 1, fmt.Sprint(i))
		c.Stabilize()
		want(t, "commit", status(c, 1).Commit >= at, true)
	}
	want(t, "configuration", configOf(c, 1), "voters(1,4,5,6)")
	want(t, "leader", c.Leader(), 1)
}

// Diss. §6.2: a leader that can't reach a majority steps down, so that its clients
// look elsewhere; what they proposed stays open until its fate is known.
func TestDiss62_ProposalsOfADeposedLeader(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Isolate(1)
	at := propose(t, c, 1, "cut off")
	for range 2 * electionTicks {
		c.Tick(1, 1)
	}
	want(t, "role", status(c, 1).Role, raft.RoleFollower)
	want(t, "lost, before anyone has decided", len(c.Node(1).Lost), 0)
	forget(c, 2, 3)
	elect(t, c, 2)
	propose(t, c, 2, "instead")
	c.Stabilize()
	c.Heal()
	for range 3 * heartbeatTicks {
		c.TickAll()
	}
	want(t, "lost", fmt.Sprint(c.Node(1).Lost), fmt.Sprint([]raft.LostRange{{Lo: at, Hi: at + 1, Term: 1}}))
}

// Diss. §6.4: reads are linearizable also on a leader that a transfer or a change of
// members takes away: either answered by it, or lost.
func TestDiss64_ReadsDuringATransfer(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Cut = typed(raft.MsgHeartbeat, 0)
	id, err := c.Read(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Transfer(1, 2); err != nil {
		t.Fatal(err)
	}
	c.Cut = nil
	c.Stabilize()
	want(t, "leader", c.Leader(), 2)
	want(t, "read", c.Node(1).Reads[id], raft.ReadResult{ID: id, Lost: true})
}
