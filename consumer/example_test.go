package consumer_test

import (
	"context"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/consumer"
)

func Example() {
	nc, err := nats.Connect("nats://127.0.0.1:4222")
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()

	c, err := consumer.New(nc, "events", consumer.WithStart(consumer.Earliest()), consumer.WithUntilEnd())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for r, err := range c.Records(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d/%d %s\n", r.Partition, r.Offset, r.Value)
	}
}
