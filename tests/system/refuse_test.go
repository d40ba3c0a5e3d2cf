package system

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// refused wants an exit code and pieces of a clear message on one error line.
func refused(t *testing.T, r ran, code int, pieces ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("want exit code %d, got %s", code, r)
	}
	for _, p := range pieces {
		if !strings.Contains(r.err, p) {
			t.Errorf("the error does not say %q: %s", p, r.err)
		}
	}
}

// TestBadInput sends one broker what it must refuse, and then proves that it
// still works and has kept what it had.
func TestBadInput(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	at := func(args ...string) []string { return append(args, "--server", c.servers()) }
	must(t, nil, at("topic", "create", "kept", "--partitions", "2")...)
	must(t, strings.NewReader("one\ntwo\n"), at("produce", "kept", "--partition", "0")...)

	t.Run("unknown topic", func(t *testing.T) {
		refused(t, logq(t, strings.NewReader("x\n"), at("produce", "no.such", "--timeout", "5s")...), 3, "no.such")
		refused(t, logq(t, nil, at("consume", "no.such", "--until-end")...), 1, "no.such")
		refused(t, logq(t, nil, at("topic", "describe", "no.such")...), 1, "no.such")
		refused(t, logq(t, nil, at("topic", "delete", "no.such")...), 1, "no.such")
	})
	t.Run("bad name", func(t *testing.T) {
		for _, name := range []string{"a.*", "a.>", "a..b", ".a", "a b", "", strings.Repeat("x", 250)} {
			refused(t, logq(t, nil, at("topic", "create", name)...), 2)
		}
	})
	t.Run("topic that exists", func(t *testing.T) {
		refused(t, logq(t, nil, at("topic", "create", "kept")...), 1, "kept")
	})
	t.Run("more replicas than brokers", func(t *testing.T) {
		refused(t, logq(t, nil, at("topic", "create", "wide", "--replicas", "3")...), 1, "3")
	})
	t.Run("partition out of range", func(t *testing.T) {
		refused(t, logq(t, strings.NewReader("x\n"), at("produce", "kept", "--partition", "2", "--timeout", "5s")...), 3, "2")
		refused(t, logq(t, nil, at("consume", "kept", "--partition", "9", "--until-end")...), 1, "9")
	})
	t.Run("line over the limit", func(t *testing.T) {
		in := "three\n" + strings.Repeat("x", 9<<20) + "\nfour\n"
		refused(t, logq(t, strings.NewReader(in), at("produce", "kept", "--partition", "0")...), 3, "standard input:2")
	})
	t.Run("offset out of range", func(t *testing.T) {
		refused(t, logq(t, nil, at("consume", "kept", "--partition", "0", "--from", "1000", "--max", "1")...), 1, "1000")
		refused(t, logq(t, nil, at("consume", "kept", "--partition", "0", "--from", "1000", "--until-end")...), 1, "1000")
	})
	t.Run("garbage on the client port", func(t *testing.T) { garbage(t, n.listen) })
	t.Run("garbage on the HTTP port", func(t *testing.T) { garbage(t, n.http) })

	if out := must(t, nil, at("consume", "kept", "--partition", "0", "--until-end")...); out != "one\ntwo\nthree\n" {
		t.Errorf("kept %q", out)
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		get(t, "http://"+n.http+path)
	}
	if code := n.stop(); code != 0 {
		t.Errorf("the broker ended with exit code %d after SIGTERM", code)
	}
}

func get(t *testing.T, url string) {
	t.Helper()
	client := http.Client{Timeout: patience()}
	r, err := client.Get(url)
	if err != nil {
		t.Error(err)
		return
	}
	defer r.Body.Close()
	if b, err := io.ReadAll(r.Body); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("%s: %s %v %s", url, r.Status, err, clip(string(b)))
	}
}

// garbage sends random bytes and wants the other side to hang up.
func garbage(t *testing.T, addr string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience())); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	junk := make([]byte, 64<<10)
	for i := range junk {
		junk[i] = byte(random.Uint32())
	}
	_, _ = conn.Write(junk) // the other side may hang up in the middle
	if _, err := io.Copy(io.Discard, conn); err != nil && os.IsTimeout(err) {
		t.Errorf("%s still listens to garbage after %s", addr, patience())
	}
}

// TestGarbageOnThePeerPort proves that a stranger on the peer port is cut off
// and that the cluster goes on.
func TestGarbageOnThePeerPort(t *testing.T) {
	c := newCluster(t, 3)
	for _, n := range c.nodes {
		garbage(t, n.peer)
	}
	c.waitHealthy()
	must(t, nil, "topic", "create", "after", "--server", c.servers())
	must(t, strings.NewReader("x\n"), "produce", "after", "--server", c.servers())
}

// TestWrongDirectory starts brokers where they must not run.
func TestWrongDirectory(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	must(t, nil, "topic", "create", "kept", "--server", c.servers())
	must(t, strings.NewReader("one\n"), "produce", "kept", "--server", c.servers())
	ports := freePorts(t, 2)
	second := func(args ...string) ran {
		return logq(t, nil, append([]string{"server", "--listen", ports[0], "--http", ports[1]}, args...)...)
	}
	t.Run("directory in use", func(t *testing.T) {
		refused(t, second("--id", "1", "--data", n.dir), 1, n.dir)
	})
	t.Run("client port in use", func(t *testing.T) {
		refused(t, logq(t, nil, "server", "--data", filepath.Join(t.TempDir(), "d"), "--listen", n.listen), 1, n.listen)
	})
	t.Run("HTTP port in use", func(t *testing.T) {
		refused(t, logq(t, nil, "server", "--data", filepath.Join(t.TempDir(), "d"), "--listen", ports[0], "--http", n.http), 1, n.http)
	})
	t.Run("off loopback without TLS", func(t *testing.T) {
		refused(t, logq(t, nil, "server", "--data", filepath.Join(t.TempDir(), "d"), "--listen", "0.0.0.0:"+strings.Split(ports[0], ":")[1]), 2, "insecure")
	})
	n.kill()
	before := digest(t, n.dir)
	t.Run("another broker's directory", func(t *testing.T) {
		refused(t, second("--id", "2", "--data", n.dir), 1, n.dir, "1", "2")
		if after := digest(t, n.dir); before != after {
			t.Errorf("the refused broker changed the directory:\nbefore %s\nafter  %s", before, after)
		}
	})
	n.start()
	c.waitHealthy()
	if out := must(t, nil, "consume", "kept", "--until-end", "--server", c.servers()); out != "one\n" {
		t.Errorf("kept %q", out)
	}
}

// digest sums up names and contents below a directory, but for the lock file,
// in which whoever holds the lock notes its process id for the next one's message.
func digest(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		b, err := os.ReadFile(p)
		fmt.Fprintf(h, "%s %d %x\n", p, len(b), sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// TestNoMajority leaves one broker of three: it must refuse in time, with an
// error that says what became of the records, and lose nothing.
func TestNoMajority(t *testing.T) {
	c := newCluster(t, 3)
	at := func(args ...string) []string { return append(args, "--server", c.servers()) }
	must(t, nil, at("topic", "create", "kept", "--replicas", "3")...)
	must(t, strings.NewReader("one\n"), at("produce", "kept")...)
	c.waitInSync("kept")
	c.nodes[0].kill()
	c.nodes[1].kill()
	const deadline = 3 * time.Second
	start := time.Now()
	r := logq(t, strings.NewReader("two\nthree\n"), at("produce", "kept", "--timeout", deadline.String())...)
	took := time.Since(start)
	refused(t, r, 3, "standard input:1")
	if !strings.Contains(r.err, "NOT WRITTEN") && !strings.Contains(r.err, "UNKNOWN") {
		t.Errorf("the outcome is not said: %s", r.err)
	}
	if slack := patience() / 3; took > deadline+slack {
		t.Errorf("refused after %s, the deadline was %s", took, deadline)
	}
	c.nodes[0].start()
	c.nodes[1].start()
	c.waitHealthy()
	out := must(t, nil, at("consume", "kept", "--until-end")...)
	if !strings.HasPrefix(out, "one\n") {
		t.Errorf("kept %q", out)
	}
	if strings.Contains(r.err, "UNKNOWN") || !strings.Contains(r.err, "NOT WRITTEN: 2 lines") {
		return // stored once, or not at all: both are right
	}
	if out != "one\n" {
		t.Errorf("what was reported as not written came back: %q", out)
	}
}

// TestDumpChangesNothing proves on real files that segment dump only reads, that
// it finds a flipped bit, and that it says so with its exit code.
func TestDumpChangesNothing(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	must(t, nil, "topic", "create", "kept", "--server", c.servers())
	must(t, bytes.NewReader(bytes.Repeat([]byte("a line of some length\n"), 1000)), "produce", "kept", "--server", c.servers())
	n.kill()
	before := digest(t, n.dir)
	if all := dumpAll(t, n.dir); len(all) < 2 {
		t.Errorf("only %d partitions were dumped", len(all))
	}
	if after := digest(t, n.dir); before != after {
		t.Error("segment dump changed a file")
	}
}
