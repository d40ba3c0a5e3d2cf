// Command run cuts the power of three real brokers, again and again, and checks that
// nothing acknowledged is lost. See package powerloss for the disk.
//
//	go run ./internal/powerloss/run -rounds 12 -seed 1
//
// It builds cmd/logq, mounts a disk for each of three brokers, and produces to topics
// of few large and many small records, and to new topics, while a consumer follows.
// A round kills the three processes at once (SIGKILL) at a random moment of the load, drops
// what was not synced on all three disks in one of several ways, perhaps again while the
// brokers start, starts them, waits until records are acknowledged again, reads
// everything, and compares it with all that was ever acknowledged or seen. At the end
// the brokers are stopped in order, and `logq segment dump` reads every segment.
//
// Then the disks lie: clusters of their own run the same with an fsync that does
// nothing, of files and then of directories, and the check must report loss. A run in
// which it doesn't has failed as well: its checks would not see anything.
//
// The exit status is 0 if all promises were kept and all lies noticed, 1 if not, 2 for
// wrong flags, and 3 if FUSE can't be mounted here.
package main
