package multiraft_test

import (
	"errors"
	"path"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/segments"
)

// smallSegments lets logs roll often, and keeps little of them in memory.
func smallSegments(o *multiraft.Options) { o.TailBytes, o.ScrubInterval = 4<<10, time.Hour }

// filled is a group with values in several segments, on all brokers and equal there.
func (c *cluster) filled(n int) (map[protocol.BrokerID]*multiraft.Group, []string) {
	c.t.Helper()
	groups := c.openSized("p", 16<<10, 1, 2, 3)
	lead := c.leader(groups)
	want := values("some payload that is not short, number", n)
	for _, v := range want {
		if r := appendTo(lead, batchOf(c.t, v), time.Second); r.Err != nil {
			c.t.Fatal(r.Err)
		}
	}
	c.converged(groups, n)
	return groups, want
}

// rot flips a bit in the middle of each of the given entries on a broker's disk.
func (c *cluster) rot(id protocol.BrokerID, entries ...segments.Index) {
	c.t.Helper()
	dir := path.Join("data", "p")
	names, err := c.disks[id].List(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range names {
		name = path.Join(dir, name)
		var at []int64
		if _, err := segments.Inspect(c.disks[id], name, func(f segments.FrameInfo) error {
			if slices.Contains(entries, f.Frame.Index) {
				at = append(at, f.Pos+segments.FrameHeaderSize+10)
			}
			return nil
		}); err != nil {
			c.t.Fatal(err)
		}
		f, err := c.disks[id].OpenReadWrite(name)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, pos := range at {
			var b [1]byte
			_, err1 := f.ReadAt(b[:], pos)
			b[0] ^= 1
			_, err2 := f.WriteAt(b[:], pos)
			if err := errors.Join(err1, err2); err != nil {
				c.t.Fatal(err)
			}
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			c.t.Fatal(err)
		}
	}
}

// sound waits until a host has repaired so many places.
func (c *cluster) sound(id protocol.BrokerID, repairs uint64) {
	c.t.Helper()
	deadline := time.Now().Add(3 * time.Hour)
	for c.hosts[id].Stats().Repairs < repairs {
		if time.Now().After(deadline) {
			c.t.Fatalf("broker %d: %+v, want %d repairs", id, c.hosts[id].Stats(), repairs)
		}
		c.wait(100 * time.Millisecond)
	}
}

// TestDamageFoundAtOpenIsRepaired: a broker comes back with a damaged log. It gets
// exactly what was lost, and only then counts for it; its log is whole on disk.
func TestDamageFoundAtOpenIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, smallSegments)
		defer c.close()
		groups, want := c.filled(200)
		var down protocol.BrokerID // a follower
		for id, g := range groups {
			if !g.Status().Serving {
				down = id
			}
		}
		c.stop(down, false)
		c.rot(down, 5, 60, 61, 150)
		c.start(down)
		groups[down] = c.openSized("p", 16<<10, down)[down]
		c.sound(down, 4)
		if st := c.hosts[down].Stats(); st.Damaged != 4 || st.RepairedBytes > 4<<10 {
			t.Errorf("%d places were damaged, %d bytes repaired", st.Damaged, st.RepairedBytes)
		}
		c.converged(groups, len(want))
		if got := readAll(t, groups[down]); !slices.Equal(got, want) {
			t.Errorf("%d records are there, want %d", len(got), len(want))
		}
		// With the repaired replica alone beside the leader, the group goes on.
		for id := range groups {
			if id != down && !groups[id].Status().Serving {
				c.stop(id, true)
				delete(groups, id)
			}
		}
		if r := appendTo(c.leader(groups), batchOf(t, "more"), time.Minute); r.Err != nil {
			t.Error(r.Err)
		}
	})
}

// TestScrubFindsDamage: what rots under a running broker is found within a round, and
// repaired, on the leader as on followers, without a change of leader.
func TestScrubFindsDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, smallSegments)
		defer c.close()
		groups, want := c.filled(200)
		lead := c.leader(groups)
		term := lead.Status().Term
		for id := range groups {
			c.rot(id, segments.Index(20*id), segments.Index(20*id+1)) // each another place
		}
		for id, g := range groups {
			c.sound(id, 2)
			if got := readAll(t, g); !slices.Equal(got, want) {
				t.Errorf("broker %d serves %d records, want %d", id, len(got), len(want))
			}
		}
		if st := lead.Status(); !st.Serving || st.Term != term {
			t.Errorf("the leader has changed: %+v", st)
		}
		if scrubs := c.hosts[1].Stats().Scrubs; scrubs == 0 {
			t.Error("no round was finished")
		}
	})
}

// TestReadOfDamageLeadsToRepair: a consumer comes upon it before the scrubber does. It
// gets an error, never other bytes, and soon its records.
func TestReadOfDamageLeadsToRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, func(o *multiraft.Options) { smallSegments(o); o.ScrubInterval = -1 })
		defer c.close()
		groups, want := c.filled(200)
		lead := c.leader(groups)
		c.rot(protocol.BrokerOf(uint64(lead.Self())), 42)
		if _, err := lead.Read(nil, 40, 1); !errors.Is(err, segments.ErrCorrupt) {
			t.Fatalf("a read of damage gives %v", err)
		}
		c.sound(protocol.BrokerOf(uint64(lead.Self())), 1)
		if got := readAll(t, lead); !slices.Equal(got, want) {
			t.Errorf("%d records are there, want %d", len(got), len(want))
		}
	})
}

// TestNobodyHasIt: damage that no other replica can mend yet stays what it is, and the
// group serves the rest.
func TestNobodyHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, smallSegments)
		defer c.close()
		groups, _ := c.filled(100)
		for id := range groups {
			c.rot(id, 30) // on all disks
		}
		c.wait(3 * time.Hour)
		lead := c.leader(groups)
		if r := appendTo(lead, batchOf(t, "more"), time.Minute); r.Err != nil {
			t.Errorf("append with damage in what is committed: %v", r.Err)
		}
		if _, err := lead.Read(nil, 28, 1); !errors.Is(err, segments.ErrCorrupt) {
			t.Errorf("a read of what is lost everywhere gives %v", err)
		}
		if r, err := lead.Read(nil, 40, 1<<20); err != nil || r.Next == 40 {
			t.Errorf("a read behind it: to %d, %v", r.Next, err)
		}
	})
}

// TestLostTailIsNoticed: what was closed in order and ends too early when it is opened
// again has lost something. The replica counts for nothing until it has it again; if it
// counted, the group could elect a leader without it.
func TestLostTailIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, smallSegments)
		defer c.close()
		groups, want := c.filled(100)
		lead := protocol.BrokerOf(uint64(c.leader(groups).Self()))
		lost, other := lead%3+1, (lead+1)%3+1
		// The last appends are on the leader and on the one that will lose them.
		c.stop(other, true)
		if r := appendTo(groups[lead], batchOf(t, "acknowledged"), time.Second); r.Err != nil {
			t.Fatal(r.Err)
		}
		want = append(want, "acknowledged")
		c.wait(time.Second)
		c.stop(lost, false)
		c.stop(lead, true)
		c.cutTail(lost)
		c.start(other)
		c.start(lost)
		groups = map[protocol.BrokerID]*multiraft.Group{
			other: c.openSized("p", 16<<10, other)[other], lost: c.openSized("p", 16<<10, lost)[lost],
		}
		if n := c.hosts[lost].Stats().Damaged; n != 1 {
			t.Errorf("%d logs are damaged, want 1", n)
		}
		c.wait(time.Minute)
		for id, g := range groups {
			if g.Status().Serving {
				t.Fatalf("broker %d leads without what was acknowledged", id)
			}
		}
		if !groups[lost].Status().Repairing || groups[other].Status().Repairing {
			t.Error("the status does not say which replica lacks its end")
		}
		c.start(lead)
		groups[lead] = c.openSized("p", 16<<10, lead)[lead]
		c.leader(groups)
		c.converged(groups, len(want))
		if groups[lost].Status().Repairing {
			t.Error("the status does not say that it has it again")
		}
		for id, g := range groups {
			if got := readAll(t, g); !slices.Equal(got, want) {
				t.Errorf("broker %d has %d records, want %d", id, len(got), len(want))
			}
		}
	})
}

// cutTail cuts the last entry off a log on disk, with nothing to show for it.
func (c *cluster) cutTail(id protocol.BrokerID) {
	c.t.Helper()
	dir := path.Join("data", "p")
	names, err := c.disks[id].List(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	slices.Sort(names)
	name := path.Join(dir, names[len(names)-1])
	last := int64(0)
	if _, err := segments.Inspect(c.disks[id], name, func(f segments.FrameInfo) error { last = f.Pos; return nil }); err != nil || last == 0 {
		c.t.Fatalf("no entry in %s: %v", name, err)
	}
	f, err := c.disks[id].OpenReadWrite(name)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(last), f.Sync(), f.Close()); err != nil {
		c.t.Fatal(err)
	}
}
