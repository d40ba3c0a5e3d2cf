// Package statefile keeps what a log has been folded to in files, so that the log
// needs not be kept for ever: the snapshots of the cluster's metadata.
//
//	store, found, err := statefile.Open(fsys, "data/metadata")
//	if found.State != nil {
//		… go on from found.State
//	}
//	err = store.Write(statefile.State{Index: 4711, Next: 4700, Image: image})
//	floor, ok := store.Floor() // what the log is not needed for any more
//
// # Files
//
// Each Write makes a file of its own, named by a generation that only rises. It is
// written beside its name, synced, renamed, and the directory synced: a crash at
// any point leaves the files there were, maybe with the new one. Only then are the
// files before the last two removed. A file has a checksum over its header and one
// over each of its two parts, so that a torn or flipped one is found; Open then goes
// back to the file before, and says so in [Found.Damaged].
//
// [Store.Floor] is what the older of two good files covers. A log that is trimmed to
// there reaches back far enough for either.
//
// # Contract
//
// One goroutine writes; the others may be called by any. A Write that has failed has
// left what there was, and counts for nothing: the next one makes another file and
// never touches what was written to the failed one (a second fsync would tell
// nothing). What is handed to Write is not kept.
//
// # Limits
//
// A part has at most [MaxImageBytes], [MaxLocalBytes]. The layout is in docs/internals/metadata.md;
// a file of a later version stops Open with a *[NewerError], since an older state is
// no stand-in for it.
package statefile
