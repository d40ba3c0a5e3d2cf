package raft_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// The tests of this file follow sections of Ongaro's dissertation that go beyond
// the paper, and are named after them.

// §3.10: the leader brings the target up to date, then asks it to campaign; it
// does so without waiting and without a pre-vote.
func TestDiss310_TransferWaitsForTheTarget(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	propose(t, c, 1, "a")
	if err := c.Transfer(1, 2); err != nil {
		t.Fatal(err)
	}
	want(t, "requests before the target has everything", len(sentTo(c, raft.MsgTimeoutNow, 2)), 0)
	c.Deliver(typed(raft.MsgAppend, 2))
	c.Deliver(typed(raft.MsgAppendReply, 1))
	want(t, "requests after", len(sentTo(c, raft.MsgTimeoutNow, 2)), 1)
	c.Deliver(typed(raft.MsgTimeoutNow, 2))
	want(t, "role of the target", status(c, 2).Role, raft.RoleCandidate)
	for _, m := range sentTo(c, raft.MsgVote, 3) {
		want(t, "the request is marked", m.Transfer, true)
	}
	c.Stabilize()
	want(t, "leader", c.Leader(), 2)
}

// §3.10: while it hands over, the leader takes no proposals; after an election
// timeout without a new leader it takes them again.
func TestDiss310_TransferBlocksProposalsForAWhile(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Node(2).Crash(0)
	if err := c.Transfer(1, 2); err != nil {
		t.Fatal(err)
	}
	for i := range electionTicks {
		if _, err := c.Propose(1, "x"); !errors.Is(err, raft.ErrTransferring) {
			t.Fatalf("after %d ticks a proposal gives %v, want ErrTransferring", i, err)
		}
		if err := c.Transfer(1, 3); !errors.Is(err, raft.ErrTransferring) {
			t.Fatalf("a second transfer gives %v, want ErrTransferring", err)
		}
		c.Tick(1, 1)
		c.Stabilize()
	}
	want(t, "transferring to", status(c, 1).Transferring, 0)
	propose(t, c, 1, "x")
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, 2)
}

// §3.10: who cannot transfer says why.
func TestDiss310_TransferRefusals(t *testing.T) {
	c := newCluster(t, 3)
	var not *raft.NotLeaderError
	if err := c.Transfer(1, 2); !errors.As(err, &not) || not.Leader != 0 {
		t.Errorf("a follower answers %v", err)
	}
	elect(t, c, 1)
	if err := c.Transfer(2, 3); !errors.As(err, &not) || not.Leader != 1 || not.Term != 1 {
		t.Errorf("a follower answers %v, want the leader", err)
	}
	if err := c.Transfer(1, 9); !errors.Is(err, raft.ErrUnknownPeer) {
		t.Errorf("an unknown target gives %v", err)
	}
	if err := c.Transfer(1, 1); err != nil {
		t.Errorf("a transfer to the leader itself gives %v", err)
	}
	want(t, "transferring to", status(c, 1).Transferring, 0)
	one := newCluster(t, 1)
	elect(t, one, 1)
	if err := one.Transfer(1, 0); !errors.Is(err, raft.ErrUnknownPeer) {
		t.Errorf("the only voter answers %v", err)
	}
}

// §4.2.3: a vote is ignored while the leader is heard, whatever its term; a
// transfer's is not. The leader ignores it too.
func TestDiss423_StickToTheLeader(t *testing.T) {
	for _, typ := range []raft.MessageType{raft.MsgVote, raft.MsgPreVote} {
		c := newCluster(t, 3, madeUp)
		elect(t, c, 1)
		for _, id := range []raft.ReplicaID{1, 2} {
			before := status(c, id)
			hand(c, raft.Message{Type: typ, From: 3, To: id, Term: 9, Index: 5, LogTerm: 5})
			want(t, "term", status(c, id).Term, before.Term)
			want(t, "answers", len(c.Take(nil)), 0)
			want(t, "role", status(c, id).Role, before.Role)
		}
		c.Tick(2, electionTicks-1)
		hand(c, raft.Message{Type: typ, From: 3, To: 2, Term: 9, Index: 5, LogTerm: 5})
		want(t, "answers just before the timeout", len(c.Take(nil)), 0)
		c.Tick(2, 1)
		hand(c, raft.Message{Type: typ, From: 3, To: 2, Term: 9, Index: 5, LogTerm: 5})
		want(t, "granted after it", !c.Take(nil)[0].Reject, true)
	}
	c := newCluster(t, 3, madeUp)
	elect(t, c, 1)
	hand(c, raft.Message{Type: raft.MsgVote, From: 3, To: 2, Term: 9, Index: 5, LogTerm: 5, Transfer: true})
	want(t, "a transfer's request is granted", !c.Take(nil)[0].Reject, true)
}

// §6.2: a leader that a majority doesn't hear steps down within an election
// timeout, without a new term and without losing its vote.
func TestDiss62_LeaderChecksItsQuorum(t *testing.T) {
	for nodes, hear := range map[int]int{3: 1, 4: 2, 5: 2} {
		c := newCluster(t, nodes)
		elect(t, c, 1)
		for i := hear + 1; i < nodes; i++ {
			c.Isolate(raft.ReplicaID(i + 1))
		}
		for range 3 * electionTicks {
			c.Tick(1, 1)
			c.Stabilize()
		}
		want(t, "role with a majority", status(c, 1).Role, raft.RoleLeader)
		c.Isolate(2)
		for range 2 * electionTicks {
			c.Tick(1, 1)
			c.Stabilize()
			if status(c, 1).Role != raft.RoleLeader {
				break
			}
		}
		s := status(c, 1)
		want(t, "role without", s.Role, raft.RoleFollower)
		want(t, "term", s.Term, 1)
		want(t, "vote", s.Vote, 1)
	}
}

// §6.4, step 1: no read before the leader's no-op is committed.
func TestDiss64_ReadWaitsForTheNoOp(t *testing.T) {
	c := newCluster(t, 3)
	c.Campaign(1)
	for range 4 {
		c.Deliver(nil)
	}
	want(t, "role", status(c, 1).Role, raft.RoleLeader)
	want(t, "serving", status(c, 1).Serving, false)
	appends := c.Take(typed(raft.MsgAppend, 0))
	id, err := c.Read(1)
	if err != nil {
		t.Fatal(err)
	}
	c.Stabilize()
	want(t, "answers before", len(c.Node(1).Reads), 0)
	for _, e := range appends {
		c.Hand(e)
	}
	c.Stabilize()
	got, ok := c.Node(1).Reads[id]
	want(t, "answered", ok, true)
	want(t, "read", got, raft.ReadResult{ID: id, Index: 1})
}

// §6.4, step 3: a read is confirmed by heartbeats that left after it was asked.
func TestDiss64_ReadNeedsItsOwnRound(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Tick(1, heartbeatTicks)
	c.Deliver(typed(raft.MsgHeartbeat, 0))
	early := c.Take(typed(raft.MsgHeartbeatReply, 1))
	want(t, "answers to the regular heartbeat", len(early), 2)
	id, _ := c.Read(1)
	for _, e := range append(early, early...) {
		c.Hand(e)
	}
	want(t, "confirmed by earlier answers", len(c.Node(1).Reads), 0)
	c.Stabilize()
	want(t, "read", c.Node(1).Reads[id], raft.ReadResult{ID: id, Index: 1})
}

// §6.4: reads share rounds: while one runs, those that come wait for the next.
func TestDiss64_ReadsShareRounds(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	beats := 0
	c.Cut = func(e *rafttest.Envelope) bool {
		if e.Type == raft.MsgHeartbeat {
			beats++
		}
		return false
	}
	const reads = 100
	for range reads {
		if _, err := c.Read(1); err != nil {
			t.Fatal(err)
		}
	}
	c.Stabilize()
	want(t, "answered", len(c.Node(1).Reads), reads)
	want(t, "heartbeats for all, two rounds to two followers", beats, 4)
}

// §6.4: a single voter is its own majority.
func TestDiss64_SingleVoterReads(t *testing.T) {
	c := newCluster(t, 1, func(o *rafttest.Options) {})
	c.Node(1).AutoDisk = false
	c.Campaign(1)
	c.Node(1).Journal()
	c.Node(1).Write()
	a, _ := c.Read(1)
	b, _ := c.Read(1)
	want(t, "answers before the no-op", len(c.Node(1).Reads), 0)
	c.Node(1).Flush()
	want(t, "first", c.Node(1).Reads[a].Index, 1)
	want(t, "second", c.Node(1).Reads[b].Index, 1)
}

// §6.4: stepping down answers all reads as lost, and who doesn't lead refuses.
func TestDiss64_ReadsAreLostWithLeadership(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Isolate(1)
	a, _ := c.Read(1)
	b, _ := c.Read(1)
	c.Tick(1, 2*electionTicks)
	for _, id := range []uint64{a, b} {
		want(t, "read", c.Node(1).Reads[id], raft.ReadResult{ID: id, Lost: true})
	}
	var not *raft.NotLeaderError
	if _, err := c.Read(1); !errors.As(err, &not) {
		t.Errorf("a deposed leader answers a read with %v", err)
	}
}

// §9.6: a pre-vote changes neither term nor vote, at the asker or the voter.
func TestDiss96_PreVoteChangesNothing(t *testing.T) {
	c := newCluster(t, 3, withLogs(4, terms(1), terms(1), terms(1)))
	c.Campaign(1)
	c.Deliver(typed(raft.MsgPreVote, 0))
	for _, n := range c.Nodes {
		s := n.Core.Status()
		want(t, "term", s.Term, 4)
		want(t, "vote", s.Vote, 0)
		want(t, "disk work", n.Writes(), 0)
	}
	// It may be given to two at once.
	hand(c, raft.Message{Type: raft.MsgPreVote, From: 3, To: 2, Term: 5, Index: 1, LogTerm: 1})
	want(t, "granted to another too", !sentTo(c, raft.MsgPreVoteReply, 3)[0].Reject, true)
	c.Take(nil)
}

// §9.6: without a majority of pre-votes there is no election, for ever.
func TestDiss96_NoElectionWithoutConsent(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Isolate(3)
	c.Tick(3, 100*electionTicks)
	want(t, "term", status(c, 3).Term, 1)
	want(t, "role", status(c, 3).Role, raft.RolePreCandidate)
	c.Heal()
	c.Stabilize()
	for range 3 * electionTicks {
		c.TickAll()
	}
	want(t, "leader", c.Leader(), 1)
	want(t, "term", status(c, 1).Term, 1)
	want(t, "leader of the returned one", status(c, 3).Leader, 1)
}

// §9.6: an answer counts for the pre-vote that it answers.
func TestDiss96_OldPreVoteAnswersDontCount(t *testing.T) {
	c := newCluster(t, 3, madeUp)
	c.Campaign(1)
	c.Take(nil)
	c.Campaign(1) // the second round, by Context
	for _, m := range []raft.Message{
		{Context: 1, Term: 1},               // of the first round
		{Context: 2, Term: 5},               // for another term
		{Context: 2, Term: 1, Reject: true}, // of a voter one term ahead: learn it
	} {
		m.Type, m.From, m.To = raft.MsgPreVoteReply, 2, 1
		hand(c, m)
		if s := status(c, 1); s.Role == raft.RoleCandidate || s.Role == raft.RoleLeader {
			t.Errorf("%v makes a %v", m, s.Role)
		}
	}
	want(t, "term", status(c, 1).Term, 1)
}

// §10.2.1: the leader sends entries before its own disk has them, commits them by
// the others' disks, and counts itself only when its own has them.
func TestDiss1021_LeaderWritesInParallel(t *testing.T) {
	c := newCluster(t, 3)
	elect(t, c, 1)
	c.Node(1).AutoDisk = false
	at := propose(t, c, 1, "a")
	want(t, "sent before it is written", len(sentTo(c, raft.MsgAppend, 2)), 1)
	c.Deliver(typed(raft.MsgAppend, 2))
	c.Deliver(typed(raft.MsgAppendReply, 1))
	want(t, "commit with one other disk", status(c, 1).Commit, at-1)
	c.Stabilize()
	want(t, "commit with both other disks", status(c, 1).Commit, at)
	want(t, "durable here", status(c, 1).Durable, at-1)
	c.Node(1).Flush()
	want(t, "durable here", status(c, 1).Durable, at)
}

// §10.2.1, and etcd#14633's neighbours: the pipeline is bounded in messages and in
// bytes, and moves on as answers come.
func TestDiss1021_PipelineIsBounded(t *testing.T) {
	c := newCluster(t, 3, func(o *rafttest.Options) {
		o.Raft.MaxInflightMessages, o.Raft.MaxInflightBytes, o.Raft.MaxMessageBytes = 3, 20, 8
	})
	elect(t, c, 1)
	for range 10 {
		propose(t, c, 1, "abc") // counts 4
	}
	s := status(c, 1)
	want(t, "messages on their way", s.Peers[0].InflightMessages, 3)
	want(t, "appends", len(sentTo(c, raft.MsgAppend, 2)), 3)
	c.Deliver(typed(raft.MsgAppend, 2))
	c.Deliver(typed(raft.MsgAppendReply, 1))
	var entries []int
	for _, m := range sentTo(c, raft.MsgAppend, 2) {
		entries = append(entries, m.Entries())
	}
	want(t, "entries of messages of 8 bytes", fmt.Sprint(entries), "[2 2 1]") // the last has room for 4 bytes
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, 11)
	want(t, "on their way", status(c, 1).Peers[0].InflightBytes, 0)

	c = newCluster(t, 3, func(o *rafttest.Options) { o.Raft.MaxInflightMessages, o.Raft.MaxInflightBytes = 100, 20 })
	elect(t, c, 1)
	for range 10 {
		propose(t, c, 1, "abc")
	}
	s = status(c, 1)
	want(t, "bytes on their way", s.Peers[0].InflightBytes, 20)
	want(t, "appends", len(sentTo(c, raft.MsgAppend, 2)), 5)
	c.Stabilize()
	want(t, "commit", status(c, 1).Commit, 11)
}
