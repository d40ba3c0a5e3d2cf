package rafttest

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/spec"
)

// Options shape a Cluster.
type Options struct {
	// Nodes is the number of replicas, with ids from 1; the first Voters of them, by
	// default all, make the group, the others wait to be added to it.
	Nodes, Voters int
	// Raft are the cores' options; id, voters and seed are filled in.
	Raft raft.Options
	// Seed makes the nodes' seeds.
	Seed uint64
	// Trace, if set, gets a line for everything that happens.
	Trace io.Writer
	// Prepare, if set, writes the nodes' disks before they start.
	Prepare func(n *Node)
	// Unchecked turns the Checker off, for tests that make up messages which no
	// node of the cluster has sent. The driver's contract is still checked.
	Unchecked bool
	// PerNode, if set, changes the options of one node.
	PerNode func(o *raft.Options)
}

// Envelope is a message with its entries.
type Envelope struct {
	raft.Message
	Entries []Entry
	// Start is the configuration in force where a MsgJump begins the log.
	Start *raft.ConfigEntry
}

type link struct{ from, to raft.ReplicaID }

// Cluster is a group of nodes and the network between them.
type Cluster struct {
	Nodes []*Node
	// Net holds the messages that were sent and not delivered, in order.
	Net []Envelope
	// Cut, if set, says which messages are lost as they are sent.
	Cut func(e *Envelope) bool
	// Jumps counts logs that were begun anew.
	Jumps int
	// Quiets counts how often a node fell quiet.
	Quiets int

	o      Options
	links  map[link]bool // cut
	voters []raft.ReplicaID
	check  *Checker
	spec   *spec.Group
	err    error
}

// New starts a cluster of followers that know nothing.
func New(o Options) *Cluster {
	c := &Cluster{o: o, links: make(map[link]bool)}
	c.check = newChecker(c)
	c.spec = spec.New(spec.Options{Forged: o.Unchecked})
	if o.Voters == 0 {
		o.Voters = o.Nodes
	}
	for i := range o.Nodes {
		id := raft.ReplicaID(i + 1)
		if i < o.Voters {
			c.voters = append(c.voters, id)
		}
		n := &Node{ID: id, AutoDisk: true, Seed: o.Seed*1000 + uint64(id), c: c, spec: c.spec.Replica(id)}
		c.Nodes = append(c.Nodes, n)
		if o.Prepare != nil {
			o.Prepare(n)
		}
	}
	for _, n := range c.Nodes {
		n.Start()
	}
	return c
}

// Fill sets what a node's disk holds before it starts: a log of entries of the
// given terms, named so that equal (term, index) have equal data, and a term
// that is at least the last one.
func (n *Node) Fill(term raft.Term, terms ...raft.Term) {
	n.spec.Lost()
	n.disk.keep(0)
	for i, t := range terms {
		n.disk.marks = append(n.disk.marks, 0)
		n.disk.log = append(n.disk.log, Entry{Term: t, Kind: raft.KindData, Data: fmt.Sprintf("%d/%d", t, i+1)})
		term = max(term, t)
	}
	n.disk.hard = raft.HardState{Term: term}
}

// Node returns the node with an id, nil if there is none.
func (c *Cluster) Node(id raft.ReplicaID) *Node {
	if id == 0 || id > raft.ReplicaID(len(c.Nodes)) {
		return nil
	}
	return c.Nodes[id-1]
}

// Err returns the first thing that went wrong: a violated invariant or a breach
// of the driver's contract.
func (c *Cluster) Err() error { return c.err }

// Committed returns what is committed, by any leader so far.
func (c *Cluster) Committed() []Entry { return c.check.log }

func (c *Cluster) failf(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
		c.tracef("FAILED: %v\n", c.err)
	}
}

func (c *Cluster) tracef(format string, args ...any) {
	if c.o.Trace != nil {
		fmt.Fprintf(c.o.Trace, format, args...)
	}
}

// guard runs f and turns a violated invariant of the core into the cluster's
// error.
func (c *Cluster) guard(n *Node, f func()) (ok bool) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			c.failf("node %d: %w", n.ID, r)
		default:
			c.failf("node %d panics: %v", n.ID, r)
		}
	}()
	f()
	return true
}

func (c *Cluster) post(e Envelope) {
	if c.links[link{e.From, e.To}] || c.Cut != nil && c.Cut(&e) {
		c.tracef("  lost  %v\n", e.Message)
		return
	}
	c.Net = append(c.Net, e)
}

// CutLink loses what from sends to to from now on.
func (c *Cluster) CutLink(from, to raft.ReplicaID) { c.links[link{from, to}] = true }

// Isolate cuts all links of a node, both ways.
func (c *Cluster) Isolate(id raft.ReplicaID) {
	for _, o := range c.voters {
		c.CutLink(id, o)
		c.CutLink(o, id)
	}
}

// Heal mends all links.
func (c *Cluster) Heal() { clear(c.links) }

// Tick advances a node's time by some ticks.
func (c *Cluster) Tick(id raft.ReplicaID, ticks int) {
	n := c.Node(id)
	for range ticks {
		n.do(n.Core.Tick, n.other("Tick"))
	}
}

// Campaign lets a node start an election.
func (c *Cluster) Campaign(id raft.ReplicaID) {
	n := c.Node(id)
	n.do(n.Core.Campaign, n.other("Campaign"))
}

// Propose appends entries at a node, which should lead.
func (c *Cluster) Propose(id raft.ReplicaID, data ...string) (first raft.Index, err error) {
	return c.ProposeAt(id, 0, data...)
}

// ProposeAt is Propose with an expected term.
func (c *Cluster) ProposeAt(id raft.ReplicaID, term raft.Term, data ...string) (first raft.Index, err error) {
	n := c.Node(id)
	err = errors.New("rafttest: the node is down")
	n.do(func() {
		sizes := make([]int, len(data))
		for i, d := range data {
			sizes[i] = SizeOf(Entry{Data: d})
		}
		n.next = data
		first, err = n.Core.Propose(term, sizes)
		if err != nil {
			n.next = nil
		}
	}, func(s *raft.Status) error {
		if err != nil {
			return n.spec.Other("Propose", s)
		}
		return n.spec.Proposed(first, len(data), s)
	})
	return first, err
}

// Read asks a node for a read index.
func (c *Cluster) Read(id raft.ReplicaID) (rid uint64, err error) {
	n := c.Node(id)
	err = errors.New("rafttest: the node is down")
	n.do(func() {
		rid, err = n.Core.Read()
		if err == nil {
			c.check.asked(n, rid)
		}
	}, func(s *raft.Status) error {
		if err != nil {
			return n.spec.Other("Read", s)
		}
		return n.spec.Asked(rid, s)
	})
	return rid, err
}

// Transfer asks a node to hand its leadership over.
func (c *Cluster) Transfer(id, to raft.ReplicaID) (err error) {
	n := c.Node(id)
	err = errors.New("rafttest: the node is down")
	n.do(func() { err = n.Core.Transfer(to) }, n.other("Transfer"))
	return err
}

// ProposeConfig asks a node to change the configuration that it knows.
func (c *Cluster) ProposeConfig(id raft.ReplicaID, voters, learners []raft.ReplicaID) (i raft.Index, err error) {
	n := c.Node(id)
	err = errors.New("rafttest: the node is down")
	n.do(func() { i, err = n.Core.ProposeConfig(n.Core.Status().ConfigIndex, voters, learners) }, func(s *raft.Status) error {
		if err != nil {
			return n.spec.Other("ProposeConfig", s)
		}
		return n.spec.Configured(i, voters, learners, s)
	})
	return i, err
}

// Sent tells node id what became of a message to to.
func (c *Cluster) Sent(id, to raft.ReplicaID, ok bool) {
	n := c.Node(id)
	n.do(func() { n.Core.Sent(to, ok) }, n.other("Sent"))
}

// Deliver delivers the waiting messages that match, in order, but not those that
// are sent meanwhile. It returns how many there were.
func (c *Cluster) Deliver(match func(e *Envelope) bool) int {
	batch := c.Take(match)
	for _, e := range batch {
		c.Hand(e)
	}
	return len(batch)
}

// Take removes the waiting messages that match (nil: all) and returns them.
func (c *Cluster) Take(match func(e *Envelope) bool) []Envelope {
	var out []Envelope
	c.Net = slices.DeleteFunc(c.Net, func(e Envelope) bool {
		if match != nil && !match(&e) {
			return false
		}
		out = append(out, e)
		return true
	})
	return out
}

// Forge tells the specification that messages may be made up from now on, so that
// it holds each node against itself only.
func (c *Cluster) Forge() { c.spec.Forge() }

// Hand delivers one message now. It is lost if the node is down.
func (c *Cluster) Hand(e Envelope) {
	n := c.Node(e.To)
	if n.Core == nil {
		c.tracef("%d is down, lost: %v\n", e.To, e.Message)
		return
	}
	c.tracef("%d gets %v\n", e.To, e.Message)
	if err := n.Step(e); err != nil {
		c.tracef("  refused: %v\n", err)
	}
}

// Stabilize delivers messages until there are none, or for at most a bounded
// number of rounds, which it reports as an error.
func (c *Cluster) Stabilize() {
	const roundsMax = 100_000
	for range roundsMax {
		if c.err != nil || c.Deliver(nil) == 0 {
			return
		}
	}
	c.failf("messages go on for ever")
}

// Leader returns the leader of the highest term among the nodes that are up, 0
// if there is none.
func (c *Cluster) Leader() raft.ReplicaID {
	var id raft.ReplicaID
	var term raft.Term
	for _, n := range c.Nodes {
		if n.Core == nil {
			continue
		}
		if s := n.Core.Status(); s.Role == raft.RoleLeader && s.Term > term {
			id, term = n.ID, s.Term
		}
	}
	return id
}

// TickAll ticks every node that is up once and stabilizes.
func (c *Cluster) TickAll() {
	for _, n := range c.Nodes {
		c.Tick(n.ID, 1)
	}
	c.Stabilize()
}

// WaitLeader ticks until there is a serving leader whom all members that are up
// follow, or ticks are over, and returns it.
func (c *Cluster) WaitLeader(ticks int) raft.ReplicaID {
	for range ticks {
		if id := c.Leader(); id != 0 && c.Node(id).Core.Status().Serving && c.followed(id) {
			return id
		}
		c.TickAll()
	}
	return 0
}

func (c *Cluster) followed(id raft.ReplicaID) bool {
	config := c.Node(id).Core.Status().Config
	for _, n := range c.Nodes {
		if n.Core != nil && n.Core.Status().Leader != id && config.Contains(n.ID) {
			return false
		}
	}
	return true
}
