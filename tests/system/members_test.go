package system

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/producer"
)

// load keeps producing numbered records to one topic and notes what was promised.
type load struct {
	t    *testing.T
	p    *producer.Producer
	nc   *nats.Conn
	done sync.WaitGroup
	stop context.CancelFunc

	mu         sync.Mutex
	acked      map[int]bool  // guarded by mu
	duplicates int           // guarded by mu; records that may be stored twice
	unknown    int           // guarded by mu
	last       time.Time     // guarded by mu; the last acknowledgement
	longest    time.Duration // guarded by mu; without one, since the last call of pause
	overall    time.Duration // guarded by mu; before that
}

// startLoad sends a record every few hundred microseconds, to both partitions.
func startLoad(t *testing.T, c *cluster, topic string) *load {
	t.Helper()
	nc, err := nats.Connect(c.servers(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	p, err := producer.New(nc, producer.WithDeliveryTimeout(2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &load{t: t, p: p, nc: nc, stop: stop, acked: map[int]bool{}, last: time.Now()}
	l.done.Go(func() {
		tick := time.NewTicker(500 * time.Microsecond)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			r := producer.Record{Topic: topic, Partition: int32(n % 2), Value: []byte(strconv.Itoa(n))}
			if err := p.ProduceAsync(ctx, r, func(a producer.Ack, err error) { l.answered(n, a, err) }); err != nil && ctx.Err() == nil {
				t.Errorf("record %d is not taken: %v", n, err)
				return
			}
		}
	})
	t.Cleanup(func() { l.end() })
	return l
}

func (l *load) answered(n int, a producer.Ack, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var failed *producer.Error
	switch {
	case err == nil:
		l.acked[n] = true
		now := time.Now()
		l.longest, l.last = max(l.longest, now.Sub(l.last)), now
		if a.MaybeDuplicate {
			l.duplicates++
		}
	case errors.As(err, &failed) && failed.Outcome == producer.Unknown:
		l.unknown++
	}
}

// pause logs the longest time without an acknowledgement since the last call.
func (l *load) pause(what string) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t.Logf("%s: the longest time without an acknowledgement was %v", what, l.longest.Round(time.Millisecond))
	l.overall, l.longest = max(l.overall, l.longest), 0
}

// end stops producing and waits for what is on its way. It may be called twice.
func (l *load) end() {
	l.stop()
	l.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience())
	defer cancel()
	if err := l.p.Close(ctx); err != nil {
		l.t.Logf("closing the producer: %v", err)
	}
	l.nc.Close()
}

// check reads the topic and holds it against what was promised: everything
// acknowledged is there, in order, and twice only what was reported.
func (l *load) check(c *cluster, topic string) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	seen, twice := map[int]bool{}, 0
	for part := range 2 {
		highest := -1
		out := must(l.t, nil, "consume", topic, "--partition", strconv.Itoa(part), "--until-end", "--server", c.servers())
		for line := range strings.Lines(out) {
			n, err := strconv.Atoi(strings.TrimSpace(line))
			switch {
			case err != nil || n%2 != part:
				l.t.Fatalf("partition %d holds %q, which nobody sent there", part, line)
			case seen[n]:
				twice++
			case n < highest:
				l.t.Fatalf("partition %d: record %d comes after %d", part, n, highest)
			default:
				seen[n], highest = true, n
			}
		}
	}
	lost := 0
	for n := range l.acked {
		if !seen[n] {
			lost++
		}
	}
	if lost > 0 || twice > l.duplicates+l.unknown {
		l.t.Errorf("of %d acknowledged records %d are lost, %d are there twice and %d were reported as possible", len(l.acked), lost, twice, l.duplicates)
	}
	l.t.Logf("%d acknowledged, %d there twice (%d reported as possible), the longest time without an acknowledgement was %v",
		len(l.acked), twice, l.duplicates, max(l.longest, l.overall).Round(time.Millisecond))
}

// TestMembersUnderLoad takes a cluster of five through what an operator does to it,
// while records come in: 3 to 5 replicas and back, other brokers for a partition, a
// drained broker, a restart of every broker in turn, and a killed one; then a sixth
// joins, one of the five leaves, and the sixth loses its disk and returns.
func TestMembersUnderLoad(t *testing.T) {
	c := newCluster(t, 5)
	must(t, nil, "topic", "create", "t", "--partitions", "2", "--replicas", "3", "--server", c.servers())
	l := startLoad(t, c, "t")
	run := func(args ...string) {
		t.Helper()
		must(t, nil, append(args, "--wait", "--wait-timeout", patience().String(), "--server", c.servers())...)
	}
	replicas := func(want func([]int) bool) {
		t.Helper()
		d, err := c.describe("t")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range d.Partitions {
			if !want(p.Replicas) {
				t.Errorf("partition %d is on brokers %d", p.ID, p.Replicas)
			}
		}
	}

	run("topic", "alter", "t", "--replicas", "5")
	replicas(func(r []int) bool { return len(r) == 5 })
	run("topic", "alter", "t", "--replicas", "3")
	replicas(func(r []int) bool { return len(r) == 3 })
	run("topic", "reassign", "t", "--partition", "0", "--replicas", "5,4,3")
	run("topic", "reassign", "t", "--partition", "1", "--replicas", "1,2,3")
	run("broker", "drain", "3")
	replicas(func(r []int) bool { return len(r) == 3 && !slices.Contains(r, 3) })
	must(t, nil, "broker", "drain", "3", "--undo", "--server", c.servers())

	for _, n := range c.nodes {
		if code := n.stop(); code != 0 {
			t.Errorf("broker %d ends with code %d", n.id, code)
		}
		n.start()
		c.waitHealthy()
	}
	c.nodes[0].kill()
	c.nodes[0].start()
	c.waitHealthy()
	l.pause("what was there before")

	// A sixth broker joins and gets its share.
	six := c.joins()
	c.waitHealthy()
	run("broker", "add", "6")
	run("topic", "reassign", "t", "--partition", "0", "--replicas", "6,2,4")
	run("topic", "reassign", "t", "--partition", "1", "--replicas", "6,2,3")
	l.pause("a broker that joins")

	// Broker 2 leaves: it ends by itself, and stays out.
	run("broker", "drain", "2")
	run("broker", "remove", "2")
	two := c.nodes[1]
	if code := two.wait(); code != 1 {
		t.Errorf("the removed broker ends with code %d", code)
	}
	c.ends(two, "broker 2 was removed")
	c.waitHealthy()
	l.pause("a broker that leaves")

	// The disk of the sixth is wiped: it is refused until it is given up, and then comes back as a new one.
	six.kill()
	six.wipe()
	c.ends(six, "logq broker remove 6 --data-lost")
	eventually(t, "the wiped broker is given up", func() error {
		if r := logq(t, nil, "broker", "remove", "6", "--data-lost", "--server", c.servers()); r.code != 0 {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	six.wipe()
	six.start()
	c.waitHealthy()
	run("broker", "add", "6")
	run("topic", "reassign", "t", "--partition", "0", "--replicas", "6,1,4")
	c.waitInSync("t")
	l.pause("a broker that was wiped and returns")

	for _, id := range []int{3, 6} { // one that began the cluster, and one that knows it from its directory
		n := c.nodes[id-1]
		if code := n.stop(); code != 0 {
			t.Errorf("broker %d ends with code %d", id, code)
		}
		n.join = ""
		n.start()
		c.waitHealthy()
	}
	l.pause("restarts after that")
	l.end()
	l.check(c, "t")
	if fmt.Sprint(l.unknown) != "0" {
		t.Errorf("%d records have an unknown outcome, within two minutes", l.unknown)
	}
}
