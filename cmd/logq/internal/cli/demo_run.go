package cli

import (
	"bytes"
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
	"github.com/logq/logq/consumer"
	"github.com/logq/logq/producer"
)

// demoRun is one demonstration: what was sent and what came back.
type demoRun struct {
	o     demoOptions
	acked atomic.Int64
	parts []*demoPartition
	rep   demoReport
	half  chan struct{} // closed when half of the records are acked
	late  chan struct{} // closed when three quarters are
	fail  context.CancelCauseFunc
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
	r := &demoRun{o: o, half: make(chan struct{}), late: make(chan struct{})}
	for p := range o.partitions {
		r.parts = append(r.parts, &demoPartition{
			latency: hdrhistogram.New(1, int64(5*time.Minute/time.Microsecond), 3),
			next:    int64(p),
		})
	}
	return r
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

// produce sends everything and, in the middle, kills the leader's broker and
// starts it again. Sending does not wait for that.
func (r *demoRun) produce(ctx context.Context, env Env, cluster *demoCluster, nc *nats.Conn, say func(string, ...any)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.fail = cancel
	p, err := producer.New(nc, producer.WithCodec(r.o.codec), producer.WithDeliveryTimeout(demoPatience*2))
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
	// Out of range only beyond five minutes, when the demo has failed anyway.
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

// consume reads everything back and compares each byte.
func (r *demoRun) consume(ctx context.Context, env Env, nc *nats.Conn) error {
	c, err := consumer.New(nc, demoTopic, consumer.WithStart(consumer.Earliest()), consumer.WithUntilEnd())
	if err != nil {
		return err
	}
	var n atomic.Int64
	bar := startProgress(env, "consumed", r.o.records, false, n.Load)
	start := time.Now()
	want := make([]byte, r.o.size)
	for rec, err2 := range c.Records(ctx) {
		if err = err2; err != nil {
			break
		}
		r.check(&rec, want)
		n.Add(1)
	}
	bar.done()
	r.rep.ConsumeSeconds = time.Since(start).Seconds()
	r.rep.Consumed = n.Load()
	return errors.Join(err, c.Close())
}

// check compares one record that came back with what must come next.
func (r *demoRun) check(rec *consumer.Record, want []byte) {
	p := r.parts[rec.Partition]
	if len(rec.Value) != r.o.size {
		r.rep.Changed++
		return
	}
	seq := int64(binary.BigEndian.Uint64(rec.Value))
	step := int64(r.o.partitions)
	if seq < 0 || seq >= r.o.records || seq%step != int64(rec.Partition) {
		r.rep.Changed++
		return
	}
	if r.fill(want, seq); !bytes.Equal(want, rec.Value) {
		r.rep.Changed++
		return
	}
	if seq < p.next {
		p.seen++
		return
	}
	r.rep.Missing += (seq - p.next) / step
	p.next = seq + step
	p.got = crc64.Update(p.got, demoCRC, rec.Value)
}

// report ends the count.
func (r *demoRun) report() *demoReport {
	rep := &r.rep
	all := hdrhistogram.New(1, int64(5*time.Minute/time.Microsecond), 3)
	step := int64(r.o.partitions)
	for i, p := range r.parts {
		all.Merge(p.latency)
		rep.FailOver = max(rep.FailOver, p.longestGap.Seconds())
		rep.Reported += p.duplicates
		rep.Duplicates += p.seen
		mine := (r.o.records - int64(i) + step - 1) / step
		rep.Missing += mine - (p.next-int64(i))/step
		rep.sent, rep.got = rep.sent*31+p.sent, rep.got*31+p.got
	}
	rep.Checksum = fmt.Sprintf("%016x", rep.got)
	ms := func(us int64) float64 { return float64(us) / 1e3 }
	rep.AckP50, rep.AckP99, rep.AckMax = ms(all.ValueAtQuantile(50)), ms(all.ValueAtQuantile(99)), ms(all.Max())
	rep.Verified = rep.verdict() == nil
	return rep
}
