package client

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/fakebroker"
	"github.com/logq/logq/internal/protocol"
)

// TestLeadersDirectly: data goes to each leader over a connection of its own, not through other brokers.
func TestLeadersDirectly(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{Brokers: 3})
	c.CreateTopic("events", 3)
	cl := newClient(t, c, Options{})
	for range 3 {
		for p := range protocol.Partition(3) {
			if _, err := cl.Do(t.Context(), produce(p, 5*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := c.Forwarded(); n != 0 {
		t.Errorf("%d requests were forwarded", n)
	}
	if n := c.Seen(protocol.OpMeta); n != 1 {
		t.Errorf("%d requests for metadata", n)
	}
	for id, want := range map[protocol.BrokerID]int{1: 2, 2: 1, 3: 1} {
		if n := c.Connections(id); n != want {
			t.Errorf("%d connections to broker %d, want %d", n, id, want)
		}
	}
}

// pickyDialer refuses addresses, as a network would that the client is outside of.
type pickyDialer struct {
	refuse atomic.Pointer[map[string]bool]
}

func (d *pickyDialer) Dial(network, address string) (net.Conn, error) {
	if m := d.refuse.Load(); m != nil && (*m)[address] {
		return nil, errors.New("no route to host")
	}
	return net.Dial(network, address)
}

// TestUnreachableLeader: who cannot be reached is reached through a broker that forwards, and directly once it can be.
func TestUnreachableLeader(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{Brokers: 3})
	c.CreateTopic("events", 3)
	d := new(pickyDialer)
	d.refuse.Store(&map[string]bool{address(c.URL(2)): true})
	cl, err := New(c.Connect(t, nats.SetCustomDialer(d)), Options{RedialPause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for range 5 {
		if _, err := cl.Do(t.Context(), produce(1, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.Forwarded(); n != 5 {
		t.Errorf("%d of 5 were forwarded", n)
	}
	if n := c.Seen(protocol.OpMeta); n != 1 {
		t.Errorf("%d requests for metadata: a leader that is reached by another way is not in doubt", n)
	}
	d.refuse.Store(nil)
	eventually(t, "the leader is reached directly", func() bool {
		before := c.Forwarded()
		if _, err := cl.Do(t.Context(), produce(1, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
		return c.Forwarded() == before
	})
}

// TestConnectionLimit: beyond the limit requests are forwarded, and idle connections make room.
func TestConnectionLimit(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{Brokers: 3})
	c.CreateTopic("events", 3)
	cl := newClient(t, c, Options{MaxConns: 1})
	release := make(chan struct{})
	arrived := make(chan struct{})
	remove := c.Hook(func(r *fakebroker.Request) *fakebroker.Action {
		if r.Op == protocol.OpProduce && r.Partition == 1 {
			close(arrived)
			return &fakebroker.Action{Hold: release}
		}
		return nil
	})
	first := cl.Start(t.Context(), produce(1, 10*time.Second))
	<-arrived
	if _, err := cl.Do(t.Context(), produce(2, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if n := c.Forwarded(); n != 1 {
		t.Errorf("%d forwarded while the one connection is in use, want 1", n)
	}
	remove()
	close(release)
	if _, err := first.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Do(t.Context(), produce(2, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if n := c.Forwarded(); n != 1 {
		t.Errorf("%d forwarded after an idle connection could make room", n)
	}
}

// TestIdleConnectionsClose: connections that are not used go away, and come back when needed.
func TestIdleConnectionsClose(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{Brokers: 2})
	c.CreateTopic("events", 2)
	cl := newClient(t, c, Options{IdleTimeout: 20 * time.Millisecond})
	for range 2 {
		if _, err := cl.Do(t.Context(), produce(1, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the connection is closed", func() bool { return c.Connections(2) == 0 })
	}
}

// TestSeedDown: the client lives on when the broker of the caller's connection dies, and when all die and come back.
func TestSeedDown(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{Brokers: 3})
	c.CreateTopic("events", 3)
	cl := newClient(t, c, Options{RedialPause: time.Millisecond})
	if _, err := cl.Do(t.Context(), produce(2, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	c.Kill(1)
	c.Elect("events", 0, 2)
	send := func(p protocol.Partition) error {
		return cl.Retry(t.Context(), func(ctx context.Context) error { _, err := cl.Do(ctx, produce(p, 5*time.Second)); return err })
	}
	for p := range protocol.Partition(3) {
		if err := send(p); err != nil {
			t.Fatal(err)
		}
	}
	c.Kill(2)
	c.Kill(3)
	if _, err := cl.Do(t.Context(), produce(1, 5*time.Second)); err == nil {
		t.Error("an answer of nobody")
	}
	for id := range protocol.BrokerID(3) {
		c.Restart(id + 1)
	}
	for p := range protocol.Partition(3) {
		if err := send(p); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCredentials: the client's own connections use the seed's credentials, wherever those are given.
func TestCredentials(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{
		Brokers: 2, Configure: func(o *server.Options) { o.Username, o.Password = "u", "p" }, Login: []nats.Option{nats.UserInfo("u", "p")},
	})
	c.CreateTopic("events", 2)
	for name, connect := range map[string]func() (*nats.Conn, error){
		"options": func() (*nats.Conn, error) { return nats.Connect(c.URL(1), nats.UserInfo("u", "p")) },
		"URL": func() (*nats.Conn, error) {
			return nats.Connect(strings.Replace(c.URL(1), "nats://", "nats://u:p@", 1))
		},
	} {
		nc, err := connect()
		if err != nil {
			t.Fatal(err)
		}
		cl, err := New(nc, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cl.Do(t.Context(), produce(1, 5*time.Second)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cl.Close()
		nc.Close()
	}
	if n := c.Forwarded(); n != 0 {
		t.Errorf("%d forwarded", n)
	}
}

// TestPermissions: a subject that the user may not use is a typed error at once, not a timeout.
func TestPermissions(t *testing.T) {
	c := fakebroker.Start(t, fakebroker.Options{
		Configure: func(o *server.Options) {
			o.Users = []*server.User{{Username: "broker", Password: "b"}, {Username: "u", Password: "p", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Deny: []string{"logq.v1.produce.*.events"}},
			}}}
		},
		Login: []nats.Option{nats.UserInfo("broker", "b")},
	})
	c.CreateTopic("events", 1)
	cl, err := New(c.Connect(t, nats.UserInfo("u", "p")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	_, err = cl.Do(t.Context(), produce(0, time.Minute))
	if protocol.CodeOf(err) != protocol.TopicAuthorizationFailed || protocol.OutcomeOf(err) != protocol.NotWritten || Retriable(err) {
		t.Errorf("error %v", err)
	}
}
