package lint_test

import (
	"os"
	"testing"

	"github.com/logq/logq/internal/lint"
)

// TestTree holds the whole repository to the rules.
func TestTree(t *testing.T) {
	tree, err := lint.Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	rules := lint.Default()
	list, err := os.ReadFile("testdata/long.txt")
	if err != nil {
		t.Fatal(err)
	}
	if rules.Long, err = lint.ParseLong(string(list)); err != nil {
		t.Fatal(err)
	}
	for _, f := range lint.Check(tree, rules) {
		t.Error(f)
	}
	if len(tree.Files) < 10 {
		t.Errorf("saw only %d Go files: is this the root of the repository?", len(tree.Files))
	}
}
