// Package vfs is the door to the disk: everything at and below L2 reads and
// writes files through an FS value that comes in with its options, so that the
// same code runs on the operating system, on a memory file system that forgets
// what was not synced, and on either with faults.
//
//	fsys := vfs.OS()                              // production
//	mem := vfs.NewMem()                           // tests, simulator
//	fsys = vfs.WithFaults(mem, faults)            // a disk that fails by rules
//	fsys = vfs.WithTrace(fsys, func(s string) {}) // a line for each change
//	mem = mem.Crash(vfs.CrashOptions{})           // the power goes
//
// # Contract of the caller
//
// What is durable is what the caller made so, with nothing implied:
//
//  1. The content and the size of a file after File.Sync returned nil.
//  2. The name of a file after FS.SyncDir of its directory, also for the file's
//     first life: a synced file without a synced name is lost. The same holds for
//     removals, for renames and for directories, whose names lie in their parents.
//  3. After an error of WriteAt, Truncate, Preallocate or Sync the handle tells
//     nothing true any more: stop using it and never sync again. Linux marks pages
//     clean after a failed fsync, so a second one succeeds and has written nothing.
//
// FS values and files are safe for concurrent use. Buffers given to ReadAt and
// WriteAt belong to the caller again when the call returns. No method blocks on
// anything but the disk, except a rule's delay.
//
// # What Mem forgets
//
// Mem keeps for each file what readers see and what was synced, and for each
// directory the names and the changes not yet synced. Crash returns the state
// after a power loss, by a dial: of the unsynced 4 KiB blocks, sizes and directory
// changes none, all or a random share survive, in any order; with Torn sectors of
// 512 bytes, one of them torn. Renames are atomic. Space that was only
// preallocated costs no memory, and a small file costs a few hundred bytes.
//
// # Limits
//
// Mem has no permissions, no links, no times and no open-file semantics beyond
// "an open file outlives its name". OS locks with flock, which is advisory and,
// on network file systems, not to be trusted; logq doesn't support those.
package vfs
