package producer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/fakebroker"
	"github.com/logq/logq/internal/protocol"
)

// hasty returns a producer that does not wait long for late answers, as its tests make it wait often.
func hasty(nc *nats.Conn, opts ...Option) (*Producer, error) {
	return connect(nc, client.Options{ReplyGrace: 5 * time.Millisecond}, opts)
}

// on acts on the produce requests for which pick says so.
func on(pick func(*fakebroker.Request) bool, a *fakebroker.Action) func(*fakebroker.Request) *fakebroker.Action {
	return func(r *fakebroker.Request) *fakebroker.Action {
		if r.Op == protocol.OpProduce && pick(r) {
			return a
		}
		return nil
	}
}

func always(*fakebroker.Request) bool { return true }

// TestEveryFault sends a record while one fault after the other strikes, and holds what the producer says against the log.
func TestEveryFault(t *testing.T) {
	first := func(r *fakebroker.Request) bool { return r.Seen == 1 }
	for _, test := range []struct {
		name    string
		script  func(c *fakebroker.Cluster)
		opts    []Option
		outcome Outcome
		code    Code
		maybe   bool // Ack.MaybeDuplicate
		copies  int
	}{
		{"none", nil, nil, protocol.Done, protocol.None, false, 1},
		{"refused once", func(c *fakebroker.Cluster) {
			c.Hook(on(first, &fakebroker.Action{Err: protocol.Errorf(protocol.NotEnoughReplicas, "alone")}))
		}, nil, protocol.Done, protocol.None, false, 1},
		{"throttled once", func(c *fakebroker.Cluster) {
			c.Hook(on(first, &fakebroker.Action{Err: protocol.Errorf(protocol.ThrottlingQuotaExceeded, "slowly")}))
		}, nil, protocol.Done, protocol.None, false, 1},
		{"refused for good", func(c *fakebroker.Cluster) {
			c.Hook(on(always, &fakebroker.Action{Err: protocol.Errorf(protocol.InvalidRecord, "never")}))
		}, nil, NotWritten, protocol.InvalidRecord, false, 0},
		{"refused until the end", func(c *fakebroker.Cluster) {
			c.Hook(on(always, &fakebroker.Action{Err: protocol.Errorf(protocol.NotEnoughReplicas, "alone")}))
		}, []Option{WithDeliveryTimeout(50 * time.Millisecond)}, NotWritten, protocol.NotEnoughReplicas, false, 0},
		{"request lost", func(c *fakebroker.Cluster) { c.Hook(on(first, &fakebroker.Action{Drop: true})) }, nil, protocol.Done, protocol.None, true, 1},
		{"reply lost", func(c *fakebroker.Cluster) { c.Hook(on(first, &fakebroker.Action{LoseReply: true})) }, nil, protocol.Done, protocol.None, true, 2},
		{"reply lost, no repetition", func(c *fakebroker.Cluster) { c.Hook(on(first, &fakebroker.Action{LoseReply: true})) },
			[]Option{WithRetryUnknown(false)}, Unknown, protocol.RequestTimedOut, false, 1},
		{"replies lost, then refused", func(c *fakebroker.Cluster) {
			c.Hook(on(first, &fakebroker.Action{LoseReply: true}))
			c.Hook(on(always, &fakebroker.Action{Err: protocol.Errorf(protocol.InvalidRecord, "never")}))
		}, nil, Unknown, protocol.InvalidRecord, false, 1},
		{"unclear to the broker", func(c *fakebroker.Cluster) {
			c.Hook(on(first, &fakebroker.Action{Err: protocol.Errorf(protocol.NotEnoughReplicasAfterAppend, "who knows")}))
		}, nil, protocol.Done, protocol.None, true, 1},
		{"leader moved", func(c *fakebroker.Cluster) {
			c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
				if r.Op == protocol.OpProduce && r.Seen == 1 {
					c.Elect("events", 0, 2)
				}
				return nil
			})
		}, nil, protocol.Done, protocol.None, false, 1},
		{"no leader for a while", func(c *fakebroker.Cluster) {
			c.Elect("events", 0, 0)
			c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
				if r.Op == protocol.OpMeta && r.Seen == 5 {
					c.Elect("events", 0, 3)
				}
				return nil
			})
		}, nil, protocol.Done, protocol.None, false, 1},
		{"topic deleted", func(c *fakebroker.Cluster) {
			c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
				if r.Op == protocol.OpProduce && r.Seen == 1 {
					c.DeleteTopic("events")
				}
				return nil
			})
		}, nil, NotWritten, protocol.UnknownTopicOrPartition, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := fakebroker.Start(t, fakebroker.Options{Brokers: 3, Alone: true})
			c.CreateTopic("events", 1)
			if test.script != nil {
				test.script(c)
			}
			p, err := hasty(c.Connect(t), append([]Option{WithRequestTimeout(10 * time.Millisecond)}, test.opts...)...)
			if err != nil {
				t.Fatal(err)
			}
			ack, err := p.Produce(t.Context(), Record{Topic: "events", Value: []byte("v")})
			if got := protocol.OutcomeOf(err); got != test.outcome || protocol.CodeOf(err) != test.code || ack.MaybeDuplicate != test.maybe {
				t.Errorf("%+v, %v", ack, err)
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if s := p.Stats(); s.MaybeDuplicate > 0 != test.maybe || s.Unknown > 0 != (test.outcome == Unknown) || s.NotWritten > 0 != (test.outcome == NotWritten) {
				t.Errorf("stats %+v", s)
			}
			if test.code != protocol.UnknownTopicOrPartition && len(c.Values("events", 0)) != test.copies {
				t.Errorf("stored %d times, want %d", len(c.Values("events", 0)), test.copies)
			}
		})
	}
}

// TestUnknownKeepsOrder: with repetition off, what follows an unknown record goes out after it, not before.
func TestUnknownKeepsOrder(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{})
	c.CreateTopic("events", 1)
	c.Hook(on(func(r *fakebroker.Request) bool { return r.Seen == 1 }, &fakebroker.Action{LoseReply: true}))
	p, err := hasty(c.Connect(t), WithRetryUnknown(false), WithRequestTimeout(10*time.Millisecond), WithBatchBytes(smallestBatch))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for i := range 5 {
		err := p.ProduceAsync(t.Context(), Record{Topic: "events", Value: fmt.Appendf(nil, "%d%s", i, strings.Repeat(".", 800))}, func(a Ack, err error) {
			told = append(told, fmt.Sprint(i, protocol.OutcomeOf(err), a.Offset))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"0 unknown -1", "1 done 1", "2 done 2", "3 done 3", "4 done 4"}; !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
	for i, v := range c.Values("events", 0) {
		if v[0] != byte('0'+i) {
			t.Errorf("offset %d has record %c", i, v[0])
		}
	}
}

// chaos strikes a cluster at random until the context ends, and then heals it.
func chaos(ctx context.Context, c *fakebroker.Cluster, brokers, partitions int, rng *rand.Rand) {
	down := protocol.BrokerID(0)
	for ctx.Err() == nil {
		pauseFor(ctx, time.Duration(1+rng.IntN(15))*time.Millisecond)
		id := protocol.BrokerID(1 + rng.IntN(brokers))
		part := protocol.Partition(rng.IntN(partitions))
		switch rng.IntN(6) {
		case 0, 1:
			c.Elect("events", part, id)
		case 2:
			c.Cut(id)
		case 3:
			c.Mute(id, true)
			pauseFor(ctx, time.Millisecond)
			c.Mute(id, false)
		case 4:
			c.Lag(id, rng.IntN(2) == 0)
		case 5:
			if down != 0 {
				c.Restart(down)
				down = 0
			} else {
				down = id
				c.Kill(id)
				for p := range partitions {
					if leader, _ := c.Leader("events", protocol.Partition(p)); leader == id {
						c.Elect("events", protocol.Partition(p), 1+id%protocol.BrokerID(brokers))
					}
				}
			}
		}
	}
	if down != 0 {
		c.Restart(down)
	}
	for id := range brokers {
		c.Lag(protocol.BrokerID(id+1), false)
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// TestChaos produces over real sockets while leaders move, connections break and brokers die, with lost requests and
// replies on top: nothing acknowledged is lost or out of order, and what is there twice was reported.
func TestChaos(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { chaosRun(t, seed) })
	}
}

func chaosRun(t *testing.T, seed uint64) {
	const brokers, partitions, records = 3, 4, 300
	c := fakebroker.Start(t, fakebroker.Options{Brokers: brokers})
	c.CreateTopic("events", partitions)
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 1))
	c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
		mu.Lock()
		defer mu.Unlock()
		if r.Op != protocol.OpProduce {
			return nil
		}
		switch dice.IntN(30) {
		case 0:
			return &fakebroker.Action{Drop: true}
		case 1:
			return &fakebroker.Action{LoseReply: true}
		case 2:
			return &fakebroker.Action{Err: protocol.Errorf(protocol.NotEnoughReplicas, "alone")}
		}
		return nil
	})
	p, err := hasty(c.Connect(t), WithBatchBytes(smallestBatch), WithRequestTimeout(50*time.Millisecond), WithDeliveryTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { chaos(ctx, c, brokers, partitions, rand.New(rand.NewPCG(seed, 2))) })
	h := newHistory()
	var senders sync.WaitGroup
	for part := range int32(partitions) {
		senders.Go(func() {
			for i := range records {
				e := &entry{value: fmt.Sprintf("%d/%d/%s", part, i, strings.Repeat("x", 200))}
				h.sentOne(part, e)
				if err := p.ProduceAsync(t.Context(), Record{Topic: "events", Partition: part, Value: []byte(e.value)}, h.callback(part, e)); err != nil {
					t.Errorf("not taken: %v", err)
				}
				if i%20 == 0 {
					pauseFor(ctx, 10*time.Millisecond)
				}
			}
		})
	}
	senders.Wait()
	if err := p.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	cancel()
	wg.Wait()
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for part := range int32(partitions) {
		h.checkPartition(t, part, c.Values("events", protocol.Partition(part)), true)
	}
	h.checkStats(t, p.Stats())
	if s := p.Stats(); s.Acked != partitions*records {
		t.Errorf("stats %+v", s)
	} else {
		t.Logf("%d requests, %d of them repeated, %d unknown; %d records maybe twice; %d forwarded", s.Requests, s.Retries, s.UnknownTries, s.MaybeDuplicate, c.Forwarded())
	}
}

// TestDeniedTopic: a topic that the user may not write is an error at once.
func TestDeniedTopic(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{
		Configure: func(o *server.Options) {
			o.Users = []*server.User{{Username: "broker", Password: "b"}, {Username: "u", Password: "p", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Deny: []string{"logq.v1.produce.*.events"}},
			}}}
		},
		Login: []nats.Option{nats.UserInfo("broker", "b")},
	})
	c.CreateTopic("events", 1)
	p, err := New(c.Connect(t, nats.UserInfo("u", "p")))
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Produce(t.Context(), Record{Topic: "events"})
	var typed *Error
	if !errors.As(err, &typed) || typed.Outcome != NotWritten || typed.Code != protocol.TopicAuthorizationFailed {
		t.Errorf("error %v", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
