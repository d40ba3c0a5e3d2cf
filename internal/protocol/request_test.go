package protocol_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/logq/logq/internal/protocol"
)

func requests() []protocol.Request {
	return []protocol.Request{
		{Op: protocol.OpMeta},
		{Op: protocol.OpProduce, Topic: "orders.eu", Partition: 7, Epoch: 5, DeadlineMs: 3000, Hops: 1, Body: []byte("batch")},
		{
			Op: protocol.OpPub, Topic: "a", Partition: protocol.AnyPartition, Key: []byte("k"), Body: []byte("hi"),
			Headers: []protocol.Header{{Name: "A", Value: []byte("1")}, {Name: "", Value: []byte{}}},
		},
		{Op: protocol.OpPub, Topic: "a", Key: []byte{}, Epoch: 1 << 62, DeadlineMs: math.MaxUint32, Hops: 255, Partition: protocol.MaxPartitions - 1},
	}
}

func responses() []protocol.Response {
	return []protocol.Response{
		{},
		{Partition: 3, Epoch: 9, BaseOffset: 10, LastOffset: 12},
		{Epoch: 1, HighWatermark: 100, LogStart: 5, NextOffset: 20, Body: []byte("batches")},
		{BaseOffset: math.MaxInt64, TimestampMs: -1, LogStart: math.MinInt64},
		{Err: protocol.Errorf(protocol.NotLeaderOrFollower, "moved").WithLeader(3, "nats://c:4222")},
		{Err: protocol.Errorf(protocol.StorageError, "lost").WithOutcome(protocol.Unknown)},
		{Err: protocol.Errorf(protocol.RequestTimedOut, "too late").WithOutcome(protocol.NotWritten)},
	}
}

func TestRequestRoundTrip(t *testing.T) {
	for _, want := range requests() {
		prefix := []byte("prefix")
		raw := want.AppendTo(prefix)[len(prefix):]
		var got protocol.Request
		if err := got.Decode(raw); err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		if want.Body == nil {
			want.Body = []byte{}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		for n := range raw {
			var de *protocol.DecodeError
			if err := new(protocol.Request).Decode(raw[:n]); !errors.As(err, &de) {
				t.Errorf("cut at %d of %d: %v", n, len(raw), err)
			}
		}
		if err := new(protocol.Request).Decode(append(raw, 0)); err == nil || !strings.Contains(err.Error(), "after the end") {
			t.Errorf("a trailing byte is accepted: %v", err)
		}
	}
}

func TestResponseRoundTrip(t *testing.T) {
	for _, want := range responses() {
		raw := want.AppendTo(nil)
		var got protocol.Response
		if err := got.Decode(raw); err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		if want.Err == nil && want.Body == nil {
			want.Body = []byte{}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		for n := range raw {
			var de *protocol.DecodeError
			if err := new(protocol.Response).Decode(raw[:n]); !errors.As(err, &de) {
				t.Errorf("cut at %d of %d: %v", n, len(raw), err)
			}
		}
	}
}

// The binary forms pass between brokers of different versions: they may not change without a new version byte.
func TestCodecGolden(t *testing.T) {
	var b strings.Builder
	for _, r := range requests() {
		b.WriteString("request  " + hex.EncodeToString(r.AppendTo(nil)) + "\n")
	}
	for _, r := range responses() {
		b.WriteString("response " + hex.EncodeToString(r.AppendTo(nil)) + "\n")
	}
	golden(t, "codec.txt", b.String())
}

func TestDecodeRefuses(t *testing.T) {
	valid := requests()[2]
	tests := []struct {
		name string
		edit func(b []byte) []byte
		says string
	}{
		{"version", func(b []byte) []byte { b[0] = 2; return b }, "version 2"},
		{"op", func(b []byte) []byte { b[1] = 99; return b }, "operation 99"},
		{"flags", func(b []byte) []byte { b[3] |= 4; return b }, "flags"},
		{"count", func(b []byte) []byte {
			return append([]byte{1, byte(protocol.OpPub), 0, 0, 0, 0, 1, 1, 'a'}, 0xff, 0x07, 0)
		}, "do not fit"},
		{"length", func(b []byte) []byte {
			return []byte{1, byte(protocol.OpPub), 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}
		}, "topic is not a number up to 249"},
		{"partition", func(b []byte) []byte {
			return []byte{1, byte(protocol.OpPub), 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x0f}
		}, "partition"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := new(protocol.Request).Decode(tt.edit(valid.AppendTo(nil)))
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
	if err := new(protocol.Response).Decode([]byte{1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0}); err == nil || !strings.Contains(err.Error(), "flags") {
		t.Errorf("unknown flags of a response: %v", err)
	}
	long := protocol.Response{Err: protocol.Errorf(protocol.StorageError, "%s", strings.Repeat("x", 1<<20))}
	var got protocol.Response
	if err := got.Decode(long.AppendTo(nil)); err != nil || len(got.Err.Message) != 8<<10 {
		t.Errorf("a long error text is not cut to its limit: %v, %d bytes", err, len(got.Err.Message))
	}
}

func TestReplyShapes(t *testing.T) {
	r := protocol.Response{Partition: 2, Epoch: 7, BaseOffset: 41, LastOffset: 43, TimestampMs: -1}
	if got, want := r.ProduceReply("t"), (protocol.ProduceReply{Topic: "t", Partition: 2, BaseOffset: 41, LastOffset: 43, Epoch: 7}); got != want {
		t.Errorf("ProduceReply = %+v, want %+v", got, want)
	}
	if got, want := r.PubAck("t"), (protocol.PubAck{Stream: "t", Seq: 42, Partition: 2, Offset: 41}); got != want {
		t.Errorf("PubAck = %+v, want %+v", got, want)
	}
	if got, want := r.OffsetsReply(), (protocol.OffsetsReply{Offset: 41, TimestampMs: -1, Epoch: 7}); got != want {
		t.Errorf("OffsetsReply = %+v, want %+v", got, want)
	}
	failed := protocol.ErrorResponse(errors.New("boom")).PubAck("t")
	if failed.Error == nil || failed.Error.Code != 500 || failed.Offset != -1 || failed.Stream != "t" {
		t.Errorf("PubAck of an error = %+v", failed)
	}
}

func FuzzRequestDecode(f *testing.F) {
	for _, r := range requests() {
		f.Add(r.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r protocol.Request
		if err := r.Decode(raw); err != nil {
			return
		}
		again := r.AppendTo(nil)
		var r2 protocol.Request
		if err := r2.Decode(again); err != nil || !reflect.DeepEqual(r, r2) {
			t.Fatalf("%+v does not round-trip: %+v, %v", r, r2, err)
		}
	})
}

func FuzzResponseDecode(f *testing.F) {
	for _, r := range responses() {
		f.Add(r.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r protocol.Response
		if err := r.Decode(raw); err != nil {
			return
		}
		var r2 protocol.Response
		if err := r2.Decode(r.AppendTo(nil)); err != nil || !reflect.DeepEqual(r, r2) {
			t.Fatalf("%+v does not round-trip: %+v, %v", r, r2, err)
		}
	})
}

func BenchmarkRequestCodec(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	body := make([]byte, 64<<10)
	for i := range body {
		body[i] = byte(rng.Uint32())
	}
	r := protocol.Request{Op: protocol.OpProduce, Topic: "orders.eu", Partition: 7, Epoch: 5, DeadlineMs: 3000, Body: body}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = r.AppendTo(buf[:0])
		var got protocol.Request
		if err := got.Decode(buf); err != nil || !bytes.Equal(got.Body[:8], body[:8]) {
			b.Fatal(err)
		}
	}
}
