package raft_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// The tests of this file are traps D1 to D7 of docs/internals/raft.md as far as the
// core is concerned, and scenarios that no other file has. Where a driver or a disk
// that does the naive thing can be played, it is, and comes to harm; where the core
// itself would have to be naive, the mutant of internal/sim/mutants is named.

// S9, D2: a log is written in place, and what was behind the new entry comes back
// after a crash. The naive disk shows a log that never was; the old leader's check of
// the last entry passes on it, and entry 5 is another for ever. A disk that ends its
// log at the new entry, as segments do by the terms in their frames, is brought up to
// date. (segments: TestStaleSuffix; mutant "stale suffix kept (D2)".)
func TestS9_StaleSuffixComesBack(t *testing.T) {
	const leader, follower, old = 1, 2, 3
	for _, naive := range []bool{true, false} {
		c := newCluster(t, 5, func(o *rafttest.Options) {
			o.Unchecked = naive
			o.Prepare = func(n *rafttest.Node) {
				n.Fill(2, map[raft.ReplicaID][]raft.Term{
					leader: terms(1, 1, 1, 1, 1), follower: terms(1, 1, 1, 1, 2, 2, 2), old: terms(1, 1, 1, 1, 2, 2, 2),
				}[n.ID]...)
				if n.ID > old {
					n.Fill(2, 1, 1, 1, 1)
				}
			}
		})
		c.Isolate(old)
		c.Isolate(follower)
		c.Cut = typed(raft.MsgAppend, 0)
		elect(t, c, leader)
		c.Cut = nil
		// Of the new leader's log the follower gets entry 5 alone, and acknowledges it.
		c.Heal()
		c.Isolate(old)
		c.Take(nil)
		hand(c, raft.Message{Type: raft.MsgAppend, From: leader, To: follower, Term: 3, Index: 4, LogTerm: 1, Lo: 5, Hi: 6, EntryTerm: 1, Context: 1}, c.Node(leader).Log[4])
		want(t, "follower's log", fmt.Sprint(logTerms(c.Node(follower).Log)), "[1 1 1 1 1]")
		want(t, "acknowledged", sentTo(c, raft.MsgAppendReply, leader)[0].Index, 5)
		c.Take(nil)
		c.Node(follower).Crash(0)
		c.Node(leader).Crash(0)
		if naive {
			c.Node(follower).Fill(3, 1, 1, 1, 1, 1, 2, 2)
		}
		c.Node(follower).Start()
		c.Heal()
		// The old leader wins, by the logs of the others and, naively, the follower's.
		forget(c, follower, old, 4, 5)
		elect(t, c, old)
		propose(t, c, old, "x")
		for range 3 * heartbeatTicks {
			c.TickAll()
		}
		same := slices.Equal(logTerms(c.Node(follower).Log), logTerms(c.Node(old).Log))
		want(t, fmt.Sprintf("naive %v: the logs are equal", naive), same, !naive)
	}
}

// D1: a write was ordered, and before it is done some of its entries are replaced. Its
// completion vouches for what is left of them; naively it would say that the last
// index is durable, of which another write is on its way. Over three leaders it is
// TestS10_CompletionOfAReplacedWrite and aba.txt. (Mutant "durable index without its
// write's number".)
func TestD1_OldWriteVouchesForItsPrefixOnly(t *testing.T) {
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 1}, raft.LogState{Last: 1, Terms: []raft.TermStart{{Term: 1, First: 1}}})
	core.hold = true
	send := func(from raft.ReplicaID, term raft.Term, prev raft.EntryID, n int) {
		core.step(t, raft.Message{Type: raft.MsgAppend, From: from, Term: term, Index: prev.Index, LogTerm: prev.Term, Lo: prev.Index + 1, Hi: prev.Index + 1 + raft.Index(n), EntryTerm: term})
	}
	send(2, 2, raft.EntryID{Term: 1, Index: 1}, 3) // write 1: 2 to 4 of term 2
	send(3, 3, raft.EntryID{Term: 2, Index: 2}, 2) // write 2: 3 and 4 of term 3
	want(t, "writes", fmt.Sprint(core.held), "[1 2]")
	core.Persisted(1)
	want(t, "durable by the first write", core.Status().Durable, 2) // naively 4
	core.Persisted(2)
	want(t, "durable by the second", core.Status().Durable, 4)
}

// D4: the vote is on disk before the entries that it counts on, since they are in
// two files. No request leaves, no own vote counts and no commit comes about by what
// one file has. (Mutants "own vote counted before it is durable", "leader counts
// itself before its disk has it", "journal not waited for", "segments not waited for".)
func TestD4_OwnVoteWaitsForTheLog(t *testing.T) {
	for _, journalFirst := range []bool{true, false} {
		c := newCluster(t, 3, withLogs(1, terms(1)))
		n := c.Node(1)
		n.AutoDisk = false
		hand(c, raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: 1, Index: 1, LogTerm: 1, Lo: 2, Hi: 3, EntryTerm: 1}, data(1, "1/2")...)
		c.Take(nil)
		c.Campaign(1)
		for _, m := range []raft.Message{{From: 2}, {From: 3}} {
			m.Type, m.To, m.Term, m.Context = raft.MsgPreVoteReply, 1, 2, 1
			hand(c, m)
		}
		for range 2 { // of the append and the vote
			if journalFirst {
				n.Journal()
			} else {
				n.Write()
			}
		}
		want(t, fmt.Sprintf("journal first %v: requests", journalFirst), len(sentTo(c, raft.MsgVote, 2)), 0)
		n.Flush()
		for _, m := range sentTo(c, raft.MsgVote, 2) {
			want(t, "last entry of the request", fmt.Sprint(m.LogTerm, m.Index), "1 2")
		}
		c.Take(nil)
	}
}

// D7: what the naive leader does, whose right to lead is its heartbeats alone: its
// disk hangs, and it leads for ever, over followers that are well. The rule is seen
// from the disk, so with one that is just slow nothing happens. (S24 has the rest;
// mutants "leader whose disk hangs leads on (D7)", "replica whose disk hangs campaigns".)
func TestD7_LeadershipDependsOnTheDisk(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		c := newCluster(t, 3)
		elect(t, c, 1)
		c.Node(1).AutoDisk = false
		for range 6 * electionTicks {
			if c.Leader() == 1 {
				_, _ = c.Propose(1, "x")
			}
			c.TickAll()
			if !hangs && c.Node(1).Writes() > electionTicks/2 {
				c.Node(1).Flush()
			}
		}
		want(t, fmt.Sprintf("hangs %v: still leader", hangs), c.Leader() == 1, !hangs)
		want(t, "there is one", c.Leader() != 0, true)
	}
}

// D7: while the disk hangs the replica gives no pre-vote either, though it would be
// no harm: its grant could never leave.
func TestD7_NoPreVoteWithoutADisk(t *testing.T) {
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 1}, raft.LogState{})
	core.hold = true
	core.step(t, raft.Message{Type: raft.MsgAppend, From: 2, Term: 2, Lo: 1, Hi: 2, EntryTerm: 2})
	asked := func(ctx uint64) raft.Message {
		return core.step(t, raft.Message{Type: raft.MsgPreVote, From: 3, Term: 3, Index: 9, LogTerm: 2, Context: ctx})[0]
	}
	for range electionTicks {
		core.Tick()
		core.pump()
	}
	want(t, "stalled after an election timeout", core.Status().Stalled, false)
	want(t, "refused", asked(1).Reject, false)
	core.Tick()
	core.pump()
	want(t, "stalled after more", core.Status().Stalled, true)
	want(t, "refused", asked(2).Reject, true)
	core.flush()
	want(t, "refused when the disk is back", asked(3).Reject, false)
}

// S22: the leader's disk is full: it can't write, and says so by a fault. Proposals
// are refused with a type, another leads, and it comes back when there is space.
func TestS22_DiskFull(t *testing.T) {
	t.Run("on the leader", func(t *testing.T) {
		c := newCluster(t, 3)
		elect(t, c, 1)
		c.Node(1).AutoDisk = false
		propose(t, c, 1, "a")
		c.Node(1).Fault(errors.New("no space left on device"))
		if _, err := c.Propose(1, "b"); !errors.Is(err, raft.ErrFaulted) {
			t.Errorf("a proposal gives %v, want ErrFaulted", err)
		}
		c.Take(nil)
		for range 4 * electionTicks {
			c.TickAll()
		}
		lead := c.Leader()
		want(t, "another leads", lead == 2 || lead == 3, true)
		propose(t, c, lead, "c")
		c.Stabilize()
		c.Node(1).Crash(0)
		c.Node(1).AutoDisk = true
		c.Node(1).Start()
		for range 4 * heartbeatTicks {
			c.TickAll()
		}
		want(t, "leader of the returned one", status(c, 1).Leader, lead)
		want(t, "its log", len(c.Node(1).Log), len(c.Node(lead).Log))
	})
	t.Run("on a follower", func(t *testing.T) {
		c := newCluster(t, 3)
		elect(t, c, 1)
		c.Node(3).Fault(nil)
		at := propose(t, c, 1, "a")
		for range 10 * electionTicks {
			c.TickAll()
		}
		want(t, "commit", status(c, 1).Commit, at)
		want(t, "leader", c.Leader(), 1)
		want(t, "term", status(c, 1).Term, 1)
	})
	t.Run("on all", func(t *testing.T) {
		c := newCluster(t, 3)
		elect(t, c, 1)
		at := propose(t, c, 1, "a")
		c.Stabilize()
		for _, n := range c.Nodes {
			n.Fault(nil)
		}
		for range 20 * electionTicks {
			c.TickAll()
		}
		want(t, "messages", len(c.Net), 0)
		want(t, "elections for nothing", status(c, 2).Term, 1)
		for _, n := range c.Nodes {
			n.Crash(0)
			n.Start()
		}
		lead := c.WaitLeader(10 * electionTicks)
		if lead == 0 || status(c, lead).Commit <= at {
			t.Errorf("with space again: %v", c.Nodes)
		}
	})
}

// S36 (diss. §10.2.2): a large batch is on a slow link, and heartbeats with it; the
// follower's answers to what came before keep the leader, and what is on its way is
// bounded, however much is proposed.
func TestS36_LargeBatchOnASlowLink(t *testing.T) {
	const batch = 1 << 10 // as large as a message of newCluster may be
	c := newCluster(t, 3, func(o *rafttest.Options) { o.Raft.MaxUncommittedBytes = 1 << 20 })
	elect(t, c, 1)
	c.TickAll()
	large := string(make([]byte, batch-1))
	for range 100 {
		propose(t, c, 1, large)
	}
	s := status(c, 1)
	for _, p := range s.Peers {
		if p.InflightBytes > 4*batch || p.InflightMessages > 4 {
			t.Errorf("%d bytes in %d messages are on their way to %d", p.InflightBytes, p.InflightMessages, p.ID)
		}
	}
	// One message a tick passes, heartbeats in their turn.
	for range 30 * electionTicks {
		for _, n := range c.Nodes {
			c.Tick(n.ID, 1)
		}
		for _, to := range ids(1, 2, 3) {
			passed := false
			c.Deliver(func(e *rafttest.Envelope) bool {
				ok := e.To == to && (e.Type != raft.MsgAppend || !passed)
				passed = passed || ok && e.Type == raft.MsgAppend
				return ok
			})
		}
	}
	c.Stabilize()
	want(t, "leader", c.Leader(), 1)
	want(t, "term", status(c, 1).Term, 1)
	want(t, "commit", status(c, 1).Commit, 101)
}
