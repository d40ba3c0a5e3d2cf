package etcdtest

import (
	"fmt"
	"slices"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// beginning is how the replicas of a scenario start.
type beginning struct {
	nodes  int
	config raft.Config
	last   raft.Index
	// trimmed: the log begins behind last.
	trimmed bool
	// entry they have nothing and wait to be added.
	behind map[raft.ReplicaID]raft.Index
}

// member says whether a replica starts with a log.
func (b *beginning) member(id raft.ReplicaID) bool {
	at, late := b.behind[id]
	return b.config.Contains(id) && (!late || at > 0)
}

// newGroup makes a group with a committed log of term 1 that nobody leads. It is the
// history of a real leadership, after which all have restarted, so that the checks
// of rafttest know it. Elections begin only when they are asked for: the first
// timeouts are longer than any scenario lasts.
func newGroup(o raft.Options, b beginning) (*rafttest.Cluster, error) {
	c := rafttest.New(rafttest.Options{
		Nodes: b.nodes, Voters: len(b.config.Voters), Raft: o,
		PerNode: func(o *raft.Options) {
			o.Priority = -1
			if o.Voters = nil; b.member(o.ID) {
				o.Voters = b.config.Voters
			}
		},
	})
	c.Cut = func(e *rafttest.Envelope) bool {
		at, late := b.behind[e.To]
		return late && (at == 0 || e.Hi > at+1)
	}
	leader := b.config.Voters[0]
	c.Campaign(leader)
	c.Stabilize()
	if len(b.config.Learners) > 0 {
		if _, err := c.ProposeConfig(leader, b.config.Voters, b.config.Learners); err != nil {
			return nil, err
		}
		c.Stabilize()
	}
	for c.Node(leader).Core.Status().Last < b.last {
		if _, err := c.Propose(leader, "before"); err != nil {
			return nil, err
		}
		c.Stabilize()
	}
	if _, err := c.Read(leader); err != nil { // its heartbeats tell the commit index
		return nil, err
	}
	c.Stabilize()
	for _, n := range c.Nodes {
		if first := raft.Index(len(n.Log)) + 1; b.trimmed && first > 1 {
			if err := n.Trim(first); err != nil {
				return nil, err
			}
		}
	}
	for _, n := range c.Nodes {
		n.Crash(0)
		n.Start()
	}
	c.Cut = nil
	if s := c.Node(leader).Core.Status(); c.Err() == nil && (s.Last != b.last || s.Term != 1) {
		return nil, fmt.Errorf("the group begins at %v", c.Node(leader))
	}
	return c, c.Err()
}

// ids converts and sorts.
func ids[T ~uint64](in ...T) (out []raft.ReplicaID) {
	for _, id := range in {
		out = append(out, raft.ReplicaID(id))
	}
	slices.Sort(out)
	return out
}
