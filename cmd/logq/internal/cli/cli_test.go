package cli

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is what one command line did.
type result struct {
	code     int
	out, err string
}

// runIn runs one command line with a standard input and variables "NAME=value".
func runIn(t *testing.T, ctx context.Context, in string, vars []string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := Run(ctx, Env{In: strings.NewReader(in), Out: &out, Err: &errs, Getenv: lookup(vars)}, append([]string{"logq"}, args...))
	return result{code, out.String(), errs.String()}
}

func run1(t *testing.T, args ...string) result {
	t.Helper()
	return runIn(t, t.Context(), "", nil, args...)
}

func lookup(vars []string) func(string) string {
	return func(name string) string {
		for _, v := range vars {
			if rest, ok := strings.CutPrefix(v, name+"="); ok {
				return rest
			}
		}
		return ""
	}
}

// golden compares text with testdata/NAME, or writes it there with -rewrite.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s differs (run with -rewrite to accept):\n%s", path, firstDifference(string(want), text))
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		var a, b string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return "want: " + a + "\ngot:  " + b
		}
	}
	return ""
}

// TestUsageErrors holds wrong command lines to one line with the remedy, on
// standard error, and exit code 2.
func TestUsageErrors(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("id: 2\npeerz: 1@h:1\nid: 3\nhttp:\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte("id: 2\n\tlisten: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := [][]string{
		{"tpoic", "list"},
		{"nothing"},
		{"topic"},
		{"topic", "crate", "x"},
		{"topic", "create"},
		{"topic", "create", "a", "b"},
		{"topic", "create", "a b"},
		{"topic", "create", "a..b"},
		{"topic", "create", "a.*"},
		{"topic", "create", "x", "--partitions", "many"},
		{"topic", "create", "x", "--json=perhaps"},
		{"topic", "list", "--timeout", "soon"},
		{"consume", "x", "--partition", "a"},
		{"topic", "create", "x", "--partitions", "0"},
		{"topic", "create", "x", "--replicas", "0"},
		{"topic", "create", "x", "--partition", "3"},
		{"topic", "create", "x", "--partitions"},
		{"topic", "create", "x", "--config", "novalue"},
		{"topic", "list", "x"},
		{"topic", "list", "--server", "http://h:1"},
		{"topic", "list", "--server", "a,,b"},
		{"topic", "list", "--tls-cert", "x"},
		{"--server", "x"},
		{"--nosuch", "topic", "list"},
		{"--partition", "1", "topic", "list"},
		{"produce"},
		{"produce", "a.>"},
		{"produce", "x", "--partition", "-1"},
		{"produce", "x", "--key-separator", ""},
		{"produce", "x", "--key-separator", `\q`},
		{"produce", "x", "--compression", "rar"},
		{"produce", "x", "--timeout", "0s"},
		{"produce", "x", "no-such-file"},
		{"produce", "x", "."},
		{"consume"},
		{"consume", "x", "y"},
		{"consume", "x", "--from", "yesterday"},
		{"consume", "x", "--from", "-5"},
		{"consume", "x", "--max", "0"},
		{"consume", "x", "--partition", "-2"},
		{"consume", "x", "--format", "%q"},
		{"consume", "x", "--format", "%"},
		{"consume", "x", "--format", `\x1`},
		{"consume", "x", "--json", "--format", "%v"},
		{"segment", "dump"},
		{"cluster", "staus"},
		{"completion", "bsh"},
		{"completion", "tcsh"},
		{"demo", "--records", "5"},
		{"demo", "--size", "8"},
		{"demo", "--partitions", "0"},
		{"server"},
		{"server", "here"},
		{"server", "--data", "d", "--id", "one", "--peers", "1,2", "--drain-timeout", "0s", "--scrub-rate", "8 Mb", "--recovery-rate", "99999999999GiB", "--scrub-interval", "daily", "--log-level", "loud", "--log-format", "xml"},
		{"server", "--config", bad},
		{"server", "--config", broken},
		{"server", "--config", filepath.Join(dir, "none.yaml")},
		{"version", "now"},
	}
	var b strings.Builder
	for _, line := range lines {
		r := run1(t, line...)
		shown := strings.ReplaceAll(strings.Join(line, " "), dir+"/", "")
		if r.code != ExitUsage {
			t.Errorf("logq %s: exit code %d, want %d (%s)", shown, r.code, ExitUsage, r.err)
		}
		if r.out != "" {
			t.Errorf("logq %s: wrote to standard output: %s", shown, r.out)
		}
		if strings.Count(r.err, "\n") != 1 {
			t.Errorf("logq %s: want one line, got %q", shown, r.err)
		}
		b.WriteString("$ logq " + shown + "\n" + strings.ReplaceAll(r.err, dir+"/", "") + "\n")
	}
	golden(t, "usage_errors.txt", b.String())
}

// TestHelp holds the help of every command: it is what docs/reference/cli.md shows.
func TestHelp(t *testing.T) {
	for _, line := range [][]string{{}, {"--help"}, {"help"}, {"-h"}} {
		if r := run1(t, line...); r.code != ExitOK || !strings.Contains(r.out, "COMMANDS:") || r.err != "" {
			t.Errorf("logq %v: code %d, %q, %q", line, r.code, r.out, r.err)
		}
	}
	for _, line := range [][]string{{"help", "topic", "create"}, {"topic", "--help", "create"}, {"topic", "create", "x", "-h"}} {
		if r := run1(t, line...); r.code != ExitOK || !strings.Contains(r.out, "logq topic create") {
			t.Errorf("logq %v: code %d, %q, %q", line, r.code, r.out, r.err)
		}
	}
	for _, line := range [][]string{{"--version"}, {"-v"}, {"version"}} {
		if r := run1(t, line...); r.code != ExitOK || !strings.HasPrefix(r.out, "logq ") {
			t.Errorf("logq %v: code %d, %q", line, r.code, r.out)
		}
	}
}

// TestArrange shows how arguments are put in the order that urfave/cli reads.
func TestArrange(t *testing.T) {
	tests := []struct{ in, want string }{
		{"topic list", "topic list --"},
		{"topic create a --partitions 3 --replicas=2", "topic create --partitions 3 --replicas=2 -- a"},
		{"--server h:1 topic create -p 3 a --json", "topic create --server h:1 -p 3 --json -- a"},
		{"topic --json create a", "topic create --json -- a"},
		{"produce t --partition -1 - f", "produce --partition -1 -- t - f"},
		{"produce t -- --odd-file -x", "produce -- t --odd-file -x"},
		{"produce help", "produce -- help"},
		{"topic describe help", "topic describe -- help"},
		{"-v", "version"},
		{"help topic", "topic --help"},
	}
	for _, tt := range tests {
		got, err := arrange(newApp(Env{}.withDefaults()), append([]string{"logq"}, strings.Fields(tt.in)...))
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if s := strings.Join(got[1:], " "); s != tt.want {
			t.Errorf("%s: got %q, want %q", tt.in, s, tt.want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	names := []string{"--partitions", "--replicas", "--server"}
	for word, want := range map[string]string{
		"partition": "--partitions", "partitons": "--partitions", "sevrer": "--server", "replica": "--replicas", "zebra": "", "": "",
	} {
		got := didYouMean(word, names)
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}

func TestComplete(t *testing.T) {
	tests := []struct{ words, want string }{
		{"|", "server topic produce consume cluster broker segment recover demo completion version"},
		{"|to", "topic"},
		{"topic|c", "create"},
		{"topic|", "create list describe alter reassign delete"},
		{"topic create x|--pa", "--partitions"},
		{"produce t --compression|", "zstd snappy lz4 gzip none"},
		{"consume t --from|e", "earliest"},
		{"completion|", "bash zsh fish"},
		{"produce t|", ""},
		{"nothing|x", ""},
		{"topic create --nosuch|", ""},
	}
	for _, tt := range tests {
		before, last, _ := strings.Cut(tt.words, "|")
		r := run1(t, append(append([]string{completeCommand}, strings.Fields(before)...), last)...)
		if got := strings.Join(strings.Fields(r.out), " "); got != tt.want || r.code != 0 {
			t.Errorf("%s: got %q, want %q", tt.words, got, tt.want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if r := run1(t, "completion", shell); r.code != 0 || !strings.Contains(r.out, completeCommand) {
			t.Errorf("completion %s: %+v", shell, r)
		}
	}
}

// TestNoBroker holds commands that find no broker to a failure with the remedy.
func TestNoBroker(t *testing.T) {
	for _, line := range [][]string{{"topic", "list"}, {"cluster", "status"}, {"produce", "t"}, {"consume", "t"}} {
		r := runIn(t, t.Context(), "", []string{"LOGQ_SERVER=127.0.0.1:1"}, line...)
		if r.code != ExitFailed || !strings.Contains(r.err, "no broker answers at nats://127.0.0.1:1") || !strings.Contains(r.err, "--server") {
			t.Errorf("logq %v: code %d, %q", line, r.code, r.err)
		}
	}
}
