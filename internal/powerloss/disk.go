//go:build linux

package powerloss

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/logq/logq/internal/vfs"
)

// Disk is a file system mounted on a directory, whose power can be cut. Use Mount.
type Disk struct {
	dir    string
	counts counts
	lies   atomic.Uint32

	mu     sync.Mutex
	mem    *vfs.Mem     // guarded by mu
	server *fuse.Server // guarded by mu; nil while nothing is mounted
}

// Lies say which calls succeed from now on without making anything durable.
type Lies uint32

// What a disk can lie about.
const (
	Files Lies = 1 << iota // fsync and fdatasync of files
	Dirs                   // fsync of directories
)

// Counts say what a disk was asked to do since it was made.
type Counts struct {
	Writes, Bytes, Direct int64 // Direct: writes through handles opened with O_DIRECT
	Fsyncs, DirFsyncs     int64
	Lied                  int64 // of both
}

// String is the counts in words.
func (c Counts) String() string {
	return fmt.Sprintf("%d writes of %d MiB (%d direct), %d fsyncs of files and %d of directories", c.Writes, c.Bytes>>20, c.Direct, c.Fsyncs, c.DirFsyncs)
}

type counts struct{ writes, bytes, direct, fsyncs, dirFsyncs, lied atomic.Int64 }

// PrerequisiteError says that this machine can't mount the disk.
type PrerequisiteError struct{ Err error }

// Error names the cause and the remedy.
func (e *PrerequisiteError) Error() string {
	return fmt.Sprintf("powerloss: FUSE file systems can't be mounted here: %v. Needed are Linux with /dev/fuse, and either root or fusermount3", e.Err)
}

// Unwrap returns the cause.
func (e *PrerequisiteError) Unwrap() error { return e.Err }

// Mount mounts an empty disk on dir, an existing directory. A *PrerequisiteError
// says that this can't be done on this machine.
func Mount(dir string) (*Disk, error) {
	d := &Disk{dir: dir, mem: vfs.NewMem()}
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		return nil, &PrerequisiteError{err}
	} else if err := f.Close(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.mount(); err != nil {
		return nil, &PrerequisiteError{err}
	}
	return d, nil
}

// requestBytes is the most that the kernel gives to one write.
const requestBytes = 1 << 20

// mount is called with d.mu held.
func (d *Disk) mount() error {
	server, err := fs.Mount(d.dir, d.root(), options())
	if err != nil {
		return err
	}
	d.server = server
	return nil
}

func options() *fs.Options {
	// Nothing changes but through the kernel, so it may remember what it knows.
	remember := time.Minute
	return &fs.Options{
		EntryTimeout: &remember, AttrTimeout: &remember, NegativeTimeout: &remember,
		MountOptions: fuse.MountOptions{
			FsName: "powerloss", Name: "powerloss", DirectMount: true,
			MaxWrite: requestBytes, DisableXAttrs: true,
		},
	}
}

// Dir returns the directory that it is mounted on.
func (d *Disk) Dir() string { return d.dir }

// Lie sets what the disk lies about; 0 makes it honest, for what is synced from then on.
func (d *Disk) Lie(l Lies) { d.lies.Store(uint32(l)) }

// lying counts the lie.
func (d *Disk) lying(about Lies) bool {
	if Lies(d.lies.Load())&about == 0 {
		return false
	}
	d.counts.lied.Add(1)
	return true
}

// Cut cuts the power: what is not durable is dropped as o says, every later call
// through the old mount fails, and what is left is mounted anew. The processes that
// had files open must have ended.
func (d *Disk) Cut(o vfs.CrashOptions) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mem = d.mem.Crash(o)
	if err := d.unmount(); err != nil {
		return err
	}
	return d.mount()
}

// unmount is called with d.mu held.
func (d *Disk) unmount() error {
	if d.server == nil {
		return nil
	}
	if err := d.server.Unmount(); err != nil {
		return fmt.Errorf("powerloss: unmount %s: %w; end the processes that have files open there first", d.dir, err)
	}
	d.server = nil
	return nil
}

// Close unmounts the disk and forgets what it held.
func (d *Disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unmount()
}

// Counts returns what the disk was asked to do.
func (d *Disk) Counts() Counts {
	return Counts{
		Writes: d.counts.writes.Load(), Bytes: d.counts.bytes.Load(), Direct: d.counts.direct.Load(),
		Fsyncs: d.counts.fsyncs.Load(), DirFsyncs: d.counts.dirFsyncs.Load(), Lied: d.counts.lied.Load(),
	}
}

// Check tells whether disks can be mounted here: nil, or a *PrerequisiteError.
func Check() (err error) {
	dir, err := os.MkdirTemp("", "powerloss-check-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(dir)) }()
	d, err := Mount(dir)
	if err != nil {
		return err
	}
	return d.Close()
}
