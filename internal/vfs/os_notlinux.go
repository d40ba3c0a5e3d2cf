//go:build !linux

package vfs

import (
	"os"
	"runtime"
)

// syncDir does nothing on Windows, where directories cannot be flushed.
func syncDir(d *os.File) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	return d.Sync()
}

// syncData uses the standard library's Sync, which on macOS asks the disk to
// empty its cache (F_FULLFSYNC).
func syncData(f *os.File) error { return f.Sync() }

func preallocate(f *os.File, off, n int64) error { return extend(f, off, n) }

func uncache(*os.File) error { return nil }

func openDirect(string) (File, error) { return nil, ErrNoDirect }

func writeSync(f *os.File, bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if _, err := f.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return syncData(f)
}
