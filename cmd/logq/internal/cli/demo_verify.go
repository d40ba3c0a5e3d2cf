package cli

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/consumer"
)

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
	all := newHistogram()
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
	rep.SingleP50, rep.SingleP99 = ms(r.single.ValueAtQuantile(50)), ms(r.single.ValueAtQuantile(99))
	rep.Verified = rep.verdict() == nil
	return rep
}
