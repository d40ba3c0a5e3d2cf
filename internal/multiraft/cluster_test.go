package multiraft_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
)

// cluster is a few hosts in one process, on memory disks, joined by a network
// that delivers at once or not at all. Tests run it in a synctest bubble, so its
// time is simulated.
type cluster struct {
	t       *testing.T
	n       int
	mu      sync.Mutex
	hosts   map[protocol.BrokerID]*multiraft.Host // guarded by mu
	cut     map[protocol.BrokerID]bool            // guarded by mu
	pairs   map[[2]protocol.BrokerID]bool         // cut one way; guarded by mu
	mute    protocol.BrokerID                     // its pulses do not leave; guarded by mu
	backlog int                                   // of every connection, as it is said to be; guarded by mu
	sent    map[protocol.BrokerID]int             // messages, batches and pulses; guarded by mu
	disks   map[protocol.BrokerID]*vfs.Mem
	jrnls   map[protocol.BrokerID]*journal.Mem
	faults  map[protocol.BrokerID]*vfs.Faults

	tweak func(*multiraft.Options) // of hosts that are started
}

func newCluster(t *testing.T, n int) *cluster { return newClusterWith(t, n, nil) }

func newClusterWith(t *testing.T, n int, tweak func(*multiraft.Options)) *cluster {
	c := &cluster{
		tweak: tweak,
		t:     t, n: n,
		hosts: make(map[protocol.BrokerID]*multiraft.Host), cut: make(map[protocol.BrokerID]bool),
		sent: make(map[protocol.BrokerID]int), pairs: make(map[[2]protocol.BrokerID]bool),
		disks: make(map[protocol.BrokerID]*vfs.Mem), jrnls: make(map[protocol.BrokerID]*journal.Mem),
		faults: make(map[protocol.BrokerID]*vfs.Faults),
	}
	for i := 1; i <= n; i++ {
		id := protocol.BrokerID(i)
		c.disks[id], c.jrnls[id], c.faults[id] = vfs.NewMem(), journal.NewMem(), &vfs.Faults{}
		c.start(id)
	}
	return c
}

func (c *cluster) start(id protocol.BrokerID) *multiraft.Host {
	c.t.Helper()
	o := multiraft.Options{
		Broker: id, FS: vfs.WithFaults(c.disks[id], c.faults[id]), Dir: "data", Journal: c.jrnls[id],
		Transport: link{c: c, from: id}, Shards: 2, Seed: uint64(id) * 977,
		MaxUncommittedBytes: 4 << 20,
	}
	if c.tweak != nil {
		c.tweak(&o)
	}
	h, err := multiraft.New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	h.Start()
	c.mu.Lock()
	c.hosts[id] = h
	c.mu.Unlock()
	c.relink(id)
	return h
}

// stop ends a host, abruptly or in order, and forgets it.
func (c *cluster) stop(id protocol.BrokerID, abrupt bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	if abrupt {
		cancel()
	}
	c.mu.Lock()
	h := c.hosts[id]
	if abrupt {
		delete(c.hosts, id)
	}
	c.mu.Unlock()
	if h == nil {
		return
	}
	if err := h.Close(ctx); err != nil {
		c.t.Errorf("close host %d: %v", id, err)
	}
	c.relink(id)
	c.mu.Lock()
	delete(c.hosts, id)
	c.mu.Unlock()
}

func (c *cluster) close() {
	for i := 1; i <= c.n; i++ {
		c.stop(protocol.BrokerID(i), true)
	}
}

func (c *cluster) setCut(id protocol.BrokerID, cut bool) {
	c.mu.Lock()
	c.cut[id] = cut
	c.mu.Unlock()
}

// part cuts two brokers off from each other, both ways.
func (c *cluster) part(a, b protocol.BrokerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pairs[[2]protocol.BrokerID{a, b}], c.pairs[[2]protocol.BrokerID{b, a}] = true, true
}

// link is one host's view of the network.
type link struct {
	c    *cluster
	from protocol.BrokerID
}

func (l link) Send(to protocol.BrokerID, m *raft.Message, frames [][]byte) bool {
	h, cut := l.c.path(l.from, to)
	if h != nil && !cut {
		h.Deliver(m, bytes.Join(frames, nil))
	}
	return h != nil
}

func (l link) SendAll(to protocol.BrokerID, msgs []raft.Message) bool {
	h, cut := l.c.path(l.from, to)
	if h != nil && !cut {
		h.DeliverAll(msgs)
	}
	return h != nil
}

func (l link) SendPulse(to protocol.BrokerID, body []byte) bool {
	h, cut := l.c.path(l.from, to)
	l.c.mu.Lock()
	mute := l.c.mute == l.from
	l.c.mu.Unlock()
	if h != nil && !cut && !mute {
		h.Pulse(l.from, body)
	}
	return h != nil && !mute
}

func (l link) Backlog(to protocol.BrokerID) int {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	return l.c.backlog
}

func (l link) Peers() (ids []protocol.BrokerID) {
	for i := 1; i <= l.c.n; i++ {
		if id := protocol.BrokerID(i); id != l.from {
			ids = append(ids, id)
		}
	}
	return ids
}

// path returns the host that a message goes to, nil if its broker is down, and
// whether it is lost on the way.
func (c *cluster) path(from, to protocol.BrokerID) (h *multiraft.Host, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent[from]++
	return c.hosts[to], c.cut[to] || c.cut[from] || c.pairs[[2]protocol.BrokerID{from, to}]
}

// relink tells all other hosts that the connections of one have begun or ended.
func (c *cluster) relink(id protocol.BrokerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, h := range c.hosts {
		if other != id {
			h.Link(id)
		}
	}
}

// open opens a group on the given hosts.
func (c *cluster) open(name string, on ...protocol.BrokerID) map[protocol.BrokerID]*multiraft.Group {
	c.t.Helper()
	return c.openSized(name, 0, on...)
}

// openSized is open with segments of some size.
func (c *cluster) openSized(name string, segmentBytes int64, on ...protocol.BrokerID) map[protocol.BrokerID]*multiraft.Group {
	c.t.Helper()
	spec := multiraft.Spec{Name: name, SegmentBytes: segmentBytes}
	copy(spec.Group[:], name)
	copy(spec.Topic[:], name)
	for i := 1; i <= c.n; i++ {
		spec.Voters = append(spec.Voters, raft.ReplicaID(i))
	}
	groups := make(map[protocol.BrokerID]*multiraft.Group)
	for _, id := range on {
		spec.Self = raft.ReplicaID(id)
		g, err := c.hosts[id].Open(c.t.Context(), spec)
		if err != nil {
			c.t.Fatal(err)
		}
		groups[id] = g
	}
	return groups
}

// leader waits for a serving leader among groups.
func (c *cluster) leader(groups map[protocol.BrokerID]*multiraft.Group) *multiraft.Group {
	c.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		for id, g := range groups {
			c.mu.Lock()
			up := c.hosts[id] != nil && !c.cut[id]
			c.mu.Unlock()
			if up && g.Status().Serving {
				return g
			}
		}
		c.wait(10 * time.Millisecond)
	}
	c.t.Fatal("no leader within a minute")
	return nil
}

// wait lets simulated time pass.
func (c *cluster) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

func batchOf(t *testing.T, values ...string) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	for _, v := range values {
		if err := b.Append(record.Record{Timestamp: 1, Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := b.Seal(nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// appendTo appends and waits for the outcome.
func appendTo(g *multiraft.Group, b record.Batch, timeout time.Duration) multiraft.AppendResult {
	got := make(chan multiraft.AppendResult, 1)
	g.Append(b, 0, time.Now().Add(timeout), func(r multiraft.AppendResult) { got <- r })
	return <-got
}

// readAll returns the values of all committed records.
func readAll(t *testing.T, g *multiraft.Group) []string {
	t.Helper()
	var values []string
	for from := record.Offset(0); ; {
		r, err := g.Read(nil, from, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if r.Next == from {
			return values
		}
		d := record.NewDecoder(record.DecoderOptions{})
		for rest := r.Batches; len(rest) > 0; {
			b, tail, err := record.Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			rest = tail
			if err := d.Reset(b); err != nil {
				t.Fatal(err)
			}
			for d.Next() {
				if want := record.Offset(len(values)); d.Record().Offset != want {
					t.Fatalf("offset %d where %d was due", d.Record().Offset, want)
				}
				values = append(values, string(d.Record().Value))
			}
			if d.Err() != nil {
				t.Fatal(d.Err())
			}
		}
		from = r.Next
	}
}

// converged waits until all given groups show want records.
func (c *cluster) converged(groups map[protocol.BrokerID]*multiraft.Group, want int) {
	c.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for id, g := range groups {
		for int(g.Status().HighWatermark) < want {
			if time.Now().After(deadline) {
				c.t.Fatalf("broker %d stays at %+v, want %d records", id, g.Status(), want)
			}
			c.wait(10 * time.Millisecond)
		}
	}
}

func values(prefix string, n int) []string {
	var vs []string
	for i := range n {
		vs = append(vs, fmt.Sprintf("%s-%d", prefix, i))
	}
	return vs
}
