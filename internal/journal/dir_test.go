package journal_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/logq/logq/internal/journal"
)

const owner = 3

// onDir is a journal that is closed with its test.
type onDir struct{ *journal.WAL }

func (d *onDir) dir() string { return d.Dir() }

func openDir(t *testing.T, dir string) *journal.WAL {
	t.Helper()
	w, _, err := journal.Open(journal.Options{Dir: dir, Owner: owner, SegmentBytes: 512})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// files returns the content of all files below dir, by relative path.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, relErr := filepath.Rel(dir, path)
		if relErr != nil {
			return relErr
		}
		out[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// restore makes dir hold exactly these files.
func restore(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o640); err != nil {
			t.Fatal(err)
		}
	}
}
