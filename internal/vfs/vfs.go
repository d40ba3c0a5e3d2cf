package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
)

// FS is the part of a file system that logq uses. Names are paths of the
// implementation: OS takes those of the operating system, Mem takes slashes.
// All methods are safe for concurrent use. Errors satisfy errors.Is with
// fs.ErrExist, fs.ErrNotExist and the numbers of package syscall where these apply.
type FS interface {
	// Create makes a new file, open for reading and writing. It fails with
	// fs.ErrExist if the name is taken. The new name is durable only after
	// SyncDir of its directory.
	Create(name string) (File, error)
	// Open opens an existing file for reading only.
	Open(name string) (File, error)
	// OpenReadWrite opens an existing file for reading and writing.
	OpenReadWrite(name string) (File, error)
	// OpenDirect opens an existing file for reading and writing past the page cache.
	// All that is read and written of it, size changes aside, must be whole aligned
	// blocks (BlockSize). ErrNoDirect where that can't be.
	OpenDirect(name string) (File, error)
	// MkdirAll makes a directory and its missing parents; MkdirAllSync makes
	// them durable too.
	MkdirAll(dir string) error
	// Remove removes a file or an empty directory; durable after SyncDir.
	Remove(name string) error
	// RemoveAll removes a directory and all in it. A missing one is no error.
	RemoveAll(dir string) error
	// Rename replaces newName by oldName; durable after SyncDir of both directories.
	Rename(oldName, newName string) error
	// List returns the sorted base names in a directory.
	List(dir string) ([]string, error)
	// Stat tells size and kind.
	Stat(name string) (Info, error)
	// SyncDir makes what was created, removed and renamed in dir durable.
	SyncDir(dir string) error
	// Lock takes an exclusive advisory lock, held until the Closer is closed or
	// the process ends. *LockedError says that another holds it.
	Lock(name string) (io.Closer, error)
	// Usage returns the free and the total bytes of the disk that holds dir.
	Usage(dir string) (free, total int64, err error)
}

// File is an open file. ReadAt and WriteAt may be called concurrently; a write
// that returns an error or less than it was given may have changed any part of
// its range.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// WriteSync writes the buffers one after the other, beginning at off, and makes
	// them durable as Sync does: at most two system calls for up to a thousand
	// buffers. After an error the handle must not be used again.
	WriteSync(bufs [][]byte, off int64) error
	// Truncate cuts or extends the file to size bytes; what is added reads as zeros.
	Truncate(size int64) error
	// Preallocate reserves disk space for [off, off+n) and extends the file to
	// off+n at least; what is added reads as zeros. Existing bytes stay.
	Preallocate(off, n int64) error
	// Sync makes the content and the size durable (fdatasync). After an error
	// nothing is known about what was written since the last success, and no later
	// Sync will tell: the handle must not be used again.
	Sync() error
	// Size returns the size in bytes.
	Size() (int64, error)
	// Name returns the name it was opened by.
	Name() string
}

// Uncacher is implemented by files that can drop what the operating system
// caches of them, so that the next read shows what the disk holds. It is
// advisory and never loses data: bytes not yet written back stay.
type Uncacher interface {
	Uncache() error
}

// Info is what Stat tells.
type Info struct {
	Size int64 // bytes; 0 for a directory
	Dir  bool
}

// ErrCrashed is returned by every call on a Mem, and on its files, after Crash.
var ErrCrashed = errors.New("vfs: the file system has crashed")

// LockedError says that a live process, or another user in this process, holds a lock.
type LockedError struct {
	Path string // of the lock file
	PID  int    // of the holder, 0 if unknown
	Err  error  // of the operating system, may be nil
}

// Error names the lock, its holder and the remedy.
func (e *LockedError) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("vfs: %s is locked by %s: stop that one first, or use another directory", e.Path, who)
}

// Unwrap returns the operating system's error.
func (e *LockedError) Unwrap() error { return e.Err }

// MkdirAllSync makes dir and its missing parents, each durable before the next,
// so that an interrupted call leaves at most the lowest directory without a
// durable name; the next call then syncs that one.
func MkdirAllSync(fsys FS, dir string) error {
	dir = filepath.ToSlash(filepath.Clean(dir))
	var missing []string
	d := dir
	for ; ; d = path.Dir(d) {
		info, err := fsys.Stat(d)
		if err == nil {
			if !info.Dir {
				return fmt.Errorf("vfs: make directory %s: %s is a file", dir, d)
			}
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || d == path.Dir(d) {
			return err
		}
		missing = append(missing, d)
	}
	if d != path.Dir(d) {
		// It may be ours from an interrupted call. If we may not read its parent, we
		// have not made it.
		if err := fsys.SyncDir(path.Dir(d)); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	for _, d := range slices.Backward(missing) {
		if err := fsys.MkdirAll(d); err != nil {
			return err
		}
		if err := fsys.SyncDir(path.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

// ReadFile returns the content of a file of at most sizeMax bytes; a larger one
// is an error, so that a damaged size cannot exhaust memory.
func ReadFile(fsys FS, name string, sizeMax int64) (data []byte, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > sizeMax {
		return nil, fmt.Errorf("vfs: %s has %d bytes, at most %d were expected", name, size, sizeMax)
	}
	data = make([]byte, size)
	if n, err := f.ReadAt(data, 0); int64(n) < size {
		return nil, fmt.Errorf("vfs: read %s: %w", name, err)
	}
	return data, nil
}

// WriteFile replaces a file as a whole: after a crash at any point it holds the
// old content or the new, and after a nil return the new. It uses name+".tmp".
func WriteFile(fsys FS, name string, data []byte) error {
	tmp := name + ".tmp"
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(filepath.ToSlash(name)))
}
