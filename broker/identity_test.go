package broker_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/logq/logq/broker"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
)

// identityFile is what a test reads of broker.json.
type identityFile struct {
	Format      int    `json:"format"`
	Cluster     string `json:"cluster"`
	Directory   string `json:"directory"`
	Incarnation uint64 `json:"incarnation"`
	Generation  uint64 `json:"generation"`
}

func readIdentity(t *testing.T, dir string) (id identityFile) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "broker.json"))
	if os.IsNotExist(err) {
		return id
	}
	if err == nil {
		err = json.Unmarshal(text, &id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// failing is the file system with the rules in front of it.
func failing(t *testing.T, rules string) vfs.FS {
	t.Helper()
	f, err := vfs.ParseFaults(rules)
	if err != nil {
		t.Fatal(err)
	}
	return vfs.WithFaults(vfs.OS(), f)
}

// TestStartFailsAnywhere: whichever call fails while a directory is made, the next start makes it whole, and an id that was
// durable stays.
func TestStartFailsAnywhere(t *testing.T) {
	made := 0
	for n := 1; n <= 40; n++ {
		dir := t.TempDir()
		cfg := broker.Config{ID: 1, DataDir: dir, Listen: "127.0.0.1:0", Tick: 5 * time.Millisecond}
		b, err := broker.NewOn(cfg, failing(t, fmt.Sprintf("* * #%d+ EIO", n)))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Start(t.Context()); err == nil {
			t.Fatalf("a start whose calls fail from the %dth on succeeds", n)
		}
		before := readIdentity(t, dir)
		if b, err = broker.New(cfg); err == nil {
			err = b.Start(t.Context())
		}
		if err == nil {
			err = b.Close(t.Context())
		}
		if err != nil {
			t.Fatalf("after a fault at call %d: %v", n, err)
		}
		after := readIdentity(t, dir)
		if len(after.Directory) != 32 || before.Directory != "" && (before.Directory != after.Directory || before.Generation >= after.Generation) {
			t.Fatalf("with a fault at call %d the identity is %+v, and then %+v", n, before, after)
		}
		if before.Directory != "" {
			made++
		}
	}
	if made < 10 || made > 30 {
		t.Errorf("%d of 40 faults come after the directory has its id", made)
	}
}

// TestIdentityFormat1: a directory of the release before gets an id.
func TestIdentityFormat1(t *testing.T) {
	c := newCluster(t, 1)
	eventually(t, "ready", c.brokers[0].Ready)
	c.stop(0, false)
	old := readIdentity(t, c.dataDir(0))
	sum := crc32.Checksum(fmt.Appendf(nil, "%d %d %s", 1, 1, old.Cluster), crc32.MakeTable(crc32.Castagnoli))
	text := fmt.Appendf(nil, `{"format": 1, "broker": 1, "cluster": %q, "crc32c": %d}`, old.Cluster, sum)
	for _, name := range []string{"broker.json", "broker.json.copy"} {
		if err := os.WriteFile(filepath.Join(c.dataDir(0), name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The cluster knows the directory by its id, so this one is another; what counts here is that it is read.
	c.restart(0)
	now := readIdentity(t, c.dataDir(0))
	if now.Format != 2 || now.Cluster != old.Cluster || len(now.Directory) != 32 || now.Directory == old.Directory {
		t.Errorf("it became %+v", now)
	}
	fencedSoon(t, c.brokers[0], "another data directory")
	c.stop(0, true)
}

// TestJoinCutShort: a broker that was taken in and could not write that down is taken in again, as the same.
func TestJoinCutShort(t *testing.T) {
	c := newCluster(t, 3)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 3})
	c.brokers, c.urls = append(c.brokers, nil), append(c.urls, "127.0.0.1:0")
	// The two copies are replaced when the directory is made, when it is whole, and when the cluster has answered.
	c.fs = append(c.fs, failing(t, "rename broker.json* #5+ EIO"))
	c.joins[3] = true
	if err := c.tryStart(3, listen(t, "127.0.0.1:0"), "127.0.0.1:0"); err == nil {
		t.Fatal("it starts without a word of its cluster on the disk")
	}
	before := readIdentity(t, c.dataDir(3))
	c.fs[3] = vfs.OS()
	c.start(3, listen(t, "127.0.0.1:0"), "127.0.0.1:0")
	status(t, nc, "broker 4 is there", holds(4, 0))
	eventually(t, "ready", c.brokers[3].Ready)
	after := readIdentity(t, c.dataDir(3))
	if before.Incarnation != 0 || before.Directory != after.Directory || after.Incarnation == 0 || after.Cluster == "" {
		t.Errorf("it was %+v, and is %+v", before, after)
	}
}
