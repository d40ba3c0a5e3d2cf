package journal_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/wal"

	"github.com/logq/logq/internal/journal"
)

// The tests in this file and in weakness_linux_test.go take the weaknesses of
// tidwall/wal that the journal covers, one by one: first what the library does,
// so that a better version of it is noticed, then what the journal makes of it.

// rawLog writes records with the library alone.
func rawLog(t *testing.T, dir string, records int) {
	t.Helper()
	l, err := wal.Open(dir, &wal.Options{SegmentSize: 64})
	if err != nil {
		t.Fatal(err)
	}
	for n := range records {
		if err := l.Write(uint64(n+1), fmt.Appendf(nil, "record number %d", n+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// lastSegment returns the newest file of the copy or log in dir.
func lastSegment(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segment in %s: %v", dir, err)
	}
	return slices.Max(names)
}

func edit(t *testing.T, name string, f func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, f(data), 0o640); err != nil {
		t.Fatal(err)
	}
}

// savedDir returns a closed journal with a few values.
func savedDir(t *testing.T) (dir, state string) {
	t.Helper()
	dir = t.TempDir()
	w := openDir(t, dir)
	for n := range 3 {
		if err := w.Save([]journal.Entry{entry(n, fmt.Sprintf("value %d", n))}); err != nil {
			t.Fatal(err)
		}
	}
	state = fmt.Sprint(dump(t, w))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, state
}

// reopened opens the journal in dir and wants state, and a warning that
// contains warn, if any.
func reopened(t *testing.T, dir, state, warn string) {
	t.Helper()
	w, report, err := journal.Open(journal.Options{Dir: dir, Owner: owner, SegmentBytes: 512})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if got := fmt.Sprint(dump(t, w)); got != state {
		t.Fatalf("state %s, want %s", got, state)
	}
	if warn != "" && !slices.ContainsFunc(report.Warnings, func(s string) bool { return strings.Contains(s, warn) }) {
		t.Fatalf("warnings %q, want one with %q", report.Warnings, warn)
	}
}

func TestWeakness1NoChecksum(t *testing.T) {
	flip := func(data []byte) []byte { data[len(data)-15] ^= 1; return data }
	raw := t.TempDir()
	rawLog(t, raw, 2)
	edit(t, lastSegment(t, raw), flip)
	l, err := wal.Open(raw, nil)
	if err != nil {
		t.Fatalf("the library noticed a flipped bit: %v", err)
	}
	if data, err := l.Read(2); err != nil || string(data) == "record number 2" {
		t.Fatalf("the library noticed a flipped bit: %q, %v", data, err)
	}
	dir, state := savedDir(t)
	edit(t, lastSegment(t, filepath.Join(dir, "a")), flip)
	reopened(t, dir, state, "rebuilt")
}

func TestWeakness2ZeroTail(t *testing.T) {
	grow := func(data []byte) []byte { return append(data, make([]byte, 100)...) }
	raw := t.TempDir()
	rawLog(t, raw, 2)
	edit(t, lastSegment(t, raw), grow)
	l, err := wal.Open(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last, _ := l.LastIndex(); last != 102 {
		t.Fatalf("last index %d: the library no longer takes zeros for records", last)
	}
	dir, state := savedDir(t)
	edit(t, lastSegment(t, filepath.Join(dir, "a")), grow)
	edit(t, lastSegment(t, filepath.Join(dir, "b")), grow)
	reopened(t, dir, state, "torn tail")
}

func TestWeakness3TornTail(t *testing.T) {
	raw := t.TempDir()
	rawLog(t, raw, 2)
	edit(t, lastSegment(t, raw), func(data []byte) []byte { return data[:len(data)-1] })
	if _, err := wal.Open(raw, nil); !errors.Is(err, wal.ErrCorrupt) {
		t.Fatalf("the library opens a torn tail: %v", err)
	}
	dir, state := savedDir(t)
	edit(t, lastSegment(t, filepath.Join(dir, "a")), func(data []byte) []byte { return append(data, data[:30]...) })
	reopened(t, dir, state, "torn tail")
}

func TestWeakness7LeftoversOfTruncation(t *testing.T) {
	dir, state := savedDir(t)
	a := filepath.Join(dir, "a")
	temp := filepath.Join(a, "00000000000000000002.START.TEMP")
	if err := os.WriteFile(temp, []byte("half"), 0o640); err != nil {
		t.Fatal(err)
	}
	reopened(t, dir, state, "")
	if _, err := os.Stat(temp); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the half-written file is still there: %v", err)
	}
	// A back truncation would cut records; the journal never makes one.
	if err := os.WriteFile(filepath.Join(a, "00000000000000000001.END"), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	reopened(t, dir, state, "does not write")
}

// TestWeakness9Gap removes a segment in the middle: the library panics when it
// reads there.
func TestWeakness9Gap(t *testing.T) {
	raw := t.TempDir()
	rawLog(t, raw, 12)
	middle := func(dir string) string {
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(names) < 3 {
			t.Fatalf("too few segments: %v", names)
		}
		return names[1]
	}
	if err := os.Remove(middle(raw)); err != nil {
		t.Fatal(err)
	}
	l, err := wal.Open(raw, nil)
	if err != nil {
		t.Fatalf("the library noticed a gap: %v", err)
	}
	if !panics(func() { _, _ = l.Read(6) }) {
		t.Fatal("the library no longer panics in a gap")
	}
	s := newSeries(t, 20)
	dir := t.TempDir()
	restore(t, dir, s.files)
	if err := os.Remove(middle(filepath.Join(dir, "b"))); err != nil {
		t.Fatal(err)
	}
	reopened(t, dir, s.newest(), "rebuilt")

	both := maps.Clone(s.files)
	for _, cp := range []string{"a/", "b/"} {
		delete(both, s.names(cp)[1])
	}
	var corrupt *journal.CorruptionError
	if _, _, err := openFiles(t, dir, both); !errors.As(err, &corrupt) || corrupt.Generation == 0 {
		t.Fatalf("a gap in both copies: %v", err)
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

// TestWeakness10ReadersRace loads from many goroutines while one saves: the
// journal never reads through the library.
func TestWeakness10ReadersRace(t *testing.T) {
	w := openDir(t, t.TempDir())
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if err := w.Load(func(journal.Entry) error { return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range 30 {
		if err := w.Save([]journal.Entry{entry(n%3, "x")}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWeakness8And11Bounded saves the same few keys very often: files and what
// is rewritten stay small.
func TestWeakness8And11Bounded(t *testing.T) {
	dir := t.TempDir()
	w, _, err := journal.Open(fastOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	largest := 0
	for n := range 2000 {
		if err := w.Save([]journal.Entry{entry(n%4, fmt.Sprint(n))}); err != nil {
			t.Fatal(err)
		}
		if n%50 != 0 {
			continue
		}
		size := 0
		for _, data := range files(t, dir) {
			size += len(data)
		}
		largest = max(largest, size)
	}
	if most := 2 * (4*512 + 2*512); largest > most {
		t.Fatalf("the journal grew to %d bytes, want at most %d", largest, most)
	}
}

// TestWeakness14BatchIsNotAUnit saves many entries at once and cuts the write
// anywhere: all are there or none.
func TestWeakness14BatchIsNotAUnit(t *testing.T) {
	dir := t.TempDir()
	w := openDir(t, dir)
	before := fmt.Sprint(dump(t, w))
	old := files(t, dir)
	var many []journal.Entry
	for n := range 40 {
		many = append(many, entry(n, "together"))
	}
	if err := w.Save(many); err != nil {
		t.Fatal(err)
	}
	after := files(t, dir)
	name := "a/00000000000000000001"
	for size := len(old[name]); size <= len(after[name]); size++ {
		state, _, err := decided(t, with(old, name, after[name][:size]))
		if want := before; err != nil || state != want && size < len(after[name]) {
			t.Fatalf("cut at %d: %v, state %s", size, err, state)
		}
	}
}

func TestWeakness16StartsAtOne(t *testing.T) {
	dir, state := savedDir(t)
	for range 3 {
		if err := os.RemoveAll(filepath.Join(dir, "b")); err != nil {
			t.Fatal(err)
		}
		reopened(t, dir, state, "missing")
	}
	if got := filepath.Base(lastSegment(t, filepath.Join(dir, "b"))); got != "00000000000000000001" {
		t.Fatalf("the rebuilt copy begins with %s", got)
	}
}
