package cli

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/logq/logq/consumer"
)

// TestDemoSmall runs the whole demonstration on few records.
func TestDemoSmall(t *testing.T) {
	dir := t.TempDir()
	r := runIn(t, t.Context(), "", nil, "demo", "--records", "20000", "--partitions", "3", "--dir", dir, "--json")
	if r.code != ExitOK {
		t.Fatalf("%+v", r)
	}
	var rep demoReport
	if err := json.Unmarshal([]byte(r.out), &rep); err != nil {
		t.Fatal(err)
	}
	if !rep.Verified || rep.Records != 20000 || rep.Killed == 0 || rep.FailOver <= 0 || rep.Consumed < 20000 {
		t.Errorf("report %+v", rep)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestDemoInterrupted proves that Ctrl-C leaves neither brokers nor files.
func TestDemoInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	var errs watched
	ended := make(chan int, 1)
	go func() {
		ended <- Run(ctx, Env{Err: &errs}, []string{"logq", "demo", "--dir", dir})
	}()
	s := &shell{t: t}
	s.eventually("records are produced", func() bool { return strings.Contains(errs.String(), "producing") })
	cancel(interrupted{syscall.SIGINT})
	if code := <-ended; code != ExitInterrupted {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestDemoFindsWhatIsWrong feeds the comparison what a broken log would return.
func TestDemoFindsWhatIsWrong(t *testing.T) {
	tests := []struct {
		name     string
		returned []int64 // numbers of 6 records in one partition
		change   bool
		reported int64
		want     string // "" = all right
	}{
		{"all", []int64{0, 1, 2, 3, 4, 5}, false, 0, ""},
		{"one twice, reported", []int64{0, 1, 2, 1, 2, 3, 4, 5}, false, 2, ""},
		{"one twice, not reported", []int64{0, 1, 1, 2, 3, 4, 5}, false, 0, "came back twice"},
		{"one missing", []int64{0, 1, 3, 4, 5}, false, 0, "1 record missing"},
		{"the end missing", []int64{0, 1, 2}, false, 0, "3 records missing"},
		{"swapped", []int64{0, 2, 1, 3, 4, 5}, false, 0, "missing or out of order"},
		{"never sent", []int64{0, 1, 2, 3, 4, 5, 6}, false, 0, "never sent"},
		{"changed", []int64{0, 1, 2, 3, 4, 5}, true, 0, "never sent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := demoVerdict(6, tt.returned, tt.change, tt.reported)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// demoVerdict compares six sent records with what came back.
func demoVerdict(records int64, returned []int64, change bool, reported int64) error {
	r := newDemoRun(demoOptions{records: records, size: 32, partitions: 1})
	value, want := make([]byte, 32), make([]byte, 32)
	for seq := range records {
		r.next(value, seq)
	}
	r.parts[0].duplicates = reported
	for _, seq := range returned {
		r.fill(value, seq)
		if change && seq == 3 {
			value[20] ^= 1
		}
		r.check(&consumer.Record{Value: value}, want)
	}
	return r.report().verdict()
}
