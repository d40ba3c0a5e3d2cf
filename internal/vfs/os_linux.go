package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

func syncDir(d *os.File) error { return d.Sync() }

// syncData is fdatasync: content and size, without the times, which would cost
// a journal commit for each group commit.
func syncData(f *os.File) error {
	return again(func() error { return unix.Fdatasync(int(f.Fd())) })
}

// openDirect opens a file past the page cache. What the file system can't do shows
// here on most of them, on some only at the first write: ProbeDirect tells.
func openDirect(name string) (File, error) {
	f, err := openOS(name, os.O_RDWR|unix.O_DIRECT)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, fmt.Errorf("%w: %w", ErrNoDirect, err)
	}
	return f, err
}

// writeSync uses one write and one fdatasync.
func writeSync(f *os.File, bufs [][]byte, off int64) error {
	for len(bufs) > 0 {
		part := bufs[:min(len(bufs), iovMax)]
		bufs = bufs[len(part):]
		want := 0
		for _, b := range part {
			want += len(b)
		}
		var n int
		err := again(func() (err error) { n, err = unix.Pwritev(int(f.Fd()), part, off); return err })
		if err != nil {
			return err
		}
		if n < want {
			return fmt.Errorf("wrote %d of %d bytes at %d: %w", n, want, off, io.ErrShortWrite)
		}
		off += int64(n)
	}
	return syncData(f)
}

// iovMax is how many buffers one call takes (IOV_MAX).
const iovMax = 1024

func preallocate(f *os.File, off, n int64) error {
	err := again(func() error { return unix.Fallocate(int(f.Fd()), 0, off, n) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return extend(f, off, n)
	}
	return err
}

func uncache(f *os.File) error {
	return again(func() error { return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) })
}

// again repeats a call that a signal interrupted before it did anything. No
// other error is ever retried.
func again(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
