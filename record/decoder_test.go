package record_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/logq/logq/record"
)

// body frames a record's fields with their length.
func body(fields ...[]byte) []byte {
	b := slices.Concat(fields...)
	return append(varint(int64(len(b))), b...)
}

func varint(v int64) []byte { return binary.AppendVarint(nil, v) }

// TestDecoderRejects: every way in which records can be malformed is an error of
// the right record, in Next as in Check.
func TestDecoderRejects(t *testing.T) {
	zero := []byte{0}
	null := varint(-1)
	good := func(i int64) []byte { return body(zero, zero, varint(i), null, varint(1), []byte("v"), zero) }
	long := bytes.Repeat([]byte{0xff}, 11)
	for _, c := range []struct {
		name    string
		count   int
		records []byte
		at      int // the record at fault, -1: the batch
		what    string
	}{
		{"length negative", 1, append(varint(-3), make([]byte, 9)...), 0, "length is out of bounds"},
		{"length zero", 1, append(zero, make([]byte, 9)...), 0, "length is out of bounds"},
		{"length too small", 1, append(body(zero, zero, zero, null, null), 0), 0, "length is out of bounds"},
		{"length over the batch", 1, append(varint(60), make([]byte, 9)...), 0, "length is out of bounds"},
		{"length of 63 bits", 1, append(varint(math.MaxInt64), make([]byte, 9)...), 0, "length is out of bounds"},
		{"length without end", 1, long, 0, "length is out of bounds"},
		{"length cut off", 2, append(good(0), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80), 1, "length is out of bounds"},
		{"timestamp without end", 1, body(zero, long), 0, "offset delta is out of order"},
		{"timestamp of 65 bits", 1, body(zero, append(bytes.Repeat([]byte{0xff}, 9), 2), zero, null, null, zero), 0, "offset delta is out of order"},
		{"delta without end", 1, body(zero, zero, long), 0, "offset delta is out of order"},
		{"delta negative", 1, body(zero, zero, varint(-1), null, null, zero), 0, "offset delta is out of order"},
		{"delta over the last", 2, append(good(0), good(2)...), 1, "offset delta is out of order"},
		{"delta twice", 2, append(good(0), good(0)...), 1, "offset delta is out of order"},
		{"delta falls", 3, slices.Concat(good(0), good(1), good(0)), 2, "offset delta is out of order"},
		{"delta of 63 bits", 1, body(zero, zero, varint(math.MaxInt64), null, null, zero), 0, "offset delta is out of order"},
		{"key under -1", 1, body(zero, zero, zero, varint(-2), null, zero), 0, "key, value or number of headers is out of bounds"},
		{"key over the record", 1, body(zero, zero, zero, varint(9), null, zero), 0, "key, value or number of headers is out of bounds"},
		{"key into the next record", 2, append(body(zero, zero, zero, varint(3), null, zero), good(1)...), 0, "key, value or number of headers is out of bounds"},
		{"key of 63 bits", 1, body(zero, zero, zero, varint(math.MaxInt64), null, zero), 0, "key, value or number of headers is out of bounds"},
		{"value under -1", 1, body(zero, zero, zero, null, varint(math.MinInt64), zero), 0, "key, value or number of headers is out of bounds"},
		{"value over the record", 1, body(zero, zero, zero, null, varint(2), zero), 0, "key, value or number of headers is out of bounds"},
		{"no number of headers", 1, body(zero, zero, zero, null, varint(2), zero, zero), 0, "key, value or number of headers is out of bounds"},
		{"headers negative", 1, body(zero, zero, zero, null, null, varint(-1)), 0, "number of headers is out of bounds"},
		{"headers over the record", 1, body(zero, zero, zero, null, null, varint(2), zero, null), 0, "number of headers is out of bounds"},
		{"headers of 63 bits", 1, body(zero, zero, zero, null, null, varint(math.MaxInt64), zero, null), 0, "number of headers is out of bounds"},
		{"header without name", 1, body(zero, zero, zero, null, null, varint(1), null, null), 0, "header is out of bounds or has no name"},
		{"header name over the record", 1, body(zero, zero, zero, null, null, varint(1), varint(5), null), 0, "header is out of bounds or has no name"},
		{"header value over the record", 1, body(zero, zero, zero, null, null, varint(1), zero, varint(5)), 0, "header is out of bounds or has no name"},
		{"bytes in the record", 1, body(zero, zero, zero, null, null, zero, zero), 0, "bytes after the last header"},
		{"bytes after headers", 1, body(zero, zero, zero, null, null, varint(1), zero, null, zero), 0, "bytes after the last header"},
		{"bytes after the records", 1, append(good(0), 0), -1, "bytes after the last record"},
		{"a record too many", 1, append(good(0), good(1)...), -1, "bytes after the last record"},
		{"a record too few", 2, append(good(0), 0, 0, 0, 0, 0, 0, 0), 1, "length is out of bounds"},
		{"no bytes for the count", 3, good(0), -1, "more records than bytes can hold"},
	} {
		for _, f := range foreigners {
			b := rawBatch(f.codec, c.count, f.pack(t, c.records))
			b.Assign(70, 1)
			d := record.NewDecoder(record.DecoderOptions{})
			_, err := decode(d, b)
			if !isCorrupt(err, c.at, c.what) {
				t.Errorf("%s, %s: %v", c.name, f.name, err)
			}
			if d.Next() || d.Err() != err {
				t.Errorf("%s, %s: Next goes on after the error, or Err changes to %v", c.name, f.name, d.Err())
			}
			if err := d.Check(b); !isCorrupt(err, c.at, c.what) {
				t.Errorf("%s, %s: Check: %v", c.name, f.name, err)
			}
		}
	}
}

func isCorrupt(err error, at int, what string) bool {
	var c *record.CorruptError
	return errors.As(err, &c) && c.Record == at && c.What == what && c.BaseOffset == 70 && strings.Contains(err.Error(), "base offset 70")
}

// TestDecoderResetRefuses: what is no batch at all.
func TestDecoderResetRefuses(t *testing.T) {
	d := record.NewDecoder(record.DecoderOptions{})
	b := seal(t, plain(record.None), logLines(3, 40)...)
	for n := range len(b) {
		if err := d.Reset(b[:n]); !errors.Is(err, record.ErrShort) || d.Next() {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if err := d.Check(b[:n]); !errors.Is(err, record.ErrShort) || d.Next() {
			t.Fatalf("%d bytes: Check: %v", n, err)
		}
	}
	var corrupt *record.CorruptError
	if err := d.Reset(append(bytes.Clone(b), 1)); !errors.As(err, &corrupt) {
		t.Errorf("bytes after it: %v", err)
	}
	negative := record.Batch(bytes.Clone(b))
	binary.BigEndian.PutUint32(negative[57:], 1<<31)
	if err := d.Reset(negative); !errors.As(err, &corrupt) || corrupt.What != "record count is negative" {
		t.Errorf("count negative: %v", err)
	}
	// After all that the decoder is as good as new, before the first Reset it is empty.
	must(t, d.Check(b))
	if fresh := record.NewDecoder(record.DecoderOptions{}); fresh.Next() || fresh.Err() != nil {
		t.Error("a decoder without a batch has a record or an error")
	}
}

// TestCompactedBatch: a batch with holes, as a compacted log has them, can be
// decoded but isn't taken in.
func TestCompactedBatch(t *testing.T) {
	null := varint(-1)
	var records []byte
	for _, delta := range []int64{1, 4, 5} {
		records = append(records, body([]byte{0}, varint(delta*10), varint(delta), null, []byte{2, 'v'}, []byte{0})...)
	}
	b := rawBatch(record.None, 3, records)
	binary.BigEndian.PutUint32(b[23:], 7) // the last one is gone as well
	b.Assign(100, 1)
	recrc(b)
	d := record.NewDecoder(record.DecoderOptions{})
	got, err := decode(d, b)
	must(t, err)
	compare(t, got, []record.Record{
		{Offset: 101, Timestamp: 10, Value: []byte("v")}, {Offset: 104, Timestamp: 40, Value: []byte("v")}, {Offset: 105, Timestamp: 50, Value: []byte("v")},
	})
	if b.LastOffset() != 107 {
		t.Errorf("last offset %d", b.LastOffset())
	}
	var corrupt *record.CorruptError
	if err := d.Check(b); !errors.As(err, &corrupt) {
		t.Errorf("Check: %v", err)
	}
}

// TestAppendTime: with the time of the append every record has the batch's.
func TestAppendTime(t *testing.T) {
	b := seal(t, plain(record.None), record.Record{Timestamp: 5}, record.Record{Timestamp: 9})
	b[22] |= 8
	binary.BigEndian.PutUint64(b[35:], 1234)
	recrc(b)
	d := record.NewDecoder(record.DecoderOptions{})
	must(t, d.Check(b))
	got, err := decode(d, b)
	must(t, err)
	compare(t, got, []record.Record{{Offset: 0, Timestamp: 1234}, {Offset: 1, Timestamp: 1234}})
}

// TestDecoderAliases: what is and isn't copied.
func TestDecoderAliases(t *testing.T) {
	for _, codec := range []record.Codec{record.None, record.LZ4} {
		b := seal(t, plain(codec), logLines(10, 200)...)
		d := record.NewDecoder(record.DecoderOptions{})
		must(t, d.Reset(b))
		var values [][]byte
		for d.Next() {
			values = append(values, d.Record().Value)
			if v := d.Record().Value; cap(v) != len(v) {
				t.Fatal("a value's capacity reaches into what follows")
			}
		}
		must(t, d.Err())
		for i, r := range logLines(10, 200) {
			if !bytes.Equal(values[i], r.Value) {
				t.Errorf("%v: value %d changed after Next", codec, i)
			}
		}
	}
}

// TestDecoderHeadersReuse: a record's headers don't show up in the next one.
func TestDecoderHeadersReuse(t *testing.T) {
	rs := []record.Record{
		{Headers: []record.Header{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b")}}},
		{Offset: 1},
		{Offset: 2, Headers: []record.Header{{Key: []byte{}, Value: []byte{}}}},
	}
	got, err := decode(record.NewDecoder(record.DecoderOptions{}), seal(t, plain(record.None), rs...))
	must(t, err)
	compare(t, got, rs)
}
