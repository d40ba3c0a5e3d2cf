package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program is the path of the built cmd/logq.
var program string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "logq-system-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "logq")
	args := []string{"build", "-o", program}
	if raceEnabled {
		args = append(args, "-race")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", append(args, "../../cmd/logq")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building cmd/logq: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// patience bounds the wait for something that takes a healthy system a moment.
// The race detector on a loaded machine makes everything several times slower.
func patience() time.Duration {
	if raceEnabled {
		return 120 * time.Second
	}
	return 60 * time.Second
}

// eventually looks again and again until try succeeds.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.NewTimer(patience())
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %s: %v", what, patience(), err)
		}
	}
}

// ran is what one command line did.
type ran struct {
	code     int
	out, err string
}

func (r ran) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", r.code, clip(r.out), clip(r.err))
}

func clip(s string) string {
	if len(s) > 2000 {
		return s[:2000] + "…"
	}
	return s
}

// execute runs the program to its end.
func execute(ctx context.Context, in io.Reader, args ...string) (ran, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience())
	defer cancel()
	var out, errs bytes.Buffer
	c := exec.CommandContext(ctx, program, args...)
	c.Stdin, c.Stdout, c.Stderr, c.Env = in, &out, &errs, environment()
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		return ran{}, fmt.Errorf("logq %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return ran{c.ProcessState.ExitCode(), out.String(), errs.String()}, nil
}

// logq runs the program to its end, on the test's own goroutine.
func logq(t *testing.T, in io.Reader, args ...string) ran {
	t.Helper()
	r, err := execute(t.Context(), in, args...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// must runs the program and wants it to succeed.
func must(t *testing.T, in io.Reader, args ...string) string {
	t.Helper()
	r := logq(t, in, args...)
	if r.code != 0 {
		t.Fatalf("logq %s: %s", strings.Join(args, " "), r)
	}
	return r.out
}

// environment is the process's own without settings of logq.
func environment() []string {
	var vars []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LOGQ_") {
			vars = append(vars, v)
		}
	}
	return vars
}
