package broker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// errorOf returns the typed error of a reply, in either shape, nil if there is none.
func errorOf(t *testing.T, r *nats.Msg) *protocol.Error {
	t.Helper()
	if r.Header.Get(protocol.HeaderError) == "" {
		return nil
	}
	var e protocol.ErrorReply
	if err := json.Unmarshal(r.Data, &e); err == nil && e.Error != nil && e.Error.Name != "" {
		return e.Error
	}
	var ack protocol.PubAck
	if err := json.Unmarshal(r.Data, &ack); err != nil || ack.Error == nil {
		t.Fatalf("unreadable error %q", r.Data)
	}
	code := protocol.Code(int(ack.Error.ErrCode) - protocol.APIErrCodeBase)
	return protocol.Errorf(code, "%s", ack.Error.Description)
}

// spoilt returns the batch with one byte changed.
func spoilt(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0xff
	return b
}

// TestBadInput sends one broker what it must refuse. Each answer names the thing, is
// typed and definite, and nothing of it is stored.
func TestBadInput(t *testing.T) {
	c := newCluster(t, 1)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "kept", Partitions: 2, Replicas: 1, Bind: "kept.in.>"})
	if err := call(nc, protocol.ProduceSubject("kept", 0), batch(t, "one"), nil); err != nil {
		t.Fatal(err)
	}
	good := batch(t, "x")
	for _, c := range []struct {
		name, subject string
		body          any
		code          protocol.Code
		says          string
	}{
		{"unknown topic", protocol.ProduceSubject("no.such", 0), good, protocol.UnknownTopicOrPartition, "no.such"},
		{"unknown topic, pub", protocol.PubSubject("no.such", protocol.AnyPartition), []byte("x"), protocol.UnknownTopicOrPartition, "no.such"},
		{"unknown topic, fetch", protocol.FetchSubject("no.such", 0), protocol.FetchRequest{}, protocol.UnknownTopicOrPartition, "no.such"},
		{"unknown topic, offsets", protocol.OffsetsSubject("no.such", 0), protocol.OffsetsRequest{At: protocol.AtLatest}, protocol.UnknownTopicOrPartition, "no.such"},
		{"unknown topic, describe", protocol.TopicDescribeSubject, protocol.DescribeTopicRequest{Name: "no.such"}, protocol.UnknownTopicOrPartition, "no.such"},
		{"unknown topic, delete", protocol.TopicDeleteSubject, protocol.DeleteTopicRequest{Name: "no.such"}, protocol.UnknownTopicOrPartition, "no.such"},
		{"partition out of range", protocol.ProduceSubject("kept", 2), good, protocol.UnknownTopicOrPartition, "2"},
		{"partition out of range, pub", protocol.PubSubject("kept", 2), []byte("x"), protocol.UnknownTopicOrPartition, "2"},
		{"partition out of range, fetch", protocol.FetchSubject("kept", 7), protocol.FetchRequest{}, protocol.UnknownTopicOrPartition, "7"},
		{"no partition", "logq.v1.produce.kept", good, protocol.InvalidRequest, "partition"},
		{"produce to any partition", "logq.v1.produce._.kept", good, protocol.InvalidRequest, "partition"},
		{"reserved topic", "logq.v1.fetch.0.__meta", protocol.FetchRequest{}, protocol.InvalidTopic, "__meta"},
		{"unknown operation", "logq.v1.explode.0.kept", good, protocol.InvalidRequest, "explode"},
		{"empty body", protocol.ProduceSubject("kept", 0), []byte{}, protocol.InvalidRequest, "no batch"},
		{"no batch", protocol.ProduceSubject("kept", 0), []byte("this is no batch of records at all, is it?  it is a long line of text"), protocol.CorruptMessage, "kept"},
		{"half a batch", protocol.ProduceSubject("kept", 0), good[:len(good)-1], protocol.CorruptMessage, "kept"},
		{"wrong CRC", protocol.ProduceSubject("kept", 0), spoilt(good, 17), protocol.CorruptMessage, "CRC"},
		{"flipped payload", protocol.ProduceSubject("kept", 0), spoilt(good, len(good)-1), protocol.CorruptMessage, "CRC"},
		{"one good batch and one bad", protocol.ProduceSubject("kept", 0), append(bytes.Clone(good), spoilt(good, 20)...), protocol.CorruptMessage, "batch 1"},
		{"record over the limit", protocol.PubSubject("kept", 0), noise(2 << 20), protocol.MessageTooLarge, "limit"},
		{"offset below the log", protocol.FetchSubject("kept", 0), protocol.FetchRequest{Offset: -1}, protocol.OffsetOutOfRange, "-1"},
		{"offset above the log", protocol.FetchSubject("kept", 0), protocol.FetchRequest{Offset: 1000}, protocol.OffsetOutOfRange, "1000"},
		{"fetch without JSON", protocol.FetchSubject("kept", 0), []byte("offset 3"), protocol.InvalidRequest, "JSON"},
		{"offsets at no place", protocol.OffsetsSubject("kept", 0), protocol.OffsetsRequest{At: "somewhere"}, protocol.InvalidRequest, "somewhere"},
		{"topic that exists", protocol.TopicCreateSubject, protocol.CreateTopicRequest{Name: "kept"}, protocol.TopicAlreadyExists, "kept"},
		{"topic with a wildcard", protocol.TopicCreateSubject, protocol.CreateTopicRequest{Name: "a.*"}, protocol.InvalidTopic, "wildcard"},
		{"topic with an empty token", protocol.TopicCreateSubject, protocol.CreateTopicRequest{Name: "a..b"}, protocol.InvalidTopic, "empty token"},
		{"internal topic", protocol.TopicCreateSubject, protocol.CreateTopicRequest{Name: "__mine"}, protocol.InvalidTopic, "reserved"},
		{"too many replicas", protocol.TopicCreateSubject, protocol.CreateTopicRequest{Name: "wide", Replicas: 3}, protocol.InvalidReplicationFactor, "3"},
		{"too many partitions", protocol.TopicCreateSubject, protocol.CreateTopicRequest{Name: "wide", Partitions: 1 << 20}, protocol.InvalidPartitions, "1048576"},
		{"unknown option", protocol.TopicCreateSubject, protocol.CreateTopicRequest{Name: "odd", Config: map[string]string{"shape": "round"}}, protocol.InvalidConfig, "shape"},
		{"bound to logq's subjects", protocol.TopicCreateSubject, protocol.CreateTopicRequest{Name: "odd", Bind: "logq.v1.>"}, protocol.InvalidConfig, "reserved"},
		{"bound to inboxes", protocol.TopicCreateSubject, protocol.CreateTopicRequest{Name: "odd", Bind: "_INBOX.>"}, protocol.InvalidConfig, "reserved"},
		{"bound to everything", protocol.TopicCreateSubject, protocol.CreateTopicRequest{Name: "odd", Bind: ">"}, protocol.InvalidConfig, "wildcard"},
		{"bound like another topic", protocol.TopicCreateSubject, protocol.CreateTopicRequest{Name: "odd", Bind: "kept.*.x"}, protocol.InvalidConfig, "kept.in.>"},
		{"create without JSON", protocol.TopicCreateSubject, []byte("kept"), protocol.InvalidRequest, "JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, ok := c.body.([]byte)
			if !ok {
				var err error
				if body, err = json.Marshal(c.body); err != nil {
					t.Fatal(err)
				}
			}
			r, err := nc.Request(c.subject, body, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			e := errorOf(t, r)
			if e == nil || e.Code != c.code || e.Outcome != protocol.NotWritten || !strings.Contains(e.Error(), c.says) {
				t.Errorf("answered with %.300s, want %v that says %q", r.Data, c.code, c.says)
			}
		})
	}
	if got, err := fetchAll(nc, "kept"); err != nil || len(got) != 1 {
		t.Errorf("stored: %v, %v", got, err)
	}
	var list protocol.ListTopicsReply
	if err := call(nc, protocol.TopicListSubject, []byte{}, &list); err != nil || len(list.Topics) != 1 {
		t.Errorf("topics: %+v, %v", list, err)
	}
}

// noise does not compress.
func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{})
	b := make([]byte, n)
	_, _ = r.Read(b) // never fails
	return b
}

// TestPayloadOverTheServersLimit: what does not fit a NATS message is refused by the
// client library already; whoever sends it all the same is cut off, alone.
func TestPayloadOverTheServersLimit(t *testing.T) {
	c := newCluster(t, 1)
	nc := c.connect(0)
	if err := nc.Publish("x", make([]byte, 9<<20)); err == nil || !strings.Contains(err.Error(), "maximum payload") {
		t.Errorf("published 9 MiB: %v", err)
	}
	raw, err := net.Dial("tcp", strings.TrimPrefix(c.urls[0], "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(raw, "CONNECT {\"verbose\":false}\r\nPUB x %d\r\n", 9<<20); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(raw)
	if err != nil || !strings.Contains(string(got), "Maximum Payload Violation") {
		t.Errorf("got %q, %v", got, err)
	}
	var meta protocol.MetaReply
	if err := call(nc, protocol.MetaSubject, []byte{}, &meta); err != nil {
		t.Error(err)
	}
}

// TestGarbageOnEveryPort: whoever talks nonsense is cut off within a bound, and
// nobody else notices.
func TestGarbageOnEveryPort(t *testing.T) {
	c := newCluster(t, 3)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 3})
	for _, addr := range []string{c.peers[0].Addr, c.peers[1].Addr, strings.TrimPrefix(c.urls[0], "nats://"), strings.TrimPrefix(c.brokers[0].HTTPURL(), "http://")} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(noise(64 << 10)) // the other side may hang up in the middle
		if _, err := io.Copy(io.Discard, conn); err != nil && os.IsTimeout(err) {
			t.Errorf("%s still listens to garbage after %v", addr, patience)
		}
		conn.Close()
	}
	eventually(t, "produce", func() error { return call(nc, protocol.ProduceSubject("t", 0), batch(t, "x"), nil) })
}

// TestCodecs stores a batch of each codec as it came.
func TestCodecs(t *testing.T) {
	c := newCluster(t, 1)
	nc := c.connect(0)
	createTopic(t, nc, protocol.CreateTopicRequest{Name: "t", Partitions: 1, Replicas: 1})
	var want []string
	for _, codec := range []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
		b := record.NewBuilder(record.BuilderOptions{Codec: codec, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
		if err := b.Append(record.Record{Timestamp: 1, Value: []byte(codec.String())}); err != nil {
			t.Fatal(err)
		}
		sealed, err := b.Seal(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := call(nc, protocol.ProduceSubject("t", 0), sealed, nil); err != nil {
			t.Errorf("%v: %v", codec, err)
		}
		want = append(want, codec.String())
	}
	if got, err := fetchAll(nc, "t"); err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %v, %v", got, err)
	}
}
