// Package rafttest runs groups of raft.Core in one goroutine, over a network and
// disks that do exactly what a test tells them. It is test support.
//
//	c := rafttest.New(rafttest.Options{Nodes: 3})
//	c.Campaign(1)
//	c.Stabilize()
//	c.Propose(1, "a")
//	c.Stabilize()
//	if err := c.Err(); err != nil { … }
//
// Each Node drives its core as internal/replica does, with entries that are
// strings. It has two files, as a real replica does: a journal for the hard
// state and a log for the entries. Disk work queues up in both and is done when
// the test says so, in order in each file but independently between them; the
// core is told when both have done it. A crash loses what was not done, and may
// tear the entry that was being written.
//
// Messages queue up in the network until they are delivered, dropped or
// duplicated. With AutoDisk (the default) disk work is done at once.
//
// A Checker looks at everything that happens, in every test: at most one leader
// in a term; one content for each (term, index), with one predecessor; a new
// leader holds every committed entry; a committed index never changes and is
// durable on a majority when it is committed; commit indexes don't fall; nothing
// committed is truncated; a vote leaves only when it is durable and goes to one
// candidate per term, ever; an acknowledgement leaves only when what it promises
// is durable; a read is not older than any commit before it; what is reported as
// lost is never committed.
//
// Env runs scripts in the form of github.com/cockroachdb/datadriven with the
// full trace as their output; see testdata of package raft.
package rafttest
