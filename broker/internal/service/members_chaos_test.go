package service

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
)

// comings has brokers join, leave, lose their disks and their power, on production replicas, while records come in. The
// limits of the state files are small, so that a newcomer finds the metadata's log trimmed.
type comings struct {
	*real
	rnd   *rand.Rand
	made  int // directories
	sent  int
	acked []string
}

// inStep waits until every partition rests on brokers that are alive and in sync.
func (c *comings) inStep() {
	c.t.Helper()
	c.until("in step", func() error {
		for id, svc := range c.services {
			if err := svc.Ready(); err != nil {
				return fmt.Errorf("broker %d: %w", id, err)
			}
			if m := svc.meta.opened().Status().Members; len(m.Voters) != len(c.services) || len(m.Learners) > 0 {
				return fmt.Errorf("not everybody votes on the metadata: %+v", m)
			}
		}
		var s protocol.ClusterStatusReply
		if e := c.services[c.any()].adminOp(c.t, protocol.OpClusterStatus, struct{}{}, &s); e != nil {
			return e
		}
		if len(s.Moving)+len(s.Leaderless)+len(s.UnderReplicated) > 0 || len(s.Brokers) != len(c.services) {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

// any returns a broker that runs.
func (c *comings) any() protocol.BrokerID {
	ids := slices.Sorted(maps.Keys(c.services))
	return ids[c.rnd.IntN(len(ids))]
}

func (c *comings) produce(n int) {
	c.t.Helper()
	for range n {
		v := fmt.Sprint("v", c.sent)
		c.sent++
		if r := c.services[c.any()].do(c.t, produceReq("t", 0, batchOf(c.t, v))); r.Err == nil {
			c.acked = append(c.acked, v)
		}
	}
}

// join takes a broker in on an empty disk.
func (c *comings) join(id protocol.BrokerID) {
	c.t.Helper()
	c.made++
	directory := fmt.Sprint("d", id, "-", c.made)
	question, err := JoinRequest(meta.Broker{ID: id, URL: "nats://new", Peer: fmt.Sprintf("b%d:7001", id), FeatureLevel: meta.SupportedLevel, Directory: directory}, 5*time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	var r JoinReply
	c.until("taken in", func() (err error) {
		r, err = ParseJoinReply(c.services[c.any()].Answer(c.t.Context(), id, question))
		return err
	})
	c.disks[id], c.journals[id] = vfs.NewMem(), journal.NewMem()
	c.who[id] = Intro{Directory: directory, Incarnation: r.Incarnation}
	c.boot(id)
}

func (c *comings) admin(op protocol.Op, body any) {
	c.t.Helper()
	c.until(op.String(), func() error {
		if e := c.services[c.any()].adminOp(c.t, op, body, nil); e != nil {
			return e
		}
		return nil
	})
}

// leave empties a broker and takes it out.
func (c *comings) leave(id protocol.BrokerID) {
	c.t.Helper()
	c.t.Log("leave", id)
	c.admin(protocol.OpBrokerDrain, protocol.DrainBrokerRequest{Broker: id})
	c.produce(5)
	c.until("drained", func() error {
		if n := c.services[c.any()].table.Load().snap.ReplicasOn(id); n > 0 {
			return fmt.Errorf("%d replicas are left", n)
		}
		return nil
	})
	c.admin(protocol.OpBrokerRemove, protocol.RemoveBrokerRequest{Broker: id})
	c.crash(id)
	delete(c.who, id)
}

// lose takes a broker's disk away; it comes back on an empty one, now or after its replicas were made elsewhere.
func (c *comings) lose(id protocol.BrokerID) {
	c.t.Helper()
	c.t.Log("lose", id)
	c.crash(id)
	delete(c.who, id)
	c.produce(5)
	c.admin(protocol.OpBrokerRemove, protocol.RemoveBrokerRequest{Broker: id, DataLost: true})
	if len(c.services) > 2 && c.rnd.IntN(2) == 0 {
		c.inStep()
	}
	c.join(id)
}

func (c *comings) step() {
	c.t.Helper()
	id := c.any()
	switch op := c.rnd.IntN(6); {
	case op == 0 && len(c.services) < 5:
		id = 1
		for c.services[id] != nil {
			id++
		}
		c.join(id)
		c.inStep()
		c.admin(protocol.OpBrokerAdd, protocol.AddBrokerRequest{Broker: id})
	case op <= 1 && len(c.services) > 3:
		c.leave(id)
	case op <= 3:
		c.lose(id)
	default:
		c.t.Log("crash", id)
		c.crashWith(id, vfs.CrashOptions{Keep: c.rnd.Float64(), Torn: c.rnd.IntN(2) == 0, Rand: c.rnd})
		c.produce(5)
		c.boot(id)
	}
	c.produce(10)
	c.inStep()
}

// TestBrokersComeAndGo: nothing acknowledged is lost, whoever joins, leaves, or loses disk or power.
func TestBrokersComeAndGo(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inStatesWorld(t, 3, States{Records: 20, Bytes: 1 << 20, SegmentBytes: 4 << 10}, func(t *testing.T, r *real) {
				c := &comings{real: r, rnd: rand.New(rand.NewPCG(seed, 3)), made: 3}
				r.who = map[protocol.BrokerID]Intro{1: {}, 2: {}, 3: {}}
				c.create("t", 1, 3)
				c.create("u", 3, 3)
				for range 12 {
					c.step()
				}
				c.verify()
			})
		})
	}
}

// verify reads everything through each broker and compares it with what was acknowledged.
func (c *comings) verify() {
	c.t.Helper()
	for id := range c.services {
		there := map[string]bool{}
		for _, v := range c.all(id, "t", 0) {
			there[v] = true
		}
		for _, v := range c.acked {
			if !there[v] {
				c.t.Fatalf("broker %d: %s was acknowledged and is lost", id, v)
			}
		}
	}
	if len(c.acked) < c.sent/2 {
		c.t.Errorf("only %d of %d records were acknowledged", len(c.acked), c.sent)
	}
}
