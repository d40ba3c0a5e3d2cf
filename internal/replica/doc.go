// Package replica is one replica of one partition as a step function: it joins
// the Raft core (package raft, which knows no bytes) with the partition's log on
// disk (package segments, which knows no consensus).
//
// Start with Open, then feed inputs and carry out what comes back:
//
//	r, rec, err := replica.Open(opts)
//	r.Tick(&out)                     // time
//	r.Step(&msg, frames, &out)       // a message from another replica
//	r.Append(batch, 0, token, &out)  // a producer's batch
//	for _, s := range out.Sends { … }
//	if w := r.Disk(); w.Save || w.Flush { … }
//
// # Duties of the driver
//
//  1. One goroutine calls the methods of a Replica; only Log's reader methods
//     may be used by others.
//  2. After each input, or after a batch of inputs, carry out Output: Sends may
//     all leave at once and in order, Appends and Reads are the outcomes of what
//     was asked before. Then Reset it.
//  3. After that, ask Disk. Make the hard state durable in the journal (Save),
//     run Log().Flush (Flush), the two in any order or together, each at most
//     one at a time for a replica; report with Saved and Flushed. More may be
//     appended while they run; the next round takes it all: this is the group
//     commit.
//  4. A failure of either is reported with DiskFailed, and the replica is done
//     until it is opened anew: after a failed fsync nobody knows what the disk
//     holds (ATC'20), so it neither leads nor votes nor acks.
//
// Buffers: Append and Step take ownership of the bytes they are given; the
// frames of a Send alias the log's memory, are immutable, and may be kept.
//
// # Invariants
//
// An entry is acknowledged (Appends without error) only when it is committed,
// which needs it durable on a majority: segment and journal both (docs/internals/raft.md, D4).
// Disk completions are matched to numbered Readys, never to a bare index (D1).
// The high watermark never moves back while the process lives. A broken
// invariant panics with *invariants.Violation; the driver recovers it and parks
// this one replica.
//
// There is no goroutine, clock, socket or random source here: the simulator
// runs this very code.
package replica
