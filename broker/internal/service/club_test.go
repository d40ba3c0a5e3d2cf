package service

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

// fakeNetwork notes which peers a broker was told of.
type fakeNetwork struct {
	mu    sync.Mutex
	addrs map[protocol.BrokerID]string // guarded by mu
	cut   map[protocol.BrokerID]int    // guarded by mu; RemovePeer calls
}

func (n *fakeNetwork) AddPeer(id protocol.BrokerID, addr string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs[id] = addr
	return nil
}

func (n *fakeNetwork) RemovePeer(id protocol.BrokerID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.addrs, id)
	n.cut[id]++
}

func (n *fakeNetwork) knows() map[protocol.BrokerID]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.addrs)
}

// club is a world whose brokers have directories and come and go.
type club struct {
	*world
	networks map[protocol.BrokerID]*fakeNetwork
	mu       sync.Mutex
	fenced   map[protocol.BrokerID]error // guarded by mu
}

// inClub runs f with three brokers, each with the directory d<id>.
func inClub(t *testing.T, f func(t *testing.T, c *club)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &club{world: newWorld(t), networks: map[protocol.BrokerID]*fakeNetwork{}, fenced: map[protocol.BrokerID]error{}}
		defer c.closeAll()
		c.start(3, func(o *Options) { c.tune(o, Intro{Directory: fmt.Sprintf("d%d", o.ID)}) })
		c.ready()
		f(t, c)
	})
}

func (c *club) tune(o *Options, who Intro) {
	id := o.ID
	c.networks[id] = &fakeNetwork{addrs: map[protocol.BrokerID]string{}, cut: map[protocol.BrokerID]int{}}
	o.Intro, o.Network = who, c.networks[id]
	o.OnFenced = func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fenced[id] = err
	}
}

// ask asks broker via to take a broker in.
func (c *club) ask(via, id protocol.BrokerID, directory string) (JoinReply, error) {
	c.t.Helper()
	question, err := JoinRequest(meta.Broker{
		ID: id, URL: "nats://new:4222", Peer: fmt.Sprintf("b%d:7001", id), FeatureLevel: meta.SupportedLevel, Directory: directory,
	}, 5*time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	return ParseJoinReply(c.services[via].Answer(c.t.Context(), id, question))
}

// run starts a broker that has joined.
func (c *club) run(id protocol.BrokerID, directory string, incarnation uint64) *Service {
	c.t.Helper()
	known := []protocol.BrokerID{id}
	for b := range c.services {
		known = append(known, b)
	}
	c.start(len(known), func(o *Options) {
		o.Brokers = known
		c.tune(o, Intro{Directory: directory, Incarnation: incarnation})
	}, id)
	return c.services[id]
}

// join has a broker join and waits until it is ready.
func (c *club) join(via, id protocol.BrokerID, directory string) *Service {
	c.t.Helper()
	r, err := c.ask(via, id, directory)
	if err != nil {
		c.t.Fatal(err)
	}
	s := c.run(id, directory, r.Incarnation)
	c.ready()
	return s
}

func (c *club) fencedAs(id protocol.BrokerID, says string) {
	c.t.Helper()
	c.until(fmt.Sprintf("broker %d is fenced", id), func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err := c.fenced[id]; err == nil || !strings.Contains(err.Error(), says) {
			return fmt.Errorf("%v does not say %q", err, says)
		}
		return nil
	})
}

// voting waits until these brokers vote on the metadata and those learn.
func (c *club) voting(voters, learners []protocol.BrokerID) {
	c.t.Helper()
	c.until(fmt.Sprintf("%v vote and %v learn", voters, learners), func() (err error) {
		c.with(protocol.MetaTopic, 0, func(l *fakeLog) {
			v, n := brokersOf(l.members()), brokersOf(l.learners)
			slices.Sort(v)
			slices.Sort(n)
			if !slices.Equal(v, voters) || !slices.Equal(n, learners) {
				err = fmt.Errorf("%v vote and %v learn", v, n)
			}
		})
		return err
	})
}

func (c *club) drain(via, id protocol.BrokerID, undo bool) {
	c.t.Helper()
	if e := c.services[via].adminOp(c.t, protocol.OpBrokerDrain, protocol.DrainBrokerRequest{Broker: id, Undo: undo}, nil); e != nil {
		c.t.Fatal(e)
	}
}

func (c *club) remove(via, id protocol.BrokerID, lost bool) *protocol.Error {
	return c.services[via].adminOp(c.t, protocol.OpBrokerRemove, protocol.RemoveBrokerRequest{Broker: id, DataLost: lost}, nil)
}

// crash ends a broker; where it led, somebody else does from then on.
func (c *club) crash(id protocol.BrokerID) {
	c.stop(id)
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	for _, l := range c.groups {
		for _, b := range slices.Sorted(maps.Keys(l.open)) {
			if l.leader == 0 {
				l.elect(b)
			}
		}
	}
}

// on returns the replicas of a partition as the metadata has them, once it doesn't move.
func (c *club) on(topic string, p protocol.Partition) (replicas []uint64) {
	c.t.Helper()
	c.until("the partition rests", func() error {
		t := c.services[1].table.Load().snap.Topic(topic)
		if t.Target(p) != nil {
			return errors.New("it moves")
		}
		replicas = t.Replicas(p)
		return nil
	})
	return replicas
}
