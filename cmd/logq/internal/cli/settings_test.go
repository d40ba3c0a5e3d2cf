package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// printed runs logq server --print-config and returns its lines as a set.
func printed(t *testing.T, vars []string, args ...string) (string, result) {
	t.Helper()
	r := runIn(t, t.Context(), "", vars, append([]string{"server", "--print-config"}, args...)...)
	return r.out, r
}

func TestPrecedenceOfSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "logq.yaml")
	text := "# a comment\nid: 3\ndata: /file\nlisten: 127.0.0.1:3\npeers:\n  - 1@127.0.0.1:7001\n  - 3@127.0.0.1:7003\ninsecure: true\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, r := printed(t, []string{"LOGQ_CONFIG=" + file, "LOGQ_DATA=/variable", "LOGQ_LISTEN=127.0.0.1:2"}, "--listen", "127.0.0.1:1")
	if r.code != ExitOK {
		t.Fatalf("%+v", r)
	}
	for _, want := range []string{
		"id: 3 # " + file + ":2\n", "data: /variable # LOGQ_DATA\n", "listen: 127.0.0.1:1 # --listen\n",
		"peers: 1@127.0.0.1:7001,3@127.0.0.1:7003 # " + file + ":5\n", "insecure: true # " + file + ":8\n", "log-level: info # default\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

// TestPrintedConfigIsAConfig gives the output back as a file.
func TestPrintedConfigIsAConfig(t *testing.T) {
	first, _ := printed(t, nil, "--id", "7", "--data", "dir: with # odd 'name'", "--peers", "7@h:1,8@h:2", "--insecure", "--rack", "true")
	file := filepath.Join(t.TempDir(), "logq.yaml")
	if err := os.WriteFile(file, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	second, r := printed(t, nil, "--config", file)
	if r.code != ExitOK {
		t.Fatalf("%+v", r)
	}
	strip := func(s string) string {
		var b strings.Builder
		for line := range strings.Lines(s) {
			b.WriteString(line[:strings.LastIndex(line, " # ")] + "\n")
		}
		return b.String()
	}
	if strip(first) != strip(second) {
		t.Errorf("first:\n%ssecond:\n%s", first, second)
	}
}

func TestEmptyConfigFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "logq.yaml")
	if err := os.WriteFile(file, []byte("# nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, r := printed(t, nil, "--config", file); r.code != ExitOK || !strings.Contains(out, "id: 1 # default") {
		t.Errorf("%+v", r)
	}
}

func FuzzReadConfigFile(f *testing.F) {
	f.Add("id: 1\nlisten: x\n")
	f.Add("- a\n- b\n")
	f.Add("peers: [1@a:1, {x: y}]\n")
	f.Add("id: *a\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		values, err := readConfigFile(file, serverSettings)
		for name := range values {
			if err == nil && !strings.Contains(text, name) {
				t.Errorf("key %q out of nothing", name)
			}
		}
	})
}
