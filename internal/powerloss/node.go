//go:build linux

package powerloss

import (
	"context"
	"errors"
	iofs "io/fs"
	"path"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/logq/logq/internal/vfs"
)

// tree is what one mount serves. Its nodes stay in memory until they are removed, so
// every lookup finds the same one.
type tree struct {
	disk *Disk
	mem  *vfs.Mem

	// mu makes a change of a name in mem and in the nodes one: paths are made from
	// the nodes' own names, as the kernel allows other calls during a rename.
	mu sync.RWMutex
}

// node is a directory or a file.
type node struct {
	fs.Inode
	t *tree

	parent *node  // guarded by t.mu; nil for the root
	name   string // guarded by t.mu

	file vfs.File // nil for a directory; outlives the name, as open files do
}

// handle is one open file of a process.
type handle struct{ direct bool }

var _ interface {
	fs.NodeOnAdder
	fs.NodeCreater
	fs.NodeMkdirer
	fs.NodeUnlinker
	fs.NodeRmdirer
	fs.NodeRenamer
	fs.NodeOpener
	fs.NodeReader
	fs.NodeWriter
	fs.NodeFsyncer
	fs.NodeFlusher
	fs.NodeAllocater
	fs.NodeGetattrer
	fs.NodeSetattrer
	fs.NodeStatfser
} = (*node)(nil)

// root returns the root of a new tree over what the disk holds now. It is called
// with d.mu held.
func (d *Disk) root() *node { return &node{t: &tree{disk: d, mem: d.mem}} }

// path is called with t.mu held.
func (n *node) path() string {
	if n.parent == nil {
		return "/"
	}
	return path.Join(n.parent.path(), n.name)
}

// OnAdd makes nodes of all that the disk holds.
func (n *node) OnAdd(ctx context.Context) {
	if n.parent != nil {
		return
	}
	n.t.mu.Lock()
	defer n.t.mu.Unlock()
	// It can't fail but by a Crash at the same time, and then nothing is served anyway.
	_ = n.load(ctx)
}

func (n *node) load(ctx context.Context) error {
	names, err := n.t.mem.List(n.path())
	if err != nil {
		return err
	}
	for _, name := range names {
		child := &node{t: n.t, parent: n, name: name}
		info, err := n.t.mem.Stat(child.path())
		if err != nil {
			return err
		}
		mode := uint32(syscall.S_IFDIR)
		if !info.Dir {
			mode = syscall.S_IFREG
			if child.file, err = n.t.mem.OpenReadWrite(child.path()); err != nil {
				return err
			}
		}
		n.AddChild(name, n.NewPersistentInode(ctx, child, fs.StableAttr{Mode: mode}), false)
		if info.Dir {
			if err := child.load(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// Create makes a file and opens it.
func (n *node) Create(ctx context.Context, name string, flags, _ uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	n.t.mu.Lock()
	defer n.t.mu.Unlock()
	child := &node{t: n.t, parent: n, name: name}
	f, err := n.t.mem.Create(child.path())
	if err != nil {
		return nil, nil, 0, number(err)
	}
	child.file = f
	child.attr(&out.Attr)
	return n.NewPersistentInode(ctx, child, fs.StableAttr{Mode: syscall.S_IFREG}), &handle{flags&syscall.O_DIRECT != 0}, 0, 0
}

// Mkdir makes a directory.
func (n *node) Mkdir(ctx context.Context, name string, _ uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.t.mu.Lock()
	defer n.t.mu.Unlock()
	child := &node{t: n.t, parent: n, name: name}
	if _, err := n.t.mem.Stat(child.path()); err == nil {
		return nil, syscall.EEXIST
	}
	if err := n.t.mem.MkdirAll(child.path()); err != nil {
		return nil, number(err)
	}
	child.attr(&out.Attr)
	return n.NewPersistentInode(ctx, child, fs.StableAttr{Mode: syscall.S_IFDIR}), 0
}

// Unlink removes a file; those that have it open keep it.
func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	n.t.mu.Lock()
	defer n.t.mu.Unlock()
	return number(n.t.mem.Remove(path.Join(n.path(), name)))
}

// Rmdir removes an empty directory.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno { return n.Unlink(ctx, name) }

// Rename moves a name and replaces what has the new one.
func (n *node) Rename(_ context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := newParent.(*node)
	if !ok || flags != 0 {
		return syscall.EINVAL
	}
	child := n.GetChild(name)
	if child == nil {
		return syscall.ENOENT
	}
	n.t.mu.Lock()
	defer n.t.mu.Unlock()
	if err := n.t.mem.Rename(path.Join(n.path(), name), path.Join(to.path(), newName)); err != nil {
		return number(err)
	}
	moved := child.Operations().(*node)
	moved.parent, moved.name = to, newName
	return 0
}

// Statfs tells the free space.
func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	free, total, err := n.t.mem.Usage("/")
	if err != nil {
		return number(err)
	}
	out.Bsize, out.Frsize, out.NameLen = vfs.BlockSize, vfs.BlockSize, 255
	out.Blocks, out.Bfree, out.Bavail = uint64(total/vfs.BlockSize), uint64(free/vfs.BlockSize), uint64(free/vfs.BlockSize)
	return 0
}

// number returns the number of the operating system for an error of vfs.
func number(err error) syscall.Errno {
	var n syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &n):
		return n
	case errors.Is(err, iofs.ErrExist):
		return syscall.EEXIST
	case errors.Is(err, iofs.ErrNotExist):
		return syscall.ENOENT
	case errors.Is(err, iofs.ErrInvalid):
		return syscall.EINVAL
	}
	return syscall.EIO // ErrCrashed among them: the power is off
}
