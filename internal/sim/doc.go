// Package sim runs whole Raft groups of production replicas (internal/replica,
// with the real core, segment and recovery code) in simulated time, over a
// simulated network and simulated disks, and checks the invariants after every
// step. It is test support.
//
// One history is one seed:
//
//	rep, fail := sim.Run(seed, sim.Options{})
//
// A seed fixes everything: the number of replicas, which faults this history
// knows and how strong they are ("swarm" options), every delay, every loss. The
// same seed gives the same history, to the byte; a failure names it:
//
//	go test ./internal/sim -run TestSim -seed=1234 -v
//
// # What is simulated
//
// Time is an event queue: ticks, message deliveries, disk completions, client
// requests and faults happen in order of their simulated time. Messages are
// delayed, dropped, duplicated and reordered, links are cut one-way or both ways.
// A disk operation takes effect when it starts or when it ends, as drawn, and
// completes later. A crash kills the replica and leaves of its disk what was
// synced, plus any part of what was not: nothing, all, or a random choice of
// blocks and directory entries, torn or not. A power loss does so to all
// replicas at once. An fsync may fail, after which the replica is restarted.
//
// # What is checked
//
// After every step: at most one leader per term; an (index, term) names one
// entry with one predecessor everywhere (log matching); a new leader has every
// committed entry; a committed index holds the same entry on all replicas for
// ever; offsets are dense; commit index and high watermark don't fall; a vote
// once given in a term is given to nobody else in it, across crashes; an
// acknowledged index is durable; a read is not older than any append
// acknowledged before it was asked; what was reported as not written never
// appears. At the end a phase without faults in which all replicas must converge
// to equal logs that hold everything acknowledged.
package sim
