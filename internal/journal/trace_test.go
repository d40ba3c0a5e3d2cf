package journal_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logq/logq/internal/journal"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// TestGoldenTrace holds the order of all changes to the disk: a missing
// directory sync, or a second copy written before the first is synced, is a
// difference here. "sync a" is the library's fsync of the tail file; the
// library syncs files when it rolls and drops, and no directory ever.
func TestGoldenTrace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	var b strings.Builder
	title := func(what string) { fmt.Fprintf(&b, "# %s\n", what) }
	o := (&steps{dir: dir, before: func(what string) error {
		fmt.Fprintln(&b, what)
		return nil
	}}).options()
	open := func(what string) *journal.WAL {
		title(what)
		w, _, err := journal.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	save := func(w *journal.WAL, what string, size int) {
		title(what)
		if err := w.Save([]journal.Entry{entry(1, strings.Repeat("v", size))}); err != nil {
			t.Fatal(err)
		}
	}
	w := open("first start")
	save(w, "save", 10)
	save(w, "save that fills the segment", 500)
	save(w, "save", 10)
	for n := range 4 {
		save(w, fmt.Sprintf("large save %d", n+1), 300)
	}
	save(w, "save that drops what is old", 20)
	save(w, "save", 10)
	before := files(t, dir)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open("second start").Close(); err != nil {
		t.Fatal(err)
	}
	tail := ""
	for name := range before {
		if strings.HasPrefix(name, "b/") && before[name] != "" {
			tail = max(tail, name)
		}
	}
	restore(t, dir, with(before, tail, before[tail][:len(before[tail])-5]))
	if err := open("start with a torn tail").Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := open("start without the first copy").Close(); err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "trace.txt"), b.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at the change, then run with -rewrite:\n%s", name, got)
	}
}
