package protocol_test

import (
	"strings"
	"testing"

	"github.com/logq/logq/internal/protocol"
)

func TestParseSubject(t *testing.T) {
	tests := []struct {
		subject   string
		op        protocol.Op
		partition protocol.Partition
		topic     string
	}{
		{"logq.v1.produce.0.orders", protocol.OpProduce, 0, "orders"},
		{"logq.v1.produce.65535.orders.eu.new", protocol.OpProduce, 65535, "orders.eu.new"},
		{"logq.v1.pub._.a", protocol.OpPub, protocol.AnyPartition, "a"},
		{"logq.v1.pub.12.a-b_C", protocol.OpPub, 12, "a-b_C"},
		{"logq.v1.fetch.3.3", protocol.OpFetch, 3, "3"},
		{"logq.v1.offsets.1._x", protocol.OpOffsets, 1, "_x"},
		{"logq.v1.meta", protocol.OpMeta, 0, ""},
		{"logq.v1.admin.topic.create", protocol.OpTopicCreate, 0, ""},
		{"logq.v1.admin.topic.list", protocol.OpTopicList, 0, ""},
		{"logq.v1.admin.topic.describe", protocol.OpTopicDescribe, 0, ""},
		{"logq.v1.admin.topic.delete", protocol.OpTopicDelete, 0, ""},
		{"logq.v1.admin.cluster.status", protocol.OpClusterStatus, 0, ""},
	}
	for _, tt := range tests {
		op, p, topic, err := protocol.ParseSubject(tt.subject)
		if err != nil || op != tt.op || p != tt.partition || topic != tt.topic {
			t.Errorf("ParseSubject(%q) = %v, %v, %q, %v", tt.subject, op, p, topic, err)
		}
		if op.Partitioned() && subjectOf(op, topic, p) != tt.subject {
			t.Errorf("%q does not round-trip: %q", tt.subject, subjectOf(op, topic, p))
		}
	}
}

func TestParseSubjectRefuses(t *testing.T) {
	tests := []struct {
		subject string
		code    protocol.Code
		says    string
	}{
		{"", protocol.InvalidRequest, "starts with"},
		{"logq.v2.meta", protocol.InvalidRequest, "starts with"},
		{"logq.v1.", protocol.InvalidRequest, "no such operation"},
		{"logq.v1.nosuch.0.a", protocol.InvalidRequest, "no such operation"},
		{"logq.v1.meta.x", protocol.InvalidRequest, "no such operation"},
		{"logq.v1.admin.topic.rename", protocol.InvalidRequest, "no such operation"},
		{"logq.v1.register-broker.0.a", protocol.InvalidRequest, "no such operation"},
		{"logq.v1.produce", protocol.InvalidRequest, "want logq.v1.produce.<partition>.<topic>"},
		{"logq.v1.produce.0", protocol.InvalidRequest, "want logq.v1.produce.<partition>.<topic>"},
		{"logq.v1.produce._.a", protocol.InvalidRequest, "only pub"},
		{"logq.v1.fetch.-1.a", protocol.InvalidRequest, "decimal"},
		{"logq.v1.fetch.+1.a", protocol.InvalidRequest, "decimal"},
		{"logq.v1.fetch.00.a", protocol.InvalidRequest, "decimal"},
		{"logq.v1.fetch.65536.a", protocol.InvalidRequest, "below 65536"},
		{"logq.v1.fetch.99999999999999999999.a", protocol.InvalidRequest, "below 65536"},
		{"logq.v1.fetch..a", protocol.InvalidRequest, "decimal"},
		{"logq.v1.fetch.0.", protocol.InvalidTopic, "empty"},
		{"logq.v1.fetch.0.a..b", protocol.InvalidTopic, "empty token"},
		{"logq.v1.fetch.0.__meta", protocol.InvalidTopic, "reserved"},
		{"logq.v1.fetch.0.a.*", protocol.InvalidTopic, "wildcard"},
	}
	for _, tt := range tests {
		_, _, _, err := protocol.ParseSubject(tt.subject)
		if protocol.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.says) || protocol.OutcomeOf(err) != protocol.NotWritten {
			t.Errorf("ParseSubject(%q) = %v, want code %s and %q", tt.subject, err, tt.code, tt.says)
		}
	}
}

func TestValidateTopic(t *testing.T) {
	for _, name := range []string{"a", "A-Z_09", "a.b.c", "_x", "-", strings.Repeat("x", 249), "a.__b"} {
		if err := protocol.ValidateTopic(name); err != nil {
			t.Errorf("ValidateTopic(%q) = %v", name, err)
		}
	}
	for name, says := range map[string]string{
		"": "is empty", ".": "empty token", "a.": "ends with a dot", ".a": "empty token", "a..b": "empty token",
		"a*": "wildcard", ">": "wildcard", "a b": "only letters", "a\x00": "only letters", "é": "only letters", "a/b": "only letters",
		"__meta": "reserved", strings.Repeat("x", 250): "the limit is 249",
	} {
		err := protocol.ValidateTopic(name)
		if protocol.CodeOf(err) != protocol.InvalidTopic || !strings.Contains(err.Error(), says) {
			t.Errorf("ValidateTopic(%q) = %v, want %q", name, err, says)
		}
	}
}

func TestOps(t *testing.T) {
	for op := protocol.OpProduce; op.Valid(); op++ {
		if strings.HasPrefix(op.String(), "op(") {
			t.Errorf("operation %d has no name", op)
		}
		if op.Internal() && op.Partitioned() {
			t.Errorf("%s is internal and has a subject", op)
		}
	}
	if protocol.Op(0).Valid() || protocol.Op(0).String() != "op(0)" || protocol.Op(200).Valid() {
		t.Error("an operation out of range is valid")
	}
	if !protocol.OpPub.Appends() || protocol.OpFetch.Appends() {
		t.Error("Appends is wrong")
	}
}

func subjectOf(op protocol.Op, topic string, p protocol.Partition) string {
	switch op {
	case protocol.OpProduce:
		return protocol.ProduceSubject(topic, p)
	case protocol.OpPub:
		return protocol.PubSubject(topic, p)
	case protocol.OpFetch:
		return protocol.FetchSubject(topic, p)
	default:
		return protocol.OffsetsSubject(topic, p)
	}
}

func FuzzParseSubject(f *testing.F) {
	f.Add("logq.v1.produce.0.orders.eu")
	f.Add("logq.v1.pub._.a")
	f.Add("logq.v1.fetch.65536.a")
	f.Add("logq.v1.admin.topic.create")
	f.Fuzz(func(t *testing.T, s string) {
		op, p, topic, err := protocol.ParseSubject(s)
		if err != nil {
			if protocol.CodeOf(err) == protocol.UnknownServerError {
				t.Fatalf("ParseSubject(%q) = %v: no code", s, err)
			}
			return
		}
		if op.Internal() {
			t.Fatalf("%q leads to the internal operation %s", s, op)
		}
		if !op.Partitioned() {
			return
		}
		if err := protocol.ValidateTopic(topic); err != nil {
			t.Fatalf("%q is accepted with the topic %q: %v", s, topic, err)
		}
		if again := subjectOf(op, topic, p); again != s {
			t.Fatalf("%q has a second form %q", s, again)
		}
	})
}
