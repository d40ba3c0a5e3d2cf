package broker_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write docs/reference/metrics.md anew")

const (
	metricsPath   = "../docs/reference/metrics.md"
	generatedMark = "<!-- generated -->\n"
)

// TestMetricsReference holds the list of metrics to what a broker shows.
func TestMetricsReference(t *testing.T) {
	c := newCluster(t, 2)
	eventually(t, "ready", c.brokers[0].Ready)
	_, body := get(t, c.brokers[0].HTTPURL()+"/metrics")
	help, kind := map[string]string{}, map[string]string{}
	labels := map[string]map[string]bool{}
	for line := range strings.Lines(body) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 4)
		switch {
		case len(words) == 4 && words[1] == "HELP":
			help[words[2]] = words[3]
		case len(words) == 4 && words[1] == "TYPE":
			kind[words[2]] = words[3]
		default:
			name, rest, ok := strings.Cut(words[0], "{")
			if !ok {
				continue
			}
			if labels[name] == nil {
				labels[name] = map[string]bool{}
			}
			for pair := range strings.SplitSeq(strings.TrimSuffix(rest, "}"), ",") {
				label, _, _ := strings.Cut(pair, "=")
				labels[name][label] = true
			}
		}
	}
	var rows []string
	for name, text := range help {
		if !strings.HasPrefix(name, "logq_") {
			continue
		}
		var l []string
		for label := range labels[name] {
			l = append(l, label)
		}
		slices.Sort(l)
		rows = append(rows, "| `"+name+"` | "+kind[name]+" | "+strings.Join(l, ", ")+" | "+text+" |\n")
	}
	slices.Sort(rows)
	want := "| Metric | Type | Labels | |\n|---|---|---|---|\n" + strings.Join(rows, "")

	doc, err := os.ReadFile(metricsPath)
	if err != nil {
		t.Fatal(err)
	}
	head, old, ok := strings.Cut(string(doc), generatedMark)
	if !ok {
		t.Fatalf("%s has no line %q", metricsPath, generatedMark)
	}
	switch {
	case *rewrite:
		if err := os.WriteFile(metricsPath, []byte(head+generatedMark+want), 0o640); err != nil {
			t.Fatal(err)
		}
	case old != want:
		t.Errorf("%s is not what a broker shows (run with -rewrite); want\n%s", metricsPath, want)
	}
}
