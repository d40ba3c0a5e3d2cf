package raft_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// §5.3: a leader appends a proposal to its own log and sends it to all, with the
// entry before it.
func TestPaper53_LeaderStartsReplication(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	first := propose(t, c, 1, "a")
	want(t, "index", first, 2)
	s := status(c, 1)
	want(t, "last", s.Last, 2)
	want(t, "commit", s.Commit, 1)
	for _, to := range []raft.ReplicaID{2, 3} {
		got := sentTo(c, raft.MsgAppend, to)
		want(t, "appends", len(got), 1)
		m := got[0]
		want(t, "entry before", raft.EntryID{Term: m.LogTerm, Index: m.Index}, raft.EntryID{Term: 1, Index: 1})
		want(t, "entries", fmt.Sprintf("[%d,%d) of %d", m.Lo, m.Hi, m.EntryTerm), "[2,3) of 1")
		want(t, "commit", m.Commit, 1)
	}
}

// §5.3: an entry is committed once it is on a majority, and the next messages say
// so.
func TestPaper53_LeaderCommitsEntry(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	propose(t, c, 1, "a")
	c.Deliver(typed(raft.MsgAppend, 2))
	c.Deliver(typed(raft.MsgAppendReply, 1))
	want(t, "commit", status(c, 1).Commit, 2)
	c.Take(nil)
	propose(t, c, 1, "b")
	want(t, "commit in the next append", sentTo(c, raft.MsgAppend, 2)[0].Commit, 2)
	c.Stabilize()
	want(t, "commit of a follower", status(c, 2).Commit, 2)
}

// §5.3: how many acknowledgements commit, by size.
func TestPaper53_MajorityCommits(t *testing.T) {
	for _, tc := range []struct {
		nodes, acks int
		committed   bool
	}{
		{1, 0, true}, {2, 0, false}, {2, 1, true}, {3, 0, false}, {3, 1, true}, {3, 2, true},
		{4, 1, false}, {4, 2, true}, {5, 1, false}, {5, 2, true}, {5, 4, true}, {7, 2, false}, {7, 3, true},
	} {
		c := newCluster(t, tc.nodes)
		elect(t, c, 1)
		first := propose(t, c, 1, "a")
		for i := range tc.acks {
			c.Deliver(typed(raft.MsgAppend, raft.ReplicaID(i+2)))
		}
		c.Deliver(typed(raft.MsgAppendReply, 1))
		want(t, fmt.Sprintf("%d acks of %d nodes: committed", tc.acks, tc.nodes), status(c, 1).Commit >= first, tc.committed)
	}
}

// §5.3: committing an entry commits all before it, also of earlier leaders.
func TestPaper53_LeaderCommitsPrecedingEntries(t *testing.T) {
	for _, log := range [][]raft.Term{nil, terms(2), terms(1, 2), terms(1)} {
		c := newCluster(t, 3, withLogs(2, log, log, log))
		elect(t, c, 1)
		n := raft.Index(len(log))
		want(t, fmt.Sprintf("log %v: commit", log), status(c, 1).Commit, n+1)
		c.Tick(1, heartbeatTicks)
		c.Stabilize()
		want(t, "commit of a follower", status(c, 3).Commit, n+1)
	}
}

// §5.3, figure 2: a follower commits up to the leader's commit index, but never
// more than it knows to be equal to the leader's log.
func TestPaper53_FollowerCommits(t *testing.T) {
	for _, tc := range []struct {
		entries []rafttest.Entry
		commit  raft.Index
		want    raft.Index
	}{
		{data(3, "a"), 1, 1}, {data(3, "a", "b"), 1, 1}, {data(3, "a", "b"), 2, 2}, {data(3, "a"), 9, 1}, {nil, 9, 0},
	} {
		c := newCluster(t, 3, madeUp)
		hi := raft.Index(1 + len(tc.entries))
		m := raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: 3, Commit: tc.commit, Lo: 1, Hi: hi}
		if hi > 1 {
			m.EntryTerm = 3
		}
		hand(c, m, tc.entries...)
		want(t, fmt.Sprintf("%d entries, leader's commit %d: commit", len(tc.entries), tc.commit), status(c, 1).Commit, tc.want)
		c.Take(nil)
	}
}

// Figure 2, AppendEntries 5: "index of last new entry", not the last of the log:
// what follows it may still be replaced.
func TestPaper53_FollowerCommitsOnlyWhatIsVerified(t *testing.T) {
	c := newCluster(t, 3, madeUp, withLogs(2, terms(1, 1, 2, 2)))
	hand(c, raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: 3, Index: 1, LogTerm: 1, Lo: 2, Hi: 3, EntryTerm: 1, Commit: 4},
		rafttest.Entry{Term: 1, Kind: raft.KindData, Data: "1/2"})
	want(t, "commit", status(c, 1).Commit, 2)
	hand(c, raft.Message{Type: raft.MsgHeartbeat, From: 2, To: 1, Term: 3, Commit: 4, Context: 1})
	want(t, "commit after a heartbeat", status(c, 1).Commit, 2)
	want(t, "acknowledged", sentTo(c, raft.MsgHeartbeatReply, 2)[0].Index, 2)
	c.Take(nil)
}

// §5.3: a follower refuses entries that don't continue its log, and says where
// its own may.
func TestPaper53_FollowerChecksTheEntryBefore(t *testing.T) {
	for _, tc := range []struct {
		prev               raft.EntryID
		reject             bool
		hint               raft.Index
		hintTerm, hintFrom uint64
	}{
		{raft.EntryID{}, false, 0, 0, 0},
		{raft.EntryID{Term: 1, Index: 1}, false, 0, 0, 0},
		{raft.EntryID{Term: 2, Index: 3}, false, 0, 0, 0},
		{raft.EntryID{Term: 1, Index: 2}, true, 1, 1, 1},
		{raft.EntryID{Term: 4, Index: 2}, true, 2, 2, 2},
		{raft.EntryID{Term: 4, Index: 4}, true, 3, 2, 2},
		{raft.EntryID{Term: 1, Index: 4}, true, 1, 1, 1},
	} {
		c := newCluster(t, 3, withLogs(4, terms(1, 2, 2)))
		hand(c, raft.Message{
			Type: raft.MsgAppend, From: 2, To: 1, Term: 4, Index: tc.prev.Index, LogTerm: tc.prev.Term,
			Lo: tc.prev.Index + 1, Hi: tc.prev.Index + 1, Context: 7,
		})
		got := c.Net[0].Message
		want(t, fmt.Sprintf("prev %v: refused", tc.prev), got.Reject, tc.reject)
		want(t, "context", got.Context, 7)
		if tc.reject {
			want(t, "rejected index", got.Index, tc.prev.Index)
			want(t, fmt.Sprintf("prev %v: hint", tc.prev), fmt.Sprint(got.HintIndex, got.HintTerm, got.HintFirst), fmt.Sprint(tc.hint, tc.hintTerm, tc.hintFrom))
		} else {
			want(t, "verified", got.HintIndex, tc.prev.Index)
		}
		want(t, "log", len(c.Node(1).Log), 3)
		c.Take(nil)
	}
}

// §5.3: entries that conflict are replaced with all that follow; others stay.
func TestPaper53_FollowerAppends(t *testing.T) {
	base := terms(1, 2, 2)
	for _, tc := range []struct {
		prev    raft.EntryID
		entries raft.Term
		n       int
		want    []raft.Term
	}{
		{raft.EntryID{Term: 2, Index: 3}, 3, 1, terms(1, 2, 2, 3)},
		{raft.EntryID{Term: 1, Index: 1}, 3, 2, terms(1, 3, 3)},
		{raft.EntryID{Term: 1, Index: 1}, 2, 1, terms(1, 2, 2)},
		{raft.EntryID{Term: 1, Index: 1}, 2, 4, terms(1, 2, 2, 2, 2)},
		{raft.EntryID{}, 1, 1, terms(1, 2, 2)},
		{raft.EntryID{}, 1, 2, terms(1, 1)},
		{raft.EntryID{}, 3, 1, terms(3)},
	} {
		c := newCluster(t, 3, withLogs(2, base))
		var entries []rafttest.Entry
		for i := range tc.n {
			entries = append(entries, data(tc.entries, fmt.Sprintf("%d/%d", tc.entries, int(tc.prev.Index)+1+i))...)
		}
		hand(c, raft.Message{
			Type: raft.MsgAppend, From: 2, To: 1, Term: 3, Index: tc.prev.Index, LogTerm: tc.prev.Term,
			Lo: tc.prev.Index + 1, Hi: tc.prev.Index + 1 + raft.Index(tc.n), EntryTerm: tc.entries,
		}, entries...)
		if got := logTerms(c.Node(1).Log); !slices.Equal(got, tc.want) {
			t.Errorf("%d entries of term %d after %v give %v, want %v", tc.n, tc.entries, tc.prev, got, tc.want)
		}
		disk, _ := c.Node(1).Durable()
		want(t, "disk", len(disk), len(tc.want))
		c.Take(nil)
	}
}

// §5.3, figure 7: a leader brings every kind of follower to its own log.
func TestPaper53_LeaderSyncsFollowers(t *testing.T) {
	lead := terms(1, 1, 1, 4, 4, 5, 5, 6, 6, 6)
	for i, log := range [][]raft.Term{
		terms(1, 1, 1, 4, 4, 5, 5, 6, 6),
		terms(1, 1, 1, 4),
		terms(1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
		terms(1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
		terms(1, 1, 1, 4, 4, 4, 4),
		terms(1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
		nil,
	} {
		c := newCluster(t, 3, withLogs(7, lead, log, nil))
		probes := 0
		c.Cut = func(e *rafttest.Envelope) bool {
			if e.Type == raft.MsgAppendReply && e.From == 2 && e.Reject {
				probes++
			}
			return false
		}
		elect(t, c, 1)
		propose(t, c, 1, "x")
		c.Stabilize()
		got, all := logTerms(c.Node(2).Log), logTerms(c.Node(1).Log)
		if !slices.Equal(got, all) {
			t.Errorf("case %d: follower's log %v, leader's %v", i, got, all)
		}
		if probes > 1 {
			t.Errorf("case %d: %d refused appends, want one at most", i, probes)
		}
	}
}

// §5.4.1: a request for a vote names the candidate's last log entry.
func TestPaper541_VoteRequestNamesTheLastEntry(t *testing.T) {
	c := newCluster(t, 3, withLogs(3, terms(1, 2)))
	c.Campaign(1)
	pre := sentTo(c, raft.MsgPreVote, 2)[0]
	want(t, "pre-vote", raft.EntryID{Term: pre.LogTerm, Index: pre.Index}, raft.EntryID{Term: 2, Index: 2})
	want(t, "pre-vote's term", pre.Term, 4)
	c.Deliver(typed(raft.MsgPreVote, 0))
	c.Deliver(typed(raft.MsgPreVoteReply, 0))
	for _, to := range []raft.ReplicaID{2, 3} {
		m := sentTo(c, raft.MsgVote, to)[0]
		want(t, "vote", raft.EntryID{Term: m.LogTerm, Index: m.Index}, raft.EntryID{Term: 2, Index: 2})
		want(t, "term", m.Term, 4)
	}
}

// §5.4.1: a voter refuses whose log is less up-to-date than its own, by the term
// of the last entry, then by length. It never looks at what is committed.
func TestPaper541_VoterComparesLastEntries(t *testing.T) {
	for _, tc := range []struct {
		own     []raft.Term
		last    raft.EntryID
		granted bool
	}{
		{terms(1), raft.EntryID{Term: 1, Index: 1}, true},
		{terms(1), raft.EntryID{Term: 1, Index: 2}, true},
		{terms(1, 1), raft.EntryID{Term: 1, Index: 1}, false},
		{terms(1), raft.EntryID{Term: 2, Index: 1}, true},
		{terms(1, 1), raft.EntryID{Term: 2, Index: 1}, true},
		{terms(2), raft.EntryID{Term: 1, Index: 1}, false},
		{terms(2), raft.EntryID{Term: 1, Index: 9}, false},
		{terms(1), raft.EntryID{}, false},
		{nil, raft.EntryID{}, true},
	} {
		for _, committed := range []raft.Index{0, raft.Index(len(tc.own))} {
			c := newCluster(t, 3, madeUp, withLogs(3, tc.own))
			c.Node(1).Crash(0)
			c.Node(1).Mark(committed)
			c.Node(1).Start()
			want(t, "commit", status(c, 1).Commit, committed)
			for _, typ := range []raft.MessageType{raft.MsgPreVote, raft.MsgVote} {
				hand(c, raft.Message{Type: typ, From: 2, To: 1, Term: 4, Index: tc.last.Index, LogTerm: tc.last.Term})
				got := c.Take(nil)
				want(t, fmt.Sprintf("%v: own log %v, committed %d, candidate's last %v: granted", typ, tc.own, committed, tc.last), !got[0].Reject, tc.granted)
			}
		}
	}
}

// §5.4.2, figure 8: only entries of the leader's own term are committed by
// counting; with them everything before.
func TestPaper542_OnlyOwnTermCommitsByCounting(t *testing.T) {
	for ack, commits := range map[raft.Index]raft.Index{1: 0, 2: 0, 3: 3} {
		c := newCluster(t, 3, madeUp, withLogs(2, terms(1, 2)))
		c.Cut = func(e *rafttest.Envelope) bool { return e.Type == raft.MsgAppend }
		elect(t, c, 1)
		hand(c, raft.Message{Type: raft.MsgAppendReply, From: 2, To: 1, Term: 3, Index: ack, HintIndex: ack, Context: 1})
		got := status(c, 1)
		want(t, fmt.Sprintf("acknowledged %d: commit", ack), got.Commit, commits)
		want(t, "match", got.Match(2), ack)
	}
}
