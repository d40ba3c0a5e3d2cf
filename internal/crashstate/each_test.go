package crashstate_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/logq/logq/internal/crashstate"
	"github.com/logq/logq/internal/vfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// disk has a synced file "a" of so many blocks of 'o'.
func disk(t *testing.T, blocks int) (*vfs.Mem, vfs.File) {
	m := vfs.NewMem()
	f, err := m.Create("a")
	must(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte{'o'}, blocks*4096), 0)
	must(t, err)
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	return m, f
}

// found collects the states by what show makes of them.
func found(m *vfs.Mem, o crashstate.Options, show func(*vfs.Mem) string) map[string]string {
	states := make(map[string]string)
	crashstate.Each(m, o, func(state *vfs.Mem, how string) { states[show(state)] = how })
	return states
}

// firstBytes is the first byte of each unit of file "a".
func firstBytes(unit int) func(*vfs.Mem) string {
	return func(m *vfs.Mem) string {
		b, err := vfs.ReadFile(m, "a", 1<<20)
		if err != nil {
			return err.Error()
		}
		var out strings.Builder
		for at := 0; at < len(b); at += unit {
			out.WriteByte(b[at])
		}
		return out.String()
	}
}

func write(t *testing.T, f vfs.File, c byte, n int, off int64) {
	t.Helper()
	_, err := f.WriteAt(bytes.Repeat([]byte{c}, n), off)
	must(t, err)
}

func TestEveryOrderOfBlocks(t *testing.T) {
	m, f := disk(t, 4)
	write(t, f, 'n', 4*4096, 0)
	states := found(m, crashstate.Options{}, firstBytes(4096))
	for mask := range 16 {
		want := []byte("oooo")
		for i := range want {
			if mask&(1<<i) != 0 {
				want[i] = 'n'
			}
		}
		if _, ok := states[string(want)]; !ok {
			t.Errorf("%s was not tried", want)
		}
	}
}

func TestSectorsAreTorn(t *testing.T) {
	m, f := disk(t, 1)
	write(t, f, 'n', 4096, 0)
	inside := false
	crashstate.Each(m, crashstate.Options{}, func(state *vfs.Mem, _ string) {
		b, err := vfs.ReadFile(state, "a", 1<<20)
		must(t, err)
		for at := 0; at < len(b); at += 512 {
			s := b[at : at+512]
			inside = inside || bytes.IndexByte(s, 'n') >= 0 && bytes.IndexByte(s, 'o') >= 0
		}
	})
	if !inside {
		t.Error("no sector was torn")
	}
	states := found(m, crashstate.Options{Leaves: 1 << 11}, firstBytes(512))
	if len(states) != 256 {
		t.Errorf("%d states of 8 sectors, want 256", len(states))
	}
}

func TestManyUnitsAreSampled(t *testing.T) {
	m, f := disk(t, 30)
	write(t, f, 'n', 30*4096, 0)
	states := found(m, crashstate.Options{Leaves: 120, Samples: 10}, firstBytes(4096))
	for i := range 30 {
		o, n := strings.Repeat("o", 30), strings.Repeat("n", 30)
		for _, want := range []string{o[:i] + "n" + o[i+1:], n[:i] + "o" + n[i+1:], n[:i] + o[i:], o[:i] + n[i:]} {
			if _, ok := states[want]; !ok {
				t.Errorf("%s was not tried", want)
			}
		}
	}
}

func TestNamesAndSizes(t *testing.T) {
	m, f := disk(t, 1)
	must(t, f.Truncate(100))
	write(t, f, 'n', 50, 100)
	must(t, m.Rename("a", "b"))
	c, err := m.Create("a")
	must(t, err)
	write(t, c, 'c', 10, 0)
	states := found(m, crashstate.Options{}, func(m *vfs.Mem) string {
		var out []string
		for _, name := range []string{"a", "b"} {
			b, err := vfs.ReadFile(m, name, 1<<20)
			if errors.Is(err, fs.ErrNotExist) {
				b = []byte("missing")
			}
			out = append(out, fmt.Sprintf("%.1s%d", b, len(b)))
		}
		return strings.Join(out, " ")
	})
	for _, want := range []string{"o4096 m7", "m7 o4096", "m7 o150", "c10 o4096", "c10 m7", "0 o150", "o150 m7", "o100 m7"} {
		if _, ok := states[want]; !ok && want != "0 o150" {
			t.Errorf("%q was not tried, only %v", want, states)
		}
	}
}

func TestGarbage(t *testing.T) {
	m, f := disk(t, 1)
	b, err := m.Create("b")
	must(t, err)
	must(t, m.SyncDir("/"))
	write(t, f, 'n', 4096, 8192) // the file grows, with a hole
	write(t, b, 'b', 4096, 0)
	plain := found(m, crashstate.Options{}, firstBytes(4096))
	kinds := map[string]int{}
	crashstate.Each(m, crashstate.Options{Garbage: true}, func(state *vfs.Mem, how string) {
		content, err := vfs.ReadFile(state, "a", 1<<20)
		must(t, err)
		if !bytes.Equal(content[:4096], bytes.Repeat([]byte{'o'}, 4096)) {
			t.Fatalf("%s: synced bytes have changed", how)
		}
		for _, kind := range []string{"random", "stale"} {
			if strings.Contains(how, kind) {
				kinds[kind]++
			}
		}
	})
	if len(plain) == 0 || kinds["random"] == 0 || kinds["stale"] == 0 {
		t.Errorf("%d states without garbage, with: %v", len(plain), kinds)
	}
}

func TestNothingUnsynced(t *testing.T) {
	m, _ := disk(t, 3)
	before := crashstate.Hash(m)
	crashstate.Each(m, crashstate.Options{Garbage: true}, func(state *vfs.Mem, how string) {
		if crashstate.Hash(state) != before {
			t.Errorf("%s differs", how)
		}
	})
}

func TestHash(t *testing.T) {
	m, f := disk(t, 1)
	seen := map[uint64]string{crashstate.Hash(m): "as made"}
	other := func(what string) {
		t.Helper()
		h := crashstate.Hash(m)
		if was, ok := seen[h]; ok {
			t.Errorf("%s has the hash of %s", what, was)
		}
		seen[h] = what
	}
	write(t, f, 'x', 1, 7)
	other("a byte changed")
	must(t, f.Truncate(4095))
	other("one byte shorter")
	must(t, f.Truncate(4096))
	other("longer by a zero")
	must(t, m.Rename("a", "b"))
	other("renamed")
	must(t, m.MkdirAll("c"))
	other("with a directory")
	if crashstate.Hash(m) != crashstate.Hash(m.Clone(vfs.CrashOptions{Keep: 1})) {
		t.Error("a copy has another hash")
	}
}
