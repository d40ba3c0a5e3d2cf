package cli

import (
	"bytes"
	"context"
	"encoding/json"

	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/logq/logq/broker"
)

// shell is a broker in this process and the command lines sent to it.
type shell struct {
	t    *testing.T
	url  string
	vars []string
}

func startBroker(t *testing.T) *shell {
	t.Helper()
	b, err := broker.New(broker.Config{ID: 1, DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	s := &shell{t: t, url: b.ClientURL(), vars: []string{"LOGQ_SERVER=" + b.ClientURL()}}
	s.eventually("the broker answers", func() bool { return s.run("", "cluster", "status", "--check").code == ExitOK })
	return s
}

func (s *shell) eventually(what string, try func() bool) {
	s.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !try() {
		select {
		case <-tick.C:
		case <-deadline.C:
			s.t.Fatalf("%s: not within a minute", what)
		}
	}
}

func (s *shell) run(in string, args ...string) result {
	s.t.Helper()
	return runIn(s.t, s.t.Context(), in, s.vars, args...)
}

// ok runs a command that must succeed and returns its standard output.
func (s *shell) ok(in string, args ...string) string {
	s.t.Helper()
	r := s.run(in, args...)
	if r.code != ExitOK {
		s.t.Fatalf("logq %s: %+v", strings.Join(args, " "), r)
	}
	return r.out
}

// varying are the parts of an output that differ from run to run.
var varying = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "HOST:PORT"},
	{regexp.MustCompile(`20\d\d-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`(?m)("term": )\d+`), "${1}N"},
	{regexp.MustCompile(`in \S+s: \S+ records/s, \S+ \S+/s`), "in TIME: RATE"},
	{regexp.MustCompile(`"(seconds|records_per_second|bytes_per_second)": [0-9.e+-]+`), `"$1": N`},
}

func steady(s string) string {
	for _, v := range varying {
		s = v.what.ReplaceAllString(s, v.with)
	}
	return s
}

// TestCommands runs commands one after the other against one broker and holds
// what they print.
func TestCommands(t *testing.T) {
	s := startBroker(t)
	file := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(file, []byte("three\nfour"), 0o600); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		in   string
		args []string
	}{
		{"", []string{"topic", "list"}},
		{"", []string{"topic", "list", "--json"}},
		{"", []string{"topic", "create", "events"}},
		{"", []string{"topic", "create", "events"}},
		{"", []string{"topic", "create", "audit.eu", "-p", "2", "--bind", "audit.eu.>"}},
		{"", []string{"topic", "create", "far", "--replicas", "3"}},
		{"", []string{"topic", "create", "odd", "--config", "no.such.key=1"}},
		{"", []string{"topic", "create", "odd", "--config", "retention.ms=7d"}},
		{"", []string{"topic", "list"}},
		{"one\ntwo\n", []string{"produce", "events"}},
		{"", []string{"produce", "events", file, "--compression", "none", "--json"}},
		{"k:v\n", []string{"produce", "--key-separator", ":", "events", "--quiet"}},
		{"no key\n", []string{"produce", "--key-separator", ":", "events"}},
		{"", []string{"consume", "events", "--until-end"}},
		{"", []string{"consume", "events", "--until-end", "--from", "3", "--json"}},
		{"", []string{"consume", "events", "--max", "1", "--format", `%o|%p|%k|%v|%h\n`, "--partition", "0"}},
		{"", []string{"consume", "events", "--until-end", "--from", "latest"}},
		{"", []string{"consume", "events", "--until-end", "--from", "2000-01-01", "--max", "1"}},
		{"", []string{"topic", "describe", "events", "--json"}},
		{"", []string{"topic", "describe", "audit.eu"}},
		{"", []string{"topic", "describe", "nothing"}},
		{"", []string{"topic", "alter", "audit.eu", "--config", "retention.ms=86400000", "--config", "segment.bytes=1048576"}},
		{"", []string{"topic", "alter", "audit.eu", "--config", "segment.bytes=", "--config", "retention.bytes=-1", "--json"}},
		{"", []string{"topic", "alter", "audit.eu", "--config", "retention.bytes=none"}},
		{"", []string{"topic", "alter", "audit.eu", "--config", "flush.ms="}},
		{"", []string{"topic", "alter", "audit.eu"}},
		{"", []string{"topic", "alter", "nothing", "--config", "retention.ms=-1"}},
		{"", []string{"topic", "describe", "audit.eu"}},
		{"", []string{"cluster", "status"}},
		{"", []string{"cluster", "status", "--json", "--check"}},
		{"", []string{"broker", "add", "1", "--dry-run"}},
		{"", []string{"broker", "add", "1", "--wait", "--json"}},
		{"", []string{"broker", "add", "4"}},
		{"", []string{"broker", "add"}},
		{"", []string{"broker", "remove", "4"}},
		{"", []string{"broker", "remove", "1"}},
		{"", []string{"broker", "remove", "one"}},
		{"", []string{"topic", "delete", "audit.eu"}},
		{"", []string{"topic", "delete", "audit.eu"}},
		{"", []string{"topic", "delete", "events", "--json"}},
		{"", []string{"consume", "events", "--until-end"}},
	}
	var b strings.Builder
	for _, step := range steps {
		r := s.run(step.in, step.args...)
		args := strings.ReplaceAll(strings.Join(step.args, " "), file, "FILE")
		b.WriteString("$ logq " + args + "\n" + r.out)
		for line := range strings.Lines(r.err) {
			b.WriteString("! " + line)
		}
		if r.code != 0 {
			b.WriteString("= " + string('0'+rune(r.code)) + "\n")
		}
		b.WriteByte('\n')
	}
	golden(t, "commands.txt", steady(b.String()))
	if got := s.ok("", completeCommand, "topic", "describe", ""); got != "" {
		t.Errorf("deleted topics are completed: %q", got)
	}
}

func TestCompleteTopics(t *testing.T) {
	s := startBroker(t)
	for _, name := range []string{"events", "audit"} {
		s.ok("", "topic", "create", name)
	}
	if got := s.ok("", completeCommand, "consume", "ev"); got != "events\n" {
		t.Errorf("got %q", got)
	}
	if got := runIn(t, t.Context(), "", nil, completeCommand, "produce", "--server", s.url, ""); got.out != "audit\nevents\n" {
		t.Errorf("got %+v", got)
	}
}

// watched is a writer whose contents a test can wait for.
type watched struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// TestConsumeFollows proves that records are shown when they come and not when a
// buffer is full, and that Ctrl-C ends the command with its own code.
func TestConsumeFollows(t *testing.T) {
	for code, sig := range map[int]syscall.Signal{ExitInterrupted: syscall.SIGINT, ExitTerminated: syscall.SIGTERM} {
		s := startBroker(t)
		s.ok("", "topic", "create", "events")
		ctx, cancel := context.WithCancelCause(t.Context())
		var out watched
		ended := make(chan int, 1)
		go func() {
			ended <- Run(ctx, Env{Out: &out, Getenv: lookup(s.vars)}, []string{"logq", "consume", "events"})
		}()
		for _, line := range []string{"one\n", "two\n"} {
			s.ok(line, "produce", "events")
			s.eventually("the record is shown", func() bool { return strings.HasSuffix(out.String(), line) })
		}
		cancel(interrupted{sig})
		if got := <-ended; got != code {
			t.Errorf("%v: exit code %d, want %d", sig, got, code)
		}
		if out.String() != "one\ntwo\n" {
			t.Errorf("shown: %q", out.String())
		}
	}
}

// brokenPipe fails as standard output does when its reader has gone.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
}

func TestConsumeIntoAClosedPipe(t *testing.T) {
	s := startBroker(t)
	s.ok("", "topic", "create", "events")
	s.ok("one\n", "produce", "events")
	var errs bytes.Buffer
	// Without --until-end: the pipe's end alone must end the command.
	code := Run(t.Context(), Env{Out: brokenPipe{}, Err: &errs, Getenv: lookup(s.vars)}, []string{"logq", "consume", "events"})
	if code != ExitOK || errs.Len() > 0 {
		t.Errorf("exit code %d, %q", code, errs.String())
	}
}

// TestProduceInterrupted ends a produce in the middle of its input: what was
// read is stored and counted, and the code says that it was interrupted.
func TestProduceInterrupted(t *testing.T) {
	s := startBroker(t)
	s.ok("", "topic", "create", "events")
	ctx, cancel := context.WithCancelCause(t.Context())
	in, feed := io.Pipe()
	var out, errs watched
	ended := make(chan int, 1)
	go func() {
		ended <- Run(ctx, Env{In: in, Out: &out, Err: &errs, Getenv: lookup(s.vars)}, []string{"logq", "produce", "events", "--json"})
	}()
	if _, err := io.WriteString(feed, "one\ntwo\n"); err != nil {
		t.Fatal(err)
	}
	s.eventually("both records are stored", func() bool {
		return s.ok("", "consume", "events", "--until-end") == "one\ntwo\n"
	})
	cancel(interrupted{syscall.SIGINT})
	if code := <-ended; code != ExitInterrupted {
		t.Errorf("exit code %d, want %d: %s", code, ExitInterrupted, errs.String())
	}
	_ = feed.Close() // frees the goroutine that reads standard input
	var sum summary
	if err := json.Unmarshal([]byte(out.String()), &sum); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	if sum.Records != 2 || sum.StoppedAt != "standard input:3" {
		t.Errorf("summary %+v", sum)
	}
}

// TestServerStopsCleanly runs the server command itself.
func TestServerStopsCleanly(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	var errs watched
	ended := make(chan int, 1)
	dir := t.TempDir()
	go func() {
		ended <- Run(ctx, Env{Err: &errs}, []string{"logq", "server", "--data", dir, "--listen", "127.0.0.1:0"})
	}()
	s := &shell{t: t}
	s.eventually("the server serves", func() bool { return strings.Contains(errs.String(), "the broker is started") })
	cancel(interrupted{syscall.SIGTERM})
	if code := <-ended; code != ExitOK {
		t.Errorf("exit code %d:\n%s", code, errs.String())
	}
	if !strings.Contains(errs.String(), "msg=stopped") {
		t.Errorf("log:\n%s", errs.String())
	}
}
