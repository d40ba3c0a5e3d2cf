//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/admin"
	"github.com/logq/logq/consumer"
	"github.com/logq/logq/internal/powerloss"
	"github.com/logq/logq/producer"
)

// stream is what is produced to a topic: so many records of such sizes at every tick.
type stream struct {
	topic      string
	partitions int
	tick       time.Duration
	records    int
	bytesMin   int
	bytesMax   int
	segment    string // segment.bytes of the topic: small, so that segments roll under the load
	resumed    atomic.Int64
}

func (s *stream) spec() admin.TopicSpec {
	return admin.TopicSpec{
		Name: s.topic, Partitions: s.partitions, Replicas: brokers,
		Config: map[string]string{"segment.bytes": s.segment},
	}
}

func smallRecords(topic string) *stream {
	return &stream{topic: topic, partitions: 12, tick: 5 * time.Millisecond, records: 15, bytesMin: 8, bytesMax: 300, segment: "1048576"}
}

func largeRecords(topic string) *stream {
	return &stream{topic: topic, partitions: 2, tick: 25 * time.Millisecond, records: 2, bytesMin: 1000, bytesMax: 120_000, segment: "4194304"}
}

// load is the load of one round. Its methods but send are for one goroutine.
type load struct {
	ledger  *powerloss.Ledger
	nc      *nats.Conn
	p       *producer.Producer
	streams []*stream

	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup
	after atomic.Bool // the power is back
}

// buffer bounds what waits while no broker is there.
const buffer = 8 << 20

func newLoad(ctx context.Context, nc *nats.Conn, ledger *powerloss.Ledger) (*load, error) {
	p, err := producer.New(nc, producer.WithBufferBytes(buffer))
	if err != nil {
		return nil, err
	}
	l := &load{ledger: ledger, nc: nc, p: p}
	l.ctx, l.stop = context.WithCancel(ctx)
	return l, nil
}

// begin produces to a topic, and follows it, until the load ends.
func (l *load) begin(s *stream, rng *rand.Rand) {
	l.streams = append(l.streams, s)
	l.wg.Go(func() { l.produce(s, rng) })
	l.wg.Go(func() { l.follow(s.topic) })
}

func (l *load) produce(s *stream, rng *rand.Rand) {
	tick := time.NewTicker(s.tick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			return
		}
		for range s.records {
			l.send(s, int32(rng.IntN(s.partitions)), s.bytesMin+rng.IntN(s.bytesMax-s.bytesMin))
		}
	}
}

// send hands one record over and enters in the ledger what becomes of it.
func (l *load) send(s *stream, partition int32, bytes int) {
	id, value := l.ledger.Send(s.topic, partition, bytes)
	after := l.after.Load()
	done := func(a producer.Ack, err error) {
		if err != nil {
			var typed *producer.Error
			l.ledger.Failed(id, !errors.As(err, &typed) || typed.Outcome != producer.NotWritten)
			return
		}
		l.ledger.Acked(id, a.Offset, a.MaybeDuplicate)
		if after {
			s.resumed.Add(1)
		}
	}
	if err := l.p.ProduceAsync(l.ctx, producer.Record{Topic: s.topic, Partition: partition, Value: value}, done); err != nil {
		done(producer.Ack{}, err)
	}
}

// follow reads what is new, as long as the load lasts: what a consumer has seen must
// stay as well.
func (l *load) follow(topic string) {
	for l.ctx.Err() == nil {
		// A consumer that loses its brokers begins again; what went by meanwhile is
		// read at the end of the round.
		if err := l.followOnce(topic); err != nil && pause(l.ctx, 50*time.Millisecond) != nil {
			return
		}
	}
}

func (l *load) followOnce(topic string) error {
	c, err := consumer.New(l.nc, topic, consumer.WithStart(consumer.Latest()))
	if err != nil {
		return err
	}
	defer c.Close()
	for r, err := range c.Records(l.ctx) {
		if err != nil {
			return err
		}
		l.ledger.Saw(topic, r.Partition, r.Offset, r.Value)
	}
	return nil
}

// powerIsBack says that the brokers were started again.
func (l *load) powerIsBack() { l.after.Store(true) }

// resumedMin is how many records of each stream that were sent after the power came
// back must be acknowledged.
const resumedMin = 20

// waitResumed waits until all streams are acknowledged again, or gives up with ctx.
func (l *load) waitResumed(ctx context.Context, all []*broker) error {
	for _, s := range l.streams {
		for s.resumed.Load() < resumedMin {
			if err := ended(all); err != nil {
				return err
			}
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return fmt.Errorf("topic %s: %d records acknowledged since the power is back: %w", s.topic, s.resumed.Load(), err)
			}
		}
	}
	return nil
}

// end stops the load and waits until everything is decided, at most until ctx ends.
func (l *load) end(ctx context.Context) error {
	l.stop()
	l.wg.Wait()
	return l.p.Close(ctx)
}
