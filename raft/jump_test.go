package raft_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// The tests of this file follow §7 of the paper, in which the snapshot is the start
// of the log: a jump to it is InstallSnapshot. S26 is about what races with it.

// trim drops what is below first from node id's log.
func trim(t *testing.T, c *rafttest.Cluster, id raft.ReplicaID, first raft.Index) {
	t.Helper()
	if err := c.Node(id).Trim(first); err != nil {
		t.Fatal(err)
	}
	want(t, "first", status(c, id).First, first)
}

// behind makes a cluster with leader 1 whose log begins with entry 6 of 8, and a
// follower 3 that has only the first.
func behind(t *testing.T) *rafttest.Cluster {
	t.Helper()
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Isolate(3)
	propose(t, c, 1, "a", "b", "c", "d", "e", "f", "g")
	c.Stabilize()
	trim(t, c, 1, 6)
	c.Heal()
	return c
}

// §7: "each server takes snapshots independently, covering just the committed
// entries in its log". What isn't committed can't be dropped, nor what isn't there.
func TestPaper7_OnlyCommittedEntriesAreTrimmed(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	propose(t, c, 1, "a", "b")
	c.Stabilize()
	c.Isolate(1)
	propose(t, c, 1, "c")
	for _, first := range []raft.Index{5, 6, 1 << 40} {
		if err := c.Node(1).Core.Trim(first); err == nil {
			t.Errorf("the log is trimmed before entry %d, committed is %d", first, status(c, 1).Commit)
		}
	}
	want(t, "first", status(c, 1).First, 1)
	trim(t, c, 1, 4)
	for _, first := range []raft.Index{0, 1, 3, 4} {
		if err := c.Node(1).Core.Trim(first); err != nil {
			t.Errorf("trim before %d, where the log begins later: %v", first, err)
		}
		want(t, "first", status(c, 1).First, 4)
	}
	c.Node(1).Fault(nil)
	if err := c.Node(1).Core.Trim(4); !errors.Is(err, raft.ErrFaulted) {
		t.Errorf("after a fault: %v", err)
	}
}

// A leader that has committed what its own disk doesn't have yet keeps it.
func TestPaper7_OnlyDurableEntriesAreTrimmed(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Node(1).AutoDisk = false
	at := propose(t, c, 1, "a", "b")
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, at+1)
	if err := c.Node(1).Core.Trim(at + 1); err == nil {
		t.Error("entries are trimmed that the disk doesn't have")
	}
	c.Node(1).Flush()
	trim(t, c, 1, at+2)
	want(t, "last of an empty log", status(c, 1).Last, at+1)
}

// §7: index and term of the last entry that was dropped are kept, for the check of
// the first entry behind it, for votes, and across a restart.
func TestPaper7_LastIncludedEntryIsKept(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	at := propose(t, c, 1, "a", "b")
	c.Stabilize()
	for range heartbeatTicks {
		c.TickAll()
	}
	for _, n := range c.Nodes {
		trim(t, c, n.ID, at+2)
	}
	s := status(c, 1)
	want(t, "last", raft.EntryID{Term: s.LastTerm, Index: s.Last}, raft.EntryID{Term: 1, Index: at + 1})
	next := propose(t, c, 1, "c")
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, next)
	for _, n := range c.Nodes {
		n.Crash(0)
		n.StartForgetful()
		want(t, "first after a restart", n.Core.Status().First, at+2)
		want(t, "commit after a restart", n.Core.Status().Commit, at+1)
	}
	hand(c, raft.Message{Type: raft.MsgVote, From: 1, To: 2, Term: 2, Index: at + 1, LogTerm: 1})
	want(t, "vote for a shorter log is refused", sentTo(c, raft.MsgVoteReply, 1)[0].Reject, true)
	c.Take(nil)
	if c.WaitLeader(10*electionTicks) == 0 {
		t.Errorf("no leader: %v", c.Nodes)
	}
}

// §7: "the leader must occasionally send snapshots to followers that lag behind":
// to who needs what is not in its log any more, and to nobody else.
func TestPaper7_LaggingFollowerGetsTheStart(t *testing.T) {
	c := behind(t)
	jumps := 0
	c.Cut = func(e *rafttest.Envelope) bool {
		if e.Type == raft.MsgJump {
			jumps++
			want(t, "told to begin after", raft.EntryID{Term: e.LogTerm, Index: e.Index}, raft.EntryID{Term: 1, Index: 5})
			want(t, "told to", e.To, 3)
		}
		return false
	}
	for range 3 * heartbeatTicks {
		c.TickAll()
	}
	want(t, "jumps", jumps, 1)
	s := status(c, 3)
	want(t, "first", s.First, 6)
	want(t, "last", s.Last, status(c, 1).Last)
	want(t, "commit", s.Commit, status(c, 1).Commit)
	want(t, "jumping", peerOf(c, 1, 3).Jumping, false)
	at := propose(t, c, 1, "x")
	c.Isolate(2)
	c.Stabilize()
	want(t, "commit with it", status(c, 1).Commit, at)
}

// §7, InstallSnapshot 1: refused in an earlier term.
func TestPaper7_StaleJumpIsRefused(t *testing.T) {
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 5}, raft.LogState{})
	m := raft.Message{Type: raft.MsgJump, From: 2, To: 1, Term: 4, Index: 7, LogTerm: 3, Commit: 7, Context: 3}
	if err := core.Step(&m, raft.ConfigEntry{}); !errors.Is(err, raft.ErrStale) {
		t.Errorf("it gives %v", err)
	}
	sent := core.pump()
	want(t, "answer", fmt.Sprint(len(sent), sent[0].Type, sent[0].Reject, sent[0].Term), fmt.Sprint(1, raft.MsgAppendReply, true, 5))
	want(t, "last", core.Status().Last, 0)
}

// §7, InstallSnapshot 6: "if existing log entry has same index and term as
// snapshot's last included entry, retain log entries following it and reply".
func TestPaper7_KnownStartKeepsTheLog(t *testing.T) {
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, raft.LogState{
		Last: 9, Terms: []raft.TermStart{{Term: 1, First: 1}, {Term: 3, First: 6}},
	})
	sent := core.step(t, raft.Message{Type: raft.MsgJump, From: 2, Term: 3, Index: 7, LogTerm: 3, Commit: 7, Context: 4}, raft.ConfigEntry{})
	want(t, "logs begun anew", len(core.jumps), 0)
	s := core.Status()
	want(t, "last", s.Last, 9)
	want(t, "first", s.First, 1)
	want(t, "commit", s.Commit, 7)
	want(t, "answer", fmt.Sprint(len(sent), sent[0].Index, sent[0].HintIndex, sent[0].Context), "1 7 7 4")
}

// §7, InstallSnapshot 7 and 8: else "discard the entire log" and take what comes
// with it: here the configuration.
func TestPaper7_UnknownStartReplacesTheLog(t *testing.T) {
	for name, ls := range map[string]raft.LogState{
		"an empty log":                    {},
		"a shorter log":                   {Last: 3, Terms: []raft.TermStart{{Term: 1, First: 1}}},
		"another entry there":             {Last: 9, Terms: []raft.TermStart{{Term: 1, First: 1}}},
		"one that ends there, of another": {Last: 7, Terms: []raft.TermStart{{Term: 2, First: 1}}},
	} {
		core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, ls)
		start := raft.ConfigEntry{Index: 6, Config: raft.Config{Voters: ids(1, 2, 4), Learners: ids(5)}}
		sent := core.step(t, raft.Message{Type: raft.MsgJump, From: 2, Term: 3, Index: 7, LogTerm: 3, Commit: 8, Context: 4}, start)
		want(t, name+": begun anew after", fmt.Sprint(core.jumps), "[3/7]")
		s := core.Status()
		want(t, name+": log", fmt.Sprint(s.First, s.Last, s.LastTerm), "8 7 3")
		want(t, name+": commit", s.Commit, 7)
		want(t, name+": configuration", s.Config.String(), "voters(1,2,4) learners(5)")
		want(t, name+": its entry", s.ConfigIndex, 6)
		want(t, name+": answer", fmt.Sprint(len(sent), sent[0].Index, sent[0].HintIndex, sent[0].Reject), "1 7 7 false")
		// What follows is an append like any other, also of a configuration.
		core.step(t, raft.Message{Type: raft.MsgAppend, From: 2, Term: 3, Index: 7, LogTerm: 3, Lo: 8, Hi: 10, EntryTerm: 3},
			raft.ConfigEntry{Index: 9, Config: raft.Config{Voters: ids(1, 2, 4)}})
		want(t, name+": configuration behind it", core.Status().Config.String(), "voters(1,2,4)")
	}
}

// The old log counts until the new one is durable, and the new one counts only then.
func TestPaper7_JumpIsAcknowledgedWhenDurable(t *testing.T) {
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, raft.LogState{})
	core.hold = true
	sent := core.step(t, raft.Message{Type: raft.MsgJump, From: 2, Term: 3, Index: 7, LogTerm: 3, Commit: 7, Context: 4}, raft.ConfigEntry{})
	want(t, "answers before", len(sent), 0)
	sent = core.step(t, raft.Message{Type: raft.MsgHeartbeat, From: 2, Term: 3, Context: 1})
	want(t, "acknowledged in a heartbeat's answer", sent[0].Index, 0)
	sent = core.step(t, raft.Message{Type: raft.MsgAppend, From: 2, Term: 3, Index: 7, LogTerm: 3, Lo: 8, Hi: 9, EntryTerm: 3, Context: 5})
	want(t, "answers to an append behind it", len(sent), 0)
	sent = core.flush()
	want(t, "answers when durable", len(sent), 2)
	want(t, "acknowledged", fmt.Sprint(sent[0].Index, sent[1].Index), "7 8")
}

// A jump needs the configuration that is in force at its start, and nothing else.
func TestJumpRefusals(t *testing.T) {
	good := raft.ConfigEntry{Index: 5, Config: raft.Config{Voters: ids(1, 2)}}
	for name, tc := range map[string]struct {
		change  func(m *raft.Message)
		configs []raft.ConfigEntry
	}{
		"without the configuration": {nil, nil},
		"with two":                  {nil, []raft.ConfigEntry{good, good}},
		"with one from behind it":   {nil, []raft.ConfigEntry{{Index: 8, Config: good.Config}}},
		"with an invalid one":       {nil, []raft.ConfigEntry{{Index: 5, Config: raft.Config{Learners: ids(1)}}}},
		"to nowhere":                {func(m *raft.Message) { m.Index, m.LogTerm = 0, 0 }, []raft.ConfigEntry{{}}},
		"to an entry of no term":    {func(m *raft.Message) { m.LogTerm = 0 }, []raft.ConfigEntry{good}},
		"to what isn't committed":   {func(m *raft.Message) { m.Commit = 6 }, []raft.ConfigEntry{good}},
		"of a later term":           {func(m *raft.Message) { m.LogTerm = 9 }, []raft.ConfigEntry{good}},
		"configurations in a heartbeat": {
			func(m *raft.Message) { *m = raft.Message{Type: raft.MsgHeartbeat, From: 2, To: 1, Term: 3} }, []raft.ConfigEntry{good},
		},
		"where another entry is committed": {func(m *raft.Message) { m.Index, m.LogTerm = 2, 3 }, []raft.ConfigEntry{{Index: 1, Config: good.Config}}},
		"where it has sent another itself": {func(m *raft.Message) { m.Index, m.LogTerm, m.Commit = 4, 1, 4 }, []raft.ConfigEntry{{Config: good.Config}}},
	} {
		core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, raft.LogState{
			Last: 2, Commit: 2, Terms: []raft.TermStart{{Term: 1, First: 1}},
		})
		core.step(t, raft.Message{Type: raft.MsgAppend, From: 2, Term: 3, Index: 2, LogTerm: 1, Lo: 3, Hi: 5, EntryTerm: 3})
		m := raft.Message{Type: raft.MsgJump, From: 2, To: 1, Term: 3, Index: 7, LogTerm: 3, Commit: 7}
		if tc.change != nil {
			tc.change(&m)
		}
		var pe *raft.ProtocolError
		if err := core.Step(&m, tc.configs...); !errors.As(err, &pe) {
			t.Errorf("a jump %s gives %v, want a ProtocolError", name, err)
		}
		core.pump()
		want(t, name+": logs begun anew", len(core.jumps), 0)
		want(t, name+": last", core.Status().Last, 4)
	}
}

// A configuration in an append stands in one of its entries, in their order.
func TestConfigurationsStandInTheirEntries(t *testing.T) {
	good := raft.Config{Voters: ids(1, 2)}
	for name, configs := range map[string][]raft.ConfigEntry{
		"before the entries": {{Index: 2, Config: good}},
		"behind them":        {{Index: 5, Config: good}},
		"descending":         {{Index: 4, Config: good}, {Index: 3, Config: good}},
		"twice":              {{Index: 3, Config: good}, {Index: 3, Config: good}},
		"of nobody":          {{Index: 3}},
		"invalid":            {{Index: 3, Config: raft.Config{Voters: ids(2, 1)}}},
	} {
		core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, raft.LogState{
			Last: 2, Terms: []raft.TermStart{{Term: 1, First: 1}},
		})
		m := raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: 3, Index: 2, LogTerm: 1, Lo: 3, Hi: 5, EntryTerm: 3}
		var pe *raft.ProtocolError
		if err := core.Step(&m, configs...); !errors.As(err, &pe) {
			t.Errorf("a configuration %s gives %v, want a ProtocolError", name, err)
		}
		want(t, "last", core.Status().Last, 2)
		want(t, "configuration", core.Status().Config.String(), "voters(1,2,3)")
	}
}

// S26: a jump never moves the commit index back, nor the log, whoever sends it.
func TestS26_JumpBehindTheCommitIndex(t *testing.T) {
	for _, to := range []raft.EntryID{{Term: 1, Index: 3}, {Term: 1, Index: 5}, {Term: 1, Index: 8}} {
		core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, raft.LogState{
			Prev: raft.EntryID{Term: 1, Index: 4}, Last: 9, Commit: 8, Terms: []raft.TermStart{{Term: 1, First: 5}},
		})
		sent := core.step(t, raft.Message{Type: raft.MsgJump, From: 2, Term: 3, Index: to.Index, LogTerm: to.Term, Commit: to.Index, Context: 4}, raft.ConfigEntry{})
		s := core.Status()
		want(t, fmt.Sprintf("after a jump to %v: log", to), fmt.Sprint(s.First, s.Last, s.Commit), "5 9 8")
		want(t, "logs begun anew", len(core.jumps), 0)
		want(t, "acknowledged", sent[0].Index, 8)
	}
}

// S26: an append from below the jump, sent before it, comes after it: what overlaps
// is taken, what is below is passed over, nothing is truncated.
func TestS26_AppendFromBelowTheJump(t *testing.T) {
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, raft.LogState{})
	core.step(t, raft.Message{Type: raft.MsgJump, From: 2, Term: 3, Index: 7, LogTerm: 3, Commit: 7}, raft.ConfigEntry{})
	for _, tc := range []struct{ lo, hi, last raft.Index }{{2, 2, 7}, {2, 5, 7}, {4, 8, 7}, {4, 10, 9}, {2, 9, 9}, {9, 11, 10}} {
		prev := raft.Term(1)
		if tc.lo > 8 {
			prev = 3
		}
		entries := raft.Term(3)
		if tc.hi == tc.lo {
			entries = 0
		}
		sent := core.step(t, raft.Message{
			Type: raft.MsgAppend, From: 2, Term: 3, Index: tc.lo - 1, LogTerm: prev, Lo: tc.lo, Hi: tc.hi, EntryTerm: entries, Context: 9,
		})
		want(t, fmt.Sprintf("last after [%d, %d)", tc.lo, tc.hi), core.Status().Last, tc.last)
		want(t, "refused", sent[len(sent)-1].Reject, false)
	}
	want(t, "truncations", len(core.cuts), 0)
}

// S26: two leaders' jumps, the older one late; and a later leader's while the first
// is on its way to the disk.
func TestS26_JumpsOfTwoLeaders(t *testing.T) {
	core := newCore(t, raft.Options{ID: 1, Voters: ids(1, 2, 3)}, raft.HardState{Term: 3}, raft.LogState{})
	core.hold = true
	jump := func(from raft.ReplicaID, term raft.Term, to raft.EntryID) {
		m := raft.Message{Type: raft.MsgJump, From: from, To: 1, Term: term, Index: to.Index, LogTerm: to.Term, Commit: to.Index}
		_ = core.Step(&m, raft.ConfigEntry{Index: to.Index, Config: raft.Config{Voters: ids(1, 2, 3)}})
		for _, m := range core.pump() {
			want(t, "acknowledged before anything is durable", m.Index*raft.Index(b2i(!m.Reject)), 0)
		}
	}
	jump(2, 3, raft.EntryID{Term: 2, Index: 7})
	jump(3, 4, raft.EntryID{Term: 3, Index: 9})
	jump(2, 3, raft.EntryID{Term: 2, Index: 8}) // late
	jump(3, 4, raft.EntryID{Term: 2, Index: 7}) // below what is committed
	want(t, "logs begun anew", fmt.Sprint(core.jumps), "[2/7 3/9]")
	want(t, "writes", len(core.held), 2)
	core.Persisted(core.held[0])
	core.held = core.held[1:]
	for _, m := range core.pump() {
		t.Errorf("the first write is done, and it sends %v", m)
	}
	sent := core.flush()
	want(t, "acknowledged", fmt.Sprint(len(sent), sent[0].To, sent[0].Index), "1 3 9")
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// S26: a crash in the middle of replacing the log leaves the old one or the new one;
// either way the follower gets in, and what it had acknowledged stays.
func TestS26_CrashWhileTheLogIsReplaced(t *testing.T) {
	for _, done := range []string{"neither", "journal", "log", "both"} {
		c := behind(t)
		n := c.Node(3)
		n.AutoDisk = false
		for range 3 * heartbeatTicks {
			c.TickAll()
		}
		want(t, "it begins anew", status(c, 3).First, 6)
		disk, _ := n.Durable()
		want(t, "log on disk before", len(disk), 1)
		want(t, "match before", peerOf(c, 1, 3).Match, 1)
		if done == "journal" || done == "both" {
			n.JournalSilently()
		}
		if done == "log" || done == "both" {
			n.WriteSilently()
		}
		n.Crash(0)
		n.AutoDisk = true
		n.Start()
		first := raft.Index(1)
		if done == "log" || done == "both" {
			first = 6
		}
		want(t, done+": first after the crash", status(c, 3).First, first)
		for range 4 * heartbeatTicks {
			c.TickAll()
		}
		want(t, done+": match in the end", peerOf(c, 1, 3).Match, status(c, 1).Last)
		want(t, done+": first in the end", status(c, 3).First, 6)
	}
}

// S26: the leader trims again while a jump is on its way, so that what would follow
// it is gone; and trims while it sends what an earlier start needed.
func TestS26_TrimWhileJumping(t *testing.T) {
	c := behind(t)
	for len(sentTo(c, raft.MsgJump, 3)) == 0 {
		c.Tick(1, 1)
		c.Deliver(func(e *rafttest.Envelope) bool { return e.Type != raft.MsgJump })
	}
	want(t, "jumping", peerOf(c, 1, 3).Jumping, true)
	trim(t, c, 1, 8)
	for range 5 * heartbeatTicks {
		c.TickAll()
	}
	s := status(c, 3)
	want(t, "match", peerOf(c, 1, 3).Match, status(c, 1).Last)
	want(t, "first", s.First, 8)
	want(t, "jumps of the follower", c.Jumps, 2)

	// Entries on their way to it are trimmed, and lost.
	c.Cut = typed(raft.MsgAppend, 3)
	at := propose(t, c, 1, "x", "y")
	c.Stabilize()
	trim(t, c, 1, at+2)
	c.Cut = nil
	for range 5 * heartbeatTicks {
		c.TickAll()
	}
	want(t, "match", peerOf(c, 1, 3).Match, status(c, 1).Last)
	want(t, "first", status(c, 3).First, at+2)
}

// S26 (hashicorp#212): the jump or its answer is lost; it is sent again at the pace
// of heartbeats, and nothing else meanwhile.
func TestS26_JumpIsLost(t *testing.T) {
	for _, of := range []raft.MessageType{raft.MsgJump, raft.MsgAppendReply} {
		c := behind(t)
		lost := 0
		c.Cut = func(e *rafttest.Envelope) bool {
			if e.Type != of || e.To != 3 && e.From != 3 || e.Reject {
				return false
			}
			lost++
			return true
		}
		for range 10 * heartbeatTicks {
			c.TickAll()
		}
		if lost < 1 || lost > 12 {
			t.Errorf("%v: %d lost in 10 heartbeats", of, lost)
		}
		c.Cut = nil
		for range 4 * heartbeatTicks {
			c.TickAll()
		}
		want(t, fmt.Sprintf("%v: match", of), peerOf(c, 1, 3).Match, status(c, 1).Last)
	}
}

// A new leader begins with its whole log, and a log that is all before its start
// is no log to lead with: what was trimmed was committed, so it is in every
// candidate's log or before its start.
func TestPaper7_LeaderWithATrimmedLog(t *testing.T) {
	c := behind(t)
	for range 3 * heartbeatTicks {
		c.TickAll()
	}
	c.Node(1).Crash(0)
	forget(c, 2, 3)
	elect(t, c, 3) // its log begins with entry 6
	at := propose(t, c, 3, "x")
	c.Node(1).Start()
	for range 3 * heartbeatTicks {
		c.TickAll()
	}
	want(t, "commit", status(c, 3).Commit, at)
	want(t, "match", peerOf(c, 3, 1).Match, at)
	want(t, "match", peerOf(c, 3, 2).Match, at)
	want(t, "jumps", c.Jumps, 1)
}
