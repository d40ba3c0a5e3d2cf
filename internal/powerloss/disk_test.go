//go:build linux

package powerloss

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/logq/logq/internal/vfs"
)

var lost = vfs.CrashOptions{}

// TestOnlySyncedSurvives goes through what a program may do with a file, and what is
// left of it when everything unsynced is dropped.
func TestOnlySyncedSurvives(t *testing.T) {
	base := func(k *kernel) *opened {
		f, s := k.create("/a", 0)
		k.ok("create", s)
		k.ok("write", f.write([]byte("old"), 0))
		k.ok("fsync", f.sync())
		k.ok("fsync of the directory", k.syncDir("/"))
		return f
	}
	for _, tc := range []struct {
		name string
		do   func(k *kernel, f *opened)
		want map[string]string // "-": not there
	}{
		{"nothing", func(*kernel, *opened) {}, map[string]string{"/a": "old"}},
		{"unsynced write", func(k *kernel, f *opened) { k.ok("write", f.write([]byte("new"), 0)) }, map[string]string{"/a": "old"}},
		{"synced write", func(k *kernel, f *opened) {
			k.ok("write", f.write([]byte("new"), 0))
			k.ok("fsync", f.sync())
		}, map[string]string{"/a": "new"}},
		{"unsynced truncate", func(k *kernel, f *opened) { k.ok("truncate", f.truncate(1)) }, map[string]string{"/a": "old"}},
		{"synced truncate", func(k *kernel, f *opened) {
			k.ok("truncate", f.truncate(1))
			k.ok("fsync", f.sync())
		}, map[string]string{"/a": "o"}},
		{"open with O_TRUNC", func(k *kernel, _ *opened) {
			f, s := k.open("/a", syscall.O_TRUNC)
			k.ok("open", s)
			k.ok("fsync", f.sync())
		}, map[string]string{"/a": ""}},
		{"synced fallocate", func(k *kernel, f *opened) {
			k.ok("fallocate", f.allocate(0, 5, 0))
			k.ok("fsync", f.sync())
		}, map[string]string{"/a": "old\x00\x00"}},
		{"synced file without a synced name", func(k *kernel, _ *opened) {
			f, s := k.create("/b", 0)
			k.ok("create", s)
			k.ok("write", f.write([]byte("b"), 0))
			k.ok("fsync", f.sync())
		}, map[string]string{"/a": "old", "/b": "-"}},
		{"unsynced removal", func(k *kernel, _ *opened) { k.ok("unlink", k.remove("/a")) }, map[string]string{"/a": "old"}},
		{"synced removal", func(k *kernel, _ *opened) {
			k.ok("unlink", k.remove("/a"))
			k.ok("fsync of the directory", k.syncDir("/"))
		}, map[string]string{"/a": "-"}},
		{"unsynced rename", func(k *kernel, _ *opened) { k.ok("rename", k.rename("/a", "/b")) }, map[string]string{"/a": "old", "/b": "-"}},
		{"synced rename", func(k *kernel, _ *opened) {
			k.ok("rename", k.rename("/a", "/b"))
			k.ok("fsync of the directory", k.syncDir("/"))
		}, map[string]string{"/a": "-", "/b": "old"}},
		{"in a directory without a synced name", func(k *kernel, _ *opened) {
			k.ok("mkdir", k.mkdir("/d"))
			f, s := k.create("/d/x", 0)
			k.ok("create", s)
			k.ok("fsync", f.sync())
			k.ok("fsync of the directory", k.syncDir("/d"))
		}, map[string]string{"/a": "old", "/d": "-"}},
		{"in a directory that moves", func(k *kernel, _ *opened) {
			k.ok("mkdir", k.mkdir("/d"))
			f, s := k.create("/d/x", 0)
			k.ok("create", s)
			k.ok("rename", k.rename("/d", "/e"))
			k.ok("write", f.write([]byte("x"), 0))
			k.ok("fsync", f.sync())
			k.ok("fsync of the directory", k.syncDir("/e"))
			k.ok("fsync of its parent", k.syncDir("/"))
		}, map[string]string{"/a": "old", "/d": "-", "/e/x": "x"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := newKernel(t)
			tc.do(k, base(k))
			k.cut(lost)
			for name, want := range tc.want {
				id, s := k.node(name)
				switch {
				case want == "-" && s != fuse.ENOENT:
					t.Errorf("%s is node %d, %v; want none", name, id, s)
				case want != "-" && !s.Ok():
					t.Errorf("%s: %v", name, s)
				case want != "-" && string(k.content(name)) != want:
					t.Errorf("%s is %q, want %q", name, k.content(name), want)
				}
			}
		})
	}
}

func TestUnsyncedIsSeenBeforeTheCut(t *testing.T) {
	k := newKernel(t)
	f, s := k.create("/a", 0)
	k.ok("create", s)
	k.ok("write", f.write([]byte("abc"), 2))
	k.ok("rename", k.rename("/a", "/b"))
	if got := k.content("/b"); string(got) != "\x00\x00abc" {
		t.Errorf("/b is %q", got)
	}
	k.ok("unlink", k.remove("/b"))
	if b, s := f.read(10, 0); !s.Ok() || len(b) != 5 {
		t.Errorf("an open file without a name reads %q, %v", b, s)
	}
	k.cut(lost)
	if _, s := f.read(10, 0); s.Ok() {
		t.Error("a handle outlived the power")
	}
}

func TestLies(t *testing.T) {
	for _, tc := range []struct {
		lies Lies
		want string
	}{{0, "new"}, {Files, "old"}, {Dirs, "new"}, {Files | Dirs, "old"}} {
		k := newKernel(t)
		f, s := k.create("/a", 0)
		k.ok("create", s)
		k.ok("write", f.write([]byte("old"), 0))
		k.ok("fsync", f.sync())
		k.ok("fsync of the directory", k.syncDir("/"))
		k.d.Lie(tc.lies)
		k.ok("write", f.write([]byte("new"), 0))
		k.ok("fsync", f.sync())
		k.ok("rename", k.rename("/a", "/b"))
		k.ok("fsync of the directory", k.syncDir("/"))
		k.d.Lie(0)
		k.cut(lost)
		name, gone := "/b", "/a"
		if tc.lies&Dirs != 0 {
			name, gone = "/a", "/b"
		}
		if got := k.content(name); string(got) != tc.want || k.content(gone) != nil {
			t.Errorf("lies %d: %s is %q, want %q; %s is %q", tc.lies, name, got, tc.want, gone, k.content(gone))
		}
		if c := k.d.Counts(); (c.Lied > 0) != (tc.lies != 0) || c.Fsyncs != 2 || c.DirFsyncs != 2 || c.Writes != 2 || c.Bytes != 6 {
			t.Errorf("lies %d: %+v", tc.lies, c)
		}
	}
}

func TestRefuses(t *testing.T) {
	k := newKernel(t)
	f, s := k.create("/a", syscall.O_DIRECT)
	k.ok("create", s)
	block := make([]byte, 4096)
	k.ok("whole block", f.write(block, 4096))
	if s := f.write(block[:100], 0); s != fuse.EINVAL {
		t.Errorf("part of a sector, direct: %v", s)
	}
	if s := f.write(block, 100); s != fuse.EINVAL {
		t.Errorf("across sectors, direct: %v", s)
	}
	if _, s := f.read(100, 0); s != fuse.EINVAL {
		t.Errorf("read of a part of a sector, direct: %v", s)
	}
	if s := f.allocate(0, 4096, 2); s != fuse.Status(syscall.EOPNOTSUPP) {
		t.Errorf("punch a hole: %v", s)
	}
	if _, s := k.create("/a", 0); s != fuse.Status(syscall.EEXIST) {
		t.Errorf("create twice: %v", s)
	}
	k.ok("mkdir", k.mkdir("/d"))
	if s := k.mkdir("/d"); s != fuse.Status(syscall.EEXIST) {
		t.Errorf("mkdir twice: %v", s)
	}
	if s := k.rename("/d", "/d/e"); s != fuse.EINVAL {
		t.Errorf("a directory into itself: %v", s)
	}
	if s := k.remove("/x"); s != fuse.ENOENT {
		t.Errorf("remove what is not there: %v", s)
	}
	if c := k.d.Counts(); c.Direct != 1 {
		t.Errorf("%d direct writes", c.Direct)
	}
}

// TestSameAsMem does the same at random through the file system and on a vfs.Mem,
// cuts the power of both the same way, and compares.
func TestSameAsMem(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		k, mem := newKernel(t), vfs.NewMem()
		names := []string{"/a", "/b", "/d/a", "/d/b"}
		k.ok("mkdir", k.mkdir("/d"))
		if err := mem.MkdirAll("/d"); err != nil {
			t.Fatal(err)
		}
		for step := range 60 {
			name, other := names[rng.IntN(len(names))], names[rng.IntN(len(names))]
			data := bytes.Repeat([]byte{byte(step + 1)}, 1+rng.IntN(3000))
			off := int64(rng.IntN(6000))
			op := rng.IntN(8)
			if a, b := k.do(op, name, other, data, off), onMem(mem, op, name, other, data, off); a.Ok() != (b == nil) {
				t.Fatalf("seed %d step %d: operation %d on %s: %v, on the model %v", seed, step, op, name, a, b)
			}
			if rng.IntN(20) == 0 {
				o := vfs.CrashOptions{Keep: rng.Float64(), Torn: rng.IntN(2) == 0}
				cut := rng.Uint64()
				o.Rand = rand.New(rand.NewPCG(cut, 2))
				k.cut(o)
				o.Rand = rand.New(rand.NewPCG(cut, 2))
				mem = mem.Crash(o)
			}
			for _, name := range names {
				want, err := vfs.ReadFile(mem, name, 1<<20)
				if got := k.content(name); (err == nil) != (got != nil) || !bytes.Equal(got, want) {
					t.Fatalf("seed %d step %d: %s has %d bytes, the model %d, %v", seed, step, name, len(got), len(want), err)
				}
			}
		}
	}
}

// do does one operation on the file system.
func (k *kernel) do(op int, name, other string, data []byte, off int64) fuse.Status {
	switch op {
	case 0:
		if s := k.dirOf(name); !s.Ok() {
			return s
		}
		_, s := k.create(name, 0)
		return s
	case 1:
		if s := k.dirOf(name); !s.Ok() {
			return s
		}
		return k.remove(name)
	case 2:
		if s := k.dirOf(name, other); !s.Ok() {
			return s
		}
		return k.rename(name, other)
	case 3:
		return k.syncDir("/")
	case 4:
		return k.syncDir("/d")
	}
	f, s := k.open(name, 0)
	switch {
	case !s.Ok():
		return s
	case op == 5:
		return f.sync()
	case op == 6:
		return f.truncate(uint64(off))
	}
	return f.write(data, off)
}

// dirOf wants the directories of the names to be there.
func (k *kernel) dirOf(names ...string) fuse.Status {
	for _, n := range names {
		if len(n) > 2 {
			if _, s := k.node("/d"); !s.Ok() {
				return s
			}
		}
	}
	return fuse.OK
}

// onMem does the same on a vfs.Mem.
func onMem(m *vfs.Mem, op int, name, other string, data []byte, off int64) (err error) {
	switch op {
	case 0:
		_, err = m.Create(name)
		return err
	case 1:
		return m.Remove(name)
	case 2:
		return m.Rename(name, other)
	case 3:
		return m.SyncDir("/")
	case 4:
		return m.SyncDir("/d")
	}
	f, err := m.OpenReadWrite(name)
	switch {
	case err != nil:
		return err
	case op == 5:
		return f.Sync()
	case op == 6:
		return f.Truncate(off)
	}
	if _, err = f.WriteAt(data, off); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
