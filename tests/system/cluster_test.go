package system

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cluster is some broker processes.
type cluster struct {
	t     *testing.T
	nodes []*node
}

// node is one broker: where it lives, and its process while it runs.
type node struct {
	t                  *testing.T
	id                 int
	dir, log           string
	listen, http, peer string
	peers              string // "" = a single broker, or one that joins
	join               string // "" = one that began the cluster
	process            *exec.Cmd
	ended              chan struct{} // closed when the process is gone
}

// newCluster starts n brokers and waits until they are one healthy cluster.
func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{t: t}
	ports := freePorts(t, 3*n)
	var peers []string
	for i := range n {
		nd := &node{
			t: t, id: i + 1, dir: filepath.Join(t.TempDir(), "data"), log: filepath.Join(t.TempDir(), "log"),
			listen: ports[3*i], http: ports[3*i+1], peer: ports[3*i+2],
		}
		c.nodes = append(c.nodes, nd)
		peers = append(peers, fmt.Sprintf("%d@%s", nd.id, nd.peer))
	}
	if n > 1 {
		for _, nd := range c.nodes {
			nd.peers = strings.Join(peers, ",")
		}
	}
	for _, nd := range c.nodes {
		nd.start()
	}
	t.Cleanup(c.end)
	c.waitHealthy()
	return c
}

// joins makes a broker that joins the others, and starts it.
func (c *cluster) joins() *node {
	c.t.Helper()
	ports := freePorts(c.t, 3)
	nd := &node{
		t: c.t, id: len(c.nodes) + 1, dir: filepath.Join(c.t.TempDir(), "data"), log: filepath.Join(c.t.TempDir(), "log"),
		listen: ports[0], http: ports[1], peer: ports[2], join: c.peerPorts(),
	}
	c.nodes = append(c.nodes, nd)
	nd.start()
	return nd
}

// peerPorts is the value of --join.
func (c *cluster) peerPorts() string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, n.peer)
	}
	return strings.Join(addrs, ",")
}

// freePorts returns loopback addresses nobody listens on.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var addrs []string
	var held []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l)
		addrs = append(addrs, l.Addr().String())
	}
	for _, l := range held {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return addrs
}

// servers is the value of --server.
func (c *cluster) servers() string {
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, "nats://"+n.listen)
	}
	return strings.Join(urls, ",")
}

func (c *cluster) waitHealthy() {
	c.t.Helper()
	eventually(c.t, "the brokers form a healthy cluster", func() error {
		if r := logq(c.t, nil, "cluster", "status", "--check", "--json", "--timeout", "2s", "--server", c.servers()); r.code != 0 {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
}

// end kills what still runs and shows the logs of a failed test.
func (c *cluster) end() {
	for _, n := range c.nodes {
		n.kill()
		if c.t.Failed() {
			if b, err := os.ReadFile(n.log); err == nil {
				c.t.Logf("log of broker %d:\n%s", n.id, tail(string(b), 60))
			}
		}
	}
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (n *node) args() []string {
	args := []string{"server", "--id", fmt.Sprint(n.id), "--data", n.dir, "--listen", n.listen, "--http", n.http}
	if n.peers != "" {
		args = append(args, "--peers", n.peers)
	}
	if n.join != "" {
		args = append(args, "--join", n.join, "--peer-listen", n.peer)
	}
	return args
}

// start runs the broker's process.
func (n *node) start() {
	n.t.Helper()
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close() // the process has its own handle
	cmd := exec.Command(program, n.args()...)
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, environment()
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.process, n.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait() // its exit code is in cmd.ProcessState
		close(ended)
	}(n.ended)
}

// kill ends the process as a power switch would.
func (n *node) kill() {
	if n.process == nil {
		return
	}
	_ = n.process.Process.Kill() // it may have ended by itself
	<-n.ended
	n.process = nil
}

// wipe takes the broker's disk away.
func (n *node) wipe() {
	n.t.Helper()
	if err := os.RemoveAll(n.dir); err != nil {
		n.t.Fatal(err)
	}
}

// ends wants a broker that is started to end by itself with code 1, and to say why.
func (c *cluster) ends(n *node, says string) {
	c.t.Helper()
	before, err := os.ReadFile(n.log)
	if err != nil {
		c.t.Fatal(err)
	}
	n.start()
	if code := n.wait(); code != 1 {
		c.t.Errorf("broker %d ends with code %d", n.id, code)
	}
	after, err := os.ReadFile(n.log)
	if err != nil || !strings.Contains(string(after[len(before):]), says) {
		c.t.Errorf("broker %d does not say %q: %s, %v", n.id, says, tail(string(after[len(before):]), 5), err)
	}
}

// stop asks the process to end and returns its exit code.
func (n *node) stop() int {
	n.t.Helper()
	if err := n.process.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatal(err)
	}
	return n.wait()
}

// wait waits for the process to end and returns its exit code.
func (n *node) wait() int {
	n.t.Helper()
	select {
	case <-n.ended:
	case <-time.After(patience()):
		n.t.Fatalf("broker %d has not ended within %s", n.id, patience())
	}
	code := n.process.ProcessState.ExitCode()
	n.process = nil
	return code
}

// topic is topic describe --json.
type topic struct {
	Partitions []struct {
		ID            int    `json:"id"`
		Leader        int    `json:"leader"`
		Term          uint64 `json:"term"`
		Replicas      []int  `json:"replicas"`
		InSync        []int  `json:"in_sync"`
		LogStart      int64  `json:"log_start"`
		HighWatermark int64  `json:"high_watermark"`
	} `json:"partitions"`
}

func (c *cluster) describe(name string) (topic, error) {
	c.t.Helper()
	r := logq(c.t, nil, "topic", "describe", name, "--json", "--timeout", "3s", "--server", c.servers())
	if r.code != 0 {
		return topic{}, fmt.Errorf("%s", r)
	}
	var d topic
	if err := json.Unmarshal([]byte(r.out), &d); err != nil {
		return d, fmt.Errorf("%w in %s", err, r.out)
	}
	return d, nil
}

// waitFor waits until partition 0 has so many committed records and returns its leader.
func (c *cluster) waitFor(name string, records int64) *node {
	c.t.Helper()
	var leader *node
	eventually(c.t, fmt.Sprintf("topic %s has %d records and a leader", name, records), func() error {
		d, err := c.describe(name)
		if err != nil {
			return err
		}
		p := d.Partitions[0]
		if p.HighWatermark < records || p.Leader == 0 {
			return fmt.Errorf("leader %d, high watermark %d", p.Leader, p.HighWatermark)
		}
		leader = c.nodes[p.Leader-1]
		return nil
	})
	return leader
}

// waitInSync waits until every replica of the topic has everything.
func (c *cluster) waitInSync(name string) {
	c.t.Helper()
	eventually(c.t, "all replicas of "+name+" are in sync", func() error {
		d, err := c.describe(name)
		if err != nil {
			return err
		}
		for _, p := range d.Partitions {
			if len(p.InSync) < len(p.Replicas) {
				return fmt.Errorf("partition %d: in sync %v of %v", p.ID, p.InSync, p.Replicas)
			}
		}
		return nil
	})
}
