package record_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/logq/logq/record"
)

var codecs = []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd}

// plain are the options of a builder without a producer id.
func plain(c record.Codec) record.BuilderOptions {
	return record.BuilderOptions{Codec: c, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
}

// must fails the test at an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// seal makes one batch of the records.
func seal(tb testing.TB, o record.BuilderOptions, rs ...record.Record) record.Batch {
	tb.Helper()
	b := record.NewBuilder(o)
	for i, r := range rs {
		if err := b.Append(r); err != nil {
			tb.Fatalf("record %d: %v", i, err)
		}
	}
	sealed, err := b.Seal(nil)
	must(tb, err)
	return sealed
}

// decode returns copies of a batch's records.
func decode(d *record.Decoder, b record.Batch) ([]record.Record, error) {
	if err := d.Reset(b); err != nil {
		return nil, err
	}
	var out []record.Record
	for d.Next() {
		out = append(out, clone(*d.Record()))
	}
	return out, d.Err()
}

func clone(r record.Record) record.Record {
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		h := &r.Headers[i]
		h.Key, h.Value = bytes.Clone(h.Key), bytes.Clone(h.Value)
	}
	return r
}

// same compares records; null and empty differ, but for a header's key and a
// table of no headers.
func same(a, b record.Record) bool {
	equal := func(x, y []byte) bool { return (x == nil) == (y == nil) && bytes.Equal(x, y) }
	return a.Offset == b.Offset && a.Timestamp == b.Timestamp && equal(a.Key, b.Key) && equal(a.Value, b.Value) &&
		slices.EqualFunc(a.Headers, b.Headers, func(x, y record.Header) bool {
			return bytes.Equal(x.Key, y.Key) && equal(x.Value, y.Value)
		})
}

func compare(tb testing.TB, got, want []record.Record) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if !same(got[i], want[i]) {
			tb.Fatalf("record %d is\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
}

// recrc writes the CRC anew after a test has changed what it covers.
func recrc(b record.Batch) record.Batch {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// rawBatch frames records' bytes, whatever they are.
func rawBatch(c record.Codec, count int, records []byte) record.Batch {
	b := make([]byte, record.HeaderSize, record.HeaderSize+len(records))
	b = append(b, records...)
	be := binary.BigEndian
	be.PutUint32(b[8:], uint32(len(b)-12))
	be.PutUint32(b[12:], 0xffffffff)
	b[16] = 2
	be.PutUint16(b[21:], uint16(c))
	be.PutUint32(b[23:], uint32(count-1))
	for i := 43; i < 57; i++ {
		b[i] = 0xff
	}
	be.PutUint32(b[57:], uint32(count))
	return recrc(b)
}

// logLines returns records like those of a web server's log, about size bytes each.
func logLines(n, size int) []record.Record {
	r := rand.New(rand.NewPCG(1, 2))
	paths := []string{"/", "/index.html", "/api/v1/users", "/api/v1/orders", "/static/app.js", "/static/style.css", "/login", "/health"}
	agents := []string{"Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0", "Go-http-client/2.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4)"}
	out := make([]record.Record, n)
	for i := range out {
		var line []byte
		for len(line) < size {
			line = fmt.Appendf(line, `10.%d.%d.%d "GET %s?id=%d HTTP/1.1" %d %d %dus "%s" `, r.IntN(4), r.IntN(256), r.IntN(256),
				paths[r.IntN(len(paths))], r.IntN(1e6), 200+r.IntN(2)*204, r.IntN(1e5), r.IntN(1e6), agents[r.IntN(len(agents))])
		}
		out[i] = record.Record{Timestamp: 1700000000000 + int64(i), Value: line[:size]}
	}
	return out
}

// noise returns records that no codec shrinks.
func noise(n, size int) []record.Record {
	src := rand.NewChaCha8([32]byte{1})
	out := make([]record.Record, n)
	for i := range out {
		v := make([]byte, size)
		_, _ = src.Read(v) // never fails
		out[i] = record.Record{Timestamp: 1700000000000 + int64(i), Value: v}
	}
	return out
}

// randomRecord returns a record of any shape.
func randomRecord(r *rand.Rand) record.Record {
	field := func(most int) []byte {
		switch r.IntN(6) {
		case 0:
			return nil
		case 1:
			return []byte{}
		}
		b := make([]byte, r.IntN(most))
		for i := range b {
			b[i] = "abcdefgh\x00\xff"[r.IntN(10)]
		}
		return b
	}
	most := []int{4, 64, 130, 9000}[r.IntN(4)]
	out := record.Record{Key: field(most), Value: field(most)}
	switch r.IntN(4) {
	case 0:
		out.Timestamp = int64(r.Uint64())
	default:
		out.Timestamp = 1700000000000 + r.Int64N(100000) - 50000
	}
	if r.IntN(3) == 0 {
		for range r.IntN(5) {
			out.Headers = append(out.Headers, record.Header{Key: append([]byte{}, field(20)...), Value: field(20)})
		}
	}
	return out
}
