package raft_test

import (
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// electionTicks and heartbeatTicks are those of newCluster.
const (
	electionTicks  = 10
	heartbeatTicks = 2
)

// newCluster starts a cluster whose checker must be content when the test ends.
func newCluster(t *testing.T, nodes int, change ...func(o *rafttest.Options)) *rafttest.Cluster {
	t.Helper()
	c := newCondemned(nodes, change...)
	t.Cleanup(func() {
		if err := c.Err(); err != nil {
			t.Errorf("the cluster is broken: %v", err)
		}
	})
	return c
}

// newCondemned starts a cluster that is going to break.
func newCondemned(nodes int, change ...func(o *rafttest.Options)) *rafttest.Cluster {
	o := rafttest.Options{Nodes: nodes, Seed: 1, Raft: raft.Options{
		ElectionTicks: electionTicks, HeartbeatTicks: heartbeatTicks, MaxMessageBytes: 1 << 10,
		MaxInflightBytes: 1 << 12, MaxInflightMessages: 4, MaxUncommittedBytes: 1 << 16,
	}}
	for _, f := range change {
		f(&o)
	}
	return rafttest.New(o)
}

// withLogs fills the nodes' disks: logs[i] are the terms of node i+1's entries,
// and all nodes are in the given term.
func withLogs(term raft.Term, logs ...[]raft.Term) func(o *rafttest.Options) {
	return func(o *rafttest.Options) {
		o.Prepare = func(n *rafttest.Node) {
			if i := int(n.ID) - 1; i < len(logs) {
				n.Fill(term, logs[i]...)
			}
		}
	}
}

// madeUp is for tests that hand in messages which no node has sent.
func madeUp(o *rafttest.Options) { o.Unchecked = true }

// terms is shorthand for a log.
func terms(t ...raft.Term) []raft.Term { return t }

// elect makes node id the serving leader of a cluster in which nobody leads.
func elect(t *testing.T, c *rafttest.Cluster, id raft.ReplicaID) {
	t.Helper()
	// A candidate that lags behind in its term learns it by the first try.
	for range 2 {
		c.Campaign(id)
		c.Stabilize()
		if s := c.Node(id).Core.Status(); s.Role == raft.RoleLeader {
			return
		}
	}
	t.Fatalf("node %d doesn't win: %v", id, c.Nodes)
}

// forget lets nodes miss their leader, so that they take part in an election.
// What they send meanwhile is lost.
func forget(c *rafttest.Cluster, ids ...raft.ReplicaID) {
	for _, id := range ids {
		c.Tick(id, electionTicks)
	}
	c.Take(nil)
}

// propose appends at node id, which must lead.
func propose(t *testing.T, c *rafttest.Cluster, id raft.ReplicaID, data ...string) raft.Index {
	t.Helper()
	first, err := c.Propose(id, data...)
	if err != nil {
		t.Fatalf("propose at %d: %v", id, err)
	}
	return first
}

func status(c *rafttest.Cluster, id raft.ReplicaID) raft.Status { return c.Node(id).Core.Status() }

// want compares one thing.
func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// typed matches messages of a type, to a node if to is not 0.
func typed(typ raft.MessageType, to raft.ReplicaID) func(e *rafttest.Envelope) bool {
	return func(e *rafttest.Envelope) bool { return e.Type == typ && (to == 0 || e.To == to) }
}

// sentTo returns the waiting messages of a type to a node.
func sentTo(c *rafttest.Cluster, typ raft.MessageType, to raft.ReplicaID) (out []raft.Message) {
	for i := range c.Net {
		if typed(typ, to)(&c.Net[i]) {
			out = append(out, c.Net[i].Message)
		}
	}
	return out
}

// hand delivers a made-up message.
func hand(c *rafttest.Cluster, m raft.Message, entries ...rafttest.Entry) {
	c.Forge()
	c.Hand(rafttest.Envelope{Message: m, Entries: entries})
}

// data makes entries of one term.
func data(term raft.Term, values ...string) (out []rafttest.Entry) {
	for _, v := range values {
		out = append(out, rafttest.Entry{Term: term, Kind: raft.KindData, Data: v})
	}
	return out
}

// logTerms returns the terms of a log.
func logTerms(log []rafttest.Entry) (out []raft.Term) {
	for _, e := range log {
		out = append(out, e.Term)
	}
	return out
}
