package raft_test

import (
	"fmt"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// The tests of this file hold small rules that a change could break without any
// other test noticing; each was found by breaking the rule.

// A grant that took long to reach the disk restarts the voter's timer when it
// leaves: the candidate needs the time to become known.
func TestLateGrantRestartsTheTimer(t *testing.T) {
	c := newCluster(t, 3)
	c.Node(2).AutoDisk = false
	hand(c, raft.Message{Type: raft.MsgVote, From: 1, To: 2, Term: 1})
	c.Tick(2, 5*electionTicks)
	want(t, "role while the vote is on its way to the disk", status(c, 2).Role, raft.RoleFollower)
	c.Node(2).Flush()
	want(t, "grants", len(sentTo(c, raft.MsgVoteReply, 1)), 1)
	c.Tick(2, electionTicks-1)
	want(t, "role within an election timeout", status(c, 2).Role, raft.RoleFollower)
	c.Tick(2, electionTicks+1)
	want(t, "role after two", status(c, 2).Role, raft.RolePreCandidate)
	c.Take(nil)
}

// Who votes for a candidate gives up its own pre-vote.
func TestGrantEndsTheOwnPreVote(t *testing.T) {
	c := newCluster(t, 3, withLogs(1, nil, nil, nil))
	c.Campaign(2)
	replies := c.Take(nil)
	hand(c, raft.Message{Type: raft.MsgVote, From: 1, To: 2, Term: 1})
	want(t, "role", status(c, 2).Role, raft.RoleFollower)
	want(t, "vote", status(c, 2).Vote, 1)
	c.Take(nil)
	hand(c, raft.Message{Type: raft.MsgPreVote, From: 2, To: 3, Term: 2, Context: 1})
	for _, e := range append(replies, c.Take(nil)...) {
		c.Hand(e)
	}
	want(t, "term after a late consent", status(c, 2).Term, 1)
	c.Take(nil)
}

// A replica that knows the leader of its term gives its free vote to nobody in it.
func TestNoVoteAgainstAKnownLeader(t *testing.T) {
	c := newCluster(t, 3, madeUp)
	hand(c, raft.Message{Type: raft.MsgHeartbeat, From: 2, To: 1, Term: 1, Context: 1})
	c.Take(nil)
	hand(c, raft.Message{Type: raft.MsgVote, From: 3, To: 1, Term: 1})
	want(t, "refused", sentTo(c, raft.MsgVoteReply, 3)[0].Reject, true)
	want(t, "vote", status(c, 1).Vote, 0)
}

// Only the leader of the term may ask a follower to campaign.
func TestTimeoutNowComesFromTheLeader(t *testing.T) {
	c := newCluster(t, 3, madeUp)
	elect(t, c, 1)
	hand(c, raft.Message{Type: raft.MsgTimeoutNow, From: 3, To: 2, Term: 1})
	want(t, "role", status(c, 2).Role, raft.RoleFollower)
	hand(c, raft.Message{Type: raft.MsgTimeoutNow, From: 1, To: 2, Term: 1})
	want(t, "role", status(c, 2).Role, raft.RoleCandidate)
	c.Take(nil)
}

// What a leader knew of the others' logs is worth nothing in its next leadership:
// they may have been truncated in between.
func TestNewLeadershipForgetsMatches(t *testing.T) {
	c := newCluster(t, 5)
	elect(t, c, 1)
	c.TickAll()
	propose(t, c, 1, "a", "b", "c")
	c.Deliver(typed(raft.MsgAppend, 2))
	c.Deliver(typed(raft.MsgAppendReply, 1))
	c.Take(nil)
	s := status(c, 1)
	want(t, "match", s.Match(2), 4)
	// 3 leads term 2 by 4 and 5 and replaces everything on 1 and 2, not elsewhere.
	c.Isolate(1)
	c.Isolate(2)
	forget(c, 3, 4, 5)
	c.Campaign(3)
	for range 4 {
		c.Deliver(nil)
	}
	want(t, "leader", c.Leader(), 3)
	c.Take(nil)
	c.Heal()
	c.Cut = func(e *rafttest.Envelope) bool { return e.To > 3 }
	for range 6 * heartbeatTicks {
		c.Tick(3, 1)
		c.Deliver(func(e *rafttest.Envelope) bool { return e.From == 3 || e.To == 3 })
	}
	c.Take(nil)
	want(t, "log of 1", fmt.Sprint(logTerms(c.Node(1).Log)), "[1 2]")
	c.Node(3).Crash(0)
	c.Cut = nil
	// 1 leads term 3. Nobody has acknowledged anything to it.
	forget(c, 4, 5, 2, 1)
	c.Campaign(1)
	for range 4 {
		c.Deliver(nil)
	}
	s = status(c, 1)
	want(t, "role", s.Role, raft.RoleLeader)
	for id := raft.ReplicaID(2); id <= 5; id++ {
		want(t, fmt.Sprintf("match of %d", id), s.Match(id), 0)
	}
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, 3)
}

// A proposal is lost as soon as another entry is committed in its place, also when
// that is of an earlier term than its own, which an even later leader has kept.
func TestLostByAnEntryOfAnEarlierTerm(t *testing.T) {
	c, err := raft.New(raft.Options{ID: 1, Voters: []raft.ReplicaID{1, 2, 3}}, flatLog{1}, raft.HardState{Term: 1}, raft.LogState{})
	if err != nil {
		t.Fatal(err)
	}
	step := func(m raft.Message) (r raft.Ready) {
		m.To = 1
		if err := c.Step(&m); err != nil {
			t.Fatalf("%v: %v", m, err)
		}
		r = c.Ready()
		for n := r.N; n != 0; n = c.Ready().N {
			c.Persisted(n)
		}
		return r
	}
	c.Campaign()
	step(raft.Message{Type: raft.MsgPreVoteReply, From: 2, Term: 2, Context: 1})
	step(raft.Message{Type: raft.MsgVoteReply, From: 2, Term: 2})
	if _, err := c.Propose(2, []int{1, 1}); err != nil { // 2 and 3, after the no-op
		t.Fatal(err)
	}
	c.Persisted(c.Ready().N)
	// The leader of term 3 holds entries of term 1 there, and its own at 4.
	r := step(raft.Message{Type: raft.MsgAppend, From: 3, Term: 3, Lo: 1, Hi: 4, EntryTerm: 1})
	want(t, "truncated from", r.Truncate, 1)
	want(t, "lost by the truncation", len(r.Lost), 0)
	r = step(raft.Message{Type: raft.MsgHeartbeat, From: 3, Term: 3, Commit: 1})
	want(t, "lost by the commit of entry 1", len(r.Lost), 0)
	r = step(raft.Message{Type: raft.MsgHeartbeat, From: 3, Term: 3, Commit: 2})
	want(t, "lost by the commit of entry 2", fmt.Sprint(r.Lost), fmt.Sprint([]raft.LostRange{{Lo: 2, Hi: 4, Term: 2}}))
}
