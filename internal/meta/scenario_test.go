package meta_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

// TestScenarios runs the scripts in testdata: each applies records and shows what every one did. Rewrite their output with
// go test -rewrite.
//
//	apply              one record a line: key, then the command (or the raw value after "raw")
//	place              partitions=N replicas=R, one candidate a line: id rack replicas leaders [dead]
//	state              prints the state
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".txt") {
			return
		}
		state, next := meta.NewState(), int64(0)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			switch d.Cmd {
			case "apply":
				for line := range strings.Lines(d.Input) {
					key, value := record(strings.TrimSpace(line))
					out.WriteString(describe(state.Apply(next, []byte(key), []byte(value))))
					next++
				}
			case "state":
				printState(&out, state.Snapshot())
			case "place":
				place(t, &out, d)
			default:
				t.Fatalf("unknown directive %q", d.Cmd)
			}
			return out.String()
		})
	})
}

// record parses "key {…}" into a record with its envelope, or "key raw …" into one with exactly this value.
func record(line string) (key, value string) {
	key, body, _ := strings.Cut(line, " ")
	if raw, ok := strings.CutPrefix(body, "raw "); ok {
		return key, raw
	}
	return key, fmt.Sprintf(`{"level":1,"command":%s}`, body)
}

func describe(r meta.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s:", r.Offset, r.Command)
	switch {
	case r.Err != nil:
		fmt.Fprintf(&b, " %v", r.Err)
	case r.Repeated:
		b.WriteString(" repeated")
	default:
		b.WriteString(" in force")
	}
	if r.Created != nil {
		fmt.Fprintf(&b, ", created %s", r.Created.Name)
	}
	if r.Deleted != nil {
		fmt.Fprintf(&b, ", deleted %s", r.Deleted.Name)
	}
	return b.String() + "\n"
}

func printState(b *strings.Builder, s meta.Snapshot) {
	fmt.Fprintf(b, "cluster %q level %d (brokers support %d), next %d, %d partitions\n", s.ClusterID(), s.FeatureLevel(), s.MinFeatureLevel(), s.Next(), s.PartitionCount())
	if err := s.Unsupported(); err != nil {
		fmt.Fprintf(b, "stopped: %v\n", err)
	}
	for _, br := range s.Brokers() {
		text, _ := json.Marshal(br)
		fmt.Fprintf(b, "broker %s\n", text)
	}
	for _, t := range s.Topics() {
		fmt.Fprintf(b, "topic %s %s bind=%q config=%v created at %d, segment bytes %d\n", t.Name, t.ID, t.Bind, t.Config, t.Offset, t.Settings().SegmentBytes)
		for p, ids := range t.Partitions {
			fmt.Fprintf(b, "  %d: %v\n", p, ids)
		}
	}
}

func place(t *testing.T, b *strings.Builder, d *datadriven.TestData) {
	var partitions, replicas int
	d.ScanArgs(t, "partitions", &partitions)
	d.ScanArgs(t, "replicas", &replicas)
	var candidates []meta.Candidate
	for line := range strings.Lines(d.Input) {
		f := strings.Fields(line)
		c := meta.Candidate{Rack: f[1], Alive: !slices.Contains(f, "dead")}
		fmt.Sscan(strings.Join([]string{f[0], f[2], f[3]}, " "), &c.ID, &c.Replicas, &c.Leaders)
		candidates = append(candidates, c)
	}
	got, err := meta.Place(candidates, partitions, replicas)
	if err != nil {
		fmt.Fprintln(b, err)
		return
	}
	for p, ids := range got {
		fmt.Fprintf(b, "%d: %v\n", p, ids)
	}
	var _ []protocol.BrokerID = got[0]
}
