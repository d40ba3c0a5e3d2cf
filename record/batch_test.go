package record_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/logq/logq/record"
)

func TestNext(t *testing.T) {
	one := seal(t, plain(record.None), record.Record{Timestamp: 1, Value: []byte("one")})
	two := seal(t, plain(record.Zstd), logLines(50, 100)...)
	buf := append(bytes.Clone(one), two...)
	b, rest, err := record.Next(buf)
	if err != nil || !bytes.Equal(b, one) || !bytes.Equal(rest, two) || cap(b) != len(one) {
		t.Fatalf("first: %d bytes (cap %d), rest %d: %v", len(b), cap(b), len(rest), err)
	}
	b, rest, err = record.Next(rest)
	if err != nil || !bytes.Equal(b, two) || len(rest) != 0 {
		t.Fatalf("second: %d bytes, rest %d: %v", len(b), len(rest), err)
	}
	for n := range len(one) {
		if b, rest, err := record.Next(one[:n]); !errors.Is(err, record.ErrShort) || b != nil || len(rest) != n {
			t.Fatalf("%d bytes of %d: %v", n, len(one), err)
		}
	}
	for name, damage := range map[string]func(record.Batch){
		"magic 1":              func(b record.Batch) { b[16] = 1 },
		"zeros":                func(b record.Batch) { clear(b) },
		"length negative":      func(b record.Batch) { b[8] = 0x80 },
		"length of no header":  func(b record.Batch) { binary.BigEndian.PutUint32(b[8:], 48) },
		"length over 31 bits":  func(b record.Batch) { binary.BigEndian.PutUint32(b[8:], math.MaxInt32-11) },
		"length zero":          func(b record.Batch) { binary.BigEndian.PutUint32(b[8:], 0) },
		"length most negative": func(b record.Batch) { binary.BigEndian.PutUint32(b[8:], 1<<31) },
	} {
		buf := record.Batch(bytes.Clone(one))
		damage(buf)
		b, rest, err := record.Next(buf)
		var corrupt *record.CorruptError
		if !errors.As(err, &corrupt) || b != nil || !bytes.Equal(rest, buf) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHeaderView(t *testing.T) {
	b := seal(t, record.BuilderOptions{ProducerID: 1 << 40, ProducerEpoch: 300, BaseSequence: 1 << 30},
		record.Record{Timestamp: 100}, record.Record{Timestamp: 300}, record.Record{Timestamp: 200})
	if b.BaseOffset() != 0 || b.LeaderEpoch() != -1 {
		t.Errorf("a new batch has base offset %d and leader epoch %d", b.BaseOffset(), b.LeaderEpoch())
	}
	before := bytes.Clone(b)
	b.Assign(1<<50, 7)
	must(t, b.Verify())
	if !bytes.Equal(b[16:], before[16:]) || !bytes.Equal(b[8:12], before[8:12]) {
		t.Error("Assign changed more than base offset and leader epoch")
	}
	got := []any{
		b.BaseOffset(), b.LastOffset(), b.LeaderEpoch(), b.Count(), b.Codec(), b.Attributes(), b.BaseTimestamp(), b.MaxTimestamp(),
		b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.AppendTime(), b.Transactional(), b.Control(), len(b.Records()),
	}
	want := []any{
		record.Offset(1 << 50), record.Offset(1<<50 + 2), int32(7), 3, record.None, int16(0), int64(100), int64(300),
		int64(1 << 40), int16(300), int32(1 << 30), false, false, false, len(b) - 61,
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("field %d is %v, want %v", i, got[i], want[i])
		}
	}
	// Bits that only brokers set, and one that has no meaning yet.
	for bit, is := range map[uint16]func() bool{0x08: b.AppendTime, 0x10: b.Transactional, 0x20: b.Control, 0x40: nil, 0x4000: nil} {
		binary.BigEndian.PutUint16(b[21:], bit)
		recrc(b)
		if is != nil && !is() {
			t.Errorf("bit %#x isn't seen", bit)
		}
		if err := record.NewDecoder(record.DecoderOptions{}).Check(b); err != nil || b.Codec() != record.None || b.Attributes() != int16(bit) {
			t.Errorf("bit %#x: %v", bit, err)
		}
	}
}

func TestVerify(t *testing.T) {
	whole := seal(t, plain(record.None), logLines(10, 60)...)
	packed := seal(t, plain(record.LZ4), logLines(100, 60)...)
	set32 := func(pos int, v uint32) func(record.Batch) record.Batch {
		return func(b record.Batch) record.Batch {
			binary.BigEndian.PutUint32(b[pos:], v)
			return b
		}
	}
	count := func(n int) func(record.Batch) record.Batch {
		return func(b record.Batch) record.Batch { return set32(57, uint32(n))(set32(23, uint32(n-1))(b)) }
	}
	for _, c := range []struct {
		name   string
		of     record.Batch
		damage func(record.Batch) record.Batch
		crc    bool   // write a right CRC
		want   string // in the message of a *CorruptError
	}{
		{"bit in a record", whole, func(b record.Batch) record.Batch { b[80] ^= 1; return b }, false, "CRC mismatch"},
		{"bit in the CRC", whole, func(b record.Batch) record.Batch { b[17] ^= 1; return b }, false, "CRC mismatch"},
		{"bit in the producer id", whole, func(b record.Batch) record.Batch { b[43] ^= 1; return b }, false, "CRC mismatch"},
		{"bytes after it", whole, func(b record.Batch) record.Batch { return append(b, 0) }, true, "bytes after the batch"},
		{"length too long", whole, func(b record.Batch) record.Batch { b[11]++; return b }, true, ""},
		{"count 0", whole, count(0), true, "record count is not positive"},
		{"count negative", whole, count(-5), true, "record count is not positive"},
		{"count most negative", whole, set32(57, 1<<31), true, "record count is not positive"},
		{"count over the bytes", whole, count(200), true, "more records than bytes can hold"},
		{"count over any bytes", packed, count(10 << 20), true, "more records than bytes can hold"},
		{"last delta", whole, set32(23, 10), true, "last offset delta is not count-1"},
		{"last delta negative", whole, set32(23, 0xffffffff), true, "last offset delta is not count-1"},
		{"base offset negative", whole, func(b record.Batch) record.Batch { b.Assign(-1, 0); return b }, true, "base offset is out of bounds"},
		{"base offset overflows", whole, func(b record.Batch) record.Batch { b.Assign(math.MaxInt64-3, 0); return b }, true, "base offset is out of bounds"},
	} {
		b := c.damage(record.Batch(bytes.Clone(c.of)))
		if c.crc {
			recrc(b)
		}
		err := b.Verify()
		var corrupt *record.CorruptError
		switch {
		case c.want == "" && errors.Is(err, record.ErrShort):
		case c.want == "" || !errors.As(err, &corrupt) || corrupt.What != c.want || corrupt.Record != -1 || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v", c.name, err)
		}
		if err := record.NewDecoder(record.DecoderOptions{}).Check(b); err == nil {
			t.Errorf("%s: Check passes", c.name)
		}
	}
	for n := range len(whole) {
		if err := whole[:n].Verify(); !errors.Is(err, record.ErrShort) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	for c := byte(5); c < 8; c++ {
		b := record.Batch(bytes.Clone(whole))
		b[22] = c
		var codec *record.UnsupportedCodecError
		if err := recrc(b).Verify(); !errors.As(err, &codec) || codec.Codec != record.Codec(c) || !strings.Contains(err.Error(), "zstd") {
			t.Errorf("codec %d: %v", c, err)
		}
		if err := record.NewDecoder(record.DecoderOptions{}).Reset(b); !errors.As(err, &codec) {
			t.Errorf("codec %d is decoded: %v", c, err)
		}
	}
}

// TestEveryBit: whatever bit flips, Verify or the fields outside the CRC show it.
func TestEveryBit(t *testing.T) {
	b := seal(t, plain(record.Snappy), logLines(5, 60)...)
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		outside := i < 64 || i >= 12*8 && i < 16*8 // base offset, leader epoch; bit 7 is the sign
		if err := b.Verify(); (err == nil) != (outside && i != 7) {
			t.Errorf("bit %d: %v", i, err)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	must(t, b.Verify())
}

func TestCodecNames(t *testing.T) {
	for _, c := range codecs {
		if got, err := record.ParseCodec(c.String()); err != nil || got != c {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	for _, s := range []string{"", "Zstd", "brotli", "codec 5"} {
		if _, err := record.ParseCodec(s); err == nil || !strings.Contains(err.Error(), "zstd, snappy") {
			t.Errorf("%q: %v", s, err)
		}
	}
	if s := record.Codec(9).String(); s != "codec 9" {
		t.Error(s)
	}
}
