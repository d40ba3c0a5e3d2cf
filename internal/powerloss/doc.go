// Package powerloss cuts the power of real broker processes. Each broker keeps its
// data on a [Disk]: a file system that this process serves through FUSE, and that
// knows what was made durable by fsync and what was only written. After the brokers
// were killed, [Disk.Cut] drops what was not durable, in whole, at random by block,
// or torn at sectors, as [vfs.CrashOptions] has it, and the brokers start again on
// what is left. The [Ledger] holds what was acknowledged and what consumers have
// seen, and compares.
//
//	disk, err := powerloss.Mount(dir)                        // an empty disk
//	// … a process works in dir and is killed …
//	err = disk.Cut(vfs.CrashOptions{Keep: 0.5, Rand: rng})   // the power goes
//	disk.Lie(powerloss.Files)                                // fsync does nothing from now on
//
// Command run, below, does that with three brokers, again and again:
//
//	go run ./internal/powerloss/run -rounds 12 -seed 1
//
// It needs Linux and the right to mount FUSE file systems (root, or fusermount3), so
// it is not part of `go test ./...`: where it can't mount, it says what is missing and
// ends with status 3, and never passes for a run that found nothing. What of this
// package needs no mount (every operation of the file system, and the ledger) is
// tested by its own tests.
//
// # What the disk does
//
// The state is a [vfs.Mem], so the same crash model judges the simulator, the tests
// of package segments and real processes. Write, truncate, fallocate, rename, remove
// and mkdir change what readers see; fsync and fdatasync of a file make its bytes and
// its size durable, fsync of a directory its names; nothing else does. Writes reach
// this process at once (the kernel holds no dirty pages, since FUSE's writeback cache
// is off, except those of shared writable mappings, which it writes at msync and
// fsync), so a killed broker leaves exactly what its system calls had done. Files
// opened with O_DIRECT refuse what is not whole sectors. flock is the kernel's and
// ends with its process. A cut ends the old mount and makes a new one, so that no
// cache of the kernel lives through it.
//
// # Limits
//
// No links, owners, times or extended attributes. Punching holes and zeroing ranges are refused.
// The kernel passes O_DSYNC and RWF_DSYNC on as a write and an fsync. A request is
// one megabyte at most, so a larger write may be dropped in parts, as on any disk.
package powerloss
