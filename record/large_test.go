package record_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/logq/logq/record"
)

// TestRecordLargerThanABatch: what compresses well enough has a batch of its own.
func TestRecordLargerThanABatch(t *testing.T) {
	text := bytes.Repeat([]byte("a line of a log, rather long; "), 3<<20/30)
	noise := make([]byte, 3<<20)
	r := rand.NewChaCha8([32]byte{1})
	if _, err := r.Read(noise); err != nil {
		t.Fatal(err)
	}
	for _, codec := range []record.Codec{record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
		b := record.NewBuilder(record.BuilderOptions{Codec: codec, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
		if err := b.Append(record.Record{Value: text}); err != nil {
			t.Fatalf("%v: %v", codec, err)
		}
		if err := b.Append(record.Record{Value: []byte("x")}); !errors.Is(err, record.ErrFull) {
			t.Errorf("%v: a second record: %v", codec, err)
		}
		sealed, err := b.Seal(nil)
		if err != nil || len(sealed) > record.MaxBatchBytes {
			t.Fatalf("%v: %d bytes, %v", codec, len(sealed), err)
		}
		d := record.NewDecoder(record.DecoderOptions{})
		if err := d.Reset(sealed); err != nil || !d.Next() || !bytes.Equal(d.Record().Value, text) {
			t.Errorf("%v: doesn't come back: %v", codec, errors.Join(err, d.Err()))
		}
		var large *record.TooLargeError
		if err := b.Append(record.Record{Value: noise}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Seal(nil); !errors.As(err, &large) || b.Count() != 0 {
			t.Errorf("%v: noise is sealed with %v", codec, err)
		}
		if err := b.Append(record.Record{Value: make([]byte, record.MaxRecordBytes)}); !errors.As(err, &large) {
			t.Errorf("%v: a record over the limit: %v", codec, err)
		}
	}
	plain := record.NewBuilder(record.BuilderOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	var large *record.TooLargeError
	if err := plain.Append(record.Record{Value: text}); !errors.As(err, &large) {
		t.Errorf("without a codec: %v", err)
	}
}
