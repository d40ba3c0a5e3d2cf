//go:build linux

package powerloss

import (
	"bytes"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/logq/logq/internal/vfs"
)

// kernel asks a disk what the kernel would ask it, without a mount.
type kernel struct {
	t   *testing.T
	d   *Disk
	raw fuse.RawFileSystem
}

func newKernel(t *testing.T) *kernel {
	k := &kernel{t: t, d: &Disk{mem: vfs.NewMem()}}
	k.boot()
	return k
}

// boot begins a new mount.
func (k *kernel) boot() { k.raw = fs.NewNodeFS(k.d.root(), options()) }

// cut is Disk.Cut without a mount.
func (k *kernel) cut(o vfs.CrashOptions) {
	k.d.mem = k.d.mem.Crash(o)
	k.boot()
}

// node looks a path up and returns its number, or the error of the lookup.
func (k *kernel) node(name string) (uint64, fuse.Status) {
	id := uint64(fuse.FUSE_ROOT_ID)
	for part := range strings.SplitSeq(strings.Trim(path.Clean(name), "/."), "/") {
		if part == "" {
			continue
		}
		var out fuse.EntryOut
		if s := k.raw.Lookup(nil, about(id), part, &out); !s.Ok() {
			return 0, s
		}
		if out.NodeId == 0 { // not there, and the kernel may remember that
			return 0, fuse.ENOENT
		}
		id = out.NodeId
	}
	return id, fuse.OK
}

func about(id uint64) *fuse.InHeader { return &fuse.InHeader{NodeId: id} }

// at splits a path into its directory's number and its base.
func (k *kernel) at(name string) (uint64, string) {
	k.t.Helper()
	id, s := k.node(path.Dir(name))
	if !s.Ok() {
		k.t.Fatalf("lookup %s: %v", path.Dir(name), s)
	}
	return id, path.Base(name)
}

// opened is a file that a process has open.
type opened struct {
	k      *kernel
	raw    fuse.RawFileSystem // of the mount that it was opened through
	id, fh uint64
}

func (k *kernel) create(name string, flags uint32) (*opened, fuse.Status) {
	k.t.Helper()
	dir, base := k.at(name)
	var out fuse.CreateOut
	s := k.raw.Create(nil, &fuse.CreateIn{InHeader: *about(dir), Flags: flags | syscall.O_RDWR}, base, &out)
	return &opened{k, k.raw, out.NodeId, out.Fh}, s
}

func (k *kernel) open(name string, flags uint32) (*opened, fuse.Status) {
	id, s := k.node(name)
	if !s.Ok() {
		return nil, s
	}
	var out fuse.OpenOut
	s = k.raw.Open(nil, &fuse.OpenIn{InHeader: *about(id), Flags: flags | syscall.O_RDWR}, &out)
	return &opened{k, k.raw, id, out.Fh}, s
}

func (k *kernel) mkdir(name string) fuse.Status {
	dir, base := k.at(name)
	return k.raw.Mkdir(nil, &fuse.MkdirIn{InHeader: *about(dir)}, base, new(fuse.EntryOut))
}

func (k *kernel) remove(name string) fuse.Status {
	dir, base := k.at(name)
	return k.raw.Unlink(nil, about(dir), base)
}

func (k *kernel) rename(from, to string) fuse.Status {
	dir, base := k.at(from)
	toDir, toBase := k.at(to)
	return k.raw.Rename(nil, &fuse.RenameIn{InHeader: *about(dir), Newdir: toDir}, base, toBase)
}

func (k *kernel) syncDir(name string) fuse.Status {
	id, s := k.node(name)
	if !s.Ok() {
		return s
	}
	var out fuse.OpenOut
	if s := k.raw.OpenDir(nil, &fuse.OpenIn{InHeader: *about(id)}, &out); !s.Ok() {
		return s
	}
	return k.raw.FsyncDir(nil, &fuse.FsyncIn{InHeader: *about(id), Fh: out.Fh})
}

func (f *opened) write(data []byte, off int64) fuse.Status {
	n, s := f.raw.Write(nil, &fuse.WriteIn{InHeader: *about(f.id), Fh: f.fh, Offset: uint64(off), Size: uint32(len(data))}, data)
	if s.Ok() && int(n) != len(data) {
		f.k.t.Fatalf("wrote %d of %d bytes", n, len(data))
	}
	return s
}

func (f *opened) sync() fuse.Status {
	return f.raw.Fsync(nil, &fuse.FsyncIn{InHeader: *about(f.id), Fh: f.fh})
}

func (f *opened) allocate(off, n uint64, mode uint32) fuse.Status {
	return f.raw.Fallocate(nil, &fuse.FallocateIn{InHeader: *about(f.id), Fh: f.fh, Offset: off, Length: n, Mode: mode})
}

func (f *opened) truncate(size uint64) fuse.Status {
	return f.raw.SetAttr(nil, &fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{
		InHeader: *about(f.id), Valid: fuse.FATTR_SIZE | fuse.FATTR_FH, Fh: f.fh, Size: size,
	}}, new(fuse.AttrOut))
}

func (f *opened) size() uint64 {
	f.k.t.Helper()
	var out fuse.AttrOut
	if s := f.raw.GetAttr(nil, &fuse.GetAttrIn{InHeader: *about(f.id)}, &out); !s.Ok() {
		f.k.t.Fatalf("getattr: %v", s)
	}
	return out.Size
}

func (f *opened) read(n int, off int64) ([]byte, fuse.Status) {
	r, s := f.raw.Read(nil, &fuse.ReadIn{InHeader: *about(f.id), Fh: f.fh, Offset: uint64(off), Size: uint32(n)}, make([]byte, n))
	if !s.Ok() {
		return nil, s
	}
	b, s := r.Bytes(make([]byte, n))
	return bytes.Clone(b), s
}

// content reads a whole file by name; a missing one is nil.
func (k *kernel) content(name string) []byte {
	k.t.Helper()
	f, s := k.open(name, 0)
	if s == fuse.ENOENT {
		return nil
	}
	if !s.Ok() {
		k.t.Fatalf("open %s: %v", name, s)
	}
	b, s := f.read(int(f.size()), 0)
	if !s.Ok() {
		k.t.Fatalf("read %s: %v", name, s)
	}
	return append([]byte{}, b...)
}

func (k *kernel) ok(what string, s fuse.Status) {
	k.t.Helper()
	if !s.Ok() {
		k.t.Fatalf("%s: %v", what, s)
	}
}
