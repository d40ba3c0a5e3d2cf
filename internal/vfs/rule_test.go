package vfs_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/logq/logq/internal/vfs"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// TestRules holds the grammar against testdata/rules.txt: each line is a text,
// an arrow, and what it prints as or why it is no rule.
func TestRules(t *testing.T) {
	const golden = "testdata/rules.txt"
	raw, err := os.ReadFile(golden)
	must(t, err)
	var got strings.Builder
	for line := range strings.Lines(string(raw)) {
		text, _, isCase := strings.Cut(strings.TrimRight(line, "\n"), "  => ")
		if !isCase {
			got.WriteString(line)
			continue
		}
		out := ""
		r, err := vfs.ParseRule(text)
		var re *vfs.RuleError
		switch {
		case errors.As(err, &re):
			out = "error: " + re.Reason
		case err != nil:
			t.Errorf("%q: error %v is no *RuleError", text, err)
		default:
			out = r.String()
		}
		fmt.Fprintf(&got, "%s  => %s\n", text, out)
	}
	if *rewrite {
		must(t, os.WriteFile(golden, []byte(got.String()), 0o644))
	}
	if got.String() != string(raw) {
		t.Errorf("got\n%s\nwant\n%s(run with -rewrite if the change is wanted)", got.String(), raw)
	}
}

func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"write *.seg #3 short=512 ENOSPC", "sync *.seg #1 lost EIO", "* * #20+ EIO", "sync * delay=2s", "read a/[b-d]?* #2..7 delay=1ms EIO"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := vfs.ParseRule(s)
		if err != nil {
			return
		}
		again, err := vfs.ParseRule(r.String())
		if err != nil || again != r {
			t.Errorf("%q prints as %q, which reads as %+v, %v", s, r.String(), again, err)
		}
	})
}

func TestFaultsString(t *testing.T) {
	text := "write *.seg #3 ENOSPC\nsync * delay=2s\n"
	f, err := vfs.ParseFaults(" write *.seg  #3 ENOSPC ;\n\nsync * delay=2000ms")
	must(t, err)
	if got := f.String(); got != text {
		t.Errorf("printed %q, want %q", got, text)
	}
	if _, err := vfs.ParseFaults("write * EIO\nnonsense"); err == nil {
		t.Error("nonsense was read as a rule")
	}
	if got := vfs.Op(200).String(); got != "op(200)" {
		t.Errorf("unknown operation prints as %q", got)
	}
}

func TestDelay(t *testing.T) {
	f, err := vfs.ParseFaults("sync * #2 delay=3s; sync * #3 delay=4s EIO")
	must(t, err)
	var slept []time.Duration
	f.SetSleep(func(d time.Duration) { slept = append(slept, d) })
	file, err := vfs.WithFaults(vfs.NewMem(), f).Create("a")
	must(t, err)
	must(t, file.Sync())
	must(t, file.Sync())
	if err := file.Sync(); err == nil {
		t.Error("the third sync succeeded")
	}
	if len(slept) != 2 || slept[0] != 3*time.Second || slept[1] != 4*time.Second {
		t.Errorf("slept %v", slept)
	}
}
