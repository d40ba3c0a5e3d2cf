package admin_test

import (
	"context"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/admin"
)

func Example() {
	nc, err := nats.Connect("nats://127.0.0.1:4222")
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()

	a := admin.New(nc)
	info, err := a.CreateTopic(context.Background(), admin.TopicSpec{Name: "orders", Partitions: 3, Replicas: 3})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range info.Partitions {
		fmt.Printf("partition %d is led by broker %d\n", p.ID, p.Leader)
	}
}
