package broker_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
)

// stored notes what was acknowledged under load.
type stored struct {
	mu      sync.Mutex
	acked   []string      // guarded by mu
	longest time.Duration // guarded by mu; without an acknowledgement
	last    time.Time     // guarded by mu
}

// loadOn keeps a few clients producing distinct values until stop is closed.
func loadOn(t *testing.T, c *cluster, topic string, stop <-chan struct{}) (*stored, *sync.WaitGroup) {
	t.Helper()
	nc, err := nats.Connect(strings.Join(c.urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s := &stored{last: time.Now()}
	var load sync.WaitGroup
	for k := range 4 {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				v := fmt.Sprintf("%d-%d", k, n)
				if call(nc, protocol.ProduceSubject(topic, 0), batch(t, v), nil) == nil {
					s.mu.Lock()
					s.acked = append(s.acked, v)
					now := time.Now()
					s.longest, s.last = max(s.longest, now.Sub(s.last)), now
					s.mu.Unlock()
				}
			}
		})
	}
	return s, &load
}

// settled waits until a topic's only partition is on the given number of brokers, all in sync, and moves no more.
func settled(t *testing.T, nc *nats.Conn, topic string, want func([]protocol.BrokerID) bool) protocol.PartitionInfo {
	t.Helper()
	var p protocol.PartitionInfo
	eventually(t, "the partition is where it was wanted", func() error {
		var info protocol.TopicInfo
		if err := call(nc, protocol.TopicDescribeSubject, protocol.DescribeTopicRequest{Name: topic}, &info); err != nil {
			return err
		}
		if p = info.Partitions[0]; len(p.Target) > 0 || !want(p.Replicas) || len(p.InSync) != len(p.Replicas) {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
	return p
}

// TestMovesUnderLoad: while records come in, a partition's replica moves to a fourth broker, the number of replicas is
// raised and lowered, and a broker is drained. Nothing acknowledged is lost, and what moved away is gone from the disk.
func TestMovesUnderLoad(t *testing.T) {
	c := newCluster(t, 4)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 3})
	stop := make(chan struct{})
	acked, load := loadOn(t, c, "t", stop)

	p := settled(t, nc, "t", func(r []protocol.BrokerID) bool { return len(r) == 3 })
	var other protocol.BrokerID
	for b := protocol.BrokerID(1); b <= 4; b++ {
		if !slices.Contains(p.Replicas, b) {
			other = b
		}
	}
	left := p.Replicas[0] // the preferred leader, which is likely to lead
	target := append(slices.Clone(p.Replicas[1:]), other)
	move := protocol.ReassignRequest{Name: "t", Replicas: target}
	for range 2 { // it may be repeated
		if err := call(nc, protocol.TopicReassignSubject, move, nil); err != nil {
			t.Fatal(err)
		}
	}
	settled(t, nc, "t", func(r []protocol.BrokerID) bool { return slices.Equal(r, target) })
	eventually(t, "the data that moved away is removed", func() error {
		dirs, err := filepath.Glob(filepath.Join(c.dataDir(int(left)-1), "partitions", "t-*"))
		if err != nil || len(dirs) > 0 {
			return fmt.Errorf("%v, %v", dirs, err)
		}
		return nil
	})

	for _, n := range []int{4, 1, 3} {
		var moves protocol.MoveReply
		if err := call(nc, protocol.TopicAlterSubject, protocol.AlterTopicRequest{Name: "t", Replicas: n}, &moves); err != nil || len(moves.Moves) != 1 {
			t.Fatalf("to %d replicas: %+v, %v", n, moves, err)
		}
		p = settled(t, nc, "t", func(r []protocol.BrokerID) bool { return len(r) == n })
	}

	drained := p.Replicas[1]
	if err := call(nc, protocol.BrokerDrainSubject, protocol.DrainBrokerRequest{Broker: drained}, nil); err != nil {
		t.Fatal(err)
	}
	settled(t, nc, "t", func(r []protocol.BrokerID) bool { return len(r) == 3 && !slices.Contains(r, drained) })

	close(stop)
	load.Wait()
	wantAcknowledged(t, nc, acked)
}

// TestMovesRefused: what can't be done is refused at once, by name.
func TestMovesRefused(t *testing.T) {
	c := newCluster(t, 3)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 3})
	for name, tc := range map[string]struct {
		subject string
		body    any
		text    string
	}{
		"unknown topic":    {protocol.TopicReassignSubject, protocol.ReassignRequest{Name: "x", Replicas: []protocol.BrokerID{1}}, "does not exist"},
		"unknown broker":   {protocol.TopicReassignSubject, protocol.ReassignRequest{Name: "t", Replicas: []protocol.BrokerID{1, 9}}, "broker 9"},
		"twice":            {protocol.TopicReassignSubject, protocol.ReassignRequest{Name: "t", Replicas: []protocol.BrokerID{1, 1}}, "twice"},
		"nobody":           {protocol.TopicReassignSubject, protocol.ReassignRequest{Name: "t"}, "0 brokers"},
		"no partition":     {protocol.TopicReassignSubject, protocol.ReassignRequest{Name: "t", Partition: 7, Replicas: []protocol.BrokerID{1}}, "not 7"},
		"too many":         {protocol.TopicAlterSubject, protocol.AlterTopicRequest{Name: "t", Replicas: 4}, "4 replicas"},
		"no replicas":      {protocol.TopicAlterSubject, protocol.AlterTopicRequest{Name: "t", Replicas: 0}, "0 replicas"},
		"drain needs room": {protocol.BrokerDrainSubject, protocol.DrainBrokerRequest{Broker: 1}, "no other broker"},
		"drain nobody":     {protocol.BrokerDrainSubject, protocol.DrainBrokerRequest{Broker: 9}, "not registered"},
	} {
		if err := call(nc, tc.subject, tc.body, nil); err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// wantAcknowledged reads topic t and checks that all that was acknowledged is there.
func wantAcknowledged(t *testing.T, nc *nats.Conn, acked *stored) {
	t.Helper()
	var got []string
	eventually(t, "read", func() (err error) {
		got, err = fetchAll(nc, "t")
		return err
	})
	count := map[string]int{}
	for _, v := range got {
		count[v]++
	}
	for _, v := range acked.acked {
		if count[v] == 0 {
			t.Fatalf("%s was acknowledged and is lost", v)
		}
	}
	t.Logf("%d acknowledged, %d stored, the longest time without one was %v", len(acked.acked), len(got), acked.longest.Round(time.Millisecond))
}
