package cli

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/nats-io/nats.go"

	"github.com/logq/logq/admin"
	"github.com/logq/logq/producer"
)

// demoRun is one demonstration: what was sent and what came back.
type demoRun struct {
	o     demoOptions
	acked atomic.Int64
	parts []*demoPartition
	rep   demoReport
	// single is the latency of records produced one at a time, in µs.
	single *hdrhistogram.Histogram
	half   chan struct{} // closed when half of the records are acked
	late   chan struct{} // closed when three quarters are
	fail   context.CancelCauseFunc
}

// demoPartition follows one partition.
type demoPartition struct {
	mu         sync.Mutex // acks arrive from the producer's goroutines
	latency    *hdrhistogram.Histogram
	lastAck    time.Time
	longestGap time.Duration
	duplicates int64 // acked records that may be there twice

	next int64 // number of the next record expected back
	seen int64 // duplicates that came back

	sent, got uint64 // checksums of the values in order, duplicates left out
}

func newDemoRun(o demoOptions) *demoRun {
	r := &demoRun{o: o, half: make(chan struct{}), late: make(chan struct{}), single: newHistogram()}
	for p := range o.partitions {
		r.parts = append(r.parts, &demoPartition{latency: newHistogram(), next: int64(p)})
	}
	return r
}

// newHistogram counts microseconds up to five minutes, when the demo has failed anyway.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(5*time.Minute/time.Microsecond), 3)
}

// fill writes record number seq: its number, then hexadecimal digits that depend
// on it. They make the values half as large when compressed, as text often is,
// and let the consumer know every byte.
func (r *demoRun) fill(value []byte, seq int64) {
	const digits = "0123456789abcdef"
	binary.BigEndian.PutUint64(value, uint64(seq))
	random := rand.NewPCG(uint64(seq), 0x6c6f6771)
	for i := 8; i < len(value); {
		for bits, n := random.Uint64(), 0; n < 16 && i < len(value); n++ {
			value[i] = digits[bits&15]
			bits >>= 4
			i++
		}
	}
}

// measureLatency produces single records, each after the ack of the one before,
// into a topic of their own: what one ack costs when nothing waits in a queue.
func (r *demoRun) measureLatency(ctx context.Context, nc *nats.Conn) error {
	p, err := producer.New(nc, producer.WithCodec(r.o.codec))
	if err != nil {
		return err
	}
	value := make([]byte, r.o.size)
	until := time.Now().Add(latencyTime)
	for seq := int64(0); seq < latencyWarmup+latencyRecords && err == nil && time.Now().Before(until); seq++ {
		r.fill(value, seq)
		sent := time.Now()
		_, err = p.Produce(ctx, producer.Record{Topic: latencyTopic, Value: value})
		if seq >= latencyWarmup {
			_ = r.single.RecordValue(time.Since(sent).Microseconds())
		}
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), demoPatience)
	defer cancel()
	return errors.Join(err, p.Close(closing))
}

// produce sends everything and, in the middle, kills the leader's broker and
// starts it again. Sending does not wait for that.
func (r *demoRun) produce(ctx context.Context, env Env, cluster *demoCluster, nc *nats.Conn, say func(string, ...any)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.fail = cancel
	p, err := producer.New(nc, producer.WithCodec(r.o.codec), producer.WithDeliveryTimeout(demoPatience*2), producer.WithBufferBytes(demoBufferBytes))
	if err != nil {
		return err
	}
	bar := startProgress(env, "acknowledged", r.o.records, false, r.acked.Load)
	killed := make(chan error, 1)
	go func() { killed <- r.killLeader(ctx, cluster, nc, say) }()

	start, cpu := time.Now(), cpuSeconds()
	err = r.send(ctx, p)
	if err == nil {
		err = p.Flush(ctx)
	}
	r.rep.produced(r.o, time.Since(start), cpuSeconds()-cpu)
	bar.done()
	if err != nil {
		cancel(err)
	}
	killErr := <-killed
	closing, cancelClose := context.WithTimeout(context.WithoutCancel(ctx), demoPatience)
	defer cancelClose()
	closeErr := p.Close(closing)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return errors.Join(err, killErr, closeErr)
}

func (r *demoRun) send(ctx context.Context, p *producer.Producer) error {
	value := make([]byte, r.o.size)
	for seq := range r.o.records {
		part := r.next(value, seq)
		sent := time.Now()
		rec := producer.Record{Topic: demoTopic, Partition: int32(seq % int64(r.o.partitions)), Value: value}
		if err := p.ProduceAsync(ctx, rec, func(a producer.Ack, err error) { r.ack(part, sent, a, err) }); err != nil {
			return err
		}
	}
	return nil
}

// next writes record number seq, counts it as sent and returns its partition.
func (r *demoRun) next(value []byte, seq int64) *demoPartition {
	r.fill(value, seq)
	part := r.parts[seq%int64(r.o.partitions)]
	part.sent = crc64.Update(part.sent, demoCRC, value)
	return part
}

var demoCRC = crc64.MakeTable(crc64.ECMA)

func (r *demoRun) ack(p *demoPartition, sent time.Time, a producer.Ack, err error) {
	if err != nil {
		r.fail(fmt.Errorf("a record was not acknowledged: %w", err))
		return
	}
	now := time.Now()
	p.mu.Lock()
	_ = p.latency.RecordValue(now.Sub(sent).Microseconds())
	if !p.lastAck.IsZero() {
		p.longestGap = max(p.longestGap, now.Sub(p.lastAck))
	}
	p.lastAck = now
	if a.MaybeDuplicate {
		p.duplicates++
	}
	p.mu.Unlock()
	switch r.acked.Add(1) {
	case r.o.records / 2:
		close(r.half)
	case r.o.records / 4 * 3:
		close(r.late)
	}
}

// killLeader waits for the middle, kills the broker that leads partition 0, and
// starts it again when the others have taken over and gone on.
func (r *demoRun) killLeader(ctx context.Context, cluster *demoCluster, nc *nats.Conn, say func(string, ...any)) error {
	select {
	case <-r.half:
	case <-ctx.Done():
		return nil
	}
	i, err := cluster.leader(ctx, nc)
	if err != nil {
		r.fail(err)
		return err
	}
	at := r.acked.Load()
	say("killing broker %d, the leader, after %s acknowledged", i+1, plural(at, "record"))
	cluster.kill(i)
	r.rep.Killed, r.rep.KilledAfter = i+1, at
	select {
	case <-r.late:
	case <-ctx.Done():
		return nil
	}
	say("starting broker %d again", i+1)
	if err := cluster.restart(ctx, i); err != nil {
		r.fail(err)
		return err
	}
	r.rep.restarted = time.Now()
	return nil
}

// waitInSync waits until every replica has everything, the restarted ones too.
func (r *demoRun) waitInSync(ctx context.Context, nc *nats.Conn) error {
	err := poll(ctx, demoPatience, "the replicas are not in sync", func(ctx context.Context) error {
		t, err := admin.New(nc).DescribeTopic(ctx, demoTopic)
		if err != nil {
			return err
		}
		for _, p := range t.Partitions {
			if len(p.InSync) < demoReplicas {
				return fmt.Errorf("partition %d: %v of %v", p.ID, p.InSync, p.Replicas)
			}
		}
		return nil
	})
	r.rep.CatchUp = time.Since(r.rep.restarted).Seconds()
	return err
}
