package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func syncDir(d *os.File) error { return d.Sync() }

// syncData is fdatasync: content and size, without the times, which would cost
// a journal commit for each group commit.
func syncData(f *os.File) error {
	return again(func() error { return unix.Fdatasync(int(f.Fd())) })
}

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
