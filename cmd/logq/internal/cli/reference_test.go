package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

const (
	referencePath = "../../../../docs/reference/cli.md"
	generatedMark = "<!-- generated -->\n"
)

// TestReference holds the reference to the help that the program prints.
func TestReference(t *testing.T) {
	var b strings.Builder
	var walk func(path []string, commands []*cli.Command)
	walk = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			words := append(path[:len(path):len(path)], c.Name)
			if len(c.Subcommands) > 0 {
				walk(words, c.Subcommands)
				continue
			}
			r := run1(t, append(words, "--help")...)
			if r.code != ExitOK || r.err != "" {
				t.Errorf("logq %v --help: %+v", words, r)
			}
			b.WriteString("\n### logq " + strings.Join(words, " ") + "\n\n```\n")
			for line := range strings.Lines(strings.TrimSpace(r.out)) {
				b.WriteString(strings.TrimRight(line, " \n") + "\n")
			}
			b.WriteString("```\n")
		}
	}
	walk(nil, newApp(Env{}.withDefaults()).Commands)

	doc, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	head, old, ok := strings.Cut(string(doc), generatedMark)
	if !ok {
		t.Fatalf("%s has no line %q", referencePath, generatedMark)
	}
	switch {
	case *rewrite:
		if err := os.WriteFile(referencePath, []byte(head+generatedMark+b.String()), 0o640); err != nil {
			t.Fatal(err)
		}
	case old != b.String():
		t.Errorf("%s is not what the program prints (run with -rewrite):\n%s", referencePath, firstDifference(old, b.String()))
	}
}
