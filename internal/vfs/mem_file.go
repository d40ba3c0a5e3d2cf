package vfs

import (
	"io"
	"io/fs"
	"syscall"
)

// content is what a file holds. Bytes from the end of data, or of synced, up to
// the size are zeros, so that preallocated space costs no memory.
type content struct {
	data  []byte // as seen by readers; len(data) <= size
	size  int64
	links int // names that lead here: 1 until it is removed

	synced     []byte // as on disk; len(synced) <= syncedSize
	syncedSize int64
	// Copy on write: the bytes of data, or of synced, belong to another file too,
	// since a Clone or Crash.
	dataShared, syncedShared bool
	// All writes since the last sync lie in [dirtyLo, dirtyHi).
	dirtyLo, dirtyHi int64
	// The smallest size since the last sync, if the file was truncated.
	cut   bool
	cutTo int64
}

func (c *content) write(p []byte, off int64) {
	end := off + int64(len(p))
	c.data = grow(c.data, end, &c.dataShared)
	copy(c.data[off:], p)
	c.size = max(c.size, end)
	if c.dirtyLo == c.dirtyHi {
		c.dirtyLo, c.dirtyHi = off, end
		return
	}
	c.dirtyLo, c.dirtyHi = min(c.dirtyLo, off), max(c.dirtyHi, end)
}

// grow makes b writable and extends it with zeros to length n at least. It
// clears what lies between: a file that was cut keeps old bytes in its spare
// capacity.
func grow(b []byte, n int64, shared *bool) []byte {
	old := len(b)
	switch {
	case *shared:
		*shared = false
	case int64(old) >= n:
		return b
	case int64(cap(b)) >= n:
		b = b[:n]
		clear(b[old:])
		return b
	}
	size := max(n, int64(old))
	bigger := make([]byte, size, max(size+min(size/2, growMax), 512))
	copy(bigger, b)
	return bigger
}

// growMax bounds the spare capacity of a file in memory.
const growMax = 1 << 20

func (c *content) truncate(size int64) {
	if size < c.size && (!c.cut || size < c.cutTo) {
		c.cut, c.cutTo = true, size
	}
	c.data = c.data[:min(size, int64(len(c.data)))]
	c.size = size
}

// sync brings the disk's copy up to date.
func (c *content) sync() {
	c.synced = c.afterCut()
	if hi := min(c.dirtyHi, int64(len(c.data))); c.dirtyLo < hi {
		c.synced = grow(c.synced, hi, &c.syncedShared)
		copy(c.synced[c.dirtyLo:hi], c.data[c.dirtyLo:hi])
	}
	c.syncedSize = c.size
	c.clean()
}

// clean forgets what was changed since the last sync.
func (c *content) clean() {
	c.dirtyLo, c.dirtyHi = 0, 0
	c.cut, c.cutTo = false, 0
}

// afterCut is what the truncations leave of the disk's copy.
func (c *content) afterCut() []byte {
	if c.cut && c.cutTo < int64(len(c.synced)) {
		return c.synced[:c.cutTo]
	}
	return c.synced
}

// uncache lets readers see the disk's copy, unless changes wait to be written.
func (c *content) uncache() {
	if c.dirtyLo == c.dirtyHi && !c.cut {
		c.data, c.dataShared = c.synced, true
		c.syncedShared = true
		c.size = c.syncedSize
	}
}

// memFile is an open file of a Mem.
type memFile struct {
	m      *Mem
	n      *memNode
	name   string
	write  bool
	direct bool // reads and writes are of whole sectors
	closed bool // guarded by m.mu
}

// whole refuses what a direct file can't do.
func (f *memFile) whole(op string, p []byte, off int64) error {
	if f.direct && (off%sectorSize != 0 || len(p)%sectorSize != 0) {
		return pathErr(op, f.name, syscall.EINVAL)
	}
	return nil
}

// check runs under m.mu.
func (f *memFile) check(op string, write bool) error {
	switch {
	case f.m.dead:
		return pathErr(op, f.name, ErrCrashed)
	case f.closed:
		return pathErr(op, f.name, fs.ErrClosed)
	case write && !f.write:
		return pathErr(op, f.name, syscall.EBADF)
	}
	return nil
}

func (f *memFile) Name() string { return f.name }

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.RLock()
	defer f.m.mu.RUnlock()
	if err := f.check("read", false); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathErr("read", f.name, fs.ErrInvalid)
	}
	if err := f.whole("read", p, off); err != nil {
		return 0, err
	}
	if off >= f.n.size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), f.n.size-off))
	copied := 0
	if off < int64(len(f.n.data)) {
		copied = copy(p[:n], f.n.data[off:])
	}
	clear(p[copied:n])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("write", true); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathErr("write", f.name, fs.ErrInvalid)
	}
	if err := f.whole("write", p, off); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := f.resize("write", max(f.n.size, off+int64(len(p)))); err != nil {
		return 0, err
	}
	f.n.write(p, off)
	return len(p), nil
}

// WriteSync writes and syncs.
func (f *memFile) WriteSync(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if _, err := f.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return f.Sync()
}

// resize accounts for a file that gets a new size.
func (f *memFile) resize(op string, size int64) error {
	if f.n.links == 0 {
		return nil
	}
	grown := size - f.n.size
	if grown > 0 && f.m.used+grown > f.m.capacity {
		return pathErr(op, f.name, syscall.ENOSPC)
	}
	f.m.used += grown
	return nil
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("truncate", true); err != nil {
		return err
	}
	if size < 0 {
		return pathErr("truncate", f.name, fs.ErrInvalid)
	}
	if err := f.resize("truncate", size); err != nil {
		return err
	}
	f.n.truncate(size)
	return nil
}

func (f *memFile) Preallocate(off, n int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("preallocate", true); err != nil {
		return err
	}
	if off < 0 || n < 0 {
		return pathErr("preallocate", f.name, fs.ErrInvalid)
	}
	if n == 0 {
		return nil
	}
	size := max(f.n.size, off+n)
	if err := f.resize("preallocate", size); err != nil {
		return err
	}
	f.n.size = size
	return nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("fdatasync", false); err != nil {
		return err
	}
	f.n.sync()
	return nil
}

// Uncache shows what the disk holds after a Sync that failed and lost its data.
func (f *memFile) Uncache() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("uncache", false); err != nil {
		return err
	}
	f.n.uncache()
	return nil
}

// loseSync is a Sync that fails as Linux file systems do it: the data stays
// readable and counts as clean, so that no later Sync writes it.
func (f *memFile) loseSync() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if !f.m.dead {
		f.n.clean()
	}
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.RLock()
	defer f.m.mu.RUnlock()
	if err := f.check("size", false); err != nil {
		return 0, err
	}
	return f.n.size, nil
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.dead || f.closed {
		return pathErr("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	return nil
}
