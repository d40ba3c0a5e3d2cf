package segments_test

import (
	"fmt"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// A log takes entries into memory, makes them durable in groups, and gives the
// batches back as they are.
func Example() {
	o := segments.Options{FS: vfs.NewMem(), Dir: "topic/0", Identity: segments.Identity{Partition: 0}}
	log, _, err := segments.Open(o)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, text := range []string{"first", "second", "third"} {
		b := record.NewBuilder(record.BuilderOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
		if err := b.Append(record.Record{Timestamp: 1700000000000, Value: []byte(text)}); err != nil {
			fmt.Println(err)
			return
		}
		batch, err := b.Seal(nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		record.Batch(batch).Assign(log.NextOffset(), 1)
		err = log.Append(segments.Frame{
			Kind: segments.KindData, Index: log.Last() + 1, Term: 1, PrevTerm: log.LastTerm(),
			BaseOffset: log.NextOffset(), Records: 1, MaxTimestamp: 1700000000000, Payload: batch,
		}, segments.Local{WriteTerm: 1})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println("durable before the flush:", log.Durable())
	if err := log.Flush(); err != nil { // one write, one fdatasync for all three
		fmt.Println(err)
		return
	}
	fmt.Println("durable after it:", log.Durable())

	out, next, err := log.ReadBatches(nil, 1, log.NextOffset(), 1<<20)
	if err != nil {
		fmt.Println(err)
		return
	}
	for len(out) > 0 {
		var b record.Batch
		if b, out, err = record.Next(out); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("batch at offset", b.BaseOffset())
	}
	fmt.Println("next:", next, log.Close())
	// Output:
	// durable before the flush: 0
	// durable after it: 3
	// batch at offset 1
	// batch at offset 2
	// next: 3 <nil>
}
