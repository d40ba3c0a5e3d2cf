package record_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/logq/logq/record"
)

// Throughput is in bytes of uncompressed batches; ns/record is beside it.

var benchData = []struct {
	name  string
	sizes []int
	make  func(n, size int) []record.Record
}{
	{"log", []int{20, 100, 1000}, logLines},
	{"noise", []int{100, 1000}, noise},
}

// forEachLoad runs f with records that fill a batch.
func forEachLoad(b *testing.B, f func(b *testing.B, c record.Codec, rs []record.Record)) {
	for _, c := range codecs {
		for _, data := range benchData {
			for _, size := range data.sizes {
				rs := data.make(record.MaxBatchBytes/(size+20), size)
				b.Run(fmt.Sprintf("codec=%s/data=%s/record=%d", c, data.name, size), func(b *testing.B) {
					b.ReportAllocs()
					f(b, c, rs)
				})
			}
		}
	}
}

func perRecord(b *testing.B, records int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(records), "ns/record")
}

// fill appends all records and returns the size of the batch.
func fill(tb testing.TB, w *record.Builder, rs []record.Record) int {
	for i := range rs {
		if err := w.Append(rs[i]); err != nil {
			tb.Fatal(err)
		}
	}
	return w.Size()
}

// BenchmarkBuild is the producer's work: append records until a batch is full,
// then seal it.
func BenchmarkBuild(b *testing.B) {
	forEachLoad(b, func(b *testing.B, c record.Codec, rs []record.Record) {
		w := record.NewBuilder(plain(c))
		b.SetBytes(int64(fill(b, w, rs)))
		sealed, err := w.Seal(nil)
		for b.Loop() && err == nil {
			fill(b, w, rs)
			sealed, err = w.Seal(sealed[:0])
		}
		must(b, err)
		perRecord(b, len(rs))
		b.ReportMetric(float64(len(sealed))/float64(seal0(b, rs)), "ratio")
	})
}

// seal0 returns the size of the uncompressed batch.
func seal0(b *testing.B, rs []record.Record) int {
	return fill(b, record.NewBuilder(plain(record.None)), rs)
}

// BenchmarkAppend is Append alone.
func BenchmarkAppend(b *testing.B) {
	headers := []record.Header{{Key: []byte("trace"), Value: []byte("0123456789abcdef")}, {Key: []byte("span"), Value: []byte("01234567")}}
	for _, size := range []int{20, 100, 1000} {
		for _, n := range []int{0, 2} {
			b.Run(fmt.Sprintf("record=%d/headers=%d", size, n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size))
				w := record.NewBuilder(plain(record.None))
				r := record.Record{Timestamp: 1700000000000, Value: make([]byte, size), Headers: headers[:n]}
				for b.Loop() {
					r.Timestamp++
					if err := w.Append(r); errors.Is(err, record.ErrFull) {
						w.Reset()
					}
				}
			})
		}
	}
}

// BenchmarkDecode is the consumer's work: decompress, then walk the records.
func BenchmarkDecode(b *testing.B) {
	forEachLoad(b, func(b *testing.B, c record.Codec, rs []record.Record) {
		batch := seal(b, plain(c), rs...)
		d := record.NewDecoder(record.DecoderOptions{})
		b.SetBytes(int64(seal0(b, rs)))
		values := 0
		for b.Loop() {
			if err := d.Reset(batch); err != nil {
				b.Fatal(err)
			}
			for d.Next() {
				values += len(d.Record().Value)
			}
			if d.Err() != nil {
				b.Fatal(d.Err())
			}
		}
		perRecord(b, len(rs))
	})
}

// BenchmarkVerify is what the broker does with every batch: the header and the CRC.
func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 1000 << 10} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			batch := seal(b, plain(record.None), noise(1, size-100)...)
			b.ReportAllocs()
			b.SetBytes(int64(len(batch)))
			for b.Loop() {
				if err := batch.Verify(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCheck is Verify and a walk of all records.
func BenchmarkCheck(b *testing.B) {
	for _, c := range []record.Codec{record.None, record.Zstd} {
		b.Run(fmt.Sprintf("codec=%s/record=100", c), func(b *testing.B) {
			rs := logLines(8000, 100)
			batch := seal(b, plain(c), rs...)
			d := record.NewDecoder(record.DecoderOptions{})
			b.ReportAllocs()
			b.SetBytes(int64(seal0(b, rs)))
			for b.Loop() {
				if err := d.Check(batch); err != nil {
					b.Fatal(err)
				}
			}
			perRecord(b, len(rs))
		})
	}
}

// BenchmarkSmallBatches is what an idle topic sees: one record at a time.
func BenchmarkSmallBatches(b *testing.B) {
	for _, c := range codecs {
		b.Run(fmt.Sprintf("codec=%s/record=100", c), func(b *testing.B) {
			rs := logLines(1, 100)
			w := record.NewBuilder(plain(c))
			d := record.NewDecoder(record.DecoderOptions{})
			var sealed []byte
			b.ReportAllocs()
			for b.Loop() {
				fill(b, w, rs)
				var err error
				if sealed, err = w.Seal(sealed[:0]); err != nil {
					b.Fatal(err)
				}
				if err := d.Check(sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
