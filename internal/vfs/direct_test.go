package vfs_test

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/logq/logq/internal/vfs"
)

func TestProbeDirect(t *testing.T) {
	mem := vfs.NewMem()
	if err := mem.MkdirAll("d"); err != nil {
		t.Fatal(err)
	}
	for _, no := range []bool{false, true} {
		mem.SetNoDirect(no)
		ok, err := vfs.ProbeDirect(mem, "d")
		if err != nil || ok == no {
			t.Errorf("refused: %t; probe: %t, %v", no, ok, err)
		}
		if names, _ := mem.List("d"); len(names) != 0 {
			t.Errorf("the probe left %q", names)
		}
	}
	if _, err := vfs.ProbeDirect(mem, "nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("probe of a missing directory: %v", err)
	}
	// Whether the disk of the tests can do it is its own business.
	if _, err := vfs.ProbeDirect(vfs.OS(), filepath.ToSlash(t.TempDir())); err != nil {
		t.Error(err)
	}
}

func TestMemDirectTakesWholeSectors(t *testing.T) {
	mem := vfs.NewMem()
	if _, err := mem.Create("f"); err != nil {
		t.Fatal(err)
	}
	f, err := mem.OpenDirect("f")
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, vfs.BlockSize)
	for what, err := range map[string]error{
		"position": f.WriteSync([][]byte{block}, 1),
		"length":   f.WriteSync([][]byte{block[:100]}, 0),
		"good":     f.WriteSync([][]byte{block, block[:512]}, 512),
	} {
		if bad := errors.Is(err, syscall.EINVAL); bad != (what != "good") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := f.ReadAt(block[:10], 0); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a read of ten bytes: %v", err)
	}
}

func TestAlignedBuffer(t *testing.T) {
	for _, pos := range []int64{0, 1, 4095, 4096, 123456789} {
		b := vfs.AlignedBuffer(100, pos)
		if len(b) != 100 || cap(b) != 100 || !vfs.Aligned(b, pos) || vfs.Aligned(b, pos+1) {
			t.Errorf("buffer for %d: %d bytes, aligned %t", pos, len(b), vfs.Aligned(b, pos))
		}
	}
}

// TestWriteSync: many buffers, more than one system call takes, lie one behind the
// other, and are durable.
func TestWriteSync(t *testing.T) {
	mem := vfs.NewMem()
	for _, c := range []struct {
		fsys vfs.FS
		name string
	}{{mem, "f"}, {vfs.OS(), filepath.Join(t.TempDir(), "f")}, {vfs.WithFaults(vfs.NewMem(), &vfs.Faults{}), "f"}} {
		f, err := c.fsys.Create(c.name)
		if err != nil {
			t.Fatal(err)
		}
		var bufs [][]byte
		for i := range 2500 {
			bufs = append(bufs, bytes.Repeat([]byte{byte(i)}, 1+i%7))
		}
		if err := f.WriteSync(bufs, 3); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := vfs.ReadFile(c.fsys, c.name, 1<<20)
		if want := append(make([]byte, 3), bytes.Join(bufs, nil)...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%T: %d bytes, %v; want %d", c.fsys, len(got), err, len(want))
		}
	}
	if err := mem.SyncDir("."); err != nil {
		t.Fatal(err)
	}
	if got, err := vfs.ReadFile(mem.Crash(vfs.CrashOptions{}), "f", 1<<20); err != nil || len(got) < 2500 {
		t.Errorf("after a crash: %d bytes, %v", len(got), err)
	}
}

func TestWriteSyncFaults(t *testing.T) {
	for rule, left := range map[string]int{
		"write f #1 short=700 EIO": 700,
		"write f #1 EIO":           0,
		"sync f #1 EIO":            1024,
	} {
		faults, err := vfs.ParseFaults(rule)
		if err != nil {
			t.Fatal(err)
		}
		mem := vfs.NewMem()
		f, err := vfs.WithFaults(mem, faults).Create("f")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.WriteSync([][]byte{make([]byte, 512), make([]byte, 512)}, 0); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", rule, err)
		}
		if got, err := vfs.ReadFile(mem, "f", 1<<20); err != nil || len(got) != left {
			t.Errorf("%s: %d bytes are there, %v; want %d", rule, len(got), err, left)
		}
	}
}
