package raft_test

import (
	"testing"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// founders lets only the first n nodes make the group; the others wait to be added.
func founders(n int) func(o *rafttest.Options) {
	return func(o *rafttest.Options) { o.Voters = n }
}

// ids is shorthand for a list of replicas.
func ids(v ...raft.ReplicaID) []raft.ReplicaID { return v }

// configure proposes a configuration at node id, which must take it.
func configure(t *testing.T, c *rafttest.Cluster, id raft.ReplicaID, voters, learners []raft.ReplicaID) raft.Index {
	t.Helper()
	i, err := c.ProposeConfig(id, voters, learners)
	if err != nil {
		t.Fatalf("voters %d, learners %d at %d: %v", voters, learners, id, err)
	}
	return i
}

// teach adds learners to the configuration of leader id and waits until they have
// caught up.
func teach(t *testing.T, c *rafttest.Cluster, id raft.ReplicaID, learners ...raft.ReplicaID) {
	t.Helper()
	configure(t, c, id, status(c, id).Config.Voters, learners)
	c.Stabilize()
	for _, l := range learners {
		want(t, "a learner has caught up", peerOf(c, id, l).CaughtUp, true)
	}
}

// peerOf returns what node id knows of another.
func peerOf(c *rafttest.Cluster, id, other raft.ReplicaID) raft.PeerStatus {
	for _, p := range status(c, id).Peers {
		if p.ID == other {
			return p
		}
	}
	return raft.PeerStatus{}
}

// configOf returns the configuration in force at a node, as text.
func configOf(c *rafttest.Cluster, id raft.ReplicaID) string { return status(c, id).Config.String() }

// cutOff cuts a node off from all others, members or not.
func cutOff(c *rafttest.Cluster, id raft.ReplicaID) {
	for _, n := range c.Nodes {
		c.CutLink(id, n.ID)
		c.CutLink(n.ID, id)
	}
}

// toAny matches messages to any of some nodes.
func toAny(to ...raft.ReplicaID) func(e *rafttest.Envelope) bool {
	return func(e *rafttest.Envelope) bool {
		for _, id := range to {
			if e.To == id {
				return true
			}
		}
		return false
	}
}

// toJoint proposes a change and stops with the joint configuration on node id only.
func toJoint(t *testing.T, c *rafttest.Cluster, id raft.ReplicaID, voters, learners []raft.ReplicaID) raft.Index {
	t.Helper()
	c.Node(id).AutoDisk = false
	i := configure(t, c, id, voters, learners)
	want(t, "joint", status(c, id).Config.Joint(), true)
	return i
}
