package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/vfs"
)

func TestOpenCreates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "journal")
	o := journal.Options{Dir: dir, Owner: owner, MustExist: true}
	var missing *journal.MissingError
	if _, _, err := journal.Open(o); !errors.As(err, &missing) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("MustExist: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("MustExist created something: %v", err)
	}
	o.MustExist = false
	for _, created := range []bool{true, false} {
		w, report, err := journal.Open(o)
		if err != nil || report.Created != created || report.Keys != 0 || len(report.Warnings) != 0 {
			t.Fatalf("%v, %+v", err, report)
		}
		if w.Dir() != dir {
			t.Fatalf("Dir %s", w.Dir())
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		o.MustExist = true
	}
	if _, _, err := journal.Open(journal.Options{}); err == nil {
		t.Fatal("no directory, no error")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir, _ := savedDir(t)
	before := files(t, dir)
	var foreign *journal.OwnerError
	_, _, err := journal.Open(journal.Options{Dir: dir, Owner: owner + 1})
	if !errors.As(err, &foreign) || foreign.Owner != owner || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "broker 3") {
		t.Fatalf("another broker's journal: %v", err)
	}
	name := lastSegment(t, filepath.Join(dir, "b"))
	edit(t, name, func(data []byte) []byte {
		at := bytes.LastIndex(data, []byte("LQJr"))
		data[at+4] = 9
		journal.Reseal(data[at:])
		return data
	})
	var version *journal.VersionError
	if _, _, err := journal.Open(journal.Options{Dir: dir, Owner: owner}); !errors.As(err, &version) || version.Version != 9 || version.Path != name {
		t.Fatalf("a newer journal: %v", err)
	}
	restore(t, dir, before)

	other, _ := savedDir(t)
	w := openDir(t, other)
	if err := w.Save([]journal.Entry{entry(1, "of another history")}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	mixed := files(t, other)
	for name, data := range before {
		if strings.HasPrefix(name, "a/") {
			mixed[name] = data
		}
	}
	// Generations 2 to 4 of one and a checkpoint of generation 5 of the other.
	if state, _, err := decided(t, mixed); err != nil || !strings.Contains(state, "another") {
		t.Fatalf("an older copy: %v, %s", err, state)
	}
	conflict := files(t, other)
	for name, data := range conflict {
		if strings.HasPrefix(name, "b/") {
			b := []byte(strings.Replace(data, "of another history", "of no history seen", 1))
			at := bytes.LastIndex(b, []byte("LQJr"))
			journal.Reseal(b[at:])
			conflict[name] = string(b)
		}
	}
	var corrupt *journal.CorruptionError
	if _, _, err := decided(t, conflict); !errors.As(err, &corrupt) || !strings.Contains(err.Error(), "different") {
		t.Fatalf("two histories: %v", err)
	}
}

// TestOpenNeverForgetsDamage: with both copies gone, a damaged one that was put
// aside is a reason not to begin anew.
func TestOpenNeverForgetsDamage(t *testing.T) {
	dir, state := savedDir(t)
	for n := range 6 {
		edit(t, lastSegment(t, filepath.Join(dir, "a")), func(data []byte) []byte { data[20] ^= 1; return data })
		reopened(t, dir, state, "rebuilt")
		kept, err := filepath.Glob(filepath.Join(dir, "a.damaged-*"))
		if err != nil || len(kept) != min(n+1, 4) {
			t.Fatalf("round %d: kept %q", n, kept)
		}
	}
	for _, cp := range []string{"a", "b"} {
		if err := os.RemoveAll(filepath.Join(dir, cp)); err != nil {
			t.Fatal(err)
		}
	}
	var corrupt *journal.CorruptionError
	if _, _, err := journal.Open(journal.Options{Dir: dir, Owner: owner}); !errors.As(err, &corrupt) {
		t.Fatalf("both copies gone: %v", err)
	}
}

// failing lets reads of some names fail.
type failing struct {
	vfs.FS
	match string
	err   error
}

func (f failing) Open(name string) (vfs.File, error) {
	if strings.Contains(name, f.match) {
		return nil, &os.PathError{Op: "open", Path: name, Err: f.err}
	}
	return f.FS.Open(name)
}

func (f failing) List(dir string) ([]string, error) {
	if strings.HasSuffix(dir, f.match) {
		return nil, &os.PathError{Op: "list", Path: dir, Err: f.err}
	}
	return f.FS.List(dir)
}

func TestOpenUnreadable(t *testing.T) {
	sep := string(filepath.Separator)
	for _, c := range []struct {
		name, match string
		err         error
		heals       bool
	}{
		{"bad sectors in a file", sep + "a" + sep, syscall.EIO, true},
		{"bad sectors in the other", sep + "b" + sep, syscall.EIO, true},
		{"bad sectors in a directory", sep + "a", syscall.EIO, true},
		{"bad sectors everywhere", sep, syscall.EIO, false},
		{"no permission", sep + "a" + sep, syscall.EACCES, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, state := savedDir(t)
			before := files(t, dir)
			w, report, err := journal.Open(journal.Options{Dir: dir, Owner: owner, FS: failing{vfs.OS(), c.match, c.err}})
			if !c.heals {
				if err == nil || fmt.Sprint(files(t, dir)) != fmt.Sprint(before) {
					t.Fatalf("error %v", err)
				}
				var corrupt *journal.CorruptionError
				if errors.As(err, &corrupt) != errors.Is(c.err, syscall.EIO) {
					t.Fatalf("error %v", err)
				}
				return
			}
			if err != nil || len(report.Warnings) == 0 {
				t.Fatalf("%v, %q", err, report.Warnings)
			}
			defer w.Close()
			if got := fmt.Sprint(dump(t, w)); got != state {
				t.Fatalf("state %s, want %s", got, state)
			}
		})
	}
}

func TestOpenForeignFiles(t *testing.T) {
	dir, state := savedDir(t)
	for _, name := range []string{"a/notes.txt", "b/00000000000000000001.orig"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	reopened(t, dir, state, "left alone")
	if got := files(t, dir); got["a/notes.txt"] != "mine" || got["b/00000000000000000001.orig"] != "mine" {
		t.Fatal("a foreign file was touched")
	}
	// A file in the place of a copy is put aside like a damaged one.
	if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("a file"), 0o640); err != nil {
		t.Fatal(err)
	}
	reopened(t, dir, state, "not a directory")
}
