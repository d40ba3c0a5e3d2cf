package statefile_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"testing"

	"github.com/logq/logq/internal/statefile"
	"github.com/logq/logq/internal/vfs"
)

const dir = "data/metadata"

func state(n int) statefile.State {
	size := 100 + 5000*(n%3)
	return statefile.State{
		Index: uint64(10 * n), Next: int64(9 * n), Local: fmt.Appendf(nil, "local %d", n),
		Image: bytes.Repeat([]byte{byte(n)}, size),
	}
}

func same(a, b statefile.State) bool {
	return a.Index == b.Index && a.Next == b.Next && bytes.Equal(a.Local, b.Local) && bytes.Equal(a.Image, b.Image)
}

func open(t *testing.T, fsys vfs.FS) (*statefile.Store, statefile.Found) {
	t.Helper()
	s, found, err := statefile.Open(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, found
}

func write(t *testing.T, s *statefile.Store, n int) {
	t.Helper()
	if err := s.Write(state(n)); err != nil {
		t.Fatal(err)
	}
}

// files returns the names in the directory, ascending.
func files(t *testing.T, m *vfs.Mem) []string {
	t.Helper()
	names, err := m.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestGenerations(t *testing.T) {
	m := vfs.NewMem()
	s, found := open(t, m)
	if found.State != nil || len(found.Damaged) > 0 {
		t.Fatalf("a new directory has %+v", found)
	}
	if _, ok := s.Newest(); ok {
		t.Error("there is a newest file in a new directory")
	}
	for n := 1; n <= 5; n++ {
		write(t, s, n)
		newest, ok := s.Newest()
		if floor, two := s.Floor(); !ok || newest.Index != state(n).Index || two != (n > 1) || two && floor.Index != state(n-1).Index {
			t.Errorf("after %d: newest %+v, floor %+v", n, newest, floor)
		}
		if got := files(t, m); len(got) != min(n, 2) {
			t.Errorf("after %d there are %v", n, got)
		}
		m = m.Clone(vfs.CrashOptions{}) // a power loss after Write takes nothing
		if s, found = open(t, m); found.State == nil || !same(*found.State, state(n)) {
			t.Fatalf("after %d and a crash: %+v", n, found)
		}
	}
}

func TestReadImage(t *testing.T) {
	s, _ := open(t, vfs.NewMem())
	write(t, s, 1)
	i, _ := s.Newest()
	var got []byte
	for int64(len(got)) < i.Bytes {
		b, err := s.ReadImage(i, int64(len(got)), 777)
		if err != nil || len(b) == 0 {
			t.Fatal(len(got), err)
		}
		got = append(got, b...)
	}
	if !bytes.Equal(got, state(1).Image) || statefile.Checksum(got) != i.Sum {
		t.Error("the pieces are not the image")
	}
	for _, pos := range []int64{-1, i.Bytes + 1} {
		if _, err := s.ReadImage(i, pos, 10); !errors.Is(err, statefile.ErrDamaged) {
			t.Errorf("read at %d: %v", pos, err)
		}
	}
	write(t, s, 2)
	write(t, s, 3)
	if _, err := s.ReadImage(i, 0, 10); err == nil {
		t.Error("a generation that is gone was read")
	}
}

// A power loss at every call of a Write, with any share of what was not synced: the newest file afterwards is the one
// before, or the new one whole; once Write has returned, the new one.
func TestCrashAtEveryStep(t *testing.T) {
	dials := []vfs.CrashOptions{{Keep: 0}, {Keep: 0.3}, {Keep: 0.5, Torn: true}, {Keep: 0.9, Torn: true}, {Keep: 1}, {Keep: 1, Torn: true}}
	for _, dial := range dials {
		for seed := range uint64(8) {
			dial.Rand = rand.New(rand.NewPCG(seed, 7))
			m := vfs.NewMem()
			before, steps := 0, 0
			check := func(image *vfs.Mem, after int) {
				t.Helper()
				s, found := open(t, image)
				switch {
				case len(found.Damaged) > 0:
					t.Fatalf("step %d: a crash has damaged a file that has its name: %v", steps, found.Damaged)
				case found.State == nil && before > 0, found.State != nil && !same(*found.State, state(before)) && !same(*found.State, state(after)):
					t.Fatalf("step %d: after a crash between %d and %d there is %+v", steps, before, after, found.State)
				}
				write(t, s, 9) // what is left is good to go on with
				if _, found := open(t, image); found.State == nil || !same(*found.State, state(9)) {
					t.Fatal("it can't be written after the crash")
				}
			}
			now := 1
			faults := new(vfs.Faults)
			faults.SetHook(func(vfs.Call) error {
				steps++
				check(m.Clone(dial), now)
				return nil
			})
			s, _ := open(t, vfs.WithFaults(m, faults))
			for ; now <= 4; now++ {
				write(t, s, now)
				before = now
				check(m.Clone(vfs.CrashOptions{}), now)
			}
			if steps < 20 {
				t.Fatalf("only %d steps", steps)
			}
		}
	}
}

// Every call of a Write fails once, a failed sync with the loss of its data: Write says so, the older file stays the
// newest, on disk too, and the next Write succeeds.
func TestFailedCalls(t *testing.T) {
	rules := []string{
		"create state-* #1 EIO", "write state-* #1 EIO", "write state-* #1 short=70 ENOSPC", "write state-* #1 short=512 EIO",
		"sync state-* #1 EIO", "sync state-* #1 lost EIO", "rename * #1 EIO", "close *.tmp #1 EIO", "syncdir metadata #1 EIO",
	}
	for _, text := range rules {
		t.Run(text, func(t *testing.T) {
			m := vfs.NewMem()
			s, _ := open(t, m)
			write(t, s, 1)
			write(t, s, 2)
			faults, err := vfs.ParseFaults(text)
			if err != nil {
				t.Fatal(err)
			}
			f := vfs.WithFaults(m, faults)
			s, _ = open(t, f)
			if err := s.Write(state(3)); err == nil {
				t.Fatal("Write succeeded")
			}
			if faults.Fired() != 1 {
				t.Fatalf("the rule hit %d times", faults.Fired())
			}
			if i, _ := s.Newest(); i.Index != state(2).Index {
				t.Errorf("the failed file counts: %+v", i)
			}
			if i, ok := s.Floor(); !ok || i.Index != state(1).Index {
				t.Errorf("the floor has moved to %+v", i)
			}
			if _, found := open(t, m.Clone(vfs.CrashOptions{})); found.State == nil || !same(*found.State, state(2)) {
				t.Errorf("after a crash: %+v", found)
			}
			write(t, s, 4)
			if _, found := open(t, m.Clone(vfs.CrashOptions{})); found.State == nil || !same(*found.State, state(4)) {
				t.Errorf("after the next write and a crash: %+v", found)
			}
			if got := files(t, m); len(got) != 2 {
				t.Errorf("there are %v", got)
			}
		})
	}
}

// Removals that fail leave more files; they are gone after a later Write.
func TestFailedRemoval(t *testing.T) {
	m := vfs.NewMem()
	faults, _ := vfs.ParseFaults("remove state-* #3..6 EIO")
	s, _ := open(t, vfs.WithFaults(m, faults))
	for n := 1; n <= 12; n++ {
		_ = s.Write(state(n))
	}
	if got := files(t, m); len(got) != 2 || faults.Fired() == 0 {
		t.Errorf("%d faults, left are %v", faults.Fired(), got)
	}
}

// Any flipped byte of the newest file is found, and the older one is used.
func TestDamagedNewest(t *testing.T) {
	base := vfs.NewMem()
	s, _ := open(t, base)
	write(t, s, 1)
	write(t, s, 3)
	names := files(t, base)
	newest := path.Join(dir, names[1])
	size := 64 + len(state(3).Local) + len(state(3).Image)
	for pos := range size {
		m := base.Clone(vfs.CrashOptions{})
		f, err := m.OpenReadWrite(newest)
		if err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		if _, err := f.ReadAt(b[:], int64(pos)); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 1 << (pos % 8)
		if _, err := f.WriteAt(b[:], int64(pos)); err != nil {
			t.Fatal(err)
		}
		_, found := open(t, m)
		if len(found.Damaged) != 1 || found.State == nil || !same(*found.State, state(1)) {
			t.Fatalf("byte %d flipped: %+v", pos, found)
		}
	}
	for _, cut := range []int64{0, 1, 63, 64, 65, int64(size) - 1, int64(size) + 1} {
		m := base.Clone(vfs.CrashOptions{})
		f, _ := m.OpenReadWrite(newest)
		if err := f.Truncate(cut); err != nil {
			t.Fatal(err)
		}
		s, found := open(t, m)
		if len(found.Damaged) != 1 || !errors.Is(found.Damaged[0], statefile.ErrDamaged) || found.State == nil || !same(*found.State, state(1)) {
			t.Fatalf("cut to %d: %+v", cut, found)
		}
		if _, ok := s.Floor(); ok {
			t.Error("a damaged file counts for the floor")
		}
		write(t, s, 4) // goes in no damaged file's place, and drops that
		if got := files(t, m); len(got) != 2 || slices.Contains(got, names[1]) {
			t.Errorf("left are %v", got)
		}
	}
}

// Files under another's name, and both damaged.
func TestNoGoodFile(t *testing.T) {
	m := vfs.NewMem()
	s, _ := open(t, m)
	write(t, s, 1)
	name := files(t, m)[0]
	if err := m.Rename(path.Join(dir, name), path.Join(dir, "state-00000000000000ff")); err != nil {
		t.Fatal(err)
	}
	if _, found := open(t, m); found.State != nil || len(found.Damaged) != 1 {
		t.Errorf("a file under another's name: %+v", found)
	}
}

// A later release's file is not replaced by an older state.
func TestNewerVersion(t *testing.T) {
	m := vfs.NewMem()
	s, _ := open(t, m)
	write(t, s, 1)
	write(t, s, 2)
	if err := statefile.SetVersion(m, path.Join(dir, files(t, m)[1]), 2); err != nil {
		t.Fatal(err)
	}
	_, _, err := statefile.Open(m, dir)
	var newer *statefile.NewerError
	if !errors.As(err, &newer) || newer.Version != 2 {
		t.Errorf("got %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	s, _ := open(t, vfs.NewMem())
	if err := s.Write(statefile.State{Local: make([]byte, statefile.MaxLocalBytes+1)}); err == nil {
		t.Error("it was written")
	}
	if err := s.Write(statefile.State{Next: -1}); err == nil {
		t.Error("it was written")
	}
}
