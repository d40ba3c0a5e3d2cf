package raft_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// The tests of this file are the named scenarios of docs/robustness.md, each
// after a bug of another implementation or an argument of the dissertation. The
// scripts in testdata/scenarios show some of them step by step.

// S1, figure 8 (logcabin#44; a Murphi model missed it): an entry of an old term on
// a majority is replaced by another leader.
func TestS1_Figure8(t *testing.T) {
	c := newCluster(t, 5, withLogs(3, terms(1, 2), terms(1, 2), terms(1), terms(1), terms(1, 3)))
	c.Isolate(4)
	c.Isolate(5)
	c.Cut = func(e *rafttest.Envelope) bool {
		return e.Type == raft.MsgAppend && e.To == 3 && e.EntryTerm == 4 && len(c.Node(3).Log) > 1
	}
	elect(t, c, 1)
	for range 3 * heartbeatTicks {
		c.Tick(1, 1)
		c.Stabilize()
	}
	on := 0
	for _, n := range c.Nodes {
		if log, _ := n.Durable(); len(log) > 1 && log[1].Term == 2 {
			on++
		}
	}
	want(t, "disks with the entry of term 2", on, 3)
	want(t, "commit", status(c, 1).Commit, 0)
	c.Node(1).Crash(0)
	c.Heal()
	c.Isolate(2)
	c.Cut = nil
	forget(c, 3)
	elect(t, c, 5)
	want(t, "entry 2 on node 3", c.Node(3).Log[1].Term, 3)
}

// S2 (diss. §3.8): a vote and a crash around the journal's sync. Whatever others
// see, there is one vote in the term.
func TestS2_VoteAndCrash(t *testing.T) {
	for _, synced := range []bool{false, true} {
		c := newCluster(t, 3)
		c.Node(2).AutoDisk = false
		hand(c, raft.Message{Type: raft.MsgVote, From: 1, To: 2, Term: 5})
		want(t, "answers before the vote is durable", len(c.Net), 0)
		if synced {
			c.Node(2).JournalSilently()
		}
		c.Node(2).Crash(0)
		c.Node(2).AutoDisk = true
		c.Node(2).Start()
		hand(c, raft.Message{Type: raft.MsgVote, From: 3, To: 2, Term: 5})
		got := sentTo(c, raft.MsgVoteReply, 3)
		want(t, fmt.Sprintf("synced %v: the other candidate is refused", synced), got[0].Reject, synced)
	}
}

// S3 (CCF#5891): candidate, then follower of the term's winner, then asked for its
// vote in that very term: it has voted, for itself.
func TestS3_StepDownKeepsTheVote(t *testing.T) {
	c := newCluster(t, 5, madeUp)
	c.Campaign(1)
	c.Deliver(typed(raft.MsgPreVote, 0))
	c.Deliver(typed(raft.MsgPreVoteReply, 0))
	c.Take(nil)
	want(t, "role", status(c, 1).Role, raft.RoleCandidate)
	// The winner's append doesn't even match.
	hand(c, raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: 1, Index: 7, LogTerm: 1, Lo: 8, Hi: 8})
	want(t, "role", status(c, 1).Role, raft.RoleFollower)
	want(t, "vote", status(c, 1).Vote, 1)
	c.Take(nil)
	hand(c, raft.Message{Type: raft.MsgVote, From: 3, To: 1, Term: 1, Index: 9, LogTerm: 1})
	want(t, "refused", sentTo(c, raft.MsgVoteReply, 3)[0].Reject, true)
	// Nor does a leader that loses its quorum forget whom it voted for.
	c = newCluster(t, 3)
	elect(t, c, 1)
	c.Isolate(1)
	c.Tick(1, 2*electionTicks)
	want(t, "role", status(c, 1).Role, raft.RoleFollower)
	hand(c, raft.Message{Type: raft.MsgVote, From: 3, To: 1, Term: 1, Index: 1, LogTerm: 1})
	want(t, "vote", status(c, 1).Vote, 1)
}

// S4 (CCF pre_vote_double_leader, canonical/raft#196): the same through a
// pre-candidate that has voted in its term.
func TestS4_PreCandidateKeepsTheVote(t *testing.T) {
	c := newCluster(t, 3)
	hand(c, raft.Message{Type: raft.MsgVote, From: 2, To: 1, Term: 1})
	want(t, "vote", status(c, 1).Vote, 2)
	c.Take(nil)
	c.Campaign(1)
	want(t, "role", status(c, 1).Role, raft.RolePreCandidate)
	hand(c, raft.Message{Type: raft.MsgPreVoteReply, From: 2, To: 1, Term: 1, Reject: true, Context: 1})
	hand(c, raft.Message{Type: raft.MsgPreVoteReply, From: 3, To: 1, Term: 1, Reject: true, Context: 1})
	want(t, "role after refusals", status(c, 1).Role, raft.RoleFollower)
	want(t, "vote", status(c, 1).Vote, 2)
	c.Take(nil)
	hand(c, raft.Message{Type: raft.MsgVote, From: 3, To: 1, Term: 1})
	want(t, "the third is refused", sentTo(c, raft.MsgVoteReply, 3)[0].Reject, true)
	c.Take(nil)
}

// S5 (canonical/raft#196, #279, etcd#8501): pre-vote answers that come when the
// real election runs don't count in it, and a replica with an outdated term can
// ask and learn.
func TestS5_LatePreVotes(t *testing.T) {
	c := newCluster(t, 5)
	c.Campaign(1)
	c.Deliver(typed(raft.MsgPreVote, 0))
	replies := c.Take(typed(raft.MsgPreVoteReply, 1))
	for _, e := range replies[:2] {
		c.Hand(e)
	}
	want(t, "role", status(c, 1).Role, raft.RoleCandidate)
	c.Take(nil)
	for _, e := range replies {
		c.Hand(e)
	}
	want(t, "role after late pre-votes", status(c, 1).Role, raft.RoleCandidate)

	c = newCluster(t, 3, withLogs(9, nil, nil))
	c.Node(3).Crash(0)
	c.Node(3).Start() // in term 0
	c.Campaign(3)
	c.Stabilize()
	want(t, "term it has learnt", status(c, 3).Term, 9)
	if c.WaitLeader(10*electionTicks) == 0 {
		t.Error("no leader after a pre-vote of an outdated term")
	}
}

// S6 (diss. §4.2.3; Cloudflare 2020): a replica that was cut off returns, also
// one with a much higher term.
func TestS6_DisruptiveServer(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Isolate(3)
	for range 20 * electionTicks {
		c.TickAll()
	}
	c.Heal()
	for range 5 * electionTicks {
		c.TickAll()
		want(t, "leader", c.Leader(), 1)
	}
	want(t, "term", status(c, 1).Term, 1)

	// Stranded at a higher term: it gets in with one election, and stays quiet.
	c = newCluster(t, 3, func(o *rafttest.Options) {
		o.Prepare = func(n *rafttest.Node) {
			if n.ID == 3 {
				n.Fill(50)
			}
		}
	})
	c.Isolate(3)
	elect(t, c, 1)
	c.Heal()
	if c.WaitLeader(10*electionTicks) == 0 {
		t.Fatal("no leader whom the stranded replica follows")
	}
	before, _ := c.Stats()
	for range 20 * electionTicks {
		c.TickAll()
	}
	after, _ := c.Stats()
	want(t, "elections afterwards", after, before)
}

// S7 (decentralizedthoughts 2020, cockroach#142994): replicas that see only some of
// the others. There is one stable leader within bounded time.
func TestS7_PartialConnectivity(t *testing.T) {
	t.Run("4 only with 2, 5 only with 3", func(t *testing.T) {
		c := newCluster(t, 5)
		elect(t, c, 4)
		for _, l := range [][2]raft.ReplicaID{{4, 1}, {4, 3}, {4, 5}, {5, 1}, {5, 2}} {
			c.CutLink(l[0], l[1])
			c.CutLink(l[1], l[0])
		}
		stable(t, c)
	})
	t.Run("ring of three with one link cut", func(t *testing.T) {
		c := newCluster(t, 3)
		elect(t, c, 1)
		c.CutLink(1, 3)
		c.CutLink(3, 1)
		stable(t, c)
	})
	t.Run("one-way loss", func(t *testing.T) {
		c := newCluster(t, 3)
		elect(t, c, 1)
		c.CutLink(3, 1)
		stable(t, c)
		c.CutLink(2, 3)
		stable(t, c)
	})
	t.Run("leader hears one, one hears leader", func(t *testing.T) {
		c := newCluster(t, 3)
		elect(t, c, 1)
		c.CutLink(1, 2)
		c.CutLink(3, 1)
		stable(t, c)
	})
}

// stable wants a leader that can commit, and then no more elections.
func stable(t *testing.T, c *rafttest.Cluster) {
	t.Helper()
	const settle, watch = 30 * electionTicks, 50 * electionTicks
	for range settle {
		c.TickAll()
	}
	elections, _ := c.Stats()
	lead := c.Leader()
	if lead == 0 {
		t.Fatalf("no leader: %v", c.Nodes)
	}
	committed := len(c.Committed())
	propose(t, c, lead, "x")
	for range watch {
		c.TickAll()
	}
	again, _ := c.Stats()
	want(t, "elections afterwards", again-elections, 0)
	want(t, "committed", len(c.Committed()), committed+1)
}

// S10 (D1; etcd async_storage_writes_append_aba_race): the completion of a write
// whose entries were replaced vouches for nothing. The script aba.txt does it
// over three leaders; here the lengths differ too.
func TestS10_CompletionOfAReplacedWrite(t *testing.T) {
	c := newCluster(t, 3, madeUp, withLogs(1, terms(1)))
	n := c.Node(1)
	n.AutoDisk = false
	e := func(from raft.ReplicaID, term raft.Term, prev raft.EntryID, entries raft.Term, k int) {
		hand(c, raft.Message{
			Type: raft.MsgAppend, From: from, To: 1, Term: term, Index: prev.Index, LogTerm: prev.Term,
			Lo: prev.Index + 1, Hi: prev.Index + 1 + raft.Index(k), EntryTerm: entries,
		}, data(entries, make([]string, k)...)...)
	}
	e(2, 2, raft.EntryID{Term: 1, Index: 1}, 2, 3) // entries 2..4 of term 2
	e(3, 3, raft.EntryID{Term: 1, Index: 1}, 3, 1) // replaced by 2 of term 3
	e(2, 4, raft.EntryID{Term: 1, Index: 1}, 2, 3) // and 2..4 of term 2 again
	want(t, "durable", status(c, 1).Durable, 1)
	for i, durable := range []raft.Index{1, 1, 4} {
		n.Journal()
		want(t, "durable with the journal ahead", status(c, 1).Durable <= durable, true)
		n.Write()
		want(t, fmt.Sprintf("durable after write %d", i+1), status(c, 1).Durable, durable)
	}
	acks := sentTo(c, raft.MsgAppendReply, 2)
	want(t, "acknowledgements", len(acks), 1)
	want(t, "acknowledged", acks[0].Index, 4)
}

// S11 (diss. §10.2.1): committed by the followers' disks, lost on the leader's.
func TestS11_LeaderLosesWhatOthersHave(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Node(1).AutoDisk = false
	at := propose(t, c, 1, "a")
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, at)
	c.Node(1).Crash(0)
	c.Node(1).AutoDisk = true
	c.Node(1).Start()
	want(t, "last", status(c, 1).Last, at-1)
	forget(c, 2, 3)
	c.Campaign(1)
	c.Stabilize()
	want(t, "it leads", c.Leader() == 1, false)
	if c.WaitLeader(10*electionTicks) == 0 {
		t.Fatal("no leader")
	}
	want(t, "the entry is back", c.Node(1).Log[at-1].Data, "a")
}

// S12 (D4; etcd sets the new leader's match in reset()): a leader doesn't count
// itself for what its disk doesn't have.
func TestS12_LeaderCountsItsDisk(t *testing.T) {
	c := newCluster(t, 3)
	c.Isolate(3)
	c.Campaign(1)
	for range 3 {
		c.Deliver(nil)
	}
	c.Node(1).AutoDisk = false
	c.Stabilize()
	want(t, "role", status(c, 1).Role, raft.RoleLeader)
	s := status(c, 1)
	want(t, "match of the follower", s.Match(2), 1)
	want(t, "own match", s.Match(1), 0)
	want(t, "commit", s.Commit, 0)
	c.Node(1).Journal()
	want(t, "commit with the journal alone", status(c, 1).Commit, 0)
	c.Node(1).Write()
	want(t, "commit", status(c, 1).Commit, 1)
}

// D4: an acknowledgement waits for both files: the entries, and the term in which
// it is given.
func TestD4_AcknowledgementWaitsForBothFiles(t *testing.T) {
	for _, journalFirst := range []bool{true, false} {
		c := newCluster(t, 3, madeUp)
		n := c.Node(1)
		n.AutoDisk = false
		hand(c, raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: 3, Lo: 1, Hi: 2, EntryTerm: 3}, data(3, "a")...)
		want(t, "answers", len(c.Net), 0)
		if journalFirst {
			n.Journal()
		} else {
			n.Write()
		}
		want(t, "answers with one file", len(c.Net), 0)
		hand(c, raft.Message{Type: raft.MsgHeartbeat, From: 2, To: 1, Term: 3, Context: 1})
		want(t, "acknowledged in a heartbeat's answer", sentTo(c, raft.MsgHeartbeatReply, 2)[0].Index, 0)
		n.Flush()
		want(t, "acknowledged with both", sentTo(c, raft.MsgAppendReply, 2)[0].Index, 1)
		c.Take(nil)
	}
}

// S19 (etcd#7331, #20418): reads of a new leader, duplicated answers, a change of
// leaders in between. The checker compares each answer with what was committed
// when it was asked for.
func TestS19_StaleReads(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	propose(t, c, 1, "a")
	c.Stabilize()
	// A new leader doesn't know that a is committed; the old one thinks it leads.
	c.Isolate(1)
	forget(c, 2, 3)
	c.Campaign(2)
	for range 4 {
		c.Deliver(nil)
	}
	want(t, "role", status(c, 2).Role, raft.RoleLeader)
	want(t, "commit of the new leader", status(c, 2).Commit, 1)
	stale, err := c.Read(1)
	if err != nil {
		t.Fatal(err)
	}
	fresh, _ := c.Read(2)
	c.Deliver(typed(raft.MsgHeartbeat, 0))
	for _, e := range c.Take(typed(raft.MsgHeartbeatReply, 2)) {
		c.Hand(e)
		c.Hand(e) // twice
	}
	want(t, "answers before the no-op", len(c.Node(2).Reads), 0)
	propose(t, c, 2, "b")
	c.Stabilize()
	if r := c.Node(2).Reads[fresh]; r.Lost || r.Index < 3 {
		t.Errorf("read of the new leader: %+v, want at least the no-op's index 3", r)
	}
	c.Heal()
	c.Tick(1, heartbeatTicks)
	c.Stabilize()
	want(t, "read of the old leader", c.Node(1).Reads[stale], raft.ReadResult{ID: stale, Lost: true})
	want(t, "ids are not used again", fresh == stale && c.Node(1).Lives == 2, false)
}

// S21 (hashicorp#696 #581 #487, raft-rs#144, redpanda#24404): transfers that go
// wrong leave nothing behind.
func TestS21_Transfer(t *testing.T) {
	t.Run("stepping down clears it", func(t *testing.T) {
		c := newCluster(t, 3)
		elect(t, c, 1)
		c.Cut = func(e *rafttest.Envelope) bool { return e.Type == raft.MsgTimeoutNow }
		if err := c.Transfer(1, 2); err != nil {
			t.Fatal(err)
		}
		forget(c, 3, 2)
		elect(t, c, 3)
		c.Stabilize()
		forget(c, 1, 2)
		c.Isolate(3)
		elect(t, c, 1)
		want(t, "transferring", status(c, 1).Transferring, 0)
		propose(t, c, 1, "x")
	})
	t.Run("the target dies after the request", func(t *testing.T) {
		c := newCluster(t, 3)
		elect(t, c, 1)
		if err := c.Transfer(1, 2); err != nil {
			t.Fatal(err)
		}
		c.Deliver(typed(raft.MsgTimeoutNow, 2))
		c.Node(2).Crash(0)
		c.Stabilize()
		if c.WaitLeader(10*electionTicks) == 0 {
			t.Fatal("no leader")
		}
		propose(t, c, c.Leader(), "x")
	})
	t.Run("a slow target gets there", func(t *testing.T) {
		c := newCluster(t, 3)
		elect(t, c, 1)
		c.Node(2).AutoDisk = false
		propose(t, c, 1, "a")
		if err := c.Transfer(1, 2); err != nil {
			t.Fatal(err)
		}
		c.Stabilize()
		want(t, "leader", c.Leader(), 1)
		c.Node(2).AutoDisk = true
		c.Node(2).Flush()
		c.Stabilize()
		want(t, "leader", c.Leader(), 2)
	})
	t.Run("a late request", func(t *testing.T) {
		c := newCluster(t, 3)
		elect(t, c, 1)
		if err := c.Transfer(1, 2); err != nil {
			t.Fatal(err)
		}
		late := c.Take(typed(raft.MsgTimeoutNow, 2))[0]
		c.Cut = typed(raft.MsgTimeoutNow, 2)
		c.Tick(1, electionTicks)
		c.Stabilize()
		want(t, "leader", c.Leader(), 1)
		forget(c, 2, 3)
		elect(t, c, 3)
		c.Hand(late)
		want(t, "role after a request of an earlier term", status(c, 2).Role, raft.RoleFollower)
		want(t, "term", status(c, 2).Term, status(c, 3).Term)
	})
	t.Run("the leader's choice is the longest log that is heard", func(t *testing.T) {
		c := newCluster(t, 5)
		elect(t, c, 1)
		c.Isolate(2)
		propose(t, c, 1, "a")
		c.Stabilize()
		c.Isolate(5)
		c.Cut = func(e *rafttest.Envelope) bool { return e.Type == raft.MsgAppend && e.To == 3 }
		propose(t, c, 1, "b")
		c.Stabilize()
		if err := c.Transfer(1, 0); err != nil {
			t.Fatal(err)
		}
		want(t, "chosen", status(c, 1).Transferring, 4)
	})
}

// S23 (cockroach#37102, ATC'20): after a failed sync the replica neither votes nor
// acknowledges nor campaigns, whatever the disk says later.
func TestS23_FaultedReplicaIsSilent(t *testing.T) {
	c := newCluster(t, 3, madeUp)
	elect(t, c, 1)
	n := c.Node(2)
	n.AutoDisk = false
	propose(t, c, 1, "a")
	c.Deliver(typed(raft.MsgAppend, 2))
	c.Take(nil)
	n.Fault(nil)
	n.Fault(errors.New("again")) // the first counts
	want(t, "fault", n.Core.Status().Faulted, raft.ErrFaulted)
	n.Flush()
	for _, m := range []raft.Message{
		{Type: raft.MsgVote, From: 3, Term: 9, Index: 9, LogTerm: 5, Transfer: true},
		{Type: raft.MsgPreVote, From: 3, Term: 9, Index: 9, LogTerm: 5},
		{Type: raft.MsgAppend, From: 1, Term: 1, Index: 2, LogTerm: 1, Lo: 3, Hi: 3},
		{Type: raft.MsgHeartbeat, From: 1, Term: 1},
		{Type: raft.MsgTimeoutNow, From: 1, Term: 1},
	} {
		m.To = 2
		if err := n.Core.Step(&m); !errors.Is(err, raft.ErrFaulted) {
			t.Errorf("%v gives %v, want ErrFaulted", m.Type, err)
		}
	}
	c.Tick(2, 20*electionTicks)
	c.Campaign(2)
	want(t, "messages", len(c.Net), 0)
	want(t, "role", status(c, 2).Role, raft.RoleFollower)
	// A faulted leader steps down at once and loses its reads.
	id, _ := c.Read(1)
	c.Node(1).Core.Faulted(errors.New("injected"))
	r := c.Node(1).Core.Ready()
	want(t, "disk work", r.N, 0)
	want(t, "role", r.Role.Role, raft.RoleFollower)
	want(t, "reads", fmt.Sprint(r.Reads), fmt.Sprint([]raft.ReadResult{{ID: id, Lost: true}}))
	want(t, "pending", c.Node(1).Core.Pending(), false)
	for _, err := range []error{func() error { _, err := c.Node(1).Core.Read(); return err }(), func() error { _, err := c.Node(1).Core.Propose(0, []int{1}); return err }(), c.Node(1).Core.Transfer(2)} {
		if !errors.Is(err, raft.ErrFaulted) {
			t.Errorf("got %v, want ErrFaulted", err)
		}
	}
}

// S25: the leader can send but not receive. It steps down, another is elected, and
// they don't depose each other for ever.
func TestS25_LeaderCannotReceive(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.CutLink(2, 1)
	c.CutLink(3, 1)
	for range 10 * electionTicks {
		c.TickAll()
	}
	want(t, "the old leader leads", status(c, 1).Role == raft.RoleLeader, false)
	stable(t, c)
}

// S27 (CCF "truncation from early AE", suffix_collision*): duplicated, delayed and
// overlapping appends change nothing that matches.
func TestS27_LateAppends(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	var all []rafttest.Envelope
	for _, v := range []string{"a", "b", "c", "d"} {
		propose(t, c, 1, v)
		all = append(all, c.Take(typed(raft.MsgAppend, 2))...)
		for _, e := range all[len(all)-1:] {
			c.Hand(e)
		}
		c.Stabilize()
	}
	want(t, "log", len(c.Node(2).Log), 5)
	for i := range all {
		for k := range all {
			for _, e := range []rafttest.Envelope{all[i], all[k]} {
				c.Hand(e)
				want(t, "log after a late append", len(c.Node(2).Log), 5)
				want(t, "disk work", c.Node(2).Writes(), 0)
			}
		}
	}
	for _, m := range sentTo(c, raft.MsgAppendReply, 1) {
		want(t, "acknowledged", m.Index, 5)
	}
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, 5)
}

// S27: an acknowledgement is for the verified prefix, never for the log: what
// follows it may be another leader's.
func TestS27_AcknowledgeTheVerifiedPrefix(t *testing.T) {
	c := newCluster(t, 3, madeUp, withLogs(2, terms(1, 1, 2, 2, 2)))
	hand(c, raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: 3, Index: 1, LogTerm: 1, Lo: 2, Hi: 2})
	got := c.Take(nil)
	want(t, "acknowledged before the term is durable", got[0].Index, 0)
	want(t, "acknowledged", got[1].Index, 1)
	want(t, "verified", got[1].HintIndex, 1)
}

// S29 (diss. §3.8): all restart, nobody knows what is committed.
func TestS29_AllRestart(t *testing.T) {
	for _, nodes := range []int{1, 3, 5} {
		c := newCluster(t, nodes)
		elect(t, c, 1)
		last := propose(t, c, 1, "a", "b")
		c.Stabilize()
		for _, n := range c.Nodes {
			n.Crash(0)
		}
		for _, n := range c.Nodes {
			n.StartForgetful()
			want(t, "commit after the restart", n.Core.Status().Commit, 0)
		}
		lead := c.WaitLeader(10 * electionTicks)
		if lead == 0 {
			t.Fatalf("%d nodes: no leader", nodes)
		}
		if got := status(c, lead).Commit; got < last+1 {
			t.Errorf("%d nodes: commit %d, want the no-op's index or more", nodes, got)
		}
		want(t, "first proposal", c.Committed()[1].Data, "a")
	}
}

// S31 (hashicorp#612): heartbeats flow, appends don't: probing goes on.
func TestS31_ProbingGoesOn(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	lost := 0
	c.Cut = func(e *rafttest.Envelope) bool {
		if e.Type == raft.MsgAppend && e.To == 3 {
			lost++
			return true
		}
		return false
	}
	propose(t, c, 1, "a")
	for range 20 * heartbeatTicks {
		c.TickAll()
	}
	if lost < 5 || lost > 25 {
		t.Errorf("%d appends in 20 heartbeats, want at least every fourth and at most one each", lost)
	}
	want(t, "leader", c.Leader(), 1)
	c.Cut = nil
	for range 3 * heartbeatTicks {
		c.TickAll()
	}
	s := status(c, 1)
	want(t, "match", s.Match(3), s.Last)
}

// S32 (etcd#14633 replicate_pause): a full window is lost, without a word from the
// transport. It recovers at the pace of heartbeats.
func TestS32_WindowLost(t *testing.T) {
	for _, of := range []raft.MessageType{raft.MsgAppend, raft.MsgAppendReply} {
		c := newCluster(t, 3)
		elect(t, c, 1)
		c.TickAll()
		c.Cut = func(e *rafttest.Envelope) bool { return e.Type == of && (e.To == 3 || e.From == 3) }
		for range 20 {
			propose(t, c, 1, "a")
			c.Stabilize()
		}
		want(t, fmt.Sprintf("%v lost: match", of), func() raft.Index { s := status(c, 1); return s.Match(3) }(), 1)
		c.Cut = nil
		for range 2 * heartbeatTicks {
			c.TickAll()
		}
		s := status(c, 1)
		want(t, fmt.Sprintf("%v lost, two heartbeats later: match", of), s.Match(3), s.Last)
		want(t, "on their way", s.Peers[1].InflightMessages, 0)
	}
}

// S33: long tails of many terms, none in both. The leader needs less than one
// probe for each differing term.
func TestS33_LongDivergentTails(t *testing.T) {
	const common, length = 1000, 100_000
	var lead, follow []raft.Term
	term := raft.Term(1)
	for ; len(lead) < common; term++ {
		lead, follow = append(lead, term), append(follow, term)
	}
	differing := 0
	for ; len(lead) < length || term%2 == 1; term++ {
		for range 1 + int(term*7919%29) {
			if term%2 == 0 {
				follow = append(follow, term)
			} else {
				lead = append(lead, term)
			}
		}
		differing++
	}
	c := newCluster(t, 3, withLogs(term, lead, follow), func(o *rafttest.Options) { o.Raft.MaxInflightMessages = 16 })
	refused := 0
	c.Cut = func(e *rafttest.Envelope) bool {
		if e.Type == raft.MsgAppendReply && e.From == 2 && e.Reject {
			refused++
		}
		return false
	}
	elect(t, c, 1)
	want(t, "follower's length", len(c.Node(2).Log), len(lead)+1)
	if refused >= differing {
		t.Errorf("%d refused appends for %d terms, want less than one each", refused, differing)
	}
	t.Logf("%d refused appends for %d terms in tails of %d and %d", refused, differing, len(lead), len(follow))
}
