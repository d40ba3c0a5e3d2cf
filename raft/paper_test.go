package raft_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// The tests of this file follow the Raft paper (extended version), one rule
// each, and are named after its section. paper_log_test.go has §5.3 and §5.4,
// dissertation_test.go what only the dissertation has.

// Figure 2, rules for all servers: a higher term makes everyone a follower in it.
func TestPaper51_HigherTermMakesAFollower(t *testing.T) {
	for _, role := range []raft.Role{raft.RoleFollower, raft.RolePreCandidate, raft.RoleCandidate, raft.RoleLeader} {
		for _, typ := range []raft.MessageType{raft.MsgAppend, raft.MsgHeartbeat, raft.MsgAppendReply, raft.MsgVoteReply} {
			c := newCluster(t, 3)
			into(t, c, role)
			before := status(c, 1)
			m := raft.Message{Type: typ, From: 2, To: 1, Term: before.Term + 3, Lo: 1, Hi: 1}
			hand(c, m)
			s := status(c, 1)
			want(t, fmt.Sprintf("%v after %v: role", role, typ), s.Role, raft.RoleFollower)
			want(t, fmt.Sprintf("%v after %v: term", role, typ), s.Term, before.Term+3)
			want(t, fmt.Sprintf("%v after %v: vote", role, typ), s.Vote, 0)
			c.Take(nil)
		}
	}
}

// into brings node 1 of three into a role.
func into(t *testing.T, c *rafttest.Cluster, role raft.Role) {
	t.Helper()
	switch role {
	case raft.RolePreCandidate:
		c.Campaign(1)
		c.Take(nil)
	case raft.RoleCandidate:
		c.Campaign(1)
		c.Deliver(typed(raft.MsgPreVote, 2))
		c.Deliver(typed(raft.MsgPreVoteReply, 1))
		c.Take(nil)
	case raft.RoleLeader:
		elect(t, c, 1)
	}
	want(t, "role", status(c, 1).Role, role)
}

// §5.1: a request with a stale term is refused, with the current term; nothing
// changes.
func TestPaper51_StaleTermIsRefused(t *testing.T) {
	for _, typ := range []raft.MessageType{
		raft.MsgPreVote, raft.MsgVote, raft.MsgAppend, raft.MsgHeartbeat,
		raft.MsgPreVoteReply, raft.MsgVoteReply, raft.MsgAppendReply, raft.MsgHeartbeatReply, raft.MsgTimeoutNow,
	} {
		c := newCluster(t, 3, withLogs(5, terms(1, 4)))
		before := fmt.Sprint(c.Node(1))
		hand(c, raft.Message{Type: typ, From: 2, To: 1, Term: 3, Index: 2, LogTerm: 2, HintIndex: 2, Lo: 3, Hi: 4, EntryTerm: 2}, data(2, "x")...)
		want(t, typ.String(), fmt.Sprint(c.Node(1)), before)
		for _, e := range c.Net {
			if !e.Reject || e.Term != 5 {
				t.Errorf("%v is answered with %v, want a refusal in term 5", typ, e.Message)
			}
		}
		request := typ == raft.MsgPreVote || typ == raft.MsgVote || typ == raft.MsgAppend || typ == raft.MsgHeartbeat
		want(t, typ.String()+": answers", len(c.Net) == 1, request)
	}
}

// §5.2: servers start as followers.
func TestPaper52_StartsAsFollower(t *testing.T) {
	c := newCluster(t, 3, withLogs(4, terms(1, 1), terms(1, 4)))
	for _, n := range c.Nodes {
		want(t, "role", n.Core.Status().Role, raft.RoleFollower)
		want(t, "leader", n.Core.Status().Leader, 0)
	}
	want(t, "messages", len(c.Net), 0)
}

// §5.2: a leader sends heartbeats to all, periodically.
func TestPaper52_LeaderSendsHeartbeats(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	for round := range 3 {
		c.Tick(1, heartbeatTicks-1)
		want(t, "messages before it is time", len(c.Net), 0)
		c.Tick(1, 1)
		for _, to := range []raft.ReplicaID{2, 3} {
			want(t, fmt.Sprintf("heartbeats to %d in round %d", to, round), len(sentTo(c, raft.MsgHeartbeat, to)), 1)
		}
		c.Stabilize()
	}
}

// §5.2: a follower that hears nothing starts an election: after the pre-vote it
// increments its term, votes for itself and asks all others.
func TestPaper52_FollowerStartsElection(t *testing.T) {
	c := newCluster(t, 3)
	ticks := 0
	for ; status(c, 1).Role == raft.RoleFollower; ticks++ {
		c.Tick(1, 1)
	}
	if ticks < electionTicks || ticks >= 2*electionTicks {
		t.Errorf("it campaigns after %d ticks, want [%d, %d)", ticks, electionTicks, 2*electionTicks)
	}
	want(t, "term while it only asks", status(c, 1).Term, 0)
	c.Deliver(typed(raft.MsgPreVote, 0))
	c.Deliver(typed(raft.MsgPreVoteReply, 0))
	s := status(c, 1)
	want(t, "role", s.Role, raft.RoleCandidate)
	want(t, "term", s.Term, 1)
	want(t, "vote", s.Vote, 1)
	for _, to := range []raft.ReplicaID{2, 3} {
		want(t, "requests", len(sentTo(c, raft.MsgVote, to)), 1)
	}
}

// §5.2: a candidate that neither wins nor loses starts a new election.
func TestPaper52_CandidateStartsNewElection(t *testing.T) {
	c := newCluster(t, 3)
	into(t, c, raft.RoleCandidate)
	term := status(c, 1).Term
	for status(c, 1).Role == raft.RoleCandidate {
		c.Tick(1, 1)
	}
	c.Stabilize()
	s := status(c, 1)
	want(t, "role", s.Role, raft.RoleLeader)
	want(t, "term", s.Term, term+1)
}

// §5.2: a majority of votes makes a leader, a majority of refusals a follower.
func TestPaper52_ElectionInOneRound(t *testing.T) {
	tests := []struct {
		nodes, yes, no int
		role           raft.Role
	}{
		{1, 0, 0, raft.RoleLeader},
		{2, 0, 0, raft.RoleCandidate}, {2, 1, 0, raft.RoleLeader}, {2, 0, 1, raft.RoleFollower},
		{3, 1, 0, raft.RoleLeader}, {3, 0, 1, raft.RoleCandidate}, {3, 0, 2, raft.RoleFollower}, {3, 1, 1, raft.RoleLeader},
		{4, 1, 0, raft.RoleCandidate}, {4, 2, 0, raft.RoleLeader}, {4, 1, 2, raft.RoleFollower},
		{5, 1, 2, raft.RoleCandidate}, {5, 2, 0, raft.RoleLeader}, {5, 2, 2, raft.RoleLeader}, {5, 0, 3, raft.RoleFollower},
		{5, 0, 0, raft.RoleCandidate},
	}
	for _, tc := range tests {
		c := newCluster(t, tc.nodes, madeUp)
		c.Campaign(1)
		c.Deliver(typed(raft.MsgPreVote, 0))
		c.Deliver(typed(raft.MsgPreVoteReply, 0))
		c.Take(nil)
		from := raft.ReplicaID(2)
		for i := range tc.yes + tc.no {
			hand(c, raft.Message{Type: raft.MsgVoteReply, From: from, To: 1, Term: 1, Reject: i >= tc.yes})
			from++
		}
		want(t, fmt.Sprintf("%d nodes, %d yes, %d no", tc.nodes, tc.yes, tc.no), status(c, 1).Role, tc.role)
		c.Take(nil)
	}
}

// §5.2: first come, first served, one vote in a term; the vote is repeated to
// who has it.
func TestPaper52_OneVotePerTerm(t *testing.T) {
	for _, tc := range []struct {
		vote, asks raft.ReplicaID
		granted    bool
	}{{0, 2, true}, {0, 3, true}, {2, 2, true}, {3, 3, true}, {2, 3, false}, {3, 2, false}} {
		c := newCluster(t, 3)
		if tc.vote != 0 {
			hand(c, raft.Message{Type: raft.MsgVote, From: tc.vote, To: 1, Term: 1})
			c.Take(nil)
		}
		hand(c, raft.Message{Type: raft.MsgVote, From: tc.asks, To: 1, Term: 1})
		got := sentTo(c, raft.MsgVoteReply, tc.asks)
		want(t, "answers", len(got), 1)
		want(t, fmt.Sprintf("vote is %d, %d asks: granted", tc.vote, tc.asks), !got[0].Reject, tc.granted)
	}
}

// §5.2: a candidate that hears from the leader of its term, or a later one,
// follows it.
func TestPaper52_CandidateFallsBack(t *testing.T) {
	for _, role := range []raft.Role{raft.RolePreCandidate, raft.RoleCandidate} {
		for _, later := range []raft.Term{0, 1} {
			c := newCluster(t, 3)
			into(t, c, role)
			before := status(c, 1)
			term := max(1, before.Term+later)
			hand(c, raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: term, Lo: 1, Hi: 1})
			s := status(c, 1)
			want(t, "role", s.Role, raft.RoleFollower)
			want(t, "leader", s.Leader, 2)
			want(t, "term", s.Term, term)
			if term == before.Term {
				want(t, "vote, which stays within a term", s.Vote, before.Vote)
			}
		}
	}
}

// §5.2: election timeouts are random, in [E, 2E), for followers and candidates (of
// the first election after a leader was heard; see patienceMax).
func TestPaper52_ElectionTimeoutIsRandom(t *testing.T) {
	for _, role := range []raft.Role{raft.RoleFollower, raft.RoleCandidate} {
		seen := make(map[int]bool)
		c := newCluster(t, 3)
		for range 50 * electionTicks {
			hand(c, raft.Message{Type: raft.MsgAppend, From: 2, To: 1, Term: status(c, 1).Term + 1, Lo: 1, Hi: 1})
			if role == raft.RoleCandidate {
				c.Take(nil)
				forget(c, 2)
				c.Campaign(1)
				c.Deliver(typed(raft.MsgPreVote, 2))
				c.Deliver(typed(raft.MsgPreVoteReply, 1))
			}
			c.Take(nil)
			want(t, "role", status(c, 1).Role, role)
			ticks := 0
			for ; status(c, 1).Role == role; ticks++ {
				c.Tick(1, 1)
			}
			seen[ticks] = true
			c.Take(nil)
		}
		for i := range 3 * electionTicks {
			want(t, fmt.Sprintf("%v times out after %d ticks", role, i), seen[i], i >= electionTicks && i < 2*electionTicks)
		}
	}
}

// §5.2: random timeouts make it rare that several replicas campaign at once.
func TestPaper52_ElectionTimeoutsRarelyCollide(t *testing.T) {
	collisions := 0
	const rounds = 400
	for seed := range uint64(rounds) {
		c := newCluster(t, 5, func(o *rafttest.Options) { o.Seed = seed })
		for campaigning := 0; campaigning == 0; {
			for _, n := range c.Nodes {
				c.Tick(n.ID, 1)
				if n.Core.Status().Role != raft.RoleFollower {
					campaigning++
				}
			}
			if campaigning > 1 {
				collisions++
			}
		}
	}
	// With 10 values and 5 nodes the first value is shared in about 35 of 100 cases.
	if collisions > rounds*45/100 {
		t.Errorf("%d of %d first elections collide", collisions, rounds)
	}
}

// The same seed gives the same timeouts, another group or replica other ones.
func TestTimeoutsFollowTheSeed(t *testing.T) {
	ticks := func(group byte, id raft.ReplicaID, seed uint64) (out []int) {
		c, err := raft.New(raft.Options{Group: raft.GroupID{group}, ID: id, Voters: []raft.ReplicaID{1, 2, 3}, Seed: seed, ElectionTicks: 50}, noLog{}, raft.HardState{}, raft.LogState{})
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			n := 0
			for !c.Pending() {
				c.Tick()
				n++
			}
			c.Ready()
			out = append(out, n)
		}
		return out
	}
	base := ticks(1, 1, 1)
	if !slices.Equal(base, ticks(1, 1, 1)) {
		t.Error("the same seed gives other timeouts")
	}
	for _, other := range [][]int{ticks(2, 1, 1), ticks(1, 2, 1), ticks(1, 1, 2)} {
		if slices.Equal(base, other) {
			t.Errorf("another group, replica or seed gives the same timeouts %v", base)
		}
	}
}

// noLog is a log that is never asked.
type noLog struct{}

// Fit implements raft.Log.
func (noLog) Fit(lo, _ raft.Index, _ int) (raft.Index, int) { return lo + 1, 0 }
