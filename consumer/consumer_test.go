package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/logq/logq/consumer"
	"github.com/logq/logq/internal/fakebroker"
	"github.com/logq/logq/internal/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, brokers, partitions int) *fakebroker.Cluster {
	t.Helper()
	c := fakebroker.Start(t, fakebroker.Options{Brokers: brokers})
	c.CreateTopic("t", partitions)
	return c
}

func open(t *testing.T, c *fakebroker.Cluster, opts ...consumer.Option) *consumer.Consumer {
	t.Helper()
	cons, err := consumer.New(c.Connect(t), "t", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cons.Close(); err != nil {
			t.Error(err)
		}
	})
	return cons
}

// read takes n records, all there are with n < 0, and checks that offsets are dense in each partition.
func read(t *testing.T, c *consumer.Consumer, n int) ([]string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var values []string
	next := map[int32]int64{}
	if n == 0 {
		return nil, nil
	}
	for r, err := range c.Records(ctx) {
		if err != nil {
			return values, err
		}
		if want, seen := next[r.Partition]; seen && r.Offset != want {
			t.Fatalf("offset %d of partition %d where %d was due", r.Offset, r.Partition, want)
		}
		next[r.Partition] = r.Offset + 1
		values = append(values, string(r.Value))
		if len(values) == n {
			break
		}
	}
	return values, nil
}

func numbers(from, to int) []string {
	var vs []string
	for i := from; i < to; i++ {
		vs = append(vs, fmt.Sprint(i))
	}
	return vs
}

func fill(c *fakebroker.Cluster, p protocol.Partition, from, to, batch int) {
	for i := from; i < to; i += batch {
		c.Append("t", p, fakebroker.Batch(numbers(i, min(i+batch, to))...))
	}
}

func TestUntilEndReadsWhatWasThere(t *testing.T) {
	c := start(t, 3, 2)
	fill(c, 0, 0, 1000, 7)
	fill(c, 1, 1000, 1500, 11)
	cons := open(t, c, consumer.WithUntilEnd(), consumer.WithMaxBytes(1<<10))
	got, err := read(t, cons, -1)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b string) int { return len(a)*10000 + int(a[0]) - len(b)*10000 - int(b[0]) })
	slices.Sort(got)
	want := numbers(0, 1500)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	if p, ok := cons.Position(1); !ok || p != 500 {
		t.Errorf("position %d, %v", p, ok)
	}
	// What comes later is not part of it.
	c.Append("t", 0, fakebroker.Batch("later"))
	if again, err := read(t, cons, -1); err != nil || len(again) != 0 {
		t.Errorf("after the end: %v, %v", again, err)
	}
}

func TestStartPositions(t *testing.T) {
	c := start(t, 1, 1)
	fill(c, 0, 0, 100, 10)
	for name, x := range map[string]struct {
		start consumer.Start
		first string
	}{
		"earliest": {consumer.Earliest(), "0"}, "offset inside a batch": {consumer.AtOffset(57), "57"},
		"time before all": {consumer.AtTime(time.UnixMilli(0)), "0"},
	} {
		cons := open(t, c, consumer.WithStart(x.start), consumer.WithUntilEnd())
		got, err := read(t, cons, -1)
		if err != nil || got[0] != x.first || got[len(got)-1] != "99" {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	cons := open(t, c, consumer.WithStart(consumer.Latest()))
	got := make(chan string)
	go func() {
		v, err := read(t, cons, 1)
		got <- fmt.Sprint(v, err)
	}()
	for c.Seen(protocol.OpFetch) == 0 {
		fillTick(t)
	}
	for {
		c.Append("t", 0, fakebroker.Batch("new"))
		select {
		case v := <-got:
			if !strings.Contains(v, "new") {
				t.Errorf("latest: %s", v)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func fillTick(t *testing.T) {
	t.Helper()
	tick := time.NewTimer(time.Millisecond)
	defer tick.Stop()
	<-tick.C
}

func TestSeekDropsWhatWasPrefetched(t *testing.T) {
	c := start(t, 1, 1)
	fill(c, 0, 0, 100, 5)
	cons := open(t, c, consumer.WithUntilEnd(), consumer.WithMaxBytes(1<<10))
	if got, err := read(t, cons, 3); err != nil || got[2] != "2" {
		t.Fatal(got, err)
	}
	for _, to := range []int64{90, 10, 10, 99, 0} {
		if err := cons.Seek(0, to); err != nil {
			t.Fatal(err)
		}
		if p, _ := cons.Position(0); p != to {
			t.Errorf("position %d after a seek to %d", p, to)
		}
		got, err := read(t, cons, -1)
		if err != nil || len(got) != 100-int(to) || got[0] != fmt.Sprint(to) {
			t.Fatalf("seek to %d: %d records, first %v, %v", to, len(got), got[:min(1, len(got))], err)
		}
	}
	if err := cons.Seek(7, 0); err == nil {
		t.Error("sought in a partition that is not read")
	}
}

func TestLeaderChangesAndRestartsAreSeamless(t *testing.T) {
	c := start(t, 3, 1)
	fill(c, 0, 0, 50, 3)
	cons := open(t, c, consumer.WithMaxBytes(1<<10), consumer.WithMaxWait(50*time.Millisecond))
	var got []string
	for round := range 6 {
		part, err := read(t, cons, 50)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, part...)
		switch round {
		case 0, 3:
			c.Elect("t", 0, protocol.BrokerID(round%3+1))
		case 1:
			c.Kill(1)
			c.Elect("t", 0, 2)
		case 2:
			c.Restart(1)
			c.Cut(2)
		case 4:
			c.Cut(1)
			c.Cut(3)
		}
		fill(c, 0, 50*(round+1), 50*(round+2), 3)
	}
	if want := numbers(0, 300); !slices.Equal(got, want) {
		t.Errorf("got %d records, want %d in order", len(got), len(want))
	}
}

func TestErrorsAreTyped(t *testing.T) {
	c := start(t, 1, 1)
	fill(c, 0, 0, 10, 5)
	var e *consumer.Error

	_, err := read(t, open(t, c, consumer.WithPartitions(3)), 1)
	if !errors.As(err, &e) || e.Partition != 3 {
		t.Errorf("partition out of range: %v", err)
	}
	var outside *consumer.OutOfRangeError
	_, err = read(t, open(t, c, consumer.WithStart(consumer.AtOffset(1000))), 1)
	if !errors.As(err, &outside) || outside.Offset != 1000 {
		t.Errorf("offset out of range: %v", err)
	}
	got, err := read(t, open(t, c, consumer.WithStart(consumer.AtOffset(1000)), consumer.WithOutOfRange(consumer.ToEarliest)), 1)
	if err != nil || got[0] != "0" {
		t.Errorf("with a policy: %v, %v", got, err)
	}
	other, err := consumer.New(c.Connect(t), "nothing", consumer.WithStallTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := read(t, other, 1); !errors.As(err, &e) || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("unknown topic: %v", err)
	}
	if _, err := consumer.New(c.Connect(t), "a..b"); err == nil {
		t.Error("a bad topic name was taken")
	}
	if _, err := consumer.New(c.Connect(t), "t", consumer.WithMaxBytes(1), consumer.WithPrefetch(0)); err == nil || !strings.Contains(err.Error(), "prefetch") {
		t.Errorf("bad options: %v", err)
	}
}

func TestStallIsReported(t *testing.T) {
	c := start(t, 1, 1)
	fill(c, 0, 0, 10, 5)
	c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
		if r.Op == protocol.OpFetch {
			return &fakebroker.Action{Err: protocol.Errorf(protocol.LeaderNotAvailable, "scripted")}
		}
		return nil
	})
	cons := open(t, c, consumer.WithStallTimeout(300*time.Millisecond))
	var stalled *consumer.StalledError
	if _, err := read(t, cons, 1); !errors.As(err, &stalled) {
		t.Errorf("got %v, want a StalledError", err)
	}
}

func TestCloseEndsRecords(t *testing.T) {
	c := start(t, 1, 1)
	cons := open(t, c)
	done := make(chan error, 1)
	go func() {
		_, err := read(t, cons, 1)
		done <- err
	}()
	for c.Seen(protocol.OpFetch) == 0 {
		fillTick(t)
	}
	if err := cons.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, consumer.ErrClosed) {
		t.Errorf("Records ended with %v", err)
	}
	if _, err := read(t, cons, 1); !errors.Is(err, consumer.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	other := open(t, c)
	cancel()
	for _, err := range other.Records(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is done: %v", err)
		}
	}
}

// Fetches of a consumer that reads nearby go over the caller's connection and say that any replica may answer; those
// of others go to the leaders.
func TestNearbyReplica(t *testing.T) {
	c := start(t, 3, 3)
	for p := range protocol.Partition(3) {
		fill(c, p, 0, 50, 5)
	}
	seen := make(chan fakebroker.Request, 1000)
	c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
		if r.Op == protocol.OpFetch {
			select {
			case seen <- *r:
			default:
			}
		}
		return nil
	})
	nc := c.Connect(t)
	const at = 1 // the first URL
	for _, nearby := range []bool{true, false} {
		opts := []consumer.Option{consumer.WithUntilEnd()}
		if nearby {
			opts = append(opts, consumer.WithNearbyReplica())
		}
		cons, err := consumer.New(nc, "t", opts...)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, cons, -1); err != nil || len(got) != 150 {
			t.Fatalf("%d records, %v", len(got), err)
		}
		if err := cons.Close(); err != nil {
			t.Fatal(err)
		}
		elsewhere := 0
		for len(seen) > 0 {
			r := <-seen
			if any := strings.Contains(string(r.Body), `"replica":"any"`); any != nearby {
				t.Errorf("nearby %v: fetch %s", nearby, r.Body)
			}
			if r.Broker != at {
				elsewhere++
			}
		}
		if (elsewhere > 0) == nearby {
			t.Errorf("nearby %v: %d fetches at other brokers", nearby, elsewhere)
		}
	}
}
