package producer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/fakebroker"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// instant is a cluster that acknowledges everything at once: what is left is the producer's own work.
type instant struct {
	parts int
	next  atomic.Int64
}

func (c *instant) Partitions(context.Context, string, bool) (int, error) { return c.parts, nil }
func (c *instant) Close()                                                {}

func (c *instant) Start(_ context.Context, r *client.Request) call {
	n := int64(record.Batch(r.Body).Count())
	last := c.next.Add(n) - 1
	body, err := json.Marshal(protocol.ProduceReply{BaseOffset: last - n + 1, LastOffset: last})
	return acked{client.Reply{Body: body}, err}
}

type acked struct {
	reply client.Reply
	err   error
}

func (a acked) Wait(context.Context) (client.Reply, error) { return a.reply, a.err }

// BenchmarkProduceAsync is the cost of a record in the producer alone: choice, accumulation, compression, callback.
func BenchmarkProduceAsync(b *testing.B) {
	for _, size := range []int{100, 1024} {
		for _, codec := range []record.Codec{record.None, record.Zstd} {
			for _, key := range []bool{false, true} {
				b.Run(fmt.Sprintf("record=%d/codec=%s/key=%t", size, codec, key), func(b *testing.B) {
					o := defaults()
					o.codec = codec
					if err := o.validate(); err != nil {
						b.Fatal(err)
					}
					bench(b, newProducer(o, &instant{parts: 8}), size, key)
				})
			}
		}
	}
}

// BenchmarkProduceOverNATS adds the client, nats.go, a NATS server and the fake broker, all on the same cores.
func BenchmarkProduceOverNATS(b *testing.B) {
	for _, parts := range []int{1, 8} {
		for _, codec := range []record.Codec{record.None, record.Zstd} {
			b.Run(fmt.Sprintf("record=100/partitions=%d/codec=%s", parts, codec), func(b *testing.B) {
				c := fakebroker.Start(b, fakebroker.Options{Brokers: 3, Forget: true})
				c.CreateTopic("t", parts)
				p, err := New(c.Connect(b), WithCodec(codec))
				if err != nil {
					b.Fatal(err)
				}
				bench(b, p, 100, false)
			})
		}
	}
}

func bench(b *testing.B, p *Producer, size int, key bool) {
	value := payload(size)
	r := Record{Topic: "t", Partition: -1, Value: value}
	if key {
		r.Key = []byte("user-0017")
	}
	done := func(_ Ack, err error) {
		if err != nil {
			b.Error(err)
		}
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.ProduceAsync(b.Context(), r, done); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Close(context.Background()); err != nil {
		b.Error(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrecords/s")
}

// payload compresses about as text does.
func payload(n int) []byte {
	words := []byte("time=2024-05-06T07:08:09Z level=info msg=\"request served\" status=200 took=1.23ms path=/v1/events user=17 ")
	return bytes.Repeat(words, n/len(words)+1)[:n]
}

// TestNoAllocationPerRecord: the hot path allocates per batch, not per record.
func TestNoAllocationPerRecord(t *testing.T) {
	o := defaults()
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	p := newProducer(o, &instant{parts: 1})
	r := Record{Topic: "t", Value: payload(100)}
	var got atomic.Int64
	done := func(Ack, error) { got.Add(1) }
	for range 50_000 { // so that the memory of batches has grown
		if err := p.ProduceAsync(t.Context(), r, done); err != nil {
			t.Fatal(err)
		}
	}
	const many = 10_000
	n := testing.AllocsPerRun(10, func() {
		for range many {
			if err := p.ProduceAsync(t.Context(), r, done); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n > many/10 {
		t.Errorf("%.0f allocations for %d records", n, many)
	}
	closeNow(t, p)
}
