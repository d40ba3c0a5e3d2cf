package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/logq/logq/broker"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test.
const patience = 30 * time.Second

// cluster is a few brokers in this process, on real files and sockets.
type cluster struct {
	t       *testing.T
	dir     string
	peers   []broker.Peer
	urls    []string
	brokers []*broker.Broker // nil: stopped
	fs      []vfs.FS         // of each broker
	joins   map[int]bool     // those that join, or have joined, by index
	log     *slog.Logger
}

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), brokers: make([]*broker.Broker, n), urls: make([]string, n), fs: slices.Repeat([]vfs.FS{vfs.OS()}, n), joins: map[int]bool{}, log: slog.New(slog.DiscardHandler)}
	listeners := make([]net.Listener, n)
	for i := range n {
		listeners[i] = listen(t, "127.0.0.1:0")
		c.peers = append(c.peers, broker.Peer{ID: i + 1, Addr: listeners[i].Addr().String()})
	}
	for i, l := range listeners {
		c.start(i, l, "127.0.0.1:0")
	}
	t.Cleanup(func() {
		for i := range c.brokers {
			c.stop(i, false)
		}
	})
	return c
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (c *cluster) start(i int, l net.Listener, addr string) {
	c.t.Helper()
	if err := c.tryStart(i, l, addr); err != nil {
		c.t.Fatal(err)
	}
}

// tryStart starts a broker; one that joins asks the brokers with which the cluster began.
func (c *cluster) tryStart(i int, l net.Listener, addr string) error {
	c.t.Helper()
	cfg := broker.Config{
		ID: i + 1, Peers: c.peers, PeerListener: l, DataDir: c.dataDir(i),
		Listen: addr, HTTP: "127.0.0.1:0", Tick: 20 * time.Millisecond, Logger: c.log,
	}
	if c.joins[i] {
		cfg.Peers = nil
		for _, p := range c.peers {
			if p.ID != cfg.ID {
				cfg.Join = append(cfg.Join, p.Addr)
			}
		}
	}
	b, err := broker.NewOn(cfg, c.fs[i])
	if err != nil {
		c.t.Fatal(err)
	}
	if err := b.Start(c.t.Context()); err != nil {
		return err
	}
	c.brokers[i], c.urls[i] = b, b.ClientURL()
	return nil
}

// join makes a broker more, which joins; it returns its index.
func (c *cluster) join() int {
	c.t.Helper()
	i := len(c.brokers)
	c.brokers, c.urls, c.fs = append(c.brokers, nil), append(c.urls, ""), append(c.fs, vfs.OS())
	c.joins[i] = true
	c.start(i, listen(c.t, "127.0.0.1:0"), "127.0.0.1:0")
	return i
}

func (c *cluster) dataDir(i int) string { return filepath.Join(c.dir, strconv.Itoa(i+1)) }

func (c *cluster) restart(i int) {
	c.t.Helper()
	c.start(i, listen(c.t, c.peers[i].Addr), strings.TrimPrefix(c.urls[i], "nats://"))
}

// stop ends a broker, in order or as a crash would.
func (c *cluster) stop(i int, abrupt bool) {
	c.t.Helper()
	if c.brokers[i] == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if abrupt {
		cancel()
	}
	if err := c.brokers[i].Close(ctx); err != nil && !abrupt {
		c.t.Errorf("close broker %d: %v", i+1, err)
	}
	c.brokers[i] = nil
}

func (c *cluster) connect(i int) *nats.Conn {
	c.t.Helper()
	nc, err := nats.Connect(c.urls[i], nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	return nc
}

// eventually repeats f until it succeeds.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// call sends a request and decodes the JSON answer.
func call(nc *nats.Conn, subject string, in, out any) error {
	body, ok := in.([]byte)
	if !ok {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	r, err := nc.Request(subject, body, 5*time.Second)
	if err != nil {
		return err
	}
	if r.Header.Get(protocol.HeaderError) != "" {
		var e protocol.ErrorReply
		if err := json.Unmarshal(r.Data, &e); err != nil || e.Error == nil {
			return fmt.Errorf("unreadable error %q", r.Data)
		}
		return e.Error
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(r.Data, out)
}

func createTopic(t *testing.T, nc *nats.Conn, req protocol.CreateTopicRequest) {
	t.Helper()
	eventually(t, "create topic "+req.Name, func() error {
		err := call(nc, protocol.TopicCreateSubject, req, nil)
		if errors.Is(err, protocol.Errorf(protocol.TopicAlreadyExists, "")) {
			return nil
		}
		return err
	})
}

func batch(t *testing.T, values ...string) []byte {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{Codec: record.Zstd, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	for _, v := range values {
		if err := b.Append(record.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := b.Seal(nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// fetchAll reads a partition from the start to its high watermark.
func fetchAll(nc *nats.Conn, topic string) ([]string, error) {
	var values []string
	d := record.NewDecoder(record.DecoderOptions{})
	for {
		req, err := json.Marshal(protocol.FetchRequest{Offset: int64(len(values)), MaxBytes: 64 << 10})
		if err != nil {
			return nil, err
		}
		r, err := nc.Request(protocol.FetchSubject(topic, 0), req, 5*time.Second)
		if err != nil {
			return nil, err
		}
		if e := r.Header.Get(protocol.HeaderError); e != "" {
			return nil, fmt.Errorf("fetch: %s", r.Data)
		}
		for rest := r.Data; len(rest) > 0; {
			var b record.Batch
			if b, rest, err = record.Next(rest); err == nil {
				err = d.Reset(b)
			}
			if err != nil {
				return nil, err
			}
			for d.Next() {
				if d.Record().Offset != record.Offset(len(values)) {
					return nil, fmt.Errorf("offset %d where %d was due", d.Record().Offset, len(values))
				}
				values = append(values, string(d.Record().Value))
			}
			if d.Err() != nil {
				return nil, d.Err()
			}
		}
		if r.Header.Get(protocol.HeaderHighWatermark) == strconv.Itoa(len(values)) {
			return values, nil
		}
	}
}

func leaderOf(nc *nats.Conn, topic string) (int, error) {
	var info protocol.TopicInfo
	if err := call(nc, protocol.TopicDescribeSubject, protocol.DescribeTopicRequest{Name: topic}, &info); err != nil {
		return 0, err
	}
	if len(info.Partitions) == 0 || info.Partitions[0].Leader == 0 {
		return 0, errors.New("no leader")
	}
	return int(info.Partitions[0].Leader), nil
}
