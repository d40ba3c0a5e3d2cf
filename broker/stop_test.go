package broker_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/broker"
	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

// frames returns what the segments of a replica hold, without the part of a frame
// that is a replica's own. The broker may run: then it is what was written so far.
func frames(t *testing.T, dir string) (all []string) {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".seg") {
			files = append(files, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	for _, f := range files {
		if _, err := segments.Inspect(vfs.OS(), f, func(i segments.FrameInfo) error {
			if i.Fault == "" {
				all = append(all, fmt.Sprintf("%+v", i.Frame))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestReplicasHoldTheSame: after a crash and a return under load, every replica has
// the same frames, byte for byte.
func TestReplicasHoldTheSame(t *testing.T) {
	c := newCluster(t, 3)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 3})
	stop := make(chan struct{})
	var load sync.WaitGroup
	var acked atomic.Int64
	all, err := nats.Connect(strings.Join(c.urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	for range 4 {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if call(all, protocol.ProduceSubject("t", 0), batch(t, strings.Repeat("v", n%300)), nil) == nil {
					acked.Add(1)
				}
			}
		})
	}
	reach := func(n int64) {
		eventually(t, fmt.Sprintf("%d acknowledged", n), func() error {
			if got := acked.Load(); got < n {
				return fmt.Errorf("%d are", got)
			}
			return nil
		})
	}
	reach(50)
	lead := 0
	eventually(t, "leader", func() (err error) {
		lead, err = leaderOf(nc, "t")
		return err
	})
	c.stop(lead-1, true)
	reach(acked.Load() + 50)
	c.restart(lead - 1)
	reach(acked.Load() + 50)
	close(stop)
	load.Wait()
	eventually(t, "all replicas catch up", func() error { return c.sameFrames(2) })
}

// sameFrames compares the replicas of all partitions, of which there are n on each
// broker: that of the metadata is one.
func (c *cluster) sameFrames(n int) error {
	dirs, err := filepath.Glob(filepath.Join(c.dataDir(0), "partitions", "*"))
	if err != nil || len(dirs) != n {
		return fmt.Errorf("replicas: %v, %w", dirs, err)
	}
	for _, dir := range dirs {
		name := filepath.Base(dir)
		first := frames(c.t, dir)
		for i := 1; i < len(c.brokers); i++ {
			other := frames(c.t, filepath.Join(c.dataDir(i), "partitions", name))
			if !slices.Equal(first, other) {
				return fmt.Errorf("%s: broker 1 has %d frames, broker %d has %d, or others", name, len(first), i+1, len(other))
			}
		}
		if len(first) < 2 {
			return fmt.Errorf("%s: %d frames", name, len(first))
		}
	}
	return nil
}

// TestCloseUnderLoad: a broker that is closed in order hands over what it leads; no
// append through another broker ends with an unknown outcome, or is lost.
func TestCloseUnderLoad(t *testing.T) {
	c := newCluster(t, 3)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 3})
	lead := 0
	eventually(t, "leader", func() (err error) {
		lead, err = leaderOf(nc, "t")
		return err
	})
	stop := make(chan struct{})
	var load sync.WaitGroup
	var acked, refused atomic.Int64
	for _, i := range []int{lead % 3, (lead + 1) % 3} {
		nc := c.connect(i)
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch err := call(nc, protocol.ProduceSubject("t", 0), batch(t, "x"), nil); {
				case err == nil:
					acked.Add(1)
				case protocol.OutcomeOf(err) == protocol.NotWritten:
					refused.Add(1)
				default:
					t.Errorf("an append ended with %v", err)
				}
			}
		})
	}
	eventually(t, "load", func() error {
		if acked.Load() < 50 {
			return errors.New("too little")
		}
		return nil
	})
	start := time.Now()
	c.stop(lead-1, false)
	took, before := time.Since(start), acked.Load()
	eventually(t, "more load", func() error {
		if acked.Load() < before+50 {
			return errors.New("too little")
		}
		return nil
	})
	close(stop)
	load.Wait()
	t.Logf("closed in %v; %d acknowledged, %d refused", took, acked.Load(), refused.Load())
	got, err := fetchAll(c.connect(lead%3), "t")
	if err != nil || int64(len(got)) != acked.Load() {
		t.Errorf("%d stored, %d acknowledged, %v", len(got), acked.Load(), err)
	}
}

// TestAbruptCloseInAMinority: requests that can't be committed don't hold up a stop
// that is to be at once.
func TestAbruptCloseInAMinority(t *testing.T) {
	c := newCluster(t, 3)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 3})
	lead := 0
	eventually(t, "leader", func() (err error) {
		lead, err = leaderOf(nc, "t")
		return err
	})
	c.stop(lead%3, true)
	c.stop((lead+1)%3, true)
	nc = c.connect(lead - 1)
	two := append(batch(t, "a"), batch(t, "b")...)
	for _, body := range [][]byte{two, batch(t, "c")} {
		m := &nats.Msg{Subject: protocol.ProduceSubject("t", 0), Reply: nats.NewInbox(), Data: body, Header: nats.Header{protocol.HeaderDeadlineMs: {"60000"}}}
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "requests under way", func() error {
		if n := metric(t, c, lead-1, `logq_inflight_requests{kind="all"}`); n != "2" {
			return fmt.Errorf("%s are", n)
		}
		return nil
	})
	start := time.Now()
	c.stop(lead-1, true)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

// faulty makes a cluster of one whose disk can be broken.
func faulty(t *testing.T) (*cluster, *vfs.Faults) {
	t.Helper()
	c := newCluster(t, 1)
	c.stop(0, false)
	faults := &vfs.Faults{}
	c.fs[0] = vfs.WithFaults(vfs.OS(), faults)
	c.restart(0)
	return c, faults
}

// brokenJournal fails from a moment on.
type brokenJournal struct {
	journal.Journal
	broken *atomic.Bool
}

func (j brokenJournal) Save(e []journal.Entry) error {
	if j.broken.Load() {
		return &journal.PoisonedError{Err: syscall.EIO}
	}
	return j.Journal.Save(e)
}

// TestJournalFailureStopsTheBroker: without hard state no replica may vote or lead,
// so the broker says so and goes.
func TestJournalFailureStopsTheBroker(t *testing.T) {
	var broken atomic.Bool
	b, err := broker.New(broker.Config{ID: 1, DataDir: t.TempDir(), Listen: "127.0.0.1:0", HTTP: "127.0.0.1:0", Tick: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	broker.WrapJournal(b, func(j journal.Journal) journal.Journal { return brokenJournal{j, &broken} })
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready", b.Ready)
	nc, err := nats.Connect(b.ClientURL(), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	broken.Store(true)
	// The new topic's replica votes for itself, which can't be saved.
	_ = call(nc, protocol.TopicCreateSubject, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 1}, nil)
	select {
	case <-b.Done():
	case <-time.After(patience):
		t.Fatal("the broker goes on")
	}
	if err := b.Err(); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "can't go on") || b.Ready() == nil {
		t.Errorf("got %v", err)
	}
	eventually(t, "clients are cut off", func() error {
		if !nc.IsClosed() {
			return errors.New("still connected")
		}
		return nil
	})
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestDiskFailureOfOneReplica: a failed sync takes one replica out of service, with
// a typed error, and leaves the rest alone.
func TestDiskFailureOfOneReplica(t *testing.T) {
	c, faults := faulty(t)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "bad", Partitions: 1, Replicas: 1})
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "good", Partitions: 1, Replicas: 1})
	for _, name := range []string{"bad", "good"} {
		eventually(t, "produce", func() error { return call(nc, protocol.ProduceSubject(name, 0), batch(t, "x"), nil) })
	}
	dirs, err := filepath.Glob(filepath.Join(c.dataDir(0), "partitions", "bad*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("replicas of bad: %v, %v", dirs, err)
	}
	rule, err := vfs.ParseRule("sync " + dirs[0] + "/* EIO")
	if err != nil {
		t.Fatal(err)
	}
	faults.Add(rule)
	err = call(nc, protocol.ProduceSubject("bad", 0), batch(t, "y"), nil)
	if protocol.CodeOf(err) != protocol.StorageError || protocol.OutcomeOf(err) != protocol.Unknown {
		t.Errorf("the append whose sync fails: %v", err)
	}
	err = call(nc, protocol.ProduceSubject("bad", 0), batch(t, "z"), nil)
	if protocol.CodeOf(err) != protocol.StorageError {
		t.Errorf("an append after it: %v", err)
	}
	if err := call(nc, protocol.ProduceSubject("good", 0), batch(t, "z"), nil); err != nil {
		t.Errorf("the other topic: %v", err)
	}
	if err := c.brokers[0].Err(); err != nil {
		t.Errorf("the broker can't go on: %v", err)
	}
	if n := metric(t, c, 0, "logq_replicas_failed"); n != "1" {
		t.Errorf("%s replicas failed", n)
	}
	faults.Clear()
	c.stop(0, true)
	c.restart(0)
	nc = c.connect(0)
	eventually(t, "the replica comes back", func() error {
		got, err := fetchAll(nc, "bad")
		if err == nil && (len(got) < 1 || got[0] != "x") {
			t.Fatalf("stored: %v", got)
		}
		return err
	})
}
