package record_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	"github.com/logq/logq/record"
)

// zeroRecord is one record with a value of n zeros.
func zeroRecord(n int) []byte {
	return body([]byte{0}, []byte{0}, []byte{0}, varint(-1), varint(int64(n)), make([]byte, n), []byte{0})
}

// allocated returns the bytes that f allocates.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// TestBombs: 40 MB of zeros, packed by every codec that packs them, are stopped at
// a limit of 1 MiB, with memory for little more than that.
func TestBombs(t *testing.T) {
	const limit, most = 1 << 20, 40 << 20
	for _, f := range foreigners {
		if f.codec == record.None || f.name == "snappy-java small blocks" || f.name == "lz4 linked" {
			continue // these expand
		}
		b := rawBatch(f.codec, 1, f.pack(t, zeroRecord(most)))
		must(t, b.Verify())
		warm := record.NewDecoder(record.DecoderOptions{}) // coders are there
		must(t, warm.Check(seal(t, plain(f.codec), logLines(2, 100)...)))
		var err error
		n := allocated(func() {
			d := record.NewDecoder(record.DecoderOptions{MaxBytes: limit})
			if err = d.Reset(b); d.Next() {
				t.Errorf("%s: a record of a batch that is too large", f.name)
			}
		})
		var large *record.DecodedTooLargeError
		if !errors.As(err, &large) || large.Max != limit {
			t.Errorf("%s: %v", f.name, err)
		}
		if n > 4*limit {
			t.Errorf("%s: %d bytes allocated", f.name, n)
		}
		// With a higher limit it is a batch like others.
		d := record.NewDecoder(record.DecoderOptions{MaxBytes: most + 100})
		if got, err := decode(d, b); err != nil || len(got) != 1 || !bytes.Equal(got[0].Value, make([]byte, most)) {
			t.Errorf("%s: with a higher limit: %v", f.name, err)
		}
	}
}

// TestLimitIsExact: what decompresses to just MaxBytes passes, one byte more doesn't.
func TestLimitIsExact(t *testing.T) {
	for _, f := range foreigners {
		if f.codec == record.None {
			continue
		}
		for _, size := range []int{20, 1000, 70_000, 300_000} {
			records := zeroRecord(size)
			b := rawBatch(f.codec, 1, f.pack(t, records))
			for _, reuse := range []bool{false, true} {
				d := record.NewDecoder(record.DecoderOptions{MaxBytes: len(records)})
				if reuse {
					must(t, d.Reset(seal(t, plain(f.codec), record.Record{})))
				}
				if err := d.Check(b); err != nil {
					t.Errorf("%s: %d bytes with that limit: %v", f.name, len(records), err)
				}
				d = record.NewDecoder(record.DecoderOptions{MaxBytes: len(records) - 1})
				var large *record.DecodedTooLargeError
				if err := d.Check(b); !errors.As(err, &large) {
					t.Errorf("%s: %d bytes with a limit of one less: %v", f.name, len(records), err)
				}
			}
		}
	}
}

// TestClaims: sizes that a few bytes claim don't cost memory, or are over the limit.
func TestClaims(t *testing.T) {
	lz4Frame := func(size uint64) []byte {
		b := []byte{0x04, 0x22, 0x4d, 0x18, 0x68, 0x70}
		b = binary.LittleEndian.AppendUint64(b, size)
		b = append(b, record.LZ4HeaderChecksum(b[4:]))
		return append(b, 5, 0, 0, 0, 0x1f, 'a', 1, 0, 255, 0, 0, 0, 0)
	}
	for _, c := range []struct {
		name  string
		codec record.Codec
		src   []byte
		large bool // *DecodedTooLargeError, else *CorruptError
		most  int64
	}{
		{"snappy of 4 GiB", record.Snappy, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 'a'}, false, 1 << 20},
		{"snappy of 60 MB", record.Snappy, append(binary.AppendUvarint(nil, 60<<20), 0, 'a'), false, 1 << 20},
		{"snappy-java of 60 MB", record.Snappy, append([]byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x06"), append(binary.AppendUvarint(nil, 60<<20), 0, 'a')...), false, 1 << 20},
		{"lz4 of 1 TiB", record.LZ4, lz4Frame(1 << 40), true, 1 << 20},
		{"lz4 of 60 MB", record.LZ4, lz4Frame(60 << 20), false, 1 << 20},
		{"lz4 of 2^64-1", record.LZ4, lz4Frame(1<<64 - 1), true, 1 << 20},
		{"zstd of 1 TiB", record.Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0}, false, 1 << 20},
		{"zstd of 60 MB", record.Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0xc0, 3, 1, 0, 0}, false, 1 << 20},
		{"zstd window of 3 TiB", record.Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0xff, 1, 0, 0}, false, 1 << 20},
		{"gzip of 4 GiB", record.Gzip, append(packGzip(t, []byte("a"))[:21], 0xff, 0xff, 0xff, 0xff), false, 1 << 20},
	} {
		b := rawBatch(c.codec, 1, c.src)
		var err error
		n := allocated(func() { err = record.NewDecoder(record.DecoderOptions{}).Reset(b) })
		if large := errors.As(err, new(*record.DecodedTooLargeError)); large != c.large || !large && !errors.As(err, new(*record.CorruptError)) {
			t.Errorf("%s: %v", c.name, err)
		}
		if n > c.most {
			t.Errorf("%s: %d bytes allocated", c.name, n)
		}
	}
}

// TestHeaderTable: the table of a record's headers counts as memory of the batch:
// two bytes of a record may become 48 of it.
func TestHeaderTable(t *testing.T) {
	const n = 500_000
	records := body([]byte{0}, []byte{0}, []byte{0}, varint(-1), varint(-1), varint(n), bytes.Repeat([]byte{0, 1}, n))
	b := rawBatch(record.None, 1, records)
	d := record.NewDecoder(record.DecoderOptions{MaxBytes: 20 << 20})
	var large *record.DecodedTooLargeError
	if err := d.Check(b); !errors.As(err, &large) || d.Next() {
		t.Errorf("with 20 MiB: %v", err)
	}
	d = record.NewDecoder(record.DecoderOptions{})
	must(t, d.Reset(b))
	if !d.Next() || len(d.Record().Headers) != n {
		t.Errorf("with the default: %v", d.Err())
	}
	// And the table isn't kept for ever.
	small := seal(t, plain(record.None), record.Record{Headers: []record.Header{{}}})
	must(t, d.Reset(small))
	if !d.Next() || cap(d.Record().Headers) > 100 {
		t.Errorf("a table of %d headers is kept", cap(d.Record().Headers))
	}
}
