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
// same seed gives the same history, to the byte; Report.Trace is a hash of all that
// happened. A failure names its seed, and
//
//	go test ./internal/sim -run TestSim -seed=1234 -v
//
// plays it again, looks for a smaller history that breaks the same rule (without
// whole kinds of faults, without single ones, shorter), and shows the end of that.
// Package main in soak plays a million and more.
//
// # What is simulated
//
// Time is an event queue: ticks, message deliveries, disk completions, client
// requests and faults happen in order of their simulated time.
//
//   - Network: messages are delayed, dropped, duplicated, reordered, and a bit of
//     their entries flips; links are cut one way, with the sender told or not (half
//     open), or slow; replicas are cut off, the group is split, with a bridge or
//     without.
//   - Disks: an operation takes effect when it starts or when it ends, as drawn, and
//     completes later, much later, or after many election timeouts. A power cut
//     leaves what was synced, plus any part of what was not: nothing, all, or a
//     random choice of blocks and directory entries, torn or not. It comes between
//     operations or at any call within one, also while a replica recovers; or to all
//     at once. A killed process leaves the page cache behind. A sync fails with or
//     without losing its data, writes fail or are short, reads fail, space runs out
//     and returns. What was durable rots, or is gone with the whole disk: then the
//     replica must not come back, and another takes its place.
//   - Clocks: each replica's runs at a rate of its own, wall clocks jump, processes
//     stop for a while. Leases are as long as the rates allow.
//   - Operators: leadership is transferred, configurations change, logs are trimmed
//     and begun anew, idle groups fall quiet.
//
// At most a minority is ever lost or damaged for good.
//
// # What is checked
//
// After every step: at most one leader per term, elected by a majority of the
// voters of its configuration, both of them if it is joint; an (index, term) names
// one entry with one predecessor everywhere (log matching); a new leader has every
// committed entry; a committed index holds the same entry on all replicas for ever,
// and was durable on a majority of the voters when its leader committed it; no log
// holds two configurations that aren't committed; offsets are dense; commit index
// and high watermark don't fall; a vote once given in a term is given to nobody else
// in it, and is remembered, across crashes; an acknowledged index is durable; what
// was durable is there after a crash, or the replica says that it is damaged; a read
// is not older than any append acknowledged before it was asked; what was reported
// as not written never appears; nobody breaks the protocol.
//
// At the end a phase without faults, in which an append must soon be acknowledged
// and all replicas must converge, within bounds, to equal logs, read whole from
// disk, that hold everything acknowledged. Then what the clients were told (offsets
// of appends, batches read by offset from any replica, high watermarks) is checked
// for linearizability, with porcupine.
//
// # What is not
//
// Hosts with many groups and the journal's own files: those have tests of their own
// in internal/multiraft and internal/journal. An old disk image put back under its
// id looks here like nothing that a replica could know; brokers refuse it by their
// directories' incarnation.
package sim
