package service

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/logq/logq/record"
)

// BenchmarkCheck measures what the leader's check of a batch costs, per byte of payload: header and CRC only, and with all
// records walked (which means decompressing). The decision in check rests on it.
func BenchmarkCheck(b *testing.B) {
	for _, size := range []int{100, 1024} {
		for _, codec := range []record.Codec{record.None, record.LZ4, record.Zstd} {
			batch, payload := logLines(b, codec, size)
			run := func(walk string, check func(record.Batch) error) {
				b.Run(fmt.Sprintf("record=%d/codec=%s/walk=%s", size, codec, walk), func(b *testing.B) {
					b.SetBytes(int64(payload))
					b.ReportAllocs()
					for b.Loop() {
						if err := check(batch); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			run("no", record.Batch.Verify)
			run("yes", record.NewDecoder(record.DecoderOptions{}).Check)
		}
	}
}

// logLines returns a full batch of text that compresses about as well as logs do.
func logLines(tb testing.TB, codec record.Codec, size int) (batch record.Batch, payload int) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := record.NewBuilder(builderOptions(codec))
	for {
		line := make([]byte, 0, size+64)
		for len(line) < size {
			line = fmt.Appendf(line, "level=info user=%08x path=/v1/items/%d took=%dus ", rng.Uint32(), rng.IntN(1000), rng.IntN(1e6))
		}
		if err := b.Append(record.Record{Timestamp: 1, Value: line[:size]}); err != nil {
			break
		}
		payload += size
	}
	batch, err := b.Seal(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return batch, payload
}
