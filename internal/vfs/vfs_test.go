package vfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/logq/logq/internal/vfs"
)

// both runs a test on the operating system and in memory: they must agree.
func both(t *testing.T, test func(t *testing.T, fsys vfs.FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, vfs.OS(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) { test(t, vfs.NewMem(), "/") })
	t.Run("wrapped", func(t *testing.T) {
		fsys := vfs.WithTrace(vfs.WithFaults(vfs.NewMem(), &vfs.Faults{}), func(string) {})
		test(t, fsys, ".")
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func write(t *testing.T, f vfs.File, off int64, s string) {
	t.Helper()
	n, err := f.WriteAt([]byte(s), off)
	if err != nil || n != len(s) {
		t.Fatalf("write %d bytes at %d: %d, %v", len(s), off, n, err)
	}
}

func create(t *testing.T, fsys vfs.FS, name, content string) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	write(t, f, 0, content)
	return f
}

func content(t *testing.T, fsys vfs.FS, name string) string {
	t.Helper()
	b, err := vfs.ReadFile(fsys, name, 1<<20)
	must(t, err)
	return string(b)
}

func TestFiles(t *testing.T) {
	both(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "a")
		_, err := fsys.Open(name)
		wantErr(t, err, fs.ErrNotExist)
		_, err = fsys.OpenReadWrite(name)
		wantErr(t, err, fs.ErrNotExist)
		f := create(t, fsys, name, "hello")
		_, err = fsys.Create(name)
		wantErr(t, err, fs.ErrExist)
		write(t, f, 10, "world")
		must(t, f.Sync())
		if got, want := content(t, fsys, name), "hello\x00\x00\x00\x00\x00world"; got != want {
			t.Errorf("content %q, want %q", got, want)
		}
		must(t, f.Truncate(3))
		must(t, f.Truncate(6))
		if got, want := content(t, fsys, name), "hel\x00\x00\x00"; got != want {
			t.Errorf("content after truncate %q, want %q", got, want)
		}
		must(t, f.Preallocate(4, 4))
		write(t, f, 7, "x")
		must(t, f.Preallocate(0, 2))
		if got, want := content(t, fsys, name), "hel\x00\x00\x00\x00x"; got != want {
			t.Errorf("content after preallocate %q, want %q", got, want)
		}
		if f.Name() != name {
			t.Errorf("name %q", f.Name())
		}
		must(t, f.(vfs.Uncacher).Uncache())
		must(t, f.Close())
		wantErr(t, f.Close(), fs.ErrClosed)
		_, err = f.WriteAt([]byte("x"), 0)
		wantErr(t, err, fs.ErrClosed)
		_, err = f.Size()
		if err == nil {
			t.Error("Size of a closed file succeeded")
		}
	})
}

func TestReadAt(t *testing.T) {
	both(t, func(t *testing.T, fsys vfs.FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "0123456789")
		must(t, f.Preallocate(0, 20))
		tests := []struct {
			off  int64
			len  int
			want string
			err  error
		}{
			{0, 10, "0123456789", nil}, {8, 4, "89\x00\x00", nil}, {15, 5, "\x00\x00\x00\x00\x00", nil},
			{18, 4, "\x00\x00", io.EOF}, {20, 1, "", io.EOF}, {30, 1, "", io.EOF},
		}
		for _, tt := range tests {
			buf := bytes.Repeat([]byte{'?'}, tt.len)
			n, err := f.ReadAt(buf, tt.off)
			if string(buf[:n]) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("read [%d,+%d) = %q, %v; want %q, %v", tt.off, tt.len, buf[:n], err, tt.want, tt.err)
			}
		}
		if _, err := f.ReadAt(make([]byte, 1), -1); err == nil {
			t.Error("read at -1 succeeded")
		}
		if _, err := f.WriteAt([]byte("x"), -1); err == nil {
			t.Error("write at -1 succeeded")
		}
		if err := f.Preallocate(-1, 1); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("preallocate at -1: %v", err)
		}
		if err := f.Truncate(-1); err == nil {
			t.Error("truncate to -1 succeeded")
		}
		r, err := fsys.Open(f.Name())
		must(t, err)
		if _, err := r.WriteAt([]byte("x"), 0); err == nil {
			t.Error("a file open for reading was written")
		}
		must(t, r.Close())
		must(t, f.Close())
	})
}

func TestDirectories(t *testing.T) {
	both(t, func(t *testing.T, fsys vfs.FS, dir string) {
		at := func(name string) string { return filepath.Join(dir, name) }
		must(t, vfs.MkdirAllSync(fsys, at("d/e")))
		must(t, vfs.MkdirAllSync(fsys, at("d/e")))
		must(t, fsys.MkdirAll(at("d")))
		for _, name := range []string{"d/b", "d/a", "d/e/x"} {
			must(t, create(t, fsys, at(name), name).Close())
		}
		names, err := fsys.List(at("d"))
		must(t, err)
		if want := []string{"a", "b", "e"}; !slices.Equal(names, want) {
			t.Errorf("list %q, want %q", names, want)
		}
		must(t, fsys.SyncDir(at("d")))
		wantErr(t, fsys.SyncDir(at("none")), fs.ErrNotExist)
		info, err := fsys.Stat(at("d/e/x"))
		if err != nil || info != (vfs.Info{Size: 5}) {
			t.Errorf("stat of a file: %+v, %v", info, err)
		}
		info, err = fsys.Stat(at("d/e"))
		if err != nil || info != (vfs.Info{Dir: true}) {
			t.Errorf("stat of a directory: %+v, %v", info, err)
		}
		_, err = fsys.Stat(at("d/none"))
		wantErr(t, err, fs.ErrNotExist)
		_, err = fsys.List(at("none"))
		wantErr(t, err, fs.ErrNotExist)
		must(t, fsys.Rename(at("d/a"), at("d/b")))
		if got := content(t, fsys, at("d/b")); got != "d/a" {
			t.Errorf("renamed file holds %q", got)
		}
		must(t, fsys.Rename(at("d/e"), at("f")))
		if got := content(t, fsys, at("f/x")); got != "d/e/x" {
			t.Errorf("file in a renamed directory holds %q", got)
		}
		wantErr(t, fsys.Rename(at("none"), at("x")), fs.ErrNotExist)
		if err := fsys.Rename(at("f"), at("f/g")); err == nil {
			t.Error("a directory was moved into itself")
		}
		wantErr(t, fsys.Remove(at("f")), syscall.ENOTEMPTY)
		wantErr(t, fsys.Remove(at("none")), fs.ErrNotExist)
		must(t, fsys.Remove(at("d/b")))
		must(t, fsys.RemoveAll(at("f")))
		must(t, fsys.RemoveAll(at("f")))
		must(t, fsys.RemoveAll(at("no/such")))
		if err := fsys.MkdirAll(filepath.Join(create(t, fsys, at("file"), "x").Name(), "sub")); err == nil {
			t.Error("a directory was made below a file")
		}
		if err := vfs.MkdirAllSync(fsys, at("file")); err == nil {
			t.Error("MkdirAllSync took a file for a directory")
		}
		free, total, err := fsys.Usage(dir)
		if err != nil || free <= 0 || total < free {
			t.Errorf("usage %d of %d free, %v", free, total, err)
		}
	})
}

func TestLock(t *testing.T) {
	both(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "LOCK")
		l, err := fsys.Lock(name)
		must(t, err)
		_, err = fsys.Lock(name)
		var locked *vfs.LockedError
		if !errors.As(err, &locked) || locked.Path != name {
			t.Fatalf("second lock: %v", err)
		}
		must(t, l.Close())
		l, err = fsys.Lock(name)
		must(t, err)
		must(t, l.Close())
		if _, err = fsys.Lock(filepath.Join(dir, "no", "LOCK")); err == nil {
			t.Error("a lock was taken in a missing directory")
		}
	})
}

func TestWriteFile(t *testing.T) {
	both(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "a")
		for _, s := range []string{"first", "", "third"} {
			must(t, vfs.WriteFile(fsys, name, []byte(s)))
			if got := content(t, fsys, name); got != s {
				t.Errorf("content %q, want %q", got, s)
			}
		}
		if _, err := vfs.ReadFile(fsys, name, 4); err == nil {
			t.Error("a file above the limit was read")
		}
	})
}

// TestWriteFileAtomic crashes a replacement at each of its calls.
func TestWriteFileAtomic(t *testing.T) {
	for step := 1; ; step++ {
		for _, keep := range []float64{0, 1} {
			mem := vfs.NewMem()
			must(t, vfs.WriteFile(mem, "a", []byte("old")))
			calls, done := 0, false
			var after *vfs.Mem
			f := &vfs.Faults{}
			f.SetHook(func(vfs.Call) error {
				if calls++; calls == step {
					after = mem.Clone(vfs.CrashOptions{Keep: keep})
				}
				return nil
			})
			must(t, vfs.WriteFile(vfs.WithFaults(mem, f), "a", []byte("new")))
			if after == nil {
				after, done = mem.Crash(vfs.CrashOptions{Keep: keep}), true
			}
			got := content(t, after, "a")
			if got != "new" && (got != "old" || done) {
				t.Errorf("crash before call %d, keep %v: content %q", step, keep, got)
			}
			if done && keep == 1 {
				return
			}
		}
	}
}

func TestMemConcurrent(t *testing.T) {
	mem := vfs.NewMem()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			f, err := mem.Create(fmt.Sprintf("f%d", i))
			if err != nil {
				t.Error(err)
				return
			}
			buf := make([]byte, 100)
			for j := range 200 {
				_, err1 := f.WriteAt(buf, int64(j*50))
				_, err2 := f.ReadAt(buf, int64(j))
				_, err3 := mem.List(".")
				if err := errors.Join(err1, err2, err3, f.Sync(), mem.SyncDir("."), f.Truncate(int64(j*40+100))); err != nil {
					t.Error(err)
					return
				}
				mem.Clone(vfs.CrashOptions{Keep: 1})
			}
		})
	}
	wg.Wait()
}
