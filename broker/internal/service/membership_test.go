package service

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/logq/logq/internal/protocol"
)

func TestJoin(t *testing.T) {
	inClub(t, func(t *testing.T, c *club) {
		first, err := c.ask(2, 4, "d4") // which is not the controller
		if err != nil || first.ClusterID != c.services[1].ClusterID() || first.Incarnation == 0 || len(first.Brokers) != 3 || first.Brokers[0].Peer != "b1:7001" {
			t.Fatalf("%+v, %v", first, err)
		}
		if again, err := c.ask(1, 4, "d4"); err != nil || again.Incarnation != first.Incarnation {
			t.Errorf("asked again: %+v, %v", again, err)
		}
		for _, tt := range []struct {
			id        protocol.BrokerID
			directory string
			code      protocol.Code
			says      string
		}{
			{4, "other", protocol.DuplicateBrokerRegistration, "logq broker remove 4 --data-lost"},
			{2, "wiped", protocol.DuplicateBrokerRegistration, "logq broker remove 2 --data-lost"},
			{5, "", protocol.InvalidRequest, "without the id"},
		} {
			if _, err := c.ask(3, tt.id, tt.directory); protocol.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("broker %d with directory %q: %v", tt.id, tt.directory, err)
			}
		}
		other := (&protocol.Request{Op: protocol.OpTopicDelete, Body: []byte(`{"name":"t"}`)}).AppendTo(nil)
		for _, body := range [][]byte{nil, []byte("hello"), other} {
			var r protocol.Response
			if err := r.Decode(c.services[1].Answer(t.Context(), 9, body)); err != nil || protocol.CodeOf(errOf(&r)) != protocol.InvalidRequest {
				t.Errorf("question %q: %+v, %v", body, r, err)
			}
		}
		c.run(4, "d4", first.Incarnation)
		c.ready()
		c.voting([]protocol.BrokerID{1, 2, 3, 4}, nil)
		for id, n := range c.networks {
			c.until("everybody is dialled", func() error {
				for b := protocol.BrokerID(1); b <= 4; b++ {
					if dialled := n.knows()[b] == fmt.Sprintf("b%d:7001", b); b != id && dialled != (b == 4 || id == 4) {
						return fmt.Errorf("broker %d dials %v", id, n.knows())
					}
				}
				return nil
			})
		}
		// After a restart it is there again; its replica of the metadata is the same.
		c.crash(4)
		s := c.run(4, "d4", first.Incarnation)
		c.ready()
		if self := s.meta.self(); self != protocol.ReplicaOf(4, first.Incarnation) || s.meta.spec().Voters != nil {
			t.Errorf("it opens the metadata as %+v", s.meta.spec())
		}
	})
}

func TestAddBroker(t *testing.T) {
	inClub(t, func(t *testing.T, c *club) {
		c.create("t", 8, 3)
		var r protocol.MoveReply
		e := c.services[2].adminOp(t, protocol.OpBrokerAdd, protocol.AddBrokerRequest{Broker: 4}, nil)
		if protocol.CodeOf(e) != protocol.BrokerIDNotRegistered || !strings.Contains(e.Message, "--id 4 --join") {
			t.Errorf("a broker that is not there: %v", e)
		}
		c.join(1, 4, "d4")
		for _, dry := range []bool{true, false, false} {
			want := 6
			if count := c.services[1].table.Load().snap.ReplicasOn(4); count > 0 {
				want = 0 // asked again
			}
			if e := c.services[2].adminOp(t, protocol.OpBrokerAdd, protocol.AddBrokerRequest{Broker: 4, DryRun: dry}, &r); e != nil || len(r.Moves) != want {
				t.Errorf("dry run %v: %+v, %v", dry, r, e)
			}
		}
		held := 0
		for p := range protocol.Partition(8) {
			if slices.Contains(brokersOf(c.on("t", p)), 4) {
				held++
			}
		}
		if held != 6 {
			t.Errorf("broker 4 has %d replicas", held)
		}
		c.drain(1, 4, false)
		if e := c.services[2].adminOp(t, protocol.OpBrokerAdd, protocol.AddBrokerRequest{Broker: 4}, nil); e == nil || !strings.Contains(e.Message, "--undo") {
			t.Errorf("a drained broker: %v", e)
		}
	})
}

func TestRemoveBroker(t *testing.T) {
	inClub(t, func(t *testing.T, c *club) {
		c.create("t", 1, 3)
		c.join(1, 4, "d4")
		c.voting([]protocol.BrokerID{1, 2, 3, 4}, nil)
		for _, tt := range []struct {
			id   protocol.BrokerID
			lost bool
			says string
		}{
			{9, false, "not registered"},
			{3, false, "logq broker drain 3"},
			{3, true, "is alive"},
		} {
			if e := c.remove(2, tt.id, tt.lost); e == nil || !strings.Contains(e.Message, tt.says) || e.Outcome != protocol.NotWritten {
				t.Errorf("remove %d: %v", tt.id, e)
			}
		}
		c.drain(2, 3, false)
		c.until("drained", func() error {
			if slices.Contains(brokersOf(c.on("t", 0)), 3) {
				return errors.New("it is not")
			}
			return nil
		})
		c.voting([]protocol.BrokerID{1, 2, 4}, []protocol.BrokerID{3})
		for range 2 {
			if e := c.remove(2, 3, false); e != nil {
				t.Fatal(e)
			}
		}
		c.fencedAs(3, "broker 3 was removed")
		c.voting([]protocol.BrokerID{1, 2, 4}, nil)
		if why := c.services[1].Judge(3, Intro{Directory: "d3"}); !strings.Contains(why, "was removed") {
			t.Errorf("it may come back: %q", why)
		}
		c.until("nobody dials it", func() error {
			c.networks[1].mu.Lock()
			defer c.networks[1].mu.Unlock()
			if c.networks[1].cut[3] == 0 {
				return errors.New("broker 1 does")
			}
			return nil
		})
		var status protocol.ClusterStatusReply
		if e := c.services[2].adminOp(t, protocol.OpClusterStatus, struct{}{}, &status); e != nil || len(status.Brokers) != 3 {
			t.Errorf("%+v, %v", status, e)
		}
	})
}

// TestRemoveNotDrained: a broker without replicas that votes on the metadata is removed when another one votes for it.
func TestRemoveNotDrained(t *testing.T) {
	inClub(t, func(t *testing.T, c *club) {
		if e := c.remove(2, 3, false); e != nil {
			t.Fatal(e)
		}
		c.voting([]protocol.BrokerID{1, 2}, nil)
		c.fencedAs(3, "was removed")
	})
}

// TestLostReplicas: what was on a lost broker is made anew elsewhere, or on the same broker when it is back. Its old replicas
// are never opened.
func TestLostReplicas(t *testing.T) {
	inClub(t, func(t *testing.T, c *club) {
		c.create("t", 3, 3)
		c.create("once", 1, 1)
		c.crash(2)
		if !c.services[3].alive(2) {
			t.Fatal("it is missed at once")
		}
		if e := c.remove(3, 2, true); e != nil { // the answer comes when it is missed
			t.Fatal(e)
		}
		c.voting([]protocol.BrokerID{1, 3}, nil)
		c.mu.Lock()
		clear(c.opens)
		var old []uint64
		c.openErr = func(b protocol.BrokerID, spec Spec) error {
			if b == 2 && protocol.IncarnationOf(spec.Self) == 0 {
				old = append(old, spec.Self)
			}
			return nil
		}
		c.mu.Unlock()
		s := c.join(3, 2, "new")
		for p := range protocol.Partition(3) {
			c.until("made anew", func() error {
				if r := c.on("t", p); !slices.Contains(r, protocol.ReplicaOf(2, protocol.IncarnationOf(r[slices.Index(brokersOf(r), 2)]))) ||
					protocol.IncarnationOf(r[slices.Index(brokersOf(r), 2)]) < s.opts.Incarnation {
					return fmt.Errorf("replicas %d", r)
				}
				return nil
			})
		}
		c.voting([]protocol.BrokerID{1, 2, 3}, nil)
		c.world.mu.Lock()
		defer c.world.mu.Unlock()
		if len(old) > 0 {
			t.Errorf("replicas from before the loss were opened: %d", old)
		}
	})
}

// TestLostElsewhere: with a broker to spare the lost one needs not come back.
func TestLostElsewhere(t *testing.T) {
	inClub(t, func(t *testing.T, c *club) {
		c.create("t", 2, 3)
		c.join(1, 4, "d4")
		c.crash(2)
		c.until("removed", func() error {
			if e := c.remove(3, 2, true); e != nil {
				return e
			}
			return nil
		})
		for p := range protocol.Partition(2) {
			c.until("made anew", func() error {
				if r := brokersOf(c.on("t", p)); slices.Contains(r, 2) || !slices.Contains(r, 4) {
					return fmt.Errorf("on %v", r)
				}
				return nil
			})
		}
	})
}

// TestMetaVotersFollow: who is drained votes no longer than needed, and votes again afterwards.
func TestMetaVotersFollow(t *testing.T) {
	inClub(t, func(t *testing.T, c *club) {
		c.join(1, 4, "d4")
		c.voting([]protocol.BrokerID{1, 2, 3, 4}, nil)
		c.drain(1, 2, false)
		c.voting([]protocol.BrokerID{1, 3, 4}, []protocol.BrokerID{2})
		c.drain(1, 2, true)
		c.voting([]protocol.BrokerID{1, 2, 3, 4}, nil)
	})
}

// TestAddressesFollow: a broker that the cluster began with is dialled as configured until it registers another address, one
// that joined where it says.
func TestAddressesFollow(t *testing.T) {
	inClub(t, func(t *testing.T, c *club) {
		if got := c.networks[1].knows(); len(got) > 0 {
			t.Fatalf("configured addresses are replaced: %v", got)
		}
		c.crash(2)
		c.world.peerHost = "moved"
		c.start(3, func(o *Options) { c.tune(o, Intro{Directory: "d2"}) }, 2)
		c.until("broker 2 is dialled elsewhere", func() error {
			if got := c.networks[1].knows(); len(got) != 1 || got[2] != "moved2:7001" {
				return fmt.Errorf("%v", got)
			}
			return nil
		})
	})
}
