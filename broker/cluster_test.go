package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/logq/logq/broker"
	"github.com/logq/logq/internal/protocol"
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
}

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), brokers: make([]*broker.Broker, n), urls: make([]string, n)}
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
	b, err := broker.New(broker.Config{
		ID: i + 1, Peers: c.peers, PeerListener: l, DataDir: filepath.Join(c.dir, strconv.Itoa(i+1)),
		Listen: addr, HTTP: "127.0.0.1:0", Tick: 20 * time.Millisecond,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := b.Start(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	c.brokers[i], c.urls[i] = b, b.ClientURL()
}

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

func TestThreeBrokersSurviveTheLeadersCrash(t *testing.T) {
	c := newCluster(t, 3)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "a.b", Partitions: 1, Replicas: 3})
	var want []string
	produce := func(nc *nats.Conn, v string) {
		eventually(t, "produce "+v, func() error {
			var ack protocol.ProduceReply
			err := call(nc, protocol.ProduceSubject("a.b", 0), batch(t, v), &ack)
			if err == nil && ack.BaseOffset != int64(len(want)) {
				t.Fatalf("%s is at offset %d, want %d", v, ack.BaseOffset, len(want))
			}
			return err
		})
		want = append(want, v)
	}
	for i := range 20 {
		produce(nc, fmt.Sprintf("before-%d", i))
	}
	lead := 0
	eventually(t, "leader", func() (err error) {
		lead, err = leaderOf(nc, "a.b")
		return err
	})
	c.stop(lead-1, true)
	other := c.connect(lead % 3)
	for i := range 20 {
		produce(other, fmt.Sprintf("after-%d", i))
	}
	c.restart(lead - 1)
	for i := range 3 {
		nc := c.connect(i)
		eventually(t, fmt.Sprintf("read through broker %d", i+1), func() error {
			got, err := fetchAll(nc, "a.b")
			if err == nil && strings.Join(got, ",") != strings.Join(want, ",") {
				t.Fatalf("broker %d serves %v", i+1, got)
			}
			return err
		})
	}
	eventually(t, "all replicas in sync", func() error {
		var info protocol.TopicInfo
		if err := call(other, protocol.TopicDescribeSubject, protocol.DescribeTopicRequest{Name: "a.b"}, &info); err != nil {
			return err
		}
		if p := info.Partitions[0]; len(p.InSync) != 3 || p.HighWatermark != int64(len(want)) {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
}

func TestPlainClients(t *testing.T) {
	c := newCluster(t, 1)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "orders", Partitions: 1, Replicas: 1, Bind: "shop.orders.>"})
	var ack protocol.PubAck
	if err := call(nc, protocol.PubSubject("orders", protocol.AnyPartition), []byte("hi"), &ack); err != nil || ack.Stream != "orders" || ack.Offset != 0 || ack.Seq != 1 {
		t.Fatalf("pub: %+v, %v", ack, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "JetStream publish", func() error {
		ack, err := js.Publish(t.Context(), "shop.orders.1", []byte("js"))
		if err == nil && ack.Sequence != 2 {
			t.Errorf("acknowledged as %d", ack.Sequence)
		}
		return err
	})
	if got, err := fetchAll(nc, "orders"); err != nil || strings.Join(got, ",") != "hi,js" {
		t.Errorf("stored %v, %v", got, err)
	}
}

func TestNoMajorityIsATypedRefusalInTime(t *testing.T) {
	c := newCluster(t, 3)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 3})
	if err := call(nc, protocol.ProduceSubject("t", 0), batch(t, "x"), nil); err != nil {
		t.Fatal(err)
	}
	c.stop(1, true)
	c.stop(2, true)
	eventually(t, "refusal", func() error {
		m := &nats.Msg{Subject: protocol.ProduceSubject("t", 0), Data: batch(t, "y"), Header: nats.Header{protocol.HeaderDeadlineMs: {"500"}}}
		start := time.Now()
		r, err := nc.RequestMsg(m, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("answered after %v, the deadline was 500 ms", d)
		}
		var e protocol.ErrorReply
		if err := json.Unmarshal(r.Data, &e); err != nil || e.Error == nil {
			t.Fatalf("answered with %q", r.Data)
		}
		if e.Error.Outcome == protocol.NotWritten {
			return nil
		}
		return e.Error // it may not have noticed yet: then the outcome is unknown
	})
}

func TestRestartKeepsEverything(t *testing.T) {
	c := newCluster(t, 1)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 1})
	for i := range 5 {
		if err := call(nc, protocol.ProduceSubject("t", 0), batch(t, strconv.Itoa(i)), nil); err != nil {
			t.Fatal(err)
		}
		c.stop(0, i%2 == 0)
		c.restart(0)
		eventually(t, "read", func() error {
			got, err := fetchAll(nc, "t")
			if err == nil && len(got) != i+1 {
				t.Fatalf("after restart %d there are %v", i, got)
			}
			return err
		})
	}
}
