package system

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// linesWanted is how much real text the tests send.
const linesWanted = 20_000

// sources returns lines of the Go toolchain's own source, each behind its
// number, so that a test can tell a line that came twice from one that is there
// twice.
func sources(t *testing.T) [][]byte {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	base := filepath.Join(strings.TrimSpace(string(root)), "src", "go")
	err = filepath.WalkDir(base, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(p, ".go") {
			files = append(files, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	var lines [][]byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			if lines = append(lines, fmt.Appendf(nil, "%06d %s\n", len(lines), bytes.TrimSuffix(line, []byte{'\n'}))); len(lines) == linesWanted {
				return lines
			}
		}
	}
	t.Fatalf("only %d lines in %s, want %d", len(lines), base, linesWanted)
	return nil
}

// summary is produce --json.
type summary struct {
	Records        int64 `json:"records"`
	MaybeDuplicate int64 `json:"maybe_duplicate"`
}

// compare proves that out is the lines, in order and byte for byte. A line may
// be there again only as often as the producer said it might.
func compare(t *testing.T, lines [][]byte, out string, reported int64) {
	t.Helper()
	next, twice := 0, int64(0)
	for line := range bytes.Lines([]byte(out)) {
		number, err := strconv.Atoi(string(line[:min(6, len(line))]))
		if err != nil || number >= len(lines) || !bytes.Equal(line, lines[number]) {
			t.Fatalf("after %d lines: a line that was never sent: %q", next, clip(string(line)))
		}
		switch {
		case number == next:
			next++
		case number < next:
			twice++
		default:
			t.Fatalf("line %d follows line %d: %d lines are missing", number, next-1, number-next)
		}
	}
	if next != len(lines) {
		t.Errorf("only %d of %d lines came back", next, len(lines))
	}
	if twice > reported {
		t.Errorf("%d lines came back twice, the producer reported only %d as possible", twice, reported)
	}
	t.Logf("%d lines, %d twice (%d reported as possible)", next, twice, reported)
}

// TestLeaderKilledInTheMiddle is the whole path: lines go in, the leader's
// process is killed in the middle and started again, and the same lines come
// out; the replicas hold the same frames.
func TestLeaderKilledInTheMiddle(t *testing.T) {
	c := newCluster(t, 3)
	lines := sources(t)
	must(t, nil, "topic", "create", "lines", "--partitions", "1", "--replicas", "3", "--server", c.servers())

	in, feed := io.Pipe()
	produced := make(chan ran, 1)
	go func() {
		r, err := execute(t.Context(), in, "produce", "lines", "--json", "--server", c.servers())
		if err != nil {
			t.Error(err)
		}
		_ = in.Close() // a produce that ended early must not block the feed
		produced <- r
	}()
	send := func(part [][]byte) {
		for _, l := range part {
			if _, err := feed.Write(l); err != nil {
				t.Errorf("produce has stopped reading: %v", err)
				return
			}
		}
	}
	half := len(lines) / 2
	send(lines[:half])
	leader := c.waitFor("lines", int64(half)/2)
	t.Logf("killing broker %d", leader.id)
	leader.kill()
	send(lines[half : half+half/2])
	next := c.waitFor("lines", int64(half)+1)
	if next == leader {
		t.Errorf("broker %d leads, but it was killed", leader.id)
	}
	t.Logf("broker %d leads; starting broker %d again", next.id, leader.id)
	leader.start()
	send(lines[half+half/2:])
	_ = feed.Close()
	r := <-produced
	if r.code != 0 {
		t.Fatalf("produce: %s", r)
	}
	var s summary
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		t.Fatalf("%v in %s", err, r.out)
	}
	if s.Records != int64(len(lines)) {
		t.Errorf("%d records acknowledged, want %d", s.Records, len(lines))
	}
	compare(t, lines, must(t, nil, "consume", "lines", "--until-end", "--server", c.servers()), s.MaybeDuplicate)

	c.waitInSync("lines")
	c.waitHealthy()
	waitEqual(t, c, int64(len(lines)))
	for _, n := range c.nodes {
		n.kill() // all at once, as a power cut: nothing is handed over, nothing more is written
	}
	compareReplicas(t, c, int64(len(lines)))

	for _, n := range c.nodes {
		n.start()
	}
	c.waitFor("lines", int64(len(lines)))
	compare(t, lines, must(t, nil, "consume", "lines", "--until-end", "--server", c.servers()), s.MaybeDuplicate)
	for _, n := range c.nodes {
		if code := n.stop(); code != 0 {
			t.Errorf("broker %d ended with exit code %d after SIGTERM", n.id, code)
		}
	}
}

// TestEveryBytePassesThrough sends what lines can be made of, through files and
// standard input, with keys, and reads it in several forms.
func TestEveryBytePassesThrough(t *testing.T) {
	c := newCluster(t, 1)
	server := []string{"--server", c.servers()}
	with := func(args ...string) []string { return append(args, server...) }

	must(t, nil, with("topic", "create", "bytes")...)
	var all bytes.Buffer
	for b := range 256 {
		if b != '\n' {
			all.WriteByte(byte(b))
		}
	}
	text := "\n\r\n" + all.String() + "\n" + strings.Repeat("long ", 150_000) + "\nlast line without a newline"
	file := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, codec := range []string{"zstd", "snappy", "lz4", "gzip", "none"} {
		must(t, nil, with("produce", "bytes", file, "--compression", codec)...)
	}
	must(t, strings.NewReader(text), with("produce", "bytes")...)
	if out := must(t, nil, with("consume", "bytes", "--until-end")...); out != strings.Repeat(text+"\n", 6) {
		t.Errorf("%d bytes came back, want %d", len(out), 6*len(text)+6)
	}
	// Longer than a batch on the wire may be, but not when compressed.
	must(t, nil, with("topic", "create", "long")...)
	long := strings.Repeat("0123456789abcdef", 3<<16) + "\n"
	must(t, strings.NewReader(long+"short\n"+long), with("produce", "long")...)
	if out := must(t, nil, with("consume", "long", "--until-end")...); out != long+"short\n"+long {
		t.Errorf("%d bytes of long lines came back, want %d", len(out), 2*len(long)+6)
	}
	if out := must(t, nil, with("consume", "bytes", "--from", "4", "--max", "2", "--format", `%o %p<%v>\n`)...); out != "4 0<last line without a newline>\n5 0<>\n" {
		t.Errorf("got %q", out)
	}

	must(t, nil, with("topic", "create", "keys", "--partitions", "4")...)
	must(t, strings.NewReader("a\t1\nb\t2\na\t3\nb\t\n"), with("produce", "keys", "--key-separator", `\t`)...)
	out := must(t, nil, with("consume", "keys", "--until-end", "--format", `%k=%v\n`)...)
	if got := strings.Fields(out); len(got) != 4 || slices.Index(got, "a=1") > slices.Index(got, "a=3") || slices.Index(got, "b=2") > slices.Index(got, "b=") {
		t.Errorf("keys came back as %q", out)
	}
	if out := must(t, nil, with("consume", "keys", "--until-end", "--from", "1h", "--json")...); strings.Count(out, `"key":"a"`) != 2 {
		t.Errorf("from an hour ago: %s", out)
	}
	if r := logq(t, strings.NewReader("a\t1\nno key\n"), with("produce", "keys", "--key-separator", `\t`)...); r.code != 3 || !strings.Contains(r.err, "standard input:2") {
		t.Errorf("a line without a key: %s", r)
	}
}
