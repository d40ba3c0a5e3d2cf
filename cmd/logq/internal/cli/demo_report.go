package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// demoReport is what a demo prints, in the form of --json.
type demoReport struct {
	Records    int64  `json:"records"`
	Size       int    `json:"size"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
	Codec      string `json:"compression"`

	ProduceSeconds float64 `json:"produce_seconds"`
	RecordsPerSec  float64 `json:"records_per_second"`
	BytesPerSec    float64 `json:"bytes_per_second"`
	SingleP50      float64 `json:"single_ack_p50_ms"` // one record at a time
	SingleP99      float64 `json:"single_ack_p99_ms"`
	AckP50         float64 `json:"ack_p50_ms"` // at full load, from hand-over, the kill included
	AckP99         float64 `json:"ack_p99_ms"`
	AckMax         float64 `json:"ack_max_ms"`
	CPUPerGB       float64 `json:"cpu_seconds_per_gb"` // brokers and client together

	Killed      int     `json:"killed_broker"`
	KilledAfter int64   `json:"killed_after_acks"`
	FailOver    float64 `json:"fail_over_seconds"` // the longest time without an ack
	CatchUp     float64 `json:"in_sync_after_restart_seconds"`

	ConsumeSeconds float64 `json:"consume_seconds"`
	Consumed       int64   `json:"consumed"`
	Missing        int64   `json:"missing"`    // or out of order
	Changed        int64   `json:"changed"`    // bytes that were never sent
	Duplicates     int64   `json:"duplicates"` // records that came back twice
	Reported       int64   `json:"duplicates_reported"`
	Verified       bool    `json:"verified"`
	Checksum       string  `json:"checksum"` // of all values in order

	sent, got uint64
	restarted time.Time
}

func (d *demoReport) produced(o demoOptions, took time.Duration, cpu float64) {
	d.Records, d.Size, d.Partitions, d.Replicas, d.Codec = o.records, o.size, o.partitions, demoReplicas, o.codec.String()
	total := o.records * int64(o.size)
	d.ProduceSeconds = took.Seconds()
	d.RecordsPerSec, d.BytesPerSec = perSecond(o.records, took), perSecond(total, took)
	d.CPUPerGB = cpu / (float64(total) / 1e9)
}

// verdict says what is wrong, nil if nothing is: duplicates are right as far as
// the producer said that they were possible.
func (d *demoReport) verdict() error {
	var wrong []error
	if d.Missing != 0 {
		wrong = append(wrong, fmt.Errorf("%s missing or out of order", plural(d.Missing, "record")))
	}
	if d.Changed != 0 {
		wrong = append(wrong, fmt.Errorf("%s came back that were never sent", plural(d.Changed, "record")))
	}
	if d.Duplicates > d.Reported {
		wrong = append(wrong, fmt.Errorf("%s came back twice, but the producer reported only %s as possible",
			plural(d.Duplicates, "record"), count(d.Reported)))
	}
	if d.sent != d.got {
		wrong = append(wrong, fmt.Errorf("checksum %016x, want %016x", d.got, d.sent))
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("verification FAILED: %w", errors.Join(wrong...))
}

func (d *demoReport) print(w io.Writer) error {
	s := func(v float64) string { return seconds(time.Duration(v * float64(time.Second))) }
	ms := func(v float64) string { return seconds(time.Duration(v * float64(time.Millisecond))) }
	verified := "count, order, every byte and the checksum " + d.Checksum + " are right"
	if !d.Verified {
		verified = "FAILED"
	}
	rows := [][2]string{
		{"brokers", fmt.Sprintf("%d in this process, %s, %s, fsync on a majority before each ack",
			demoBrokers, plural(int64(d.Partitions), "partition"), plural(int64(d.Replicas), "replica"))},
		{"produced", fmt.Sprintf("%s of %d bytes (%s) in %s: %s records/s, %s/s", plural(d.Records, "record"), d.Size,
			size(d.Records*int64(d.Size)), s(d.ProduceSeconds), count(int64(d.RecordsPerSec)), size(int64(d.BytesPerSec)))},
		{"ack latency", fmt.Sprintf("one record at a time p50 %s, p99 %s; at full load p50 %s, p99 %s, max %s (the kill)",
			ms(d.SingleP50), ms(d.SingleP99), ms(d.AckP50), ms(d.AckP99), ms(d.AckMax))},
		{"fail-over", fmt.Sprintf("leader (broker %d) killed after %s acks: %s without an ack", d.Killed, count(d.KilledAfter), s(d.FailOver))},
		{"restart", fmt.Sprintf("broker %d started again, all replicas in sync %s later", d.Killed, s(d.CatchUp))},
		{"consumed", fmt.Sprintf("%s in %s: %s records/s", plural(d.Consumed, "record"), s(d.ConsumeSeconds),
			count(int64(float64(d.Consumed)/max(d.ConsumeSeconds, 1e-9))))},
		{"verified", fmt.Sprintf("%s; %s (%s reported as possible)", verified, plural(d.Duplicates, "duplicate"), count(d.Reported))},
		{"CPU", fmt.Sprintf("%.1f CPU-seconds per GB produced, brokers and client together", d.CPUPerGB)},
	}
	for _, r := range rows {
		if _, err := fmt.Fprintf(w, "%-12s %s\n", r[0], r[1]); err != nil {
			return err
		}
	}
	return nil
}

// cpuSeconds is the CPU time this process has used.
func cpuSeconds() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(unix.TimevalToNsec(u.Utime) + unix.TimevalToNsec(u.Stime)).Seconds()
}
