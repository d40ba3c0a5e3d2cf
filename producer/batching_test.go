package producer

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// hand hands over a record and fails the test if it is not taken.
func hand(t *testing.T, p *Producer, partition int32, value string, done func(Ack, error)) {
	t.Helper()
	if err := p.ProduceAsync(t.Context(), Record{Topic: "t", Partition: partition, Value: []byte(value)}, done); err != nil {
		t.Fatal(err)
	}
}

// must fails the test on a callback with an error.
func must(t *testing.T) func(Ack, error) {
	return func(_ Ack, err error) {
		if err != nil {
			t.Error(err)
		}
	}
}

// TestAdaptiveBatching: the first record goes out at once and alone; what comes while it is under way shares the next batch.
func TestAdaptiveBatching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t, 1)
		m.script = func(*client.Request, int) fate { return fate{before: 10 * time.Millisecond} }
		p := m.producer()
		start := time.Now()
		hand(t, p, 0, "first", must(t))
		synctest.Wait()
		if !slices.Equal(m.sizes, []int{1}) || time.Since(start) != 0 {
			t.Fatalf("requests %v after %v, want one of one record at once", m.sizes, time.Since(start))
		}
		for range 99 {
			hand(t, p, 0, "more", must(t))
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(m.sizes, []int{1, 99}) || time.Since(start) != 20*time.Millisecond {
			t.Errorf("requests %v in %v, want 1 and 99 in two round trips", m.sizes, time.Since(start))
		}
		closeNow(t, p)
	})
}

func closeNow(t *testing.T, p *Producer) {
	t.Helper()
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLinger: records wait for company, but not beyond the linger, a full batch, or a flush.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t, 1)
		p := m.producer(WithLinger(time.Second), WithBatchBytes(smallestBatch))
		start := time.Now()
		var acked time.Time
		hand(t, p, 0, "a", func(Ack, error) { acked = time.Now() })
		time.AfterFunc(500*time.Millisecond, func() { hand(t, p, 0, "b", must(t)) })
		time.AfterFunc(1500*time.Millisecond, func() { hand(t, p, 0, "c", must(t)) })
		_ = client.Pause(t.Context(), 5*time.Second)
		if !slices.Equal(m.sizes, []int{2, 1}) || acked.Sub(start) != time.Second {
			t.Errorf("requests %v, the first acknowledged after %v", m.sizes, acked.Sub(start))
		}

		start = time.Now()
		for range 3 {
			hand(t, p, 0, strings.Repeat("x", 400), must(t)) // two fit
		}
		synctest.Wait()
		if !slices.Equal(m.sizes, []int{2, 1, 2}) {
			t.Errorf("requests %v: a full batch lingers", m.sizes)
		}
		if err := p.Flush(t.Context()); err != nil || time.Since(start) != 0 {
			t.Errorf("flush took %v: %v", time.Since(start), err)
		}
		if len(m.log(0)) != 6 {
			t.Errorf("log %q", m.log(0))
		}

		hand(t, p, 0, "last", must(t))
		start = time.Now()
		closeNow(t, p)
		if time.Since(start) != 0 {
			t.Errorf("close lingered for %v", time.Since(start))
		}
	})
}

// TestFullBufferEndsLinger: when somebody waits for room, nothing lingers, or nobody would ever get it.
func TestFullBufferEndsLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t, 2)
		p := m.producer(WithLinger(time.Hour))
		p.budget.limit = 3 * (overhead + 1)
		start := time.Now()
		for i := range int32(10) {
			hand(t, p, i%2, "x", must(t))
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if time.Since(start) != 0 || p.Stats().BufferWaits == 0 {
			t.Errorf("took %v, %+v", time.Since(start), p.Stats())
		}
		closeNow(t, p)
	})
}

// TestBufferIsShared: who waits for room gets it, and a context ends the wait.
func TestBufferIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t, 1)
		release := make(chan struct{})
		m.script = func(*client.Request, int) fate { return fate{hold: release} }
		p := m.producer()
		p.budget.limit = 2 * (overhead + 1)
		hand(t, p, 0, "1", must(t))
		hand(t, p, 0, "2", must(t))
		ctx, cancel := withTimeout(t, time.Second)
		defer cancel()
		err := p.ProduceAsync(ctx, Record{Topic: "t", Value: []byte("never")}, func(Ack, error) { t.Error("called back") })
		var typed *Error
		if !errors.As(err, &typed) || typed.Outcome != NotWritten || !errors.Is(err, errDeadline) {
			t.Errorf("error %v", err)
		}
		for _, v := range []string{"3", "4", "5"} {
			go func() {
				if err := p.ProduceAsync(t.Context(), Record{Topic: "t", Value: []byte(v)}, must(t)); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		close(release)
		synctest.Wait()
		if got := slices.Sorted(slices.Values(m.log(0))); strings.Join(got, "") != "12345" {
			t.Errorf("stored %s", got)
		}
		err = p.ProduceAsync(t.Context(), Record{Topic: "t", Value: make([]byte, 1000)}, nil)
		if !errors.As(err, &typed) || typed.Code != protocol.MessageTooLarge {
			t.Errorf("larger than the buffer: %v", err)
		}
		closeNow(t, p)
	})
}

// TestLargeRecords: a record larger than batches may grow goes alone, one larger than any batch not at all; what stands
// around it keeps its order.
func TestLargeRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t, 1)
		p := m.producer(WithBatchBytes(smallestBatch), WithLinger(time.Millisecond))
		hand(t, p, 0, "a", must(t))
		hand(t, p, 0, strings.Repeat("b", 100<<10), must(t))
		err := p.ProduceAsync(t.Context(), Record{Topic: "t", Value: make([]byte, record.MaxBatchBytes)}, nil)
		var typed *Error
		if !errors.As(err, &typed) || typed.Code != protocol.MessageTooLarge || typed.Outcome != NotWritten {
			t.Errorf("too large: %v", err)
		}
		hand(t, p, 0, "c", must(t))
		closeNow(t, p)
		if log := m.log(0); len(log) != 3 || log[0] != "a" || len(log[1]) != 100<<10 || log[2] != "c" {
			t.Errorf("%d records", len(log))
		}
	})
}

// TestKafkaPartitions holds ByKey against values that Kafka's clients compute: murmur2 of a key as in the tests of Kafka and
// franz-go, with the sign bit cleared, modulo the partitions.
func TestKafkaPartitions(t *testing.T) {
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		for _, n := range []int{1, 2, 3, 7, 12, 100, 1 << 16} {
			want := int32(int(hash&math.MaxInt32) % n)
			if got := ByKey("t", []byte(key), n); got != want {
				t.Errorf("key %q of %d partitions: %d, want %d", key, n, got, want)
			}
		}
	}
	if got := ByKey("t", nil, 5); got != -1 {
		t.Errorf("without key: %d", got)
	}
	if got := ByKey("t", []byte{}, 5); got < 0 {
		t.Errorf("an empty key is a key: %d", got)
	}
}

// TestSpreading: records without a key stick to a partition for a while, use all, and avoid one that hangs.
func TestSpreading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t, 8)
		hang := make(chan struct{})
		m.script = func(r *client.Request, _ int) fate {
			if r.Partition == 3 {
				return fate{hold: hang}
			}
			return fate{before: time.Millisecond}
		}
		p := m.producer()
		value := bytes.Repeat([]byte("v"), 1000)
		changes, last := 0, int32(-1)
		for range 20_000 {
			before := p.Stats().BufferedBytes
			if err := p.ProduceAsync(t.Context(), Record{Topic: "t", Partition: -1, Value: value}, nil); err != nil {
				t.Fatal(err)
			}
			if before > 8<<20 { // let the answers come
				_ = client.Pause(t.Context(), 2*time.Millisecond)
			}
			if now := p.topic("t").spread.current.Load(); now != last {
				changes, last = changes+1, now
			}
		}
		close(hang)
		closeNow(t, p)
		if changes > 20_000*1100/stickyBytes {
			t.Errorf("%d changes of partition", changes)
		}
		for i := range protocol.Partition(8) {
			n := len(m.log(i))
			if i == 3 && n > 20_000/8*3/4 || i != 3 && n < 20_000/8/2 {
				t.Errorf("partition %d has %d records", i, n)
			}
		}
	})
}

// TestHeadersKeysAndTimes: everything of a record arrives, and the caller's memory is not kept.
func TestHeadersKeysAndTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t, 1)
		var body []byte
		m.script = func(r *client.Request, _ int) fate { body = slices.Clone(r.Body); return fate{} }
		p := m.producer(WithLinger(time.Minute))
		buf := []byte("key value header")
		when := time.Date(2024, 5, 6, 7, 8, 9, 123_456_789, time.UTC)
		now := time.Now()
		if err := p.ProduceAsync(t.Context(), Record{Topic: "t", Key: buf[:3], Value: buf[4:9], Headers: []record.Header{{Key: buf[10:], Value: nil}}, Timestamp: when}, nil); err != nil {
			t.Fatal(err)
		}
		if err := p.ProduceAsync(t.Context(), Record{Topic: "t", Value: []byte{}}, nil); err != nil {
			t.Fatal(err)
		}
		clear(buf)
		closeNow(t, p)
		d := record.NewDecoder(record.DecoderOptions{})
		if err := d.Reset(record.Batch(body)); err != nil || !d.Next() {
			t.Fatal(err)
		}
		r := d.Record()
		if string(r.Key) != "key" || string(r.Value) != "value" || len(r.Headers) != 1 || string(r.Headers[0].Key) != "header" || r.Headers[0].Value != nil || r.Timestamp != when.UnixMilli() {
			t.Errorf("record %+v", r)
		}
		if !d.Next() {
			t.Fatal(d.Err())
		}
		if r := d.Record(); r.Key != nil || r.Value == nil || len(r.Value) != 0 || r.Timestamp != now.UnixMilli() {
			t.Errorf("record %+v", r)
		}
	})
}
