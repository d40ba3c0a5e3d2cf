// Package segments is a partition's log on disk: the segment files are the
// replicated log itself, not a copy of it. It knows entries, terms and offsets,
// and nothing of consensus; internal/replica joins it with package raft. The
// format has its own page, docs/internals/format.md.
//
// Start with Open. The smallest correct use:
//
//	log, rec, err := segments.Open(segments.Options{FS: vfs.OS(), Dir: dir, Identity: id})
//	err = log.Append(segments.Frame{
//		Kind: segments.KindData, Index: log.Last() + 1, Term: 1, PrevTerm: log.LastTerm(),
//		BaseOffset: log.NextOffset(), Records: n, MaxTimestamp: ts, Payload: batch,
//	}, segments.Local{WriteTerm: 1})
//	err = log.Flush() // nil: all that was appended before the call is durable
//
// # Contract of the caller
//
//  1. One owner calls Append, AppendRaw, Truncate and SetCommit, one call at a
//     time. They work in memory, do no I/O and don't block. Payloads are copied:
//     the caller's buffer is free when the call returns.
//  2. The disk side calls Flush and Close, one call at a time, from any goroutine.
//     A Flush takes what is staged when it begins; while it runs the owner goes on,
//     and the next Flush takes all that gathered, so that one fdatasync serves many
//     appends. Call it again whenever something was staged after it began.
//  3. An entry is durable when a Flush that began after its Append returned nil, not
//     before. Durable tells the same, and falls when a Truncate takes entries away.
//  4. After an error of Flush the log is poisoned: stop acknowledging, report what
//     waited as unknown, Close, and Open again.
//  5. After a Truncate the next append must carry a higher write term. In Raft it
//     always does: only the leader of a newer term overrules what was written. After
//     Open the term must be at least Recovery.WriteTerm, also where the hard state on
//     disk is older.
//  6. Tell the commit index with SetCommit: it bounds truncation, and lets the log
//     forget what only a truncation would need.
//
// Readers may call everything else from any goroutine at any time. What they get
// is right or an error: a read that was disturbed by a truncation begins again.
// Slices from TailFrames are shared and immutable; they stay valid for ever, also
// after the entries were truncated, and cost memory as long as they are held.
// Buffers passed to ReadFrames and ReadBatches are appended to.
//
// A disk side that calls Seal after each Flush, and Finish after the last one, gives
// segments a footer, by which the next Open knows them without reading them.
//
// # Files
//
//	<dir>/00000000000000000001-0000000001000000.seg    header block, frames, zeros
//	      \__ base index _____/ \_ segment ID ___/
//
// A frame is a header of 96 bytes (64 equal on all replicas, 32 local) and one
// record batch. Frames never span files. The active file is preallocated in steps. A
// footer behind the frames holds what follows from them, and the sparse index.
//
// # Errors
//
// *CorruptionError (errors.Is ErrCorrupt): something that had been durable is
// damaged or missing; Open and reads return it, nothing is ever cut off or deleted
// because of it, and the replica needs repair from its peers. *IdentityError
// (ErrNotOurs) and *VersionError: hands off, the operator must look.
// *PoisonedError: point 4. *OrderError, *FrameError and *TooLargeError refuse an
// append and leave the log as it was. *OutOfRangeError and *EntriesError: not in
// the log. ErrTruncated: the log changed under the read too often; try again.
//
// # Memory
//
// The recent tail is kept in chunks of 4 KiB to 1 MiB up to Options.TailBytes, and
// whatever is not durable beyond that. A log opened from disk has no tail until
// something is appended, and an idle one costs a few kilobytes. The sparse index
// takes 32 bytes for each IndexInterval of data in segments without a footer; of the
// others it is read when it is needed, and kept in a part of Options.Memory.
//
// # Departures
//
// Truncations are cut from the file before it is written again, so that frames of
// two histories never stand behind each other, and a group commit marks each frame
// with what was durable before it (format.md gives the reasons).
package segments
