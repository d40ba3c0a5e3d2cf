package vfs

import (
	"io"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Mem is a file system in memory that tells what was written from what would
// survive a power loss: file content by Sync, names by SyncDir. The roots "."
// and "/" always exist. Use NewMem.
type Mem struct {
	mu       sync.RWMutex
	root     *memNode            // guarded by mu
	locks    map[string]struct{} // guarded by mu
	dead     bool                // guarded by mu
	used     int64               // sum of file sizes; guarded by mu
	capacity int64               // guarded by mu
	noDirect atomic.Bool
}

// memCapacity is the size of a new Mem's disk.
const memCapacity = 1 << 40

// NewMem returns an empty file system with a disk of 1 TiB.
func NewMem() *Mem {
	return &Mem{root: newDir(), locks: make(map[string]struct{}), capacity: memCapacity}
}

// SetCapacity sets the size of the disk. Where files already use more, every
// call that would grow one fails with ENOSPC until some are removed.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	m.capacity = bytes
	m.mu.Unlock()
}

// memNode is a file or a directory; it lives as long as a name or a handle
// refers to it. All fields are guarded by the Mem's mu.
type memNode struct {
	// Of a directory: the names as seen, the names as on disk, and the changes
	// that lead from the second to the first, in order.
	entries map[string]*memNode // nil for a file
	durable map[string]*memNode
	pending []*dirChange

	content // of a file
}

// dirChange is a change of one directory, or of two for a rename between them;
// it reaches the disk whole or not at all.
type dirChange struct {
	dir  *memNode
	name string
	node *memNode // nil: the name goes away
	// The other half of a rename: the old name goes away.
	fromDir *memNode
	from    string
	done    bool // reached the disk with the other directory
}

func newDir() *memNode {
	return &memNode{entries: make(map[string]*memNode), durable: make(map[string]*memNode)}
}

func (n *memNode) isDir() bool { return n.entries != nil }

// apply puts the change onto the durable names.
func (c *dirChange) apply() {
	if c.done {
		return
	}
	c.done = true
	if c.fromDir != nil {
		delete(c.fromDir.durable, c.from)
	}
	if c.node == nil {
		delete(c.dir.durable, c.name)
		return
	}
	c.dir.durable[c.name] = c.node
}

func pathErr(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// split cuts a name into the path of its directory and its base, "" for a root.
func split(name string) (dir, base string) {
	name = strings.TrimPrefix(path.Clean(filepath.ToSlash(name)), "/")
	if name == "." || name == "" {
		return "", ""
	}
	i := strings.LastIndexByte(name, '/')
	return name[:max(i, 0)], name[i+1:]
}

// dirAt finds a directory by its path without the leading slash.
func (m *Mem) dirAt(dir string) (*memNode, error) {
	n := m.root
	for dir != "" {
		var first string
		first, dir, _ = strings.Cut(dir, "/")
		next, ok := n.entries[first]
		if !ok {
			return nil, fs.ErrNotExist
		}
		if !next.isDir() {
			return nil, syscall.ENOTDIR
		}
		n = next
	}
	return n, nil
}

// find returns the directory that name is in, its base, and its node if there is one.
func (m *Mem) find(name string) (dir *memNode, base string, n *memNode, err error) {
	if m.dead {
		return nil, "", nil, ErrCrashed
	}
	d, base := split(name)
	if base == "" {
		return nil, "", m.root, nil
	}
	if dir, err = m.dirAt(d); err != nil {
		return nil, "", nil, err
	}
	return dir, base, dir.entries[base], nil
}

// Create makes a new file.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, n, err := m.find(name)
	if err != nil {
		return nil, pathErr("create", name, err)
	}
	if n != nil {
		return nil, pathErr("create", name, fs.ErrExist)
	}
	n = &memNode{}
	dir.set(base, n)
	n.links++
	return &memFile{m: m, n: n, name: name, write: true}, nil
}

// set changes a name and notes the change for SyncDir.
func (n *memNode) set(base string, child *memNode) {
	if child == nil {
		delete(n.entries, base)
	} else {
		n.entries[base] = child
	}
	n.pending = append(n.pending, &dirChange{dir: n, name: base, node: child})
}

// Open opens a file for reading.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenReadWrite opens a file for reading and writing.
func (m *Mem) OpenReadWrite(name string) (File, error) { return m.open(name, true) }

// OpenDirect opens a file for reading and writing by whole sectors. Mem has no page
// cache in between, and leaves the memory's alignment to the real thing.
func (m *Mem) OpenDirect(name string) (File, error) {
	if m.noDirect.Load() {
		return nil, pathErr("open", name, ErrNoDirect)
	}
	f, err := m.open(name, true)
	if err != nil {
		return nil, err
	}
	f.(*memFile).direct = true
	return f, nil
}

// SetNoDirect makes OpenDirect fail, as on a file system that can't do it.
func (m *Mem) SetNoDirect(no bool) { m.noDirect.Store(no) }

func (m *Mem) open(name string, write bool) (File, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, _, n, err := m.find(name)
	switch {
	case err != nil:
	case n == nil:
		err = fs.ErrNotExist
	case n.isDir():
		err = syscall.EISDIR
	default:
		return &memFile{m: m, n: n, name: name, write: write}, nil
	}
	return nil, pathErr("open", name, err)
}

// MkdirAll makes a directory and its missing parents.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return pathErr("mkdir", dir, ErrCrashed)
	}
	n := m.root
	for _, part := range strings.Split(strings.TrimPrefix(path.Clean(filepath.ToSlash(dir)), "/"), "/") {
		if part == "." || part == "" {
			continue
		}
		next, ok := n.entries[part]
		if !ok {
			next = newDir()
			n.set(part, next)
		}
		if !next.isDir() {
			return pathErr("mkdir", dir, syscall.ENOTDIR)
		}
		n = next
	}
	return nil
}

// Remove removes a file or an empty directory. Open handles stay usable.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, n, err := m.find(name)
	switch {
	case err != nil:
	case n == nil:
		err = fs.ErrNotExist
	case dir == nil:
		err = fs.ErrInvalid
	case len(n.entries) > 0:
		err = syscall.ENOTEMPTY
	default:
		m.unlink(n)
		dir.set(base, nil)
		return nil
	}
	return pathErr("remove", name, err)
}

// unlink gives back the space of n and of all below it.
func (m *Mem) unlink(n *memNode) {
	for _, child := range n.entries {
		m.unlink(child)
	}
	if n.links > 0 {
		n.links--
		m.used -= n.size
	}
}

// RemoveAll removes a tree. Like on a real disk the single removals in it
// become durable one by one.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, n, err := m.find(name)
	switch {
	case err == nil && n == nil, err == fs.ErrNotExist:
		return nil
	case err != nil:
		return pathErr("remove", name, err)
	case dir == nil:
		return pathErr("remove", name, fs.ErrInvalid)
	}
	m.unlink(n)
	var empty func(n *memNode)
	empty = func(n *memNode) {
		for _, base := range slices.Sorted(maps.Keys(n.entries)) {
			if child := n.entries[base]; child.isDir() {
				empty(child)
			}
			n.set(base, nil)
		}
	}
	if n.isDir() {
		empty(n)
	}
	dir.set(base, nil)
	return nil
}

// Rename replaces newName by oldName, atomically also over a crash.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fromDir, from, n, err := m.find(oldName)
	if err != nil {
		return pathErr("rename", oldName, err)
	}
	if n == nil || fromDir == nil {
		return pathErr("rename", oldName, fs.ErrNotExist)
	}
	dir, base, old, err := m.find(newName)
	switch {
	case err != nil:
		return pathErr("rename", newName, err)
	case dir == nil, n.isDir() && dir.isBelow(n):
		return pathErr("rename", newName, fs.ErrInvalid)
	case old == n:
		return nil
	case old != nil && old.isDir() != n.isDir(), old != nil && len(old.entries) > 0:
		return pathErr("rename", newName, fs.ErrExist)
	}
	if old != nil {
		m.unlink(old)
	}
	delete(fromDir.entries, from)
	dir.entries[base] = n
	c := &dirChange{dir: dir, name: base, node: n, fromDir: fromDir, from: from}
	dir.pending = append(dir.pending, c)
	if fromDir != dir {
		fromDir.pending = append(fromDir.pending, c)
	}
	return nil
}

// isBelow says that n is top or lies below it.
func (n *memNode) isBelow(top *memNode) bool {
	if n == top {
		return true
	}
	for _, child := range top.entries {
		if child.isDir() && n.isBelow(child) {
			return true
		}
	}
	return false
}

// List returns the sorted base names in a directory.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.dirNode("list", dir)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(n.entries)), nil
}

func (m *Mem) dirNode(op, dir string) (*memNode, error) {
	_, _, n, err := m.find(dir)
	switch {
	case err != nil:
	case n == nil:
		err = fs.ErrNotExist
	case !n.isDir():
		err = syscall.ENOTDIR
	default:
		return n, nil
	}
	return nil, pathErr(op, dir, err)
}

// Stat tells size and kind.
func (m *Mem) Stat(name string) (Info, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, _, n, err := m.find(name)
	if err == nil && n == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Info{}, pathErr("stat", name, err)
	}
	return Info{Size: n.size, Dir: n.isDir()}, nil
}

// SyncDir makes the names in dir durable.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.dirNode("syncdir", dir)
	if err != nil {
		return err
	}
	for _, c := range n.pending {
		c.apply()
	}
	n.pending = nil
	return nil
}

// Lock takes the lock called name. It makes the lock file, as OS does.
func (m *Mem) Lock(name string) (io.Closer, error) {
	if f, err := m.Create(name); err == nil {
		_ = f.Close()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, _, n, err := m.find(name); err != nil || n == nil {
		if err == nil {
			err = fs.ErrNotExist
		}
		return nil, pathErr("lock", name, err)
	}
	key := path.Clean(filepath.ToSlash(name))
	if _, held := m.locks[key]; held {
		return nil, &LockedError{Path: name}
	}
	m.locks[key] = struct{}{}
	return &memLock{m: m, key: key}, nil
}

type memLock struct {
	m   *Mem
	key string
}

// Close gives the lock back; a second call does nothing.
func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.key != "" {
		delete(l.m.locks, l.key)
		l.key = ""
	}
	return nil
}

// Usage returns what the capacity leaves free, and the capacity.
func (m *Mem) Usage(dir string) (free, total int64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if _, err := m.dirNode("usage", dir); err != nil {
		return 0, 0, err
	}
	return max(m.capacity-m.used, 0), m.capacity, nil
}
