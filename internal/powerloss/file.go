//go:build linux

package powerloss

import (
	"context"
	"errors"
	"io"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// sector is what direct reads and writes must be whole ones of.
const sector = 512

// fallocKeepSize is FALLOC_FL_KEEP_SIZE.
const fallocKeepSize = 1

func (n *node) attr(out *fuse.Attr) syscall.Errno {
	out.Nlink = 1
	if n.file == nil {
		out.Mode = syscall.S_IFDIR | 0o755
		return 0
	}
	size, err := n.file.Size()
	if err != nil {
		return number(err)
	}
	out.Mode, out.Size, out.Blocks, out.Blksize = syscall.S_IFREG|0o644, uint64(size), uint64(size+sector-1)/sector, 4096
	return 0
}

// Getattr tells kind and size.
func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return n.attr(&out.Attr)
}

// Setattr changes the size; owners, modes and times are taken and forgotten.
func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		if n.file == nil {
			return syscall.EISDIR
		}
		if err := n.file.Truncate(int64(size)); err != nil {
			return number(err)
		}
	}
	return n.attr(&out.Attr)
}

// Open opens a file. The kernel may keep what it has cached of it: nobody else writes.
func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if n.file == nil {
		return nil, 0, syscall.EISDIR
	}
	if flags&syscall.O_TRUNC != 0 {
		if err := n.file.Truncate(0); err != nil {
			return nil, 0, number(err)
		}
	}
	return &handle{flags&syscall.O_DIRECT != 0}, fuse.FOPEN_KEEP_CACHE, 0
}

// whole says whether a handle may move so many bytes at off.
func whole(f fs.FileHandle, bytes int, off int64) bool {
	h, ok := f.(*handle)
	return !ok || !h.direct || off%sector == 0 && bytes%sector == 0
}

// Read reads what was written, durable or not.
func (n *node) Read(_ context.Context, f fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if !whole(f, len(dest), off) {
		return nil, syscall.EINVAL
	}
	got, err := n.file.ReadAt(dest, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, number(err)
	}
	return fuse.ReadResultData(dest[:got]), 0
}

// Write writes; nothing of it is durable yet.
func (n *node) Write(_ context.Context, f fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if !whole(f, len(data), off) {
		return 0, syscall.EINVAL
	}
	c := &n.t.disk.counts
	c.writes.Add(1)
	c.bytes.Add(int64(len(data)))
	if h, ok := f.(*handle); ok && h.direct {
		c.direct.Add(1)
	}
	done, err := n.file.WriteAt(data, off)
	return uint32(done), number(err)
}

// Fsync makes the content and size of a file, or the names in a directory, durable,
// unless the disk lies.
func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d := n.t.disk
	if n.file != nil {
		d.counts.fsyncs.Add(1)
		if d.lying(Files) {
			return 0
		}
		return number(n.file.Sync())
	}
	d.counts.dirFsyncs.Add(1)
	if d.lying(Dirs) {
		return 0
	}
	n.t.mu.RLock()
	defer n.t.mu.RUnlock()
	return number(n.t.mem.SyncDir(n.path()))
}

// Flush is what close does: it makes nothing durable.
func (n *node) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

// Allocate reserves space.
func (n *node) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	switch mode {
	case 0:
		return number(n.file.Preallocate(int64(off), int64(size)))
	case fallocKeepSize:
		return 0 // space that no reader sees
	}
	return syscall.EOPNOTSUPP
}
