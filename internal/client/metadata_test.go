package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/logq/logq/internal/fakebroker"
	"github.com/logq/logq/internal/protocol"
)

// TestTermsNeverFall feeds answers in random order: for one topic id the cache ends at the latest term seen and never
// went back on the way.
func TestTermsNeverFall(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var m metadata
	m.init()
	var term uint64
	leaders := map[uint64]protocol.BrokerID{}
	for range 2000 {
		next := rng.Uint64N(50)
		if leaders[next] == 0 {
			leaders[next] = protocol.BrokerID(1 + rng.IntN(3))
		}
		leader := leaders[next]
		if rng.IntN(4) == 0 {
			leader = 0 // the broker does not know who leads
		}
		m.learn(&protocol.MetaReply{Topics: []protocol.TopicInfo{{Name: "t", ID: protocol.TopicID{1}, Partitions: []protocol.PartitionInfo{{ID: 0, Leader: leader, Term: next}}}}})
		got := m.topics["t"].parts[0]
		if got.term < term {
			t.Fatalf("the term went from %d to %d", term, got.term)
		}
		term = max(term, next)
		if got.term != term || got.leader != 0 && got.leader != leaders[term] {
			t.Fatalf("term %d leader %d, want term %d leader %d", got.term, got.leader, term, leaders[term])
		}
	}
	// A topic that was made anew begins again.
	m.learn(&protocol.MetaReply{Topics: []protocol.TopicInfo{{Name: "t", ID: protocol.TopicID{2}, Partitions: []protocol.PartitionInfo{{ID: 0, Leader: 3, Term: 1}}}}})
	if got := m.topics["t"].parts[0]; got.term != 1 || got.leader != 3 {
		t.Errorf("the new topic: %+v", got)
	}
}

// TestLaggingBroker: a broker that still names the old leader does not bring it back, and somebody else is asked.
func TestLaggingBroker(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{Brokers: 3, Alone: true})
	c.CreateTopic("events", 1)
	cl := newClient(t, c, Options{Backoff: Backoff{Min: time.Millisecond, Max: 5 * time.Millisecond}})
	c.Lag(1, true) // the seed
	c.Elect("events", 0, 2)
	c.Elect("events", 0, 3)
	err := cl.Retry(t.Context(), func(ctx context.Context) error { _, err := cl.Do(ctx, produce(0, 5*time.Second)); return err })
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // whoever is asked now
		<-cl.refresh("events", true).done
	}
	n := c.Seen(protocol.OpProduce)
	if _, err := cl.Do(t.Context(), produce(0, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if c.Seen(protocol.OpProduce) != n+1 {
		t.Error("the old leader was asked again")
	}
}

// TestFencing: a request for an old term is refused by the leader, and the next one knows the term.
func TestFencing(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{})
	c.CreateTopic("events", 1)
	cl := newClient(t, c, Options{})
	if _, err := cl.Do(t.Context(), produce(0, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	c.Elect("events", 0, 1)
	_, err := cl.Do(t.Context(), produce(0, 5*time.Second))
	if protocol.CodeOf(err) != protocol.FencedLeaderEpoch || protocol.OutcomeOf(err) != protocol.NotWritten {
		t.Fatalf("error %v", err)
	}
	if _, err := cl.Do(t.Context(), produce(0, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// TestOneRefreshForMany: requests that fail together ask together.
func TestOneRefreshForMany(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{})
	c.CreateTopic("events", 100)
	cl := newClient(t, c, Options{})
	hold := make(chan struct{})
	c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
		if r.Op == protocol.OpMeta {
			return &fakebroker.Action{Hold: hold}
		}
		return nil
	})
	errs := make(chan error)
	for p := range protocol.Partition(100) {
		go func() { _, err := cl.Do(t.Context(), produce(p, 10*time.Second)); errs <- err }()
	}
	eventually(t, "somebody asks", func() bool { return c.Seen(protocol.OpMeta) > 0 })
	close(hold)
	for range 100 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := c.Seen(protocol.OpMeta); n > 3 {
		t.Errorf("%d requests for metadata", n)
	}
}

func TestPartitions(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{})
	c.CreateTopic("events", 7)
	cl := newClient(t, c, Options{})
	if n, err := cl.Partitions(t.Context(), "events", false); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	c.CreateTopic("events", 9)
	if n, err := cl.Partitions(t.Context(), "events", false); n != 7 || err != nil {
		t.Errorf("from the cache: %d, %v", n, err)
	}
	if n, err := cl.Partitions(t.Context(), "events", true); n != 9 || err != nil {
		t.Errorf("fresh: %d, %v", n, err)
	}
	for topic, code := range map[string]protocol.Code{"none": protocol.UnknownTopicOrPartition, "bad name": protocol.InvalidTopic, "a..b": protocol.InvalidTopic} {
		_, err := cl.Partitions(t.Context(), topic, false)
		if protocol.CodeOf(err) != code || protocol.OutcomeOf(err) != protocol.NotWritten {
			t.Errorf("%q: %v", topic, err)
		}
	}
}

func TestOffsetsAndFetch(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{})
	c.CreateTopic("events", 1)
	c.Append("events", 0, fakebroker.Batch("a", "b", "c"))
	cl := newClient(t, c, Options{})
	for _, test := range []struct {
		at   protocol.OffsetsRequest
		want int64
	}{
		{protocol.OffsetsRequest{At: protocol.AtEarliest}, 0},
		{protocol.OffsetsRequest{At: protocol.AtLatest}, 3},
		{protocol.OffsetsRequest{At: protocol.AtTime, TimestampMs: 2}, 1},
		{protocol.OffsetsRequest{At: protocol.AtTime, TimestampMs: 9}, 3},
	} {
		if got, err := cl.Offset(t.Context(), "events", 0, test.at, 5*time.Second); err != nil || got.Offset != test.want {
			t.Errorf("%+v: %+v, %v", test.at, got, err)
		}
	}
	_, err := cl.Offset(t.Context(), "events", 0, protocol.OffsetsRequest{At: "noon"}, 5*time.Second)
	if protocol.CodeOf(err) != protocol.InvalidRequest {
		t.Errorf("at noon: %v", err)
	}
	reply, err := cl.Do(t.Context(), &Request{Op: protocol.OpFetch, Topic: "events", Body: []byte(`{"offset":1}`), Timeout: 5 * time.Second})
	if err != nil || reply.Int(protocol.HeaderHighWatermark) != 3 || reply.Int(protocol.HeaderNextOffset) != 3 || len(reply.Body) == 0 || reply.Int("No-Such") != 0 {
		t.Errorf("fetch: %+v, %v", reply, err)
	}
}

// TestRetryEndsWithContext: the error tells both what went wrong and that time ran out.
func TestRetryEndsWithContext(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{})
	c.CreateTopic("events", 1)
	c.Elect("events", 0, 0)
	cl := newClient(t, c, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	err := cl.Retry(ctx, func(ctx context.Context) error { _, err := cl.Do(ctx, produce(0, 5*time.Second)); return err })
	if protocol.OutcomeOf(err) != protocol.NotWritten || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// TestAdministration: what may be repeated finds another broker; what may not is given up when its outcome is unknown.
func TestAdministration(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{Brokers: 2})
	cl := newClient(t, c, Options{})
	if _, err := cl.Metadata(t.Context()); err != nil { // now the other broker is known
		t.Fatal(err)
	}
	c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
		if r.Broker == 1 {
			return &fakebroker.Action{LoseReply: true}
		}
		return nil
	})
	body := protocol.CreateTopicRequest{Name: "made", Partitions: 1, Replicas: 1}
	_, err := cl.Ask(t.Context(), protocol.OpTopicCreate, protocol.TopicCreateSubject, body, 10*time.Millisecond, false)
	if protocol.OutcomeOf(err) != protocol.Unknown {
		t.Errorf("create: %v", err)
	}
	out, err := cl.Ask(t.Context(), protocol.OpTopicList, protocol.TopicListSubject, struct{}{}, 10*time.Millisecond, true)
	if err != nil || len(out) == 0 {
		t.Errorf("list: %s, %v", out, err)
	}
	if _, err := cl.Ask(t.Context(), protocol.OpTopicList, protocol.TopicListSubject, func() {}, time.Second, true); protocol.OutcomeOf(err) != protocol.NotWritten {
		t.Errorf("a body that is no JSON: %v", err)
	}
}

func TestBackoff(t *testing.T) {
	b := Backoff{Min: 10 * time.Millisecond, Max: 65 * time.Millisecond}
	for i, want := range []time.Duration{10, 20, 40, 65, 65} {
		if d := b.Next(); d > want*time.Millisecond || d < want*time.Millisecond/2-1 {
			t.Errorf("pause %d is %v, want up to %d ms and at least half of it", i, d, want)
		}
	}
	b.Reset()
	if d := b.Next(); d > 10*time.Millisecond {
		t.Errorf("after Reset %v", d)
	}
	var zero Backoff
	if d := zero.Next(); d <= 0 || d > 10*time.Millisecond {
		t.Errorf("zero value: %v", d)
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"nats://h:1": "h:1", "nats://h": "h:4222", "nats://u:p@h:2": "h:2", "h:1": "", "": "", "nats://[::1]:3": "[::1]:3", "nats://[::1]": "[::1]:4222",
	} {
		if got := address(in); got != want {
			t.Errorf("address(%s) = %s, want %s", strconv.Quote(in), strconv.Quote(got), strconv.Quote(want))
		}
	}
}
