package client

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/fakebroker"
	"github.com/logq/logq/internal/protocol"
)

// TestOutcomes breaks one produce request at every place and holds what the client may say about it against what the log
// has.
func TestOutcomes(t *testing.T) {
	forever := make(chan struct{})
	act := func(a *fakebroker.Action) func(*testing.T, *fakebroker.Cluster, context.CancelFunc) {
		return func(_ *testing.T, c *fakebroker.Cluster, _ context.CancelFunc) {
			c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
				if r.Op == protocol.OpProduce {
					return a
				}
				return nil
			})
		}
	}
	// during does something while the request is held up.
	during := func(do func(c *fakebroker.Cluster, cancel context.CancelFunc)) func(*testing.T, *fakebroker.Cluster, context.CancelFunc) {
		return func(t *testing.T, c *fakebroker.Cluster, cancel context.CancelFunc) {
			done := make(chan struct{})
			t.Cleanup(func() { <-done })
			c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
				if r.Op != protocol.OpProduce {
					return nil
				}
				go func() { defer close(done); do(c, cancel) }()
				return &fakebroker.Action{Hold: forever}
			})
		}
	}
	for _, test := range []struct {
		name      string
		script    func(*testing.T, *fakebroker.Cluster, context.CancelFunc)
		outcome   protocol.Outcome
		code      protocol.Code
		retriable bool
		written   bool
	}{
		{"answer", act(nil), protocol.Done, protocol.None, false, true},
		{"refused", act(&fakebroker.Action{Err: protocol.Errorf(protocol.NotEnoughReplicas, "no majority")}), protocol.NotWritten, protocol.NotEnoughReplicas, true, false},
		{"refused for good", act(&fakebroker.Action{Err: protocol.Errorf(protocol.InvalidRecord, "no")}), protocol.NotWritten, protocol.InvalidRecord, false, false},
		{"unclear to the broker", act(&fakebroker.Action{Err: protocol.Errorf(protocol.NotEnoughReplicasAfterAppend, "who knows")}), protocol.Unknown, protocol.NotEnoughReplicasAfterAppend, true, false},
		{"error of a newer broker", act(&fakebroker.Action{Err: protocol.Errorf(1234, "new")}), protocol.Unknown, 1234, false, false},
		{"error without a body", act(&fakebroker.Action{Err: protocol.Errorf(protocol.MessageTooLarge, "x"), Edit: func(m *nats.Msg) { m.Data = []byte("{") }}), protocol.NotWritten, protocol.MessageTooLarge, false, false},
		{"request lost", act(&fakebroker.Action{Drop: true}), protocol.Unknown, protocol.RequestTimedOut, true, false},
		{"reply lost", act(&fakebroker.Action{LoseReply: true}), protocol.Unknown, protocol.RequestTimedOut, true, true},
		{"connection cut", during(func(c *fakebroker.Cluster, _ context.CancelFunc) { c.Cut(2) }), protocol.Unknown, protocol.RequestTimedOut, true, false},
		{"broker killed", during(func(c *fakebroker.Cluster, _ context.CancelFunc) { c.Kill(2) }), protocol.Unknown, protocol.RequestTimedOut, true, false},
		{"context ended", during(func(_ *fakebroker.Cluster, cancel context.CancelFunc) { cancel() }), protocol.Unknown, protocol.RequestTimedOut, true, false},
		{"leader moved while it hangs", during(func(c *fakebroker.Cluster, _ context.CancelFunc) { c.Elect("events", 1, 1) }), protocol.Unknown, protocol.RequestTimedOut, true, false},
		{"no broker behind the server", func(_ *testing.T, c *fakebroker.Cluster, _ context.CancelFunc) { c.Mute(2, true) }, protocol.NotWritten, protocol.BrokerNotAvailable, true, false},
		{"leader down", func(_ *testing.T, c *fakebroker.Cluster, _ context.CancelFunc) { c.Kill(2) }, protocol.NotWritten, protocol.BrokerNotAvailable, true, false},
		{"no leader", func(_ *testing.T, c *fakebroker.Cluster, _ context.CancelFunc) { c.Elect("events", 1, 0) }, protocol.NotWritten, protocol.LeaderNotAvailable, true, false},
		{"no topic", func(_ *testing.T, c *fakebroker.Cluster, _ context.CancelFunc) { c.DeleteTopic("events") }, protocol.NotWritten, protocol.UnknownTopicOrPartition, false, false},
		{"no partition", func(_ *testing.T, c *fakebroker.Cluster, _ context.CancelFunc) { c.CreateTopic("events", 1) }, protocol.NotWritten, protocol.UnknownTopicOrPartition, false, false},
		{"context over", func(_ *testing.T, _ *fakebroker.Cluster, cancel context.CancelFunc) { cancel() }, protocol.NotWritten, protocol.BrokerNotAvailable, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := fakebroker.Start(t, fakebroker.Options{Brokers: 2})
			c.CreateTopic("events", 2)
			cl := newClient(t, c, Options{ProbeAfter: 10 * time.Millisecond})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			test.script(t, c, cancel)
			timeout := 10 * time.Second
			if strings.HasSuffix(test.name, "lost") {
				timeout = 10 * time.Millisecond
			}
			_, err := cl.Do(ctx, produce(1, timeout))
			if got := protocol.OutcomeOf(err); got != test.outcome {
				t.Errorf("outcome %v, want %v: %v", got, test.outcome, err)
			}
			if got := protocol.CodeOf(err); got != test.code {
				t.Errorf("code %v, want %v: %v", got, test.code, err)
			}
			if got := Retriable(err); got != test.retriable {
				t.Errorf("retriable %t, want %t: %v", got, test.retriable, err)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "produce events/1: ") {
				t.Errorf("the error does not name the request: %v", err)
			}
			if test.outcome != protocol.Done && test.code != protocol.UnknownTopicOrPartition {
				if got := c.End("events", 1) > 0; got != test.written {
					t.Errorf("written %t, want %t", got, test.written)
				}
			}
		})
	}
}

// TestTooLarge: nats.go refuses what the server would, and the client says what to do.
func TestTooLarge(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{})
	c.CreateTopic("events", 1)
	cl := newClient(t, c, Options{})
	r := produce(0, time.Second)
	r.Body = make([]byte, 9<<20)
	_, err := cl.Do(t.Context(), r)
	if protocol.CodeOf(err) != protocol.MessageTooLarge || protocol.OutcomeOf(err) != protocol.NotWritten || !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("error %v", err)
	}
	if _, err := cl.Do(t.Context(), produce(0, time.Second)); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// TestCloseEndsRequests: closing ends what is under way, with what is known about it.
func TestCloseEndsRequests(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{})
	c.CreateTopic("events", 1)
	cl := newClient(t, c, Options{})
	arrived := make(chan struct{})
	c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
		if r.Op != protocol.OpProduce {
			return nil
		}
		close(arrived)
		return &fakebroker.Action{Drop: true}
	})
	go func() { <-arrived; cl.Close() }()
	if _, err := cl.Do(t.Context(), produce(0, time.Minute)); !errors.Is(err, errClosed) || protocol.OutcomeOf(err) != protocol.Unknown {
		t.Errorf("under way: %v", err)
	}
	cl.Close()
	if _, err := cl.Do(t.Context(), produce(0, time.Minute)); protocol.OutcomeOf(err) != protocol.NotWritten {
		t.Errorf("after: %v", err)
	}
	if _, err := cl.Metadata(t.Context()); err == nil {
		t.Error("metadata after Close")
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(nil, Options{}); err == nil {
		t.Error("a nil connection")
	}
	nc := fakebroker.Start(t, fakebroker.Options{}).Connect(t)
	nc.Close()
	if _, err := New(nc, Options{}); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("a closed connection: %v", err)
	}
}
