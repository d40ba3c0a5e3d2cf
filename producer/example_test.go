package producer_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/fakebroker"
	"github.com/logq/logq/producer"
	"github.com/logq/logq/record"
)

// connect stands for nats.Connect("nats://127.0.0.1:4222"): a cluster with a topic that ends with the example.
func connect() (nc *nats.Conn, end func()) {
	tb := new(fakebroker.Outside)
	c := fakebroker.Start(tb, fakebroker.Options{Brokers: 3})
	c.CreateTopic("events", 4)
	return c.Connect(tb), func() {
		if err := tb.End(); err != nil {
			fmt.Println(err)
		}
	}
}

func Example() {
	ctx := context.Background()
	nc, end := connect() // nats.Connect(…)
	defer end()

	p, err := producer.New(nc)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(ctx)
	ack, err := p.Produce(ctx, producer.Record{Topic: "events", Partition: -1, Key: []byte("user-17"), Value: []byte("signed in")})
	if err != nil {
		fmt.Println(err) // a *producer.Error: its Outcome is NotWritten or Unknown
		return
	}
	fmt.Println("partition", ack.Partition, "offset", ack.Offset)
	// Output: partition 0 offset 0
}

func ExampleProducer_ProduceAsync() {
	ctx := context.Background()
	nc, end := connect()
	defer end()
	p, err := producer.New(nc, producer.WithCodec(record.LZ4), producer.WithLinger(5*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range 1000 {
		r := producer.Record{Topic: "events", Partition: 2, Value: fmt.Append(nil, "event ", i)}
		err := p.ProduceAsync(ctx, r, func(ack producer.Ack, err error) {
			var failed *producer.Error
			switch {
			case err == nil && ack.Offset == 999:
				fmt.Println("the last one is stored")
			case errors.As(err, &failed) && failed.Outcome == producer.NotWritten:
				fmt.Println("not stored; sending it again cannot duplicate it:", err)
			case err != nil:
				fmt.Println("stored or not:", err)
			}
		})
		if err != nil {
			fmt.Println(err) // the buffer was full until ctx ended, or there is no such topic
			return
		}
	}
	if err := p.Close(ctx); err != nil { // waits for all of them
		fmt.Println(err)
	}
	fmt.Println(p.Stats().Acked, "acknowledged")
	// Output:
	// the last one is stored
	// 1000 acknowledged
}
