package journal_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/wal"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/vfs"
)

// steps sees every change that a journal makes to the disk, between the one
// before and the next.
type steps struct {
	dir string
	// before is called ahead of each change; an error takes its place.
	before func(what string) error
	// after is called when it is done; an error is reported though it was.
	after func(what string) error
}

func (s *steps) do(what string, f func() error) error {
	if s.before != nil {
		if err := s.before(what); err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return err
	}
	if s.after != nil {
		return s.after(what)
	}
	return nil
}

func (s *steps) options() journal.Options {
	o := journal.Options{Dir: s.dir, Owner: owner, SegmentBytes: 512, FS: stepFS{vfs.OS(), s}}
	return journal.WithEngine(o, func(dir string, e journal.Engine) journal.Engine { return stepEngine{e, s, filepath.Base(dir)} })
}

type stepFS struct {
	vfs.FS
	s *steps
}

// rel is name below the journal's parent.
func (s *steps) rel(name string) string {
	rel, err := filepath.Rel(filepath.Dir(s.dir), name)
	if err != nil {
		return name
	}
	return filepath.ToSlash(rel)
}

func (f stepFS) MkdirAll(dir string) error {
	return f.s.do("mkdir "+f.s.rel(dir), func() error { return f.FS.MkdirAll(dir) })
}

func (f stepFS) Remove(name string) error {
	return f.s.do("remove "+f.s.rel(name), func() error { return f.FS.Remove(name) })
}

func (f stepFS) RemoveAll(name string) error {
	return f.s.do("remove all "+f.s.rel(name), func() error { return f.FS.RemoveAll(name) })
}

func (f stepFS) Rename(from, to string) error {
	return f.s.do("rename "+f.s.rel(from)+" to "+f.s.rel(to), func() error { return f.FS.Rename(from, to) })
}

func (f stepFS) SyncDir(dir string) error {
	return f.s.do("sync dir "+f.s.rel(dir), func() error { return nil })
}

func (f stepFS) OpenReadWrite(name string) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name)
	return stepFile{file, f.s}, err
}

type stepFile struct {
	vfs.File
	s *steps
}

func (f stepFile) Truncate(size int64) error {
	return f.s.do("truncate "+f.s.rel(f.Name()), func() error { return f.File.Truncate(size) })
}

func (f stepFile) Sync() error {
	return f.s.do("sync file "+f.s.rel(f.Name()), func() error { return nil })
}

type stepEngine struct {
	journal.Engine
	s    *steps
	copy string
}

func (e stepEngine) WriteBatch(b *wal.Batch) error {
	return e.s.do("write "+e.copy, func() error { return e.Engine.WriteBatch(b) })
}

func (e stepEngine) Sync() error {
	return e.s.do("sync "+e.copy, func() error { return nil })
}

func (e stepEngine) TruncateFront(index uint64) error {
	return e.s.do("drop front "+e.copy, func() error { return e.Engine.TruncateFront(index) })
}

// moment is what a crash between two steps leaves on disk, and which states the
// journal may come back with.
type moment struct {
	what    string
	files   map[string]string
	allowed []string
}

// history runs a journal through its life and collects all moments of it.
func history(t *testing.T, dir string, lives, saves int) []moment {
	t.Helper()
	acked := "map[]"
	allowed := []string{acked}
	var moments []moment
	note := func(what string) error {
		moments = append(moments, moment{what, files(t, dir), slices.Clone(allowed)})
		return nil
	}
	model := map[journal.Key]string{}
	for life := range lives {
		w, _, err := journal.Open((&steps{dir: dir, before: note, after: note}).options())
		if err != nil {
			t.Fatal(err)
		}
		for n := range saves {
			e := entry(n%4, fmt.Sprintf("life %d, save %d", life, n))
			model[e.Key] = string(e.Value)
			allowed = []string{acked, fmt.Sprint(model)}
			if err := w.Save([]journal.Entry{e}); err != nil {
				t.Fatal(err)
			}
			acked = fmt.Sprint(model)
			allowed = []string{acked}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return moments
}

// TestCrashAtEveryStep opens the journal as every step of its life left it, and
// as every step of that recovery left it in turn.
func TestCrashAtEveryStep(t *testing.T) {
	moments := history(t, t.TempDir(), 2, 26)
	dropped := slices.ContainsFunc(moments, func(m moment) bool { return strings.HasPrefix(m.what, "drop front") && len(m.files) > 4 })
	if !dropped {
		t.Fatal("the history has no compaction")
	}
	moments = append(moments, append(insideDrops(t, moments), insideWrites(moments)...)...)
	dir := t.TempDir()
	seen := map[string]bool{}
	for i, m := range moments {
		id := fmt.Sprint(m.files, m.allowed)
		if seen[id] {
			continue
		}
		seen[id] = true
		state, warnings, err := decidedOrNew(t, m.files)
		if err != nil || !slices.Contains(m.allowed, state) {
			t.Fatalf("crash %d at %q: %v, state %s, want one of %q", i, m.what, err, state, m.allowed)
		}
		if !strings.HasPrefix(m.what, "inside") && slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "rebuilt") }) {
			t.Fatalf("crash %d at %q is taken for damage: %q", i, m.what, warnings)
		}
		if i%5 == 0 {
			crashInRecovery(t, dir, m.files, state)
		}
	}
	t.Logf("%d moments, %d different", len(moments), len(seen))
}

// decidedOrNew is decided, for files that may hold no journal yet.
func decidedOrNew(t *testing.T, from map[string]string) (string, []string, error) {
	t.Helper()
	for name := range from {
		if strings.HasPrefix(name, "a") || strings.HasPrefix(name, "b") {
			state, warnings, err := decided(t, from)
			if err == nil || !onlyUnfinished(from) {
				return state, warnings, err
			}
		}
	}
	return "map[]", nil, nil
}

// onlyUnfinished says that there is nothing but replacements being built, which
// is what a crash of the first start leaves.
func onlyUnfinished(from map[string]string) bool {
	for name := range from {
		if !strings.HasPrefix(name, "a.new/") && !strings.HasPrefix(name, "b.new/") {
			return false
		}
	}
	return true
}

// crashInRecovery opens the journal in from and looks at it after every step:
// the decision stays the same. It then uses the recovered journal.
func crashInRecovery(t *testing.T, dir string, from map[string]string, want string) {
	t.Helper()
	restore(t, dir, from)
	var inner []moment
	note := func(what string) error {
		inner = append(inner, moment{what: what, files: files(t, dir)})
		return nil
	}
	w, _, err := journal.Open((&steps{dir: dir, before: note, after: note}).options())
	if err != nil {
		t.Fatal(err)
	}
	if state := fmt.Sprint(dump(t, w)); state != want {
		t.Fatalf("opened with state %s, want %s", state, want)
	}
	if err := w.Save([]journal.Entry{entry(7, "after")}); err != nil {
		t.Fatal(err)
	}
	after := fmt.Sprint(dump(t, w))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if state, warnings, err := openFiles(t, dir, files(t, dir)); err != nil || state != after || len(warnings.Warnings) != 0 {
		t.Fatalf("after a crash, a recovery and a save: %v, state %s, want %s, warnings %q", err, state, after, warnings.Warnings)
	}
	for i, m := range append(append(inner, insideDrops(t, inner)...), insideWrites(inner)...) {
		state, _, err := decidedOrNew(t, m.files)
		if err != nil || state != want && state != after {
			t.Fatalf("crash %d of the recovery, at %q: %v, state %s, want %s\n%q", i, m.what, err, state, want, slices.Sorted(maps.Keys(m.files)))
		}
	}
}

// TestCrashWhileRepairing damages one or both copies, and crashes at every step
// of the repair.
func TestCrashWhileRepairing(t *testing.T) {
	s := newSeries(t, 9)
	tailA, tailB := "a/"+s.tailName, "b/"+s.tailName
	firstA, firstB := s.names("a/")[0], s.names("b/")[0]
	size := len(s.files[tailA])
	flipped := func(from map[string]string, name string, at int) map[string]string {
		return with(from, name, flipAt(from[name], at, 8))
	}
	without := func(prefix string) map[string]string {
		m := maps.Clone(s.files)
		maps.DeleteFunc(m, func(name, _ string) bool { return strings.HasPrefix(name, prefix) })
		return m
	}
	dir := t.TempDir()
	for what, damaged := range map[string]map[string]string{
		"first record of a": flipped(s.files, firstA, 30), "first record of b": flipped(s.files, firstB, 30),
		"last record of a": flipped(s.files, tailA, size-40), "last record of b": flipped(s.files, tailB, size-40),
		"a missing": without("a/"), "b missing": without("b/"),
		"a empty": with(with(s.files, tailA, ""), firstA, ""), "b empty": with(with(s.files, tailB, ""), firstB, ""),
		"both, different records": flipped(flipped(s.files, tailA, size-40), tailB, 30),
		"both, the other way":     flipped(flipped(s.files, tailB, size-40), tailA, 30),
		"b lags":                  with(s.files, tailB, s.files[tailB][:size-s.lastBytes]),
		"b lags, a damaged":       flipped(with(s.files, tailB, s.files[tailB][:size-s.lastBytes]), tailA, 30),
		"b torn, a damaged":       flipped(with(s.files, tailB, s.files[tailB][:size-s.lastBytes/2]), tailA, 30),
		"b lags and is damaged":   flipped(with(s.files, tailB, s.files[tailB][:size-s.lastBytes]), firstB, 30),
	} {
		t.Run(what, func(t *testing.T) {
			state, _, err := decided(t, damaged)
			if err != nil || state != s.newest() {
				t.Fatalf("%v, state %s, want %s", err, state, s.newest())
			}
			crashInRecovery(t, dir, damaged, s.newest())
		})
	}
}

// insideDrops makes the moments inside the library's front truncation, which
// writes a START file, removes what is older and renames it: also those in which
// a file system without ordering lost some of the removals, or the rename.
func insideDrops(t *testing.T, moments []moment) []moment {
	t.Helper()
	var out []moment
	for i := 1; i < len(moments); i++ {
		before, after := moments[i-1], moments[i]
		if !strings.HasPrefix(after.what, "drop front ") || before.what != after.what {
			continue
		}
		cp := strings.TrimPrefix(after.what, "drop front ") + "/"
		var old []string
		for name := range before.files {
			if strings.HasPrefix(name, cp) && before.files[name] != after.files[name] {
				old = append(old, name)
			}
		}
		kept := ""
		for name, data := range after.files {
			if old, ok := before.files[name]; strings.HasPrefix(name, cp) && (!ok || old != data) {
				kept = name
			}
		}
		if kept == "" {
			continue
		}
		data := after.files[kept]
		add := func(what string, m map[string]string) {
			out = append(out, moment{"inside " + after.what + ": " + what, m, after.allowed})
		}
		add("half a temporary file", with(before.files, kept+".START.TEMP", data[:len(data)/2]))
		for removed := range 1 << len(old) {
			m := maps.Clone(before.files)
			for j, name := range old {
				if removed&(1<<j) != 0 {
					delete(m, name)
				}
			}
			add(fmt.Sprintf("start file, removed %b", removed), with(m, kept+".START", data))
			add(fmt.Sprintf("renamed, removed %b", removed), with(m, kept, data))
		}
	}
	return out
}

// insideWrites makes the moments inside a write of a record: some of it, and
// some of it with the size of all.
func insideWrites(moments []moment) []moment {
	var out []moment
	for i := 1; i < len(moments); i++ {
		before, after := moments[i-1], moments[i]
		if !strings.HasPrefix(after.what, "write ") || before.what != after.what {
			continue
		}
		for name, data := range after.files {
			n := len(data) - len(before.files[name])
			for _, lost := range []int{1, n / 2, n - 1} {
				if n <= 1 || lost == 0 {
					continue
				}
				kept := data[:len(data)-lost]
				out = append(out,
					moment{after.what + ", cut", with(before.files, name, kept), after.allowed},
					moment{after.what + ", zeros", with(before.files, name, kept+strings.Repeat("\x00", lost)), after.allowed})
			}
		}
	}
	return out
}

// TestFailureAtEveryStep lets each step fail, done or not done, and every later
// one succeed: the journal is poisoned, and the next process finds what was
// acknowledged, or the Save that failed.
func TestFailureAtEveryStep(t *testing.T) {
	disk := errors.New("input/output error")
	for _, done := range []bool{false, true} {
		for n := 0; ; n++ {
			dir := t.TempDir()
			count, failed := 0, ""
			hit := func(what string) error {
				if count++; count == n+1 {
					failed = what
					return disk
				}
				return nil
			}
			s := &steps{dir: dir, before: hit}
			if done {
				s = &steps{dir: dir, after: hit}
			}
			allowed := useUntilFailure(t, s, disk)
			if failed == "" {
				if n < 100 {
					t.Fatalf("only %d steps", n)
				}
				break
			}
			if !done && (failed == "write a" || failed == "write b") {
				leaveShortWrite(t, filepath.Join(dir, failed[len("write "):]))
			}
			w, _, err := journal.Open(journal.Options{Dir: dir, Owner: owner, SegmentBytes: 512, FS: nosyncFS{vfs.OS()}})
			if err != nil {
				t.Fatalf("step %d (%s, done: %v): reopen: %v", n, failed, done, err)
			}
			if state := fmt.Sprint(dump(t, w)); !slices.Contains(allowed, state) {
				t.Fatalf("step %d (%s, done: %v): state %s, want one of %q", n, failed, done, state, allowed)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// useUntilFailure opens and saves until a step fails, and returns the states
// that the next process may find.
func useUntilFailure(t *testing.T, s *steps, disk error) []string {
	t.Helper()
	model := map[journal.Key]string{}
	acked := fmt.Sprint(model)
	w, _, err := journal.Open(s.options())
	if err != nil {
		if !errors.Is(err, disk) {
			t.Fatalf("Open: %v", err)
		}
		return []string{acked}
	}
	for n := range 26 {
		e := entry(n%3, fmt.Sprintf("save %d", n))
		model[e.Key] = string(e.Value)
		if err := w.Save([]journal.Entry{e}); err != nil {
			wantPoisoned(t, err, disk)
			wantPoisoned(t, w.Save([]journal.Entry{e}), disk)
			wantPoisoned(t, w.Load(func(journal.Entry) error { return nil }), disk)
			wantPoisoned(t, w.Close(), disk)
			return []string{acked, fmt.Sprint(model)}
		}
		acked = fmt.Sprint(model)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return []string{acked}
}

// leaveShortWrite adds half a record to the tail of a copy that holds only
// whole ones.
func leaveShortWrite(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) == 0 {
		return // the write was to a replacement
	}
	f, err := os.OpenFile(names[len(names)-1], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	rec := journal.AppendRecord(nil, 1, 1<<40, owner, []journal.Entry{entry(1, "never")})
	if _, err := f.WriteString("\x50" + string(rec[:len(rec)/2])); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
