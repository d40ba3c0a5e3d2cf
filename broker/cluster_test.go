package broker_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logq/logq/internal/protocol"
)

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
	eventually(t, "all replicas catch up", func() error { return c.sameFrames(2) })
	var info protocol.TopicInfo
	if err := call(other, protocol.TopicDescribeSubject, protocol.DescribeTopicRequest{Name: "a.b"}, &info); err != nil {
		t.Fatal(err)
	}
	if p := info.Partitions[0]; len(p.InSync) != 3 || p.HighWatermark != int64(len(want)) {
		t.Errorf("%+v", p)
	}
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
