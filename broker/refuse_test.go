package broker_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logq/logq/broker"
)

func refused(t *testing.T, c broker.Config, want ...string) {
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

func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	run(t, broker.Config{ID: 1, DataDir: dir, Listen: "127.0.0.1:0"})
	refused(t, broker.Config{ID: 1, DataDir: dir, Listen: "127.0.0.1:0"}, dir, "in use")
}

func TestPortsInUse(t *testing.T) {
	b := run(t, broker.Config{ID: 1, DataDir: t.TempDir(), Listen: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
	client, http := strings.TrimPrefix(b.ClientURL(), "nats://"), strings.TrimPrefix(b.HTTPURL(), "http://")
	refused(t, broker.Config{ID: 1, DataDir: t.TempDir(), Listen: client}, client, "in use")
	refused(t, broker.Config{ID: 1, DataDir: t.TempDir(), Listen: "127.0.0.1:0", HTTP: http}, http, "in use")
	refused(t, broker.Config{ID: 1, DataDir: t.TempDir(), Listen: "127.0.0.1:0", Peers: []broker.Peer{{ID: 1, Addr: client}, {ID: 2, Addr: "127.0.0.1:1"}}}, client, "in use")
}

func TestDirectoryOfAnotherBroker(t *testing.T) {
	dir := t.TempDir()
	b := run(t, broker.Config{ID: 1, DataDir: dir, Listen: "127.0.0.1:0"})
	if err := b.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	refused(t, broker.Config{ID: 2, DataDir: dir, Listen: "127.0.0.1:0"}, "belongs to broker 1")

	file := filepath.Join(dir, "broker.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"damage":       {`"broker": 1`, `"broker": 3`, "checksum"},
		"not JSON":     {`{`, `[`, "damaged"},
		"newer format": {`"format": 1`, `"format": 9`, "format 9"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(strings.Replace(string(text), c.old, c.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, broker.Config{ID: 1, DataDir: dir, Listen: "127.0.0.1:0"}, file, c.want)
		})
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
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
