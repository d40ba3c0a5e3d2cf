package raft_test

import (
	"fmt"
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// slowDisks lets every piece of disk work of both files take latency ticks, and
// runs for some ticks, until stop says so.
func slowDisks(c *rafttest.Cluster, latency, ticks int, stop func() bool) (after int) {
	waits := make(map[raft.ReplicaID]int)
	for after = range ticks {
		for _, n := range c.Nodes {
			if n.Writes() == 0 {
				waits[n.ID] = 0
			} else if waits[n.ID]++; waits[n.ID] > latency {
				n.Journal()
				n.Write()
				waits[n.ID] = 0
			}
		}
		c.TickAll()
		if stop() {
			return after
		}
	}
	return ticks
}

// A cluster whose disks are slower than its election timeout still elects a
// leader: votes get the time that they take.
func TestSlowDisksElect(t *testing.T) {
	for _, latency := range []int{1, electionTicks / 2, electionTicks, 3 * electionTicks} {
		for seed := range uint64(20) {
			c := newCluster(t, 3, func(o *rafttest.Options) { o.Seed = seed })
			for _, n := range c.Nodes {
				n.AutoDisk = false
			}
			limit := 40*electionTicks + 20*latency
			ticks := slowDisks(c, latency, limit, func() bool {
				lead := c.Leader()
				return lead != 0 && status(c, lead).Serving
			})
			if ticks >= limit {
				t.Errorf("latency of %d ticks, seed %d: no leader after %d ticks: %v", latency, seed, limit, c.Nodes)
			}
		}
	}
}

// A disk that hangs keeps its replica out of elections, and costs the others
// nothing.
func TestHungDiskDoesNotCampaign(t *testing.T) {
	c := newCluster(t, 3)
	c.Node(3).AutoDisk = false
	elect(t, c, 1)
	want(t, "term of the hung one", status(c, 3).Term, 1)
	c.Isolate(3)
	c.Take(nil)
	c.Tick(3, 20*electionTicks)
	want(t, "role", status(c, 3).Role, raft.RoleFollower)
	c.Node(3).Flush()
	c.Tick(3, 3*electionTicks)
	want(t, "role with its disk back", status(c, 3).Role, raft.RolePreCandidate)
}

// After all replicas lost power at once there is a leader within two election
// timeouts, and what they take to agree (S8a).
func TestPowerLossElectsSoon(t *testing.T) {
	for seed := range uint64(50) {
		c := newCluster(t, 3, func(o *rafttest.Options) { o.Seed = seed })
		elect(t, c, 1)
		propose(t, c, 1, "a", "b")
		c.Stabilize()
		c.Node(2).AutoDisk = false
		propose(t, c, 1, "c", "d", "e")
		c.Stabilize()
		for i, n := range c.Nodes {
			n.Crash(i)
		}
		for _, n := range c.Nodes {
			n.AutoDisk = true
			n.Start()
		}
		if c.WaitLeader(4*electionTicks) == 0 {
			t.Errorf("seed %d: no leader: %v", seed, c.Nodes)
		}
	}
}

// A follower that lacks what the leader's log no longer holds is told to begin
// where that begins; if it refuses, at the pace of heartbeats, not in a loop.
func TestFollowerBehindTheLogStart(t *testing.T) {
	prev := raft.EntryID{Term: 2, Index: 10}
	lead, err := raft.New(raft.Options{ID: 1, Voters: []raft.ReplicaID{1, 2, 3}, ElectionTicks: 10, HeartbeatTicks: 2}, flatLog{1},
		raft.HardState{Term: 2}, raft.LogState{Prev: prev, Last: 12, Terms: []raft.TermStart{{Term: 2, First: 11}}})
	if err != nil {
		t.Fatal(err)
	}
	step := func(m raft.Message) (sent []raft.Message) {
		m.To, m.Term = 1, 3
		if err := lead.Step(&m); err != nil {
			t.Fatalf("%v: %v", m, err)
		}
		for lead.Pending() {
			r := lead.Ready()
			sent = append(sent, r.Send...)
			if r.N != 0 {
				lead.Persisted(r.N)
			}
		}
		return sent
	}
	lead.Campaign()
	step(raft.Message{Type: raft.MsgPreVoteReply, From: 3, Context: 1})
	step(raft.Message{Type: raft.MsgVoteReply, From: 3})
	refuse := func(ctx uint64, prev raft.EntryID) []raft.Message {
		return step(raft.Message{
			Type: raft.MsgAppendReply, Reject: true, From: 2, Index: prev.Index, LogTerm: prev.Term,
			HintIndex: 4, HintTerm: 1, HintFirst: 1, Context: ctx,
		})
	}
	sent := refuse(1, raft.EntryID{Term: 2, Index: 12})
	want(t, "answer to the refusal", fmt.Sprint(len(sent), sent[0].Type, sent[0].Index, sent[0].LogTerm), fmt.Sprint(1, raft.MsgJump, 10, 2))
	sent = refuse(sent[0].Context, prev)
	want(t, "messages at once after another one", len(sent), 0)
	asked := 0
	for beat := range 10 {
		lead.Tick()
		lead.Tick()
		lead.Ready()
		for _, m := range step(raft.Message{Type: raft.MsgHeartbeatReply, From: 2, Context: uint64(beat + 1)}) {
			want(t, "probe", fmt.Sprint(m.Type, m.Index, m.LogTerm, m.Entries()), fmt.Sprint(raft.MsgJump, 10, 2, 0))
			asked++
			want(t, "appends at once after its refusal", len(refuse(m.Context, prev)), 0)
		}
		step(raft.Message{Type: raft.MsgHeartbeatReply, From: 3, Context: uint64(beat + 1)})
	}
	if asked < 5 || asked > 10 {
		t.Errorf("asked %d times in 10 heartbeats", asked)
	}
}
