package broker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/broker"
	"github.com/logq/logq/internal/protocol"
)

// status waits until the cluster's status is as wanted.
func status(t *testing.T, nc *nats.Conn, what string, want func(*protocol.ClusterStatusReply) error) {
	t.Helper()
	eventually(t, what, func() error {
		var s protocol.ClusterStatusReply
		if err := call(nc, protocol.ClusterStatusSubject, struct{}{}, &s); err != nil {
			return err
		}
		if err := want(&s); err != nil {
			return fmt.Errorf("%w: %+v", err, s)
		}
		return nil
	})
}

// holds wants a broker to be alive with so many replicas at least, and nothing to move or to lack replicas.
func holds(id protocol.BrokerID, least int) func(*protocol.ClusterStatusReply) error {
	return func(s *protocol.ClusterStatusReply) error {
		i := slices.IndexFunc(s.Brokers, func(b protocol.BrokerStatus) bool { return b.ID == id })
		if i < 0 || !s.Brokers[i].Alive || s.Brokers[i].Replicas < least || len(s.Moving)+len(s.UnderReplicated)+len(s.Leaderless) > 0 {
			return fmt.Errorf("broker %d does not hold %d replicas in peace", id, least)
		}
		return nil
	}
}

// fencedSoon wants a broker to stop with the reason and remedy named.
func fencedSoon(t *testing.T, b *broker.Broker, says ...string) {
	t.Helper()
	select {
	case <-b.Done():
	case <-time.After(patience):
		t.Fatal("the broker goes on")
	}
	err := b.Err()
	if !errors.Is(err, broker.ErrFenced) {
		t.Fatalf("stopped with %v", err)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%v does not say %q", err, text)
		}
	}
}

// TestBrokersComeAndGoUnderLoad: a fourth broker joins three and gets its share, one of the three is drained and removed, the
// disk of another is wiped: it is refused, removed, and joins anew. Nothing acknowledged is lost.
func TestBrokersComeAndGoUnderLoad(t *testing.T) {
	c := newCluster(t, 3)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 3})
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "u", Partitions: 7, Replicas: 3})
	stop := make(chan struct{})
	acked, load := loadOn(t, c, "t", stop)

	four := c.join()
	status(t, nc, "broker 4 is there", holds(4, 0))
	add := protocol.AddBrokerRequest{Broker: 4, DryRun: true}
	var moves protocol.MoveReply
	if err := call(nc, protocol.BrokerAddSubject, add, &moves); err != nil || len(moves.Moves) != 6 {
		t.Fatalf("dry run: %+v, %v", moves, err)
	}
	status(t, nc, "a dry run moves nothing", func(s *protocol.ClusterStatusReply) error {
		if len(s.Moving) > 0 {
			t.Fatal("a dry run moves replicas")
		}
		return nil
	})
	add.DryRun = false
	if err := call(nc, protocol.BrokerAddSubject, add, &moves); err != nil || len(moves.Moves) != 6 {
		t.Fatalf("%+v, %v", moves, err)
	}
	status(t, nc, "broker 4 has its share", holds(4, 6))

	// It knows the others without being told again, and being told again is harmless.
	for _, again := range []bool{false, true} {
		c.stop(four, true)
		c.joins[four] = again
		peers := c.peers
		if !again {
			c.peers = nil
		}
		c.start(four, listen(t, "127.0.0.1:0"), "127.0.0.1:0")
		c.peers = peers
		status(t, nc, "broker 4 is back", holds(4, 6))
	}

	if err := call(nc, protocol.BrokerRemoveSubject, protocol.RemoveBrokerRequest{Broker: 3}, nil); err == nil || !strings.Contains(err.Error(), "drain 3") {
		t.Fatalf("a broker with replicas is removed: %v", err)
	}
	if err := call(nc, protocol.BrokerDrainSubject, protocol.DrainBrokerRequest{Broker: 3}, nil); err != nil {
		t.Fatal(err)
	}
	status(t, nc, "broker 3 is empty", func(s *protocol.ClusterStatusReply) error {
		if s.Brokers[2].Replicas > 0 || len(s.Moving) > 0 {
			return errors.New("it is not")
		}
		return nil
	})
	for range 2 { // it may be repeated
		if err := call(nc, protocol.BrokerRemoveSubject, protocol.RemoveBrokerRequest{Broker: 3}, nil); err != nil {
			t.Fatal(err)
		}
	}
	fencedSoon(t, c.brokers[2], "broker 3 was removed", "--join")
	c.stop(2, true)
	status(t, nc, "three are left", func(s *protocol.ClusterStatusReply) error {
		if len(s.Brokers) != 3 {
			return errors.New("they are not")
		}
		return nil
	})

	// The disk of broker 2 is lost, and somebody starts it on an empty one.
	c.stop(1, true)
	if err := os.RemoveAll(c.dataDir(1)); err != nil {
		t.Fatal(err)
	}
	c.restart(1)
	fencedSoon(t, c.brokers[1], "another data directory", "logq broker remove 2 --data-lost")
	c.stop(1, true)
	if err := os.RemoveAll(c.dataDir(1)); err != nil {
		t.Fatal(err)
	}
	c.joins[1] = true
	if err := c.tryStart(1, listen(t, c.peers[1].Addr), "127.0.0.1:0"); !errors.Is(err, broker.ErrJoin) || !strings.Contains(err.Error(), "logq broker remove 2 --data-lost") {
		t.Fatalf("it joins while it counts: %v", err)
	}
	eventually(t, "broker 2 is given up", func() error {
		return call(nc, protocol.BrokerRemoveSubject, protocol.RemoveBrokerRequest{Broker: 2, DataLost: true}, nil)
	})
	c.start(1, listen(t, c.peers[1].Addr), "127.0.0.1:0")
	status(t, nc, "broker 2 has replicas again", holds(2, 6))

	close(stop)
	load.Wait()
	wantAcknowledged(t, nc, acked)
}

// TestTheFirstBrokerLeaves: a broker that began alone is joined by another one, and leaves it the cluster.
func TestTheFirstBrokerLeaves(t *testing.T) {
	c := newCluster(t, 1)
	first := c.connect(0)
	createTopic(t, first, protocol.CreateTopicRequest{Name: "t", Partitions: 2, Replicas: 1})
	for p := range protocol.Partition(2) {
		if err := call(first, protocol.ProduceSubject("t", p), batch(t, "a", "b"), nil); err != nil {
			t.Fatal(err)
		}
	}
	c.join()
	second := c.connect(1)
	status(t, second, "broker 2 is there", holds(2, 0))
	// Who decides where replicas go must have heard it too.
	status(t, first, "broker 2 is heard", func(s *protocol.ClusterStatusReply) error {
		for _, b := range s.Brokers {
			if b.ID == 2 && b.Alive {
				return nil
			}
		}
		return errors.New("it is not")
	})
	if err := call(second, protocol.BrokerDrainSubject, protocol.DrainBrokerRequest{Broker: 1}, nil); err != nil {
		t.Fatal(err)
	}
	status(t, second, "broker 2 has everything", holds(2, 2))
	if err := call(second, protocol.BrokerRemoveSubject, protocol.RemoveBrokerRequest{Broker: 1}, nil); err != nil {
		t.Fatal(err)
	}
	fencedSoon(t, c.brokers[0], "broker 1 was removed")
	c.stop(0, true)
	status(t, second, "broker 2 is alone", func(s *protocol.ClusterStatusReply) error {
		if len(s.Brokers) != 1 || s.Controller != 2 {
			return errors.New("it is not")
		}
		return nil
	})
	if got, err := fetchAll(second, "t"); err != nil || strings.Join(got, "") != "ab" {
		t.Errorf("it serves %q, %v", got, err)
	}
	createTopic(t, second, protocol.CreateTopicRequest{Name: "u", Partitions: 1})
	c.stop(1, false)
	c.joins[1] = false // it is alone: there is nobody to ask, and it needs nobody
	c.peers = nil
	c.start(1, listen(t, "127.0.0.1:0"), "127.0.0.1:0")
	second = c.connect(1)
	status(t, second, "broker 2 is alone, after a restart", holds(2, 3))
}

// TestOldImage (S14): a broker whose directory was put back as it was some time ago has forgotten promises. It is turned away
// by those that have heard of it since, and is let in as a new one.
func TestOldImage(t *testing.T) {
	c := newCluster(t, 3)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 3})
	c.stop(1, true)
	image := filepath.Join(t.TempDir(), "image")
	if err := os.CopyFS(image, os.DirFS(c.dataDir(1))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.restart(1)
		status(t, nc, "broker 2 is back", holds(2, 1))
		c.stop(1, true)
	}
	restore := func() {
		if err := os.RemoveAll(c.dataDir(1)); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(c.dataDir(1), os.DirFS(image)); err != nil {
			t.Fatal(err)
		}
	}
	restore()
	c.restart(1)
	fencedSoon(t, c.brokers[1], "an old copy", "logq broker remove 2 --data-lost")
	c.stop(1, true)

	eventually(t, "broker 2 is given up", func() error {
		return call(nc, protocol.BrokerRemoveSubject, protocol.RemoveBrokerRequest{Broker: 2, DataLost: true}, nil)
	})
	restore()
	c.restart(1)
	fencedSoon(t, c.brokers[1], "was removed")
	c.stop(1, true)
	if err := os.RemoveAll(c.dataDir(1)); err != nil {
		t.Fatal(err)
	}
	c.joins[1] = true
	c.start(1, listen(t, c.peers[1].Addr), "127.0.0.1:0")
	status(t, nc, "broker 2 has its replica again", holds(2, 1))
}

// TestWipedWhileAllAreDown (S13): the others know the directories of each other before they know the metadata, so that a
// wiped broker gets no vote in when all start at once.
func TestWipedWhileAllAreDown(t *testing.T) {
	c := newCluster(t, 3)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 3})
	for i := range c.brokers {
		file := filepath.Join(c.dataDir(i), "broker.json")
		eventually(t, "the others are noted", func() error {
			text, err := os.ReadFile(file)
			if err != nil || strings.Count(string(text), `"directory"`) < 4 {
				return fmt.Errorf("%s: %s, %v", file, text, err)
			}
			return nil
		})
	}
	for i := range c.brokers {
		c.stop(i, true)
	}
	if err := os.RemoveAll(c.dataDir(1)); err != nil {
		t.Fatal(err)
	}
	// Broker 3 alone has no majority, hence no metadata; it turns broker 2 away all the same.
	c.restart(2)
	c.restart(1)
	fencedSoon(t, c.brokers[1], "broker 3 says", "another data directory")
	c.stop(1, true)
	c.restart(0)
	status(t, c.connect(2), "the two go on", func(s *protocol.ClusterStatusReply) error {
		if s.Controller == 0 || len(s.Leaderless) > 0 {
			return errors.New("not yet")
		}
		return nil
	})
}

// TestJoinInVain: directories that are none to join with are refused by name, before anything is changed or asked.
func TestJoinInVain(t *testing.T) {
	c := newCluster(t, 1)
	c.stop(0, false)
	gone := listen(t, "127.0.0.1:0")
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := broker.Config{ID: 1, DataDir: c.dataDir(0), Listen: "127.0.0.1:0", PeerListen: "127.0.0.1:0", Join: []string{gone.Addr().String()}}
	refusedAs(t, cfg, broker.ErrJoin, "began with")

	// Nobody answers until the context ends; then the directory waits to be taken in.
	cfg.DataDir = t.TempDir()
	b, err := broker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := b.Start(ctx); !errors.Is(err, broker.ErrJoin) || !strings.Contains(err.Error(), gone.Addr().String()) {
		t.Errorf("nobody to join: %v", err)
	}
	cfg.Join = nil
	refusedAs(t, cfg, broker.ErrJoin, "was made to join")
}
