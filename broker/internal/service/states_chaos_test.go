package service

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
)

// chaos changes topics while brokers lose power at any moment, are cut off, and find their newest state file damaged. The
// limits make state files, trims and jumps a matter of a few records.
type chaos struct {
	*real
	rnd    *rand.Rand
	topics map[string]bool
	names  int
	seed   uint64
}

func (c *chaos) step() {
	switch id := protocol.BrokerID(1 + c.rnd.IntN(c.n)); c.rnd.IntN(8) {
	case 0: // a power loss, with some of what was not synced on the disk
		c.crashWith(id, vfs.CrashOptions{Keep: c.rnd.Float64(), Torn: c.rnd.IntN(2) == 0, Rand: c.rnd})
		if names, _ := c.disks[id].List("metadata"); c.rnd.IntN(3) == 0 && len(names) >= 2 {
			c.damage(id, false)
		}
		c.change(1 + c.rnd.IntN(30)) // the others go on
		c.boot(id)
	case 1: // a partition
		c.isolate(id, true)
		c.change(1 + c.rnd.IntN(60))
		c.isolate(id, false)
	default:
		c.change(1 + c.rnd.IntN(20))
	}
}

// change creates and deletes n topics.
func (c *chaos) change(n int) {
	c.t.Helper()
	for range n {
		all := slices.Sorted(maps.Keys(c.topics))
		if len(all) > 0 && (len(all) > 8 || c.rnd.IntN(2) == 0) {
			name := all[c.rnd.IntN(len(all))]
			c.until("deleted", func() error {
				return c.admin(protocol.OpTopicDelete, protocol.DeleteTopicRequest{Name: name}, protocol.UnknownTopicOrPartition)
			})
			delete(c.topics, name)
			continue
		}
		c.names++
		name := fmt.Sprint("t", c.names)
		c.until("created", func() error {
			return c.admin(protocol.OpTopicCreate, protocol.CreateTopicRequest{Name: name, Partitions: 1, Replicas: 1 + c.rnd.IntN(2)}, protocol.TopicAlreadyExists)
		})
		c.topics[name] = true
	}
}

// admin asks a broker that is up and not cut off. An outcome that is unknown is asked for again: then it may be done already.
func (c *chaos) admin(op protocol.Op, req any, already protocol.Code) error {
	e := c.services[c.some()].adminOp(c.t, op, req, nil)
	if e == nil || e.Code == already || e.Outcome == protocol.Done {
		return nil
	}
	return e
}

func TestMetadataChaos(t *testing.T) {
	fetched, errs := uint64(0), 0
	for seed := range uint64(12) {
		limits := States{Records: 10 + int64(seed%12)*7, Bytes: 64 << 10, SegmentBytes: 8 << 10}
		inStatesWorld(t, 3, limits, func(t *testing.T, r *real) {
			c := &chaos{real: r, rnd: rand.New(rand.NewPCG(seed, 21)), topics: map[string]bool{}, seed: seed}
			for range 40 {
				c.step()
				for _, s := range r.services {
					fetched += s.Stats().StatesFetched
				}
			}
			c.agree()
			for id, s := range r.services {
				if st := s.Stats(); st.MetaLogStart == 0 || st.MetaNext-st.MetaLogStart > 4*limits.Records+400 {
					t.Errorf("seed %d, broker %d: the log holds the records %d to %d", seed, id, st.MetaLogStart, st.MetaNext)
				}
				errs += int(s.Stats().StateFileErrors)
			}
		})
	}
	if fetched == 0 || errs > 0 {
		t.Errorf("%d states were fetched, %d files failed: the test shows too little", fetched, errs)
	}
}

// agree waits until all brokers have the same state, the one that was made, and only its replicas on their disks.
func (c *chaos) agree() {
	c.t.Helper()
	want := strings.Join(slices.Sorted(maps.Keys(c.topics)), " ")
	for id := range c.services {
		c.until("in step", func() error {
			if got := c.names2(id); got != want {
				return fmt.Errorf("seed %d, broker %d has %q, want %q", c.seed, id, got, want)
			}
			return c.services[id].Ready()
		})
	}
	var first []byte
	for id, s := range c.services {
		image := c.image(s)
		if first == nil {
			first = image
		} else if !bytes.Equal(first, image) {
			c.t.Fatalf("seed %d: broker %d has another state:\n%s\n%s", c.seed, id, image, first)
		}
	}
	for id, s := range c.services {
		c.until("rid of what was deleted", func() error {
			names, err := c.disks[id].List("data")
			if err != nil {
				return err
			}
			for _, p := range s.table.Load().local {
				names = slices.DeleteFunc(names, func(n string) bool { return n == p.spec().Name })
			}
			if len(names) > 0 {
				return fmt.Errorf("seed %d: broker %d still has %v", c.seed, id, names)
			}
			return nil
		})
	}
}

func (c *chaos) names2(id protocol.BrokerID) string {
	s := c.services[id]
	if e := s.syncMeta(c.t.Context()); e != nil {
		return e.Message
	}
	var all []string
	for _, t := range s.table.Load().snap.Topics() {
		all = append(all, t.Name)
	}
	return strings.Join(all, " ")
}

// image is the state of a broker as its newest file has it, once that is up to date.
func (c *chaos) image(s *Service) (image []byte) {
	c.t.Helper()
	next := s.table.Load().snap.Next()
	c.until("written down", func() error {
		s.fold.want()
		i, ok := s.opts.States.Store.Newest()
		if !ok || i.Next < next {
			return errors.New("not yet")
		}
		var err error
		image, err = s.opts.States.Store.ReadImage(i, 0, int(i.Bytes))
		return err
	})
	if _, err := meta.DecodeState(image); err != nil {
		c.t.Fatal(err)
	}
	return image
}
