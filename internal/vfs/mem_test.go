package vfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/logq/logq/internal/vfs"
)

func crash(m *vfs.Mem, keep float64) *vfs.Mem {
	return m.Clone(vfs.CrashOptions{Keep: keep, Rand: rand.New(rand.NewPCG(1, 2))})
}

func exists(t *testing.T, m *vfs.Mem, name string) bool {
	t.Helper()
	_, err := m.Stat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

func TestMemNames(t *testing.T) {
	m := vfs.NewMem()
	must(t, create(t, m, "a", "x").Sync())
	if exists(t, crash(m, 0), "a") {
		t.Error("a new file survived although its directory was not synced")
	}
	if !exists(t, crash(m, 1), "a") {
		t.Error("a new file was lost with Keep 1")
	}
	must(t, m.SyncDir("."))
	if got := content(t, crash(m, 0), "a"); got != "x" {
		t.Errorf("a synced file with a synced name holds %q", got)
	}
	must(t, m.Remove("a"))
	if !exists(t, crash(m, 0), "a") || exists(t, crash(m, 1), "a") {
		t.Error("a removal must be lost with Keep 0 and kept with Keep 1")
	}
	must(t, m.Rename(create(t, m, "b", "y").Name(), "c"))
	must(t, m.SyncDir("/"))
	if after := crash(m, 0); exists(t, after, "a") || exists(t, after, "b") || !exists(t, after, "c") {
		t.Error("names after SyncDir are not what was seen")
	}
}

func TestMemRename(t *testing.T) {
	m := vfs.NewMem()
	must(t, m.MkdirAll("d"))
	for _, name := range []string{"old", "new", "d/moved"} {
		f := create(t, m, name, name)
		must(t, f.Sync())
	}
	must(t, errors.Join(m.SyncDir("."), m.SyncDir("d")))
	must(t, m.Rename("old", "new"))
	must(t, m.Rename("d/moved", "moved"))
	for seed := range uint64(64) {
		after := m.Clone(vfs.CrashOptions{Keep: 0.5, Rand: rand.New(rand.NewPCG(seed, 0))})
		if old := exists(t, after, "old"); old != (content(t, after, "new") == "new") {
			t.Fatalf("seed %d: half a rename survived", seed)
		}
		if exists(t, after, "moved") == exists(t, after, "d/moved") {
			t.Fatalf("seed %d: half a rename between directories survived", seed)
		}
	}
	must(t, m.SyncDir("."))
	after := crash(m, 0)
	if exists(t, after, "old") || exists(t, after, "d/moved") || content(t, after, "moved") != "d/moved" {
		t.Error("a rename is durable with the sync of the new directory")
	}
}

func TestMemDirectories(t *testing.T) {
	m := vfs.NewMem()
	must(t, m.MkdirAll("a/b"))
	f := create(t, m, "a/b/f", "x")
	must(t, errors.Join(f.Sync(), m.SyncDir("a/b"), m.SyncDir("a")))
	if exists(t, crash(m, 0), "a") {
		t.Error("a directory survived although its parent was not synced")
	}
	must(t, m.SyncDir("."))
	if !exists(t, crash(m, 0), "a/b/f") {
		t.Error("a synced tree was lost")
	}
	must(t, m.RemoveAll("a"))
	if after := crash(m, 0); !exists(t, after, "a/b/f") {
		t.Error("an unsynced RemoveAll took effect")
	}
	must(t, m.SyncDir("."))
	if exists(t, crash(m, 0), "a") {
		t.Error("a synced RemoveAll was undone")
	}
	m2 := vfs.NewMem()
	must(t, vfs.MkdirAllSync(m2, "x/y/z"))
	if !exists(t, crash(m2, 0), "x/y/z") {
		t.Error("MkdirAllSync left a directory that isn't durable")
	}
}

func TestMemContent(t *testing.T) {
	m := vfs.NewMem()
	f := create(t, m, "f", strings.Repeat("a", 10000))
	must(t, errors.Join(f.Sync(), m.SyncDir(".")))
	old := content(t, m, "f")
	write(t, f, 5000, strings.Repeat("b", 10000))
	now := content(t, m, "f")
	if got := content(t, crash(m, 0), "f"); got != old {
		t.Error("unsynced bytes survived with Keep 0")
	}
	if got := content(t, crash(m, 1), "f"); got != now {
		t.Error("bytes were lost with Keep 1")
	}
	blocks := make(map[string]int)
	for seed := range uint64(200) {
		after := m.Clone(vfs.CrashOptions{Keep: 0.5, Rand: rand.New(rand.NewPCG(seed, 0))})
		got := content(t, after, "f")
		for off := 0; off < len(got); off += 4096 {
			end := min(off+4096, len(got))
			oldBlock := (old + strings.Repeat("\x00", 5000))[off:end]
			switch b := got[off:end]; b {
			case now[off:end]:
				blocks[fmt.Sprint(off, "new")]++
			case oldBlock:
				blocks[fmt.Sprint(off, "old")]++
			default:
				t.Fatalf("seed %d: block at %d is neither old nor new", seed, off)
			}
		}
		blocks[fmt.Sprint("size ", len(got))]++
	}
	for _, want := range []string{"0new", "4096new", "4096old", "8192new", "8192old", "size 10000", "size 15000"} {
		if blocks[want] == 0 {
			t.Errorf("state %q never came up in %v", want, blocks)
		}
	}
	must(t, f.Sync())
	if got := content(t, crash(m, 0), "f"); got != now {
		t.Error("synced bytes were lost")
	}
}

func TestMemTorn(t *testing.T) {
	torn := 0
	for seed := range uint64(100) {
		m := vfs.NewMem()
		f := create(t, m, "f", strings.Repeat("a", 4096))
		must(t, errors.Join(f.Sync(), m.SyncDir(".")))
		write(t, f, 0, strings.Repeat("b", 4096))
		got := []byte(content(t, m.Crash(vfs.CrashOptions{Keep: 0.5, Torn: true, Rand: rand.New(rand.NewPCG(seed, 0))}), "f"))
		for off := 0; off < len(got); off += 512 {
			s := got[off : off+512]
			n := bytes.IndexByte(s, 'a')
			if n < 0 || n == 0 && bytes.IndexByte(s, 'b') < 0 {
				continue
			}
			if bytes.IndexByte(s[n:], 'b') >= 0 {
				t.Fatalf("seed %d: sector at %d is not new bytes and then old", seed, off)
			}
			torn++
		}
	}
	if torn < 50 || torn > 100 {
		t.Errorf("%d torn sectors in 100 crashes, want about one each", torn)
	}
}

func TestMemTruncate(t *testing.T) {
	m := vfs.NewMem()
	f := create(t, m, "f", "0123456789")
	must(t, errors.Join(f.Sync(), m.SyncDir(".")))
	must(t, f.Truncate(4))
	must(t, f.Preallocate(0, 8))
	if got := content(t, m, "f"); got != "0123\x00\x00\x00\x00" {
		t.Errorf("seen: %q", got)
	}
	if got := content(t, crash(m, 0), "f"); got != "0123456789" {
		t.Errorf("truncation lost: %q", got)
	}
	if got := content(t, crash(m, 1), "f"); got != "0123\x00\x00\x00\x00" {
		t.Errorf("truncation kept: %q", got)
	}
	write(t, f, 6, "xy")
	must(t, f.Sync())
	if got := content(t, crash(m, 0), "f"); got != "0123\x00\x00xy" {
		t.Errorf("synced: %q", got)
	}
	must(t, f.Truncate(2))
	must(t, f.Sync())
	must(t, f.Truncate(5))
	must(t, f.Sync())
	if got := content(t, crash(m, 0), "f"); got != "01\x00\x00\x00" {
		t.Errorf("cut and grown: %q", got)
	}
}

func TestMemDead(t *testing.T) {
	m := vfs.NewMem()
	f := create(t, m, "f", "x")
	_, err := m.Lock("LOCK")
	must(t, err)
	after := m.Crash(vfs.CrashOptions{Keep: 1})
	_, err = f.WriteAt([]byte("y"), 0)
	wantErr(t, err, vfs.ErrCrashed)
	wantErr(t, f.Sync(), vfs.ErrCrashed)
	_, err = m.Create("g")
	wantErr(t, err, vfs.ErrCrashed)
	wantErr(t, m.MkdirAll("d"), vfs.ErrCrashed)
	wantErr(t, m.SyncDir("."), vfs.ErrCrashed)
	l, err := after.Lock("LOCK")
	must(t, err)
	must(t, l.Close())
	if got := content(t, after, "f"); got != "x" {
		t.Errorf("content %q", got)
	}
}

func TestMemCapacity(t *testing.T) {
	m := vfs.NewMem()
	m.SetCapacity(1000)
	f := create(t, m, "f", strings.Repeat("x", 600))
	g := create(t, m, "g", strings.Repeat("x", 300))
	_, err := f.WriteAt(make([]byte, 200), 550)
	wantErr(t, err, syscall.ENOSPC)
	wantErr(t, f.Preallocate(0, 800), syscall.ENOSPC)
	wantErr(t, f.Truncate(800), syscall.ENOSPC)
	write(t, f, 0, strings.Repeat("y", 600))
	must(t, g.Truncate(100))
	must(t, f.Preallocate(0, 800))
	must(t, m.Remove("g"))
	free, total, err := m.Usage(".")
	if free != 200 || total != 1000 || err != nil {
		t.Errorf("usage %d of %d, %v", free, total, err)
	}
	must(t, f.Close())
	if free, _, _ := m.Clone(vfs.CrashOptions{Keep: 1}).Usage("."); free != 200 {
		t.Errorf("after a crash %d bytes are free", free)
	}
}

// TestLostSync is a failed fsync as ATC'20 found it: the data reads well, counts
// as clean, and is gone after the power is.
func TestLostSync(t *testing.T) {
	m := vfs.NewMem()
	faults, err := vfs.ParseFaults("sync f #2 lost EIO")
	must(t, err)
	fsys := vfs.WithFaults(m, faults)
	f := create(t, fsys, "f", "old")
	must(t, errors.Join(f.Sync(), fsys.SyncDir(".")))
	write(t, f, 0, "new")
	wantErr(t, f.Sync(), syscall.EIO)
	must(t, f.Sync())
	if got := content(t, m, "f"); got != "new" {
		t.Errorf("the page cache holds %q", got)
	}
	if got := content(t, crash(m, 1), "f"); got != "old" {
		t.Errorf("after the crash: %q", got)
	}
	must(t, f.(vfs.Uncacher).Uncache())
	if got := content(t, m, "f"); got != "old" {
		t.Errorf("after dropping the cache: %q", got)
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		rules string
		do    func(fsys vfs.FS, f vfs.File) error
		want  []error // of one call after the other
	}{
		{"write * #2 ENOSPC", writeOne, []error{nil, syscall.ENOSPC, nil}},
		{"write * #2+ EIO", writeOne, []error{nil, syscall.EIO, syscall.EIO}},
		{"* * #2..3 EIO", writeOne, []error{nil, syscall.EIO, syscall.EIO, nil}},
		{"write *.seg EIO; write f* #3 EROFS", writeOne, []error{nil, nil, syscall.EROFS}},
		{"sync f EIO", func(_ vfs.FS, f vfs.File) error { return f.Sync() }, []error{syscall.EIO, syscall.EIO}},
		{"syncdir . EIO", func(fsys vfs.FS, _ vfs.File) error { return fsys.SyncDir(".") }, []error{syscall.EIO}},
		{"truncate * EIO", func(_ vfs.FS, f vfs.File) error { return f.Truncate(1) }, []error{syscall.EIO}},
		{"preallocate * ENOSPC", func(_ vfs.FS, f vfs.File) error { return f.Preallocate(0, 9) }, []error{syscall.ENOSPC}},
		{"read d/* EIO", readOne, []error{nil}},
		{"read * EIO", readOne, []error{syscall.EIO}},
		{"close * EIO", func(_ vfs.FS, f vfs.File) error { return f.Close() }, []error{syscall.EIO, syscall.EIO}},
		{"rename * EIO", func(fsys vfs.FS, _ vfs.File) error { return fsys.Rename("f", "g") }, []error{syscall.EIO}},
		{"remove * EIO", func(fsys vfs.FS, _ vfs.File) error { return errors.Join(fsys.Remove("f"), fsys.RemoveAll("f")) }, []error{syscall.EIO}},
		{"mkdir * EIO", func(fsys vfs.FS, _ vfs.File) error { return fsys.MkdirAll("d") }, []error{syscall.EIO}},
		{"create * EMFILE", func(fsys vfs.FS, _ vfs.File) error { _, err := fsys.Create("n"); return err }, []error{syscall.EMFILE}},
		{"open * EACCES", func(fsys vfs.FS, _ vfs.File) error { _, err := fsys.Open("f"); return err }, []error{syscall.EACCES}},
		{"open * #2 EACCES", func(fsys vfs.FS, _ vfs.File) error { _, err := fsys.OpenReadWrite("f"); return err }, []error{nil, syscall.EACCES}},
		{"list * EIO", func(fsys vfs.FS, _ vfs.File) error { _, err := fsys.List("."); return err }, []error{syscall.EIO}},
		{"stat * EIO", func(fsys vfs.FS, _ vfs.File) error { _, err := fsys.Stat("f"); return err }, []error{syscall.EIO}},
		{"lock * EIO", func(fsys vfs.FS, _ vfs.File) error { _, err := fsys.Lock("L"); return err }, []error{syscall.EIO}},
		{"usage * EIO", func(fsys vfs.FS, _ vfs.File) error { _, _, err := fsys.Usage("."); return err }, []error{syscall.EIO}},
	}
	for _, tt := range tests {
		t.Run(tt.rules, func(t *testing.T) {
			mem := vfs.NewMem()
			must(t, create(t, mem, "f", "content").Close())
			faults, err := vfs.ParseFaults("")
			must(t, err)
			fsys := vfs.WithFaults(mem, faults)
			f, err := fsys.OpenReadWrite("f")
			must(t, err)
			rules, err := vfs.ParseFaults(tt.rules)
			must(t, err)
			for line := range strings.Lines(rules.String()) {
				r, err := vfs.ParseRule(line)
				must(t, err)
				faults.Add(r)
			}
			fired := 0
			for i, want := range tt.want {
				err := tt.do(fsys, f)
				if !errors.Is(err, want) {
					t.Errorf("call %d: %v, want %v", i+1, err, want)
				}
				var injected *vfs.InjectedError
				if want != nil {
					fired++
					if !errors.As(err, &injected) {
						t.Errorf("call %d: %v is not marked as injected", i+1, err)
					}
				}
			}
			if got := faults.Fired(); got < fired {
				t.Errorf("fired %d, want %d", got, fired)
			}
			faults.Clear()
			if err := tt.do(fsys, f); err != nil && !errors.Is(err, fs.ErrClosed) {
				t.Errorf("after Clear: %v", err)
			}
		})
	}
}

func writeOne(_ vfs.FS, f vfs.File) error {
	_, err := f.WriteAt([]byte("x"), 0)
	return err
}

func readOne(_ vfs.FS, f vfs.File) error {
	_, err := f.ReadAt(make([]byte, 1), 0)
	return err
}

func TestShortWrite(t *testing.T) {
	mem := vfs.NewMem()
	faults, err := vfs.ParseFaults("write * short=3 ENOSPC; read * short=2 EIO")
	must(t, err)
	f, err := vfs.WithFaults(mem, faults).Create("f")
	must(t, err)
	n, err := f.WriteAt([]byte("abcdef"), 0)
	if n != 3 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("short write: %d, %v", n, err)
	}
	if got := content(t, mem, "f"); got != "abc" {
		t.Errorf("content %q", got)
	}
	buf := []byte("????")
	n, err = f.ReadAt(buf, 0)
	if n != 2 || string(buf) != "ab??" || !errors.Is(err, syscall.EIO) {
		t.Errorf("short read: %d, %q, %v", n, buf, err)
	}
}

func TestTrace(t *testing.T) {
	var got []string
	faults, err := vfs.ParseFaults("sync * #2 EIO")
	must(t, err)
	fsys := vfs.WithTrace(vfs.WithFaults(vfs.NewMem(), faults), func(s string) { got = append(got, s) })
	must(t, fsys.MkdirAll("d"))
	f := create(t, fsys, "d/a", "hello")
	must(t, f.Preallocate(5, 10))
	must(t, f.Sync())
	wantErr(t, f.Sync(), syscall.EIO)
	must(t, f.Truncate(2))
	_, err = f.ReadAt(make([]byte, 1), 0)
	must(t, err)
	must(t, fsys.Rename("d/a", "d/b"))
	must(t, fsys.SyncDir("d"))
	must(t, fsys.Remove("d/b"))
	must(t, fsys.RemoveAll("d"))
	want := []string{
		"mkdir: d", "create: d/a", "write: d/a [0,+5)", "preallocate: d/a [5,+10)", "sync: d/a",
		`sync: d/a = sync d/a: input/output error (injected by "sync * #2 EIO")`, "truncate: d/a 2",
		"rename: d/a -> d/b", "syncdir: d", "remove: d/b", "removeall: d",
	}
	if !slices.Equal(got, want) {
		t.Errorf("trace\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func BenchmarkMemSmallCluster(b *testing.B) {
	buf := make([]byte, 300)
	b.ReportAllocs()
	for b.Loop() {
		m := vfs.NewMem()
		_ = m.MkdirAll("log")
		f, _ := m.Create("log/a")
		_ = f.Preallocate(0, 64<<10)
		for i := range 50 {
			_, _ = f.WriteAt(buf, int64(4096+300*i))
			_ = f.Sync()
		}
		_ = m.SyncDir("log")
		m = m.Crash(vfs.CrashOptions{Keep: 1})
		if _, err := m.List("log"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMkdirAllSyncInterrupted ends a call between two of its steps, as a crash
// of the process does, and makes the directory again: then it is durable.
func TestMkdirAllSyncInterrupted(t *testing.T) {
	for stop := 1; stop < 12; stop++ {
		m := vfs.NewMem()
		faults, err := vfs.ParseFaults(fmt.Sprintf("* * #%d+ EIO", stop))
		must(t, err)
		first := vfs.MkdirAllSync(vfs.WithFaults(m, faults), "a/b/c")
		must(t, vfs.MkdirAllSync(m, "a/b/c"))
		if !exists(t, crash(m, 0), "a/b/c") {
			t.Fatalf("stopped at call %d (%v): not durable after the second call", stop, first)
		}
	}
}
