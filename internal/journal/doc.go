// Package journal keeps the Raft hard state of all groups of one broker: small
// values by key, on stable storage when Save returns, in two mirrored copies.
//
// [Open] a [WAL], [WAL.Load] what the last process saved, and [WAL.Save] before
// anything that depends on it is told to others:
//
//	w, report, err := journal.Open(journal.Options{Dir: dir, Owner: id})
//	// log report.Warnings
//	err = w.Load(func(e journal.Entry) error { ... })
//	err = w.Save([]journal.Entry{{Key: key, Value: state}})
//
// [Mem] is the same contract in memory, for simulations.
//
// # Contract
//
//   - The caller holds the lock of the data directory: two processes on one
//     journal destroy it.
//   - One goroutine saves at a time, and gathers what is to be saved: a Save costs
//     two syncs however many entries it has. Load may run beside it.
//   - Save copies the values. What Load passes may be kept and not changed.
//   - A Save is one record: after a crash all of its entries are there or none.
//   - The first failed Save leaves its outcome unknown and poisons the journal:
//     every later call returns a [*PoisonedError]. The state may be used again only
//     by a new Open, in a new process, which writes all of it anew: after a failed
//     fsync the kernel takes pages for clean that are not on disk, and a second
//     fsync reports success. A [*TooLargeError] is no failure: nothing was written.
//   - A [*CorruptionError] from Open means that promises to other brokers may be
//     forgotten. Nothing was changed or deleted. The broker must not go on.
//
// # Files
//
//	journal/a/00000000000000000041   the library's segments, named by first index
//	journal/b/00000000000000000017   the same records in the other copy
//	journal/a.new/                   a replacement being built (repair only)
//	journal/a.damaged-<generation>/  what it replaced; the newest four are kept
//
// A segment is a run of the library's binary entries (uvarint length, bytes);
// each entry is one record as drawn in record.go: magic, version, kind,
// generation, owner, entries, CRC-32C, end mark. The generation counts Saves. A
// record of kind checkpoint holds all live state. A copy begins with one, and
// each later record is the next generation, or a checkpoint of any later one.
// The state of a copy is its newest checkpoint and the changes after it.
//
// Nothing is read through the library: Open parses the files itself, checks that
// each begins where the one before ends, and keeps the live state in memory.
// Once old records take four segments and four times the live state, a Save
// writes a checkpoint in place of its changes, and the front is dropped. So
// memory is bounded by the live state and one segment per copy, disk by about
// ten times the live state or five segments per copy.
//
// # Why the newest state comes back, or an error
//
// We assume that a synced byte stays until damaged, that a directory entry stays
// once the directory is synced, and that a crash leaves of an unsynced write any
// part of it, with zeros, holes or garbage in the place of the rest.
//
// The rules of writing:
//
//	W1  a Save writes and syncs its record in a, then in b, then returns.
//	W2  no record is written before both copies have the one before it.
//	W3  nothing is dropped from a before both have a later checkpoint, and
//	    nothing from b before that drop is complete and a's directory synced.
//	W4  a new file counts only after its directory was synced.
//
// Let G be the newest generation that is whole in a or b. By W2 every Save up to
// G-1 returned or could have; so what Open must find out is whether a Save G+1
// may have returned, of which no whole record is left.
//
//   - Crash before or in the write of G+1 to a: a ends with nothing or with a torn
//     record, b ends with G. It did not return. Open cuts the tail.
//   - Crash between the copies, or in the write to b: a has G+1 whole, so this
//     is the case above for G+2. b, a record behind, is given that record.
//   - a's record G+1 was damaged after it returned: then b has it (W1), and G+1
//     is whole in the union. a is rebuilt.
//   - The same, but b lost it too, or bytes of it: b must not have any trace of
//     G+1 that a has not (W1); if it has, a lost it: error. If b has no trace, a's
//     damage decides: a record that ends with its end mark and has no hole was
//     once written as a whole, and may have returned: error. Only what looks cut
//     off, in a, with G whole in b, passes as a crash.
//   - b without G while a was writing G+1 breaks W2: b lost it: error.
//   - Damage before the tail: records are taken from either copy, as each
//     carries its checksum, generation and owner. If one since the newest checkpoint
//     is in neither: error. An older state is never an answer.
//
// What cannot be seen is that both copies lost exactly the same whole records
// from their ends, or the first those and the second their last with less than
// an end mark left. No crash and no single fault does that. An old image of the
// whole disk is for the layers above to notice.
//
// Open then makes both copies hold a new checkpoint N of that state, because the
// newest record may have been in the page cache only, and must not be acted on
// before it is durable. If both copies are sound, tails are cut and both are
// synced, b gets the record it lacks, N goes to a and then to b as in a Save, and
// what is older is dropped; by the list above a crash at any step leaves the same
// state or N, which is equal. If a copy must be rebuilt, a replacement with only N
// is built and synced beside it first, for each such copy. From then on the
// decision is on disk: the next Open that finds a whole replacement takes N and
// finishes. No Save can have come between, since Open returns only when no
// replacement is left.
//
// The library drops the front of a log by writing a START file, removing what is
// older and renaming it, without a directory sync in between. Open finishes that
// itself, in a safe order. Where a file system reordered these steps, the copy
// fails the check and is rebuilt: by W3 the other one is sound.
//
// Both copies could be written at the same time, which would halve the time of a
// Save (0.4 ms on ext4 on a virtual disk, of which 0.18 ms are one sync), and
// would lose W1, on which telling a crash from damage rests.
//
// # Limits and departures
//
// Values up to [MaxValueBytes], all together up to [MaxStateBytes]. Weaknesses of the
// library that are covered each have a test, weakness_test.go; the order of
// writes, syncs and directory syncs is held by testdata/trace.txt.
package journal
