package broker_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logq/logq/broker"
)

// refused wants a clear refusal of New or Start.
func refused(t *testing.T, c broker.Config, want ...string) {
	t.Helper()
	refusedAs(t, c, nil, want...)
}

func refusedAs(t *testing.T, c broker.Config, kind error, want ...string) {
	t.Helper()
	b, err := broker.New(c)
	if err == nil {
		err = b.Start(t.Context())
		if err == nil {
			gone, cancel := context.WithCancel(context.Background())
			cancel()
			_ = b.Close(gone)
		}
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("got %v, want %v", err, kind)
	}
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got %v, want %q in it", err, w)
		}
	}
}

func TestConfigReportsAllFaults(t *testing.T) {
	refused(t, broker.Config{Listen: "0.0.0.0:1", HTTP: "x", Peers: []broker.Peer{{ID: 2, Addr: "a:1"}, {ID: 2, Addr: "b"}}},
		"broker id 0", "data directory is missing", "not on loopback", "every address", "HTTP listener", "named twice", "must name this broker")
}

func run(t *testing.T, c broker.Config) *broker.Broker {
	t.Helper()
	b, err := broker.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// restart starts a broker until it is ready, and closes it.
func restart(t *testing.T, c broker.Config) {
	t.Helper()
	b, err := broker.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready", b.Ready)
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	run(t, broker.Config{ID: 1, DataDir: dir, Listen: "127.0.0.1:0"})
	refusedAs(t, broker.Config{ID: 1, DataDir: dir, Listen: "127.0.0.1:0"}, broker.ErrDirectoryInUse, dir, "in use")
}

func TestPortsInUse(t *testing.T) {
	b := run(t, broker.Config{ID: 1, DataDir: t.TempDir(), Listen: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
	client, http := strings.TrimPrefix(b.ClientURL(), "nats://"), strings.TrimPrefix(b.HTTPURL(), "http://")
	refusedAs(t, broker.Config{ID: 1, DataDir: t.TempDir(), Listen: client}, broker.ErrListen, client, "in use")
	refusedAs(t, broker.Config{ID: 1, DataDir: t.TempDir(), Listen: "127.0.0.1:0", HTTP: http}, broker.ErrListen, http, "in use")
	refusedAs(t, broker.Config{ID: 1, DataDir: t.TempDir(), Listen: "127.0.0.1:0", Peers: []broker.Peer{{ID: 1, Addr: client}, {ID: 2, Addr: "127.0.0.1:1"}}}, broker.ErrListen, client, "in use")
}

func TestDirectoryOfAnotherBroker(t *testing.T) {
	dir := t.TempDir()
	restart(t, broker.Config{ID: 1, DataDir: dir, Listen: "127.0.0.1:0", Tick: 5 * time.Millisecond})
	refusedAs(t, broker.Config{ID: 2, DataDir: dir, Listen: "127.0.0.1:0"}, broker.ErrWrongBroker, dir, "belongs to broker 1")

	c := broker.Config{ID: 1, DataDir: dir, Listen: "127.0.0.1:0", Tick: 5 * time.Millisecond}
	files := []string{filepath.Join(dir, "broker.json"), filepath.Join(dir, "broker.json.copy")}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	put := func(file string, text []byte) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, v := range map[string]struct{ old, new, want string }{
		"damage":   {`"broker": 1`, `"broker": 3`, "checksum"},
		"not JSON": {`{`, `[`, "not readable"},
	} {
		bad := []byte(strings.Replace(string(text), v.old, v.new, 1))
		t.Run(name, func(t *testing.T) {
			for _, file := range files { // one copy is made good from the other
				put(file, bad)
				restart(t, c)
				one, err := os.ReadFile(files[0])
				if err != nil {
					t.Fatal(err)
				}
				if two, err := os.ReadFile(files[1]); err != nil || string(one) != string(two) || string(one) == string(bad) {
					t.Errorf("%s was not repaired: %s, %v", file, two, err)
				}
			}
			put(files[0], bad)
			put(files[1], bad)
			refusedAs(t, c, broker.ErrDamagedDirectory, dir, v.want, "restore")
			put(files[0], text)
			put(files[1], text)
		})
	}
	t.Run("newer format", func(t *testing.T) {
		put(files[1], []byte(strings.Replace(string(text), `"format": 2`, `"format": 9`, 1)))
		refusedAs(t, c, broker.ErrNewerFormat, dir, "format 9")
		put(files[1], text)
	})
	t.Run("copies of two brokers", func(t *testing.T) {
		other := t.TempDir()
		if err := broker.WriteIdentity(other, 2, ""); err != nil {
			t.Fatal(err)
		}
		theirs, err := os.ReadFile(filepath.Join(other, "broker.json"))
		if err != nil {
			t.Fatal(err)
		}
		put(files[1], theirs)
		refusedAs(t, c, broker.ErrDamagedDirectory, dir, "disagree")
		put(files[1], text)
	})
	t.Run("no identity", func(t *testing.T) {
		for _, file := range files {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		refusedAs(t, c, broker.ErrDamagedDirectory, dir, "no broker.json")
		put(files[0], text)
		restart(t, c)
	})
	t.Run("another cluster", func(t *testing.T) {
		if err := broker.WriteIdentity(dir, 1, "another"); err != nil {
			t.Fatal(err)
		}
		b, err := broker.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-b.Done()
		if err := b.Err(); !errors.Is(err, broker.ErrWrongCluster) || !strings.Contains(err.Error(), "cluster another") || b.Ready() == nil {
			t.Errorf("got %v", err)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
		put(files[0], text)
		put(files[1], text)
	})
	restart(t, c)
	if err := os.RemoveAll(filepath.Join(dir, "journal")); err != nil {
		t.Fatal(err)
	}
	refused(t, broker.Config{ID: 1, DataDir: dir, Listen: "127.0.0.1:0"}, "journal")
}

func TestStartAndCloseInAnyOrder(t *testing.T) {
	b, err := broker.New(broker.Config{ID: 1, DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if b.ClientURL() != "" || b.HTTPURL() != "" || b.Ready() == nil {
		t.Error("a broker that is not started has an address or is ready")
	}
	if err := b.Close(t.Context()); err != nil {
		t.Errorf("close before start: %v", err)
	}
	if err := b.Start(t.Context()); err == nil {
		t.Error("a closed broker starts")
	}
}
