package producer

import (
	"sync"
	"time"

	"github.com/logq/logq/record"
)

// batch are records of one partition that go out together. It belongs to its partition's lock while it is open, and to the
// partition's sender afterwards.
type batch struct {
	builder   *record.Builder
	callbacks []func(Ack, error) // one per record, may be nil
	bytes     int64              // in the buffer
	values    int64              // bytes of keys and values
	opened    time.Time
	full      bool
	alone     bool // its one record is larger than batches may grow

	sealed []byte // the batch as it is sent; its memory is used again
	err    error  // of sealing
	ready  bool   // sealed or err is set
}

// batches recycles batches with their memory.
type batches struct {
	o    *options
	pool sync.Pool
}

func (p *batches) builder(maxBytes int) *record.Builder {
	return record.NewBuilder(record.BuilderOptions{Codec: p.o.codec, MaxBytes: maxBytes, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
}

// get returns an empty batch.
func (p *batches) get() *batch {
	b, ok := p.pool.Get().(*batch)
	if !ok {
		b = &batch{builder: p.builder(p.o.batchBytes)}
	}
	b.opened = time.Now()
	return b
}

// large returns a batch for one record that is larger than batches may grow.
func (p *batches) large() *batch {
	return &batch{builder: p.builder(largestBatch), opened: time.Now(), alone: true}
}

func (p *batches) put(b *batch) {
	if b.alone {
		return
	}
	clear(b.callbacks)
	b.builder.Reset()
	*b = batch{builder: b.builder, callbacks: b.callbacks[:0], sealed: b.sealed[:0]}
	p.pool.Put(b)
}

// seal compresses the batch, once.
func (b *batch) seal() {
	if !b.ready {
		b.sealed, b.err = b.builder.Seal(b.sealed[:0])
		b.ready = true
	}
}
