package protocol_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/logq/logq/internal/protocol"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a checked-in file, or rewrites the file with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs; run go test -update and read the diff.\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func TestErrorTable(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Errors\n\n| Code | Name | Outcome | Retriable | Meaning |\n|---|---|---|---|---|\n")
	rows := protocol.Codes()
	for _, r := range rows {
		retriable := "no"
		if r.Retriable {
			retriable = "yes"
		}
		fmt.Fprintf(&b, "| %d | `%s` | %s | %s | %s |\n", r.Code, r.Name, r.Outcome, retriable, r.Meaning)
		if got := r.Code.Info(); got != r {
			t.Errorf("Info(%d) = %+v, want %+v", r.Code, got, r)
		}
		if r.Code.String() != r.Name || !strings.HasSuffix(r.Meaning, ".") {
			t.Errorf("row %d: name %q, meaning %q", r.Code, r.Code, r.Meaning)
		}
	}
	if !slices.IsSortedFunc(rows, func(a, b protocol.CodeInfo) int { return int(a.Code) - int(b.Code) }) {
		t.Error("the table is not ordered by code, which its lookup needs")
	}
	golden(t, "errors.md", b.String())
}

// Only three codes may leave the outcome open; every other one is a promise that nothing was written.
func TestOutcomes(t *testing.T) {
	unknown := []protocol.Code{protocol.UnknownServerError, protocol.RequestTimedOut, protocol.NotEnoughReplicasAfterAppend}
	for _, r := range protocol.Codes() {
		want := protocol.NotWritten
		switch {
		case r.Code == protocol.None:
			want = protocol.Done
		case slices.Contains(unknown, r.Code):
			want = protocol.Unknown
		}
		if r.Outcome != want {
			t.Errorf("%s: outcome %s, want %s", r.Name, r.Outcome, want)
		}
	}
	if info := protocol.Code(12345).Info(); info.Outcome != protocol.Unknown || info.Name != "CODE_12345" {
		t.Errorf("a code of the future promises something: %+v", info)
	}
	for text, want := range map[string]protocol.Outcome{"done": protocol.Done, "not_written": protocol.NotWritten, "unknown": protocol.Unknown, "later": protocol.Unknown} {
		var o protocol.Outcome
		if err := o.UnmarshalText([]byte(text)); err != nil || o != want {
			t.Errorf("outcome %q = %v, %v, want %v", text, o, err, want)
		}
	}
	if s := protocol.Outcome(9).String(); s != "outcome(9)" {
		t.Errorf("String of an outcome out of range = %q", s)
	}
}

func TestErrors(t *testing.T) {
	e := protocol.Errorf(protocol.NotLeaderOrFollower, "partition %s/%d is led elsewhere", "orders", 3)
	led := e.WithLeader(2, "nats://b:4222")
	if e.Leader != 0 || led.Leader != 2 || led.LeaderURL != "nats://b:4222" {
		t.Errorf("WithLeader changed the original, or not the copy: %+v, %+v", e, led)
	}
	if o := e.WithOutcome(protocol.Unknown); o.Outcome != protocol.Unknown || e.Outcome != protocol.NotWritten {
		t.Errorf("WithOutcome: %+v, %+v", o, e)
	}
	wrapped := fmt.Errorf("produce: %w", led)
	if !errors.Is(wrapped, &protocol.Error{Code: protocol.NotLeaderOrFollower}) || errors.Is(wrapped, &protocol.Error{Code: protocol.StorageError}) {
		t.Error("errors.Is does not go by the code")
	}
	if protocol.AsError(wrapped) != led || protocol.CodeOf(wrapped) != protocol.NotLeaderOrFollower || protocol.OutcomeOf(wrapped) != protocol.NotWritten {
		t.Error("AsError does not find the error in the chain")
	}
	plain := errors.New("boom")
	if got := protocol.AsError(plain); got.Code != protocol.UnknownServerError || got.Outcome != protocol.Unknown || got.Message != "boom" {
		t.Errorf("AsError of a plain error = %+v", got)
	}
	if protocol.AsError(nil) != nil || protocol.CodeOf(nil) != protocol.None || protocol.OutcomeOf(nil) != protocol.Done {
		t.Error("nil is not done")
	}
	var none *protocol.Error
	if got := protocol.AsError(fmt.Errorf("x: %w", error(none))); got == nil || got.Code != protocol.UnknownServerError {
		t.Errorf("AsError of a nil *Error = %v", got)
	}
	want := "NOT_LEADER_OR_FOLLOWER (not_written): partition orders/3 is led elsewhere"
	if led.Error() != want || none.Error() != "NONE" {
		t.Errorf("Error() = %q, %q", led.Error(), none.Error())
	}
}

// The JSON bodies are an API: a change of a field name breaks clients in other languages.
func TestBodiesGolden(t *testing.T) {
	id, err := protocol.ParseTopicID("01234567-89ab-4cde-8f01-23456789abcd")
	if err != nil {
		t.Fatal(err)
	}
	broker := protocol.BrokerInfo{ID: 1, URL: "nats://a:4222", HTTP: "http://a:8222", Peer: "a:7222", Rack: "r1", Alive: true}
	topic := protocol.TopicInfo{
		Name: "orders.eu", ID: id, Bind: "orders.>", Config: map[string]string{"k": "v"},
		Partitions: []protocol.PartitionInfo{{ID: 0, Leader: 1, Term: 4, Replicas: []protocol.BrokerID{1, 2}, LogStart: 5, HighWatermark: 9, InSync: []protocol.BrokerID{1}}},
		Error:      protocol.Errorf(protocol.UnknownTopicOrPartition, "no such topic"),
	}
	ref := []protocol.PartitionRef{{Topic: "orders.eu", Partition: 2}}
	bodies := []any{
		protocol.ErrorReply{Error: protocol.Errorf(protocol.NotLeaderOrFollower, "moved").WithLeader(2, "nats://b:4222")},
		protocol.ProduceReply{Topic: "orders.eu", Partition: 1, BaseOffset: 10, LastOffset: 12, Epoch: 3},
		protocol.PubAck{Stream: "orders.eu", Seq: 11, Partition: 1, Offset: 10},
		protocol.PubAck{Stream: "orders.eu", Offset: -1, Error: protocol.Errorf(protocol.ThrottlingQuotaExceeded, "slow down").API()},
		protocol.FetchRequest{Offset: 7, MaxBytes: 1024, MinBytes: 1, MaxWaitMs: 500},
		protocol.OffsetsRequest{At: protocol.AtTime, TimestampMs: 1700000000000},
		protocol.OffsetsReply{Offset: 4, TimestampMs: 1700000000001, Epoch: 3},
		protocol.MetaRequest{Topics: []string{"orders.eu"}},
		protocol.MetaReply{ClusterID: "c", Controller: 1, Brokers: []protocol.BrokerInfo{broker}, Topics: []protocol.TopicInfo{topic}},
		protocol.CreateTopicRequest{Name: "orders.eu", Partitions: 3, Replicas: 2, Bind: "orders.>", Config: map[string]string{"k": "v"}},
		protocol.DeleteTopicRequest{Name: "orders.eu"},
		protocol.DeleteTopicReply{Name: "orders.eu", ID: id},
		protocol.DescribeTopicRequest{Name: "orders.eu"},
		protocol.ListTopicsReply{Topics: []protocol.TopicInfo{topic}},
		protocol.ClusterStatusReply{
			ClusterID: "c", Controller: 1, Brokers: []protocol.BrokerStatus{{BrokerInfo: broker, PartitionsLed: 2, Replicas: 5}},
			Partitions: 6, UnderReplicated: ref, Leaderless: ref,
		},
	}
	var b strings.Builder
	for _, body := range bodies {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%T\n%s\n", body, text)
	}
	golden(t, "bodies.txt", b.String())
}

func TestAPIError(t *testing.T) {
	for code, status := range map[protocol.Code]int{
		protocol.UnknownTopicOrPartition: 404, protocol.TopicAuthorizationFailed: 403, protocol.ThrottlingQuotaExceeded: 429,
		protocol.RequestTimedOut: 504, protocol.UnknownServerError: 500, protocol.MessageTooLarge: 400, protocol.CorruptMessage: 400,
		protocol.NotEnoughReplicas: 503, protocol.LeaderNotAvailable: 503,
	} {
		got := protocol.Errorf(code, "x").API()
		if got.Code != status || int(got.ErrCode) != protocol.APIErrCodeBase+int(code) {
			t.Errorf("%s: %+v, want status %d", code, got, status)
		}
	}
}

func TestIDs(t *testing.T) {
	if protocol.BrokerOf(protocol.ReplicaOf(513, 7)) != 513 || protocol.IncarnationOf(protocol.ReplicaOf(513, 7)) != 7 {
		t.Error("ReplicaOf does not round-trip")
	}
	g := protocol.GroupID(protocol.MetaTopicID, 258)
	if g[18] != 1 || g[19] != 2 {
		t.Errorf("group id %x: the partition is not big-endian", g)
	}
	if id, p := protocol.SplitGroupID(g); id != protocol.MetaTopicID || p != 258 {
		t.Errorf("SplitGroupID = %v, %v", id, p)
	}
	if id, err := protocol.ParseTopicID(strings.ToUpper(protocol.MetaTopicID.String())); err != nil || id != protocol.MetaTopicID || id.IsZero() {
		t.Errorf("ParseTopicID = %v, %v", id, err)
	}
	for _, bad := range []string{"", "x", strings.Repeat("0", 36), "0123456789ab-4cde-8f01-23456789abcd0000", "g1234567-89ab-4cde-8f01-23456789abcd"} {
		if _, err := protocol.ParseTopicID(bad); protocol.CodeOf(err) != protocol.InvalidRequest {
			t.Errorf("ParseTopicID(%q) = %v", bad, err)
		}
	}
	for s, want := range map[string]protocol.BrokerID{"1": 1, "65535": 65535, "0": 0, "65536": 0, "-1": 0, "": 0, "x": 0} {
		got, err := protocol.ParseBrokerID(s)
		if got != want || (want == 0) != (err != nil) {
			t.Errorf("ParseBrokerID(%q) = %v, %v", s, got, err)
		}
	}
}

// The values are those of Kafka's own test of its partitioner (UtilsTest.testMurmur2), so that keys land where other
// clients put them.
func TestPartitionForKey(t *testing.T) {
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		for _, n := range []int{1, 2, 7, 1000} {
			want := protocol.Partition(int(uint32(hash)&0x7fffffff) % n)
			if got := protocol.PartitionForKey([]byte(key), n); got != want {
				t.Errorf("PartitionForKey(%q, %d) = %d, want %d", key, n, got, want)
			}
		}
	}
}
