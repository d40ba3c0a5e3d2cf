package record_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/logq/logq/record"
)

// TestBuilderSize: the size is exact after every record, and so is the limit.
func TestBuilderSize(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		b := record.NewBuilder(plain(record.None))
		if b.Size() != record.HeaderSize || b.Count() != 0 {
			t.Fatalf("an empty builder has %d bytes, %d records", b.Size(), b.Count())
		}
		var rs []record.Record
		for len(rs) < 1+r.IntN(100) {
			rs = append(rs, randomRecord(r))
			must(t, b.Append(rs[len(rs)-1]))
		}
		size := b.Size()
		sealed, err := b.Seal(nil)
		if err != nil || len(sealed) != size || b.Size() != record.HeaderSize || b.Count() != 0 {
			t.Fatalf("sealed %d bytes, Size was %d: %v", len(sealed), size, err)
		}
		// A limit of just that many bytes takes them all, one byte less doesn't.
		o := plain(record.None)
		o.MaxBytes = size
		if again := seal(t, o, rs...); !bytes.Equal(again, sealed) {
			t.Fatal("the same records make another batch")
		}
		o.MaxBytes--
		b = record.NewBuilder(o)
		for _, x := range rs[:len(rs)-1] {
			must(t, b.Append(x))
		}
		before := b.Size()
		err = b.Append(rs[len(rs)-1])
		if want := len(rs) > 1; want && !errors.Is(err, record.ErrFull) || !want && !errors.As(err, new(*record.TooLargeError)) {
			t.Fatalf("a byte too few for %d records: %v", len(rs), err)
		}
		if b.Size() != before || b.Count() != len(rs)-1 {
			t.Fatal("a record that doesn't fit has left traces")
		}
	}
}

func TestBuilderLimits(t *testing.T) {
	// The largest value that fits a default batch: 61 bytes of header, and a record
	// of 3 bytes of length, attributes, two deltas, null key, 3 bytes of length, the
	// value, no headers.
	const most = record.MaxBatchBytes - 61 - 11
	b := seal(t, plain(record.None), record.Record{Value: make([]byte, most)})
	if len(b) != record.MaxBatchBytes {
		t.Fatalf("%d bytes", len(b))
	}
	must(t, record.NewDecoder(record.DecoderOptions{}).Check(b))
	var large *record.TooLargeError
	n := record.NewBuilder(plain(record.None))
	if err := n.Append(record.Record{Value: make([]byte, most+1)}); !errors.As(err, &large) || large.Size != most+12 || large.Max != most+11 {
		t.Errorf("one byte more: %v", err)
	}
	// A larger MaxBytes than MaxBatchBytes would make batches that nobody takes.
	o := plain(record.None)
	o.MaxBytes = 4 << 20
	if err := record.NewBuilder(o).Append(record.Record{Value: make([]byte, most+1)}); !errors.As(err, &large) {
		t.Errorf("with a larger MaxBytes: %v", err)
	}
	// With a codec a record may be as large as MaxRecordBytes, framing included.
	const mostAlone = record.MaxRecordBytes - 13
	z := record.NewBuilder(plain(record.Zstd))
	if err := z.Append(record.Record{Value: make([]byte, mostAlone+1)}); !errors.As(err, &large) || large.Max != record.MaxRecordBytes {
		t.Errorf("over MaxRecordBytes: %v", err)
	}
	must(t, z.Append(record.Record{Value: make([]byte, mostAlone)}))
	if _, err := z.Seal(nil); err != nil {
		t.Error(err)
	}
	// A full builder says so first, whatever the record: it may fit another batch.
	must(t, z.Append(record.Record{Value: []byte("v")}))
	if err := z.Append(record.Record{Value: make([]byte, mostAlone+1)}); !errors.Is(err, record.ErrFull) {
		t.Error(err)
	}
}

// TestSealedIsNeverLarger: batches of incompressible records keep to MaxBytes, and
// are stored as they are.
func TestSealedIsNeverLarger(t *testing.T) {
	for _, codec := range codecs {
		for _, max := range []int{100, 1000, 5000, record.MaxBatchBytes} {
			o := plain(codec)
			o.MaxBytes = max
			b := record.NewBuilder(o)
			for i := 0; ; i++ {
				if err := b.Append(noise(1, min(30+i, 1000))[0]); errors.Is(err, record.ErrFull) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			sealed, err := b.Seal(nil)
			must(t, err)
			if len(sealed) > max || max >= 2000 && record.Batch(sealed).Codec() != record.None && codec != record.None && len(sealed) > max-50 {
				t.Errorf("%v: %d bytes with %v, MaxBytes %d", codec, len(sealed), record.Batch(sealed).Codec(), max)
			}
			must(t, record.NewDecoder(record.DecoderOptions{}).Check(sealed))
		}
	}
	for _, codec := range codecs {
		if b := seal(t, plain(codec), noise(1, 4000)...); b.Codec() != record.None {
			t.Errorf("%v: 4 KB of noise are stored as %v", codec, b.Codec())
		}
		if b := seal(t, plain(codec), record.Record{Value: []byte("v")}); b.Codec() != codec {
			t.Errorf("%v: a small batch shows %v", codec, b.Codec())
		}
	}
}

func TestSealAppends(t *testing.T) {
	for _, codec := range codecs {
		b := record.NewBuilder(plain(codec))
		prefix := []byte("prefix")
		dst := slices.Clone(prefix)
		var ends []int
		for i := range 3 {
			for _, r := range logLines(20*(i+1), 100) {
				must(t, b.Append(r))
			}
			var err error
			dst, err = b.Seal(dst)
			must(t, err)
			ends = append(ends, len(dst))
		}
		if !bytes.HasPrefix(dst, prefix) {
			t.Fatalf("%v: what was in dst is lost", codec)
		}
		rest := dst[len(prefix):]
		for i, end := range ends {
			one, r, err := record.Next(rest)
			if err != nil || len(dst)-len(r) != end || one.Count() != 20*(i+1) {
				t.Fatalf("%v: batch %d: %v", codec, i, err)
			}
			must(t, record.NewDecoder(record.DecoderOptions{}).Check(one))
			rest = r
		}
	}
}

func TestSealErrors(t *testing.T) {
	dst := []byte("kept")
	b := record.NewBuilder(plain(record.None))
	if out, err := b.Seal(dst); !errors.Is(err, record.ErrEmpty) || string(out) != "kept" {
		t.Errorf("empty: %q, %v", out, err)
	}
	bad := record.NewBuilder(plain(record.Codec(7)))
	must(t, bad.Append(record.Record{}))
	var codec *record.UnsupportedCodecError
	if out, err := bad.Seal(dst); !errors.As(err, &codec) || string(out) != "kept" || bad.Count() != 0 {
		t.Errorf("unknown codec: %q, %v", out, err)
	}
}

func TestSetSequence(t *testing.T) {
	b := record.NewBuilder(plain(record.None))
	for i := range int32(3) {
		must(t, b.Append(record.Record{}))
		b.SetSequence(9, 1, i*10)
		sealed, err := b.Seal(nil)
		must(t, err)
		if v := record.Batch(sealed); v.ProducerID() != 9 || v.ProducerEpoch() != 1 || v.BaseSequence() != i*10 {
			t.Errorf("%d: %d %d %d", i, v.ProducerID(), v.ProducerEpoch(), v.BaseSequence())
		}
	}
}

// TestBuilderReset: nothing of dropped records is left.
func TestBuilderReset(t *testing.T) {
	want := seal(t, plain(record.Snappy), logLines(5, 50)...)
	b := record.NewBuilder(plain(record.Snappy))
	for _, r := range []record.Record{{Timestamp: math.MaxInt64, Value: make([]byte, 5<<20)}, {Timestamp: 5, Value: []byte("v")}} {
		must(t, b.Append(r))
		b.Reset()
	}
	for _, r := range logLines(5, 50) {
		must(t, b.Append(r))
	}
	if got, err := b.Seal(nil); err != nil || !bytes.Equal(got, want) {
		t.Errorf("a used builder makes another batch: %v", err)
	}
}

// TestBuilderCopies: the caller may change what it has appended.
func TestBuilderCopies(t *testing.T) {
	buf := []byte("keyvaluename")
	b := record.NewBuilder(plain(record.None))
	must(t, b.Append(record.Record{Key: buf[:3], Value: buf[3:8], Headers: []record.Header{{Key: buf[8:], Value: buf[:0]}}}))
	clear(buf)
	sealed, err := b.Seal(nil)
	must(t, err)
	got, err := decode(record.NewDecoder(record.DecoderOptions{}), sealed)
	must(t, err)
	compare(t, got, []record.Record{{Key: []byte("key"), Value: []byte("value"), Headers: []record.Header{{Key: []byte("name"), Value: []byte{}}}}})
}

// TestTimestampExtremes: differences that overflow come back all the same.
func TestTimestampExtremes(t *testing.T) {
	var rs []record.Record
	for i, ts := range []int64{math.MaxInt64, math.MinInt64, 0, -1, 1, math.MinInt64, math.MaxInt64} {
		rs = append(rs, record.Record{Offset: record.Offset(i), Timestamp: ts})
	}
	b := seal(t, plain(record.None), rs...)
	if b.MaxTimestamp() != math.MaxInt64 || b.BaseTimestamp() != math.MaxInt64 {
		t.Errorf("timestamps from %d to %d", b.BaseTimestamp(), b.MaxTimestamp())
	}
	got, err := decode(record.NewDecoder(record.DecoderOptions{}), b)
	must(t, err)
	compare(t, got, rs)
	// Without positive ones the highest isn't the zero of a fresh builder.
	if b := seal(t, plain(record.None), record.Record{Timestamp: -9}, record.Record{Timestamp: -7}); b.MaxTimestamp() != -7 {
		t.Errorf("max timestamp %d of negative ones", b.MaxTimestamp())
	}
}
