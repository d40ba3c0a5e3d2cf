package multiraft_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

// member opens replica self of a group on its broker; voters are the group's at
// birth, or none for one that joins.
func (c *cluster) member(name string, self raft.ReplicaID, voters ...raft.ReplicaID) *multiraft.Group {
	c.t.Helper()
	spec := multiraft.Spec{Name: name, Self: self, Voters: voters, SegmentBytes: 64 << 10}
	copy(spec.Group[:], name)
	copy(spec.Topic[:], name)
	g, err := c.hosts[protocol.BrokerOf(uint64(self))].Open(c.t.Context(), spec)
	if err != nil {
		c.t.Fatal(err)
	}
	return g
}

// change proposes a change from the configuration that the leader is at, and fails
// the test if it is refused.
func (c *cluster) change(lead *multiraft.Group, voters, learners []raft.ReplicaID) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	if err := lead.ProposeConfig(ctx, lead.Status().ConfigIndex, voters, learners); err != nil {
		c.t.Fatalf("from %v to voters %v, learners %v: %v", lead.Status().Config, voters, learners, err)
	}
}

// caughtUp waits until the leader says so of a learner.
func (c *cluster) caughtUp(lead *multiraft.Group, id raft.ReplicaID) {
	c.t.Helper()
	for start := time.Now(); time.Since(start) < time.Minute; c.wait(10 * time.Millisecond) {
		for _, p := range lead.Status().Peers {
			if p.ID == id && p.Learner && p.CaughtUp {
				return
			}
		}
	}
	c.t.Fatalf("replica %d has not caught up: %+v", id, lead.Status().Peers)
}

func ids(n ...raft.ReplicaID) []raft.ReplicaID { return n }

// TestGroupMovesToOtherBrokers grows a group from one replica to three and takes the
// first one out, under load, with the log kept all the while.
func TestGroupMovesToOtherBrokers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := map[protocol.BrokerID]*multiraft.Group{1: c.member("a", 1, 1)}
		var want []string
		add := func() {
			t.Helper()
			v := fmt.Sprint(len(want))
			if r := appendTo(c.leader(groups), batchOf(t, v), time.Second); r.Err != nil {
				t.Fatal(r.Err)
			}
			want = append(want, v)
		}
		for range 20 {
			add()
		}
		lead := c.leader(groups)
		groups[2], groups[3] = c.member("a", 2), c.member("a", 3)
		c.change(lead, ids(1), ids(2, 3))
		add()
		c.caughtUp(lead, 2)
		c.caughtUp(lead, 3)
		c.change(lead, ids(1, 2, 3), nil)
		add()
		if st := lead.Status(); !slices.Equal(st.Config.Voters, ids(1, 2, 3)) || st.Config.Joint() || len(st.Peers) != 3 || st.ConfigIndex > st.Commit {
			t.Errorf("after the change: %+v", st)
		}
		c.converged(groups, len(want))
		c.quiet()

		// The leader takes itself out, and leads until that is committed.
		c.change(lead, ids(2, 3), nil)
		delete(groups, 1)
		add()
		if err := c.hosts[1].Remove(t.Context(), lead.ID(), lead.Name(), lead.Self()); err != nil {
			t.Fatal(err)
		}
		add()
		c.quiet()

		// A broker that was wiped comes back as another replica; its own id is history.
		again := raft.ReplicaID(1<<16 | 1)
		groups[1] = c.member("a", again)
		lead = c.leader(groups)
		c.change(lead, ids(2, 3), ids(again))
		c.caughtUp(lead, again)
		c.change(lead, ids(2, 3, again), nil)
		add()
		c.converged(groups, len(want))
		for id, g := range groups {
			if got := readAll(t, g); !slices.Equal(got, want) {
				t.Errorf("broker %d reads %v", id, got)
			}
		}

		// All of it is in the logs: a restart of everybody changes nothing.
		for i := range 3 {
			c.stop(protocol.BrokerID(i+1), true)
		}
		for i := range 3 {
			c.start(protocol.BrokerID(i + 1))
		}
		groups = map[protocol.BrokerID]*multiraft.Group{1: c.member("a", again), 2: c.member("a", 2), 3: c.member("a", 3)}
		add()
		c.converged(groups, len(want))
		if st := c.leader(groups).Status(); !slices.Equal(st.Config.Voters, ids(2, 3, again)) {
			t.Errorf("after the restart: %v", st.Config)
		}
	})
}

// TestChangesThatAreRefused have typed errors and change nothing.
func TestChangesThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		groups := map[protocol.BrokerID]*multiraft.Group{}
		for i := range 3 {
			groups[protocol.BrokerID(i+1)] = c.member("a", raft.ReplicaID(i+1), 1, 2, 3)
		}
		lead := c.leader(groups)
		var (
			notLeader *raft.NotLeaderError
			changed   *raft.ConfigChangedError
			behind    *raft.NotCaughtUpError
			invalid   *raft.ConfigError
			failed    *multiraft.UnknownGroupError
		)
		for _, g := range groups {
			if g == lead {
				continue
			}
			if err := g.ProposeConfig(t.Context(), 0, ids(1, 2), nil); !errors.As(err, &notLeader) {
				t.Errorf("on a follower: %v", err)
			}
		}
		if err := lead.ProposeConfig(t.Context(), 77, ids(1, 2), nil); !errors.As(err, &changed) || changed.At != 0 {
			t.Errorf("from another configuration: %v", err)
		}
		if err := lead.ProposeConfig(t.Context(), 0, ids(1, 2, 3, 4), nil); !errors.As(err, &behind) || behind.ID != 4 {
			t.Errorf("with a voter that is no learner: %v", err)
		}
		if err := lead.ProposeConfig(t.Context(), 0, ids(3, 2, 1), nil); !errors.As(err, &invalid) {
			t.Errorf("out of order: %v", err)
		}
		if err := lead.ProposeConfig(t.Context(), 0, ids(1, 2, 3), nil); err != nil {
			t.Errorf("to what is so already: %v", err)
		}
		done, cancel := context.WithCancel(t.Context())
		cancel()
		var unknown *multiraft.ConfigUnknownError
		if err := lead.ProposeConfig(done, 0, ids(1, 2, 3), nil); err != nil && (!errors.As(err, &unknown) || !errors.Is(err, context.Canceled)) {
			t.Errorf("called off: %v", err)
		}
		id := protocol.BrokerOf(uint64(lead.Self()))
		if err := c.hosts[id].Remove(t.Context(), lead.ID(), lead.Name(), lead.Self()); err != nil {
			t.Fatal(err)
		}
		if err := lead.ProposeConfig(t.Context(), 0, ids(1, 2), nil); !errors.As(err, &failed) {
			t.Errorf("on a removed replica: %v", err)
		}
		if err := lead.Trim(1); !errors.As(err, &failed) {
			t.Errorf("trim of a removed replica: %v", err)
		}
	})
}

// TestChangeThatIsUndone: a leader that is cut off proposes a change; the others go
// on without it. It learns that the change is not.
func TestChangeThatIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := c.open("a", 1, 2, 3)
		lead := c.leader(groups)
		id := protocol.BrokerOf(uint64(lead.Self()))
		c.setCut(id, true)
		result := make(chan error, 2)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		two := slices.DeleteFunc(ids(1, 2, 3), func(r raft.ReplicaID) bool { return r != lead.Self() && r != lead.Self()%3+1 })
		go func() { result <- lead.ProposeConfig(t.Context(), 0, two, nil) }()
		synctest.Wait()
		if err := lead.ProposeConfig(short, 0, ids(1, 2, 3), nil); !errors.Is(err, raft.ErrConfigPending) {
			t.Errorf("a second change: %v", err)
		}
		delete(groups, id)
		if r := appendTo(c.leader(groups), batchOf(t, "x"), time.Second); r.Err != nil {
			t.Fatal(r.Err)
		}
		if len(result) > 0 {
			t.Fatalf("decided without the others: %v", <-result)
		}
		c.setCut(id, false)
		var undone *multiraft.ConfigUndoneError
		if err := <-result; !errors.As(err, &undone) || undone.At != 0 {
			t.Errorf("the change ended with %v", err)
		}
	})
}

// TestChangeOutlivesItsDeadline: the caller learns that it may still come about.
func TestChangeOutlivesItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := c.open("a", 1, 2, 3)
		lead := c.leader(groups)
		for i := range 3 {
			c.setCut(protocol.BrokerID(i+1), true)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var unknown *multiraft.ConfigUnknownError
		err := lead.ProposeConfig(ctx, 0, ids(1, 2), nil)
		if !errors.As(err, &unknown) || !errors.Is(err, context.DeadlineExceeded) || unknown.Index == 0 {
			t.Errorf("got %v", err)
		}
		closed := make(chan error, 1)
		go func() { closed <- lead.ProposeConfig(t.Context(), lead.Status().ConfigIndex, ids(1, 2, 3), nil) }()
		synctest.Wait()
		c.close()
		if err := <-closed; err == nil {
			t.Error("a change of a group that was closed has succeeded")
		}
	})
}

// TestLearnerBehindTheLogStart jumps to where the log begins now.
func TestLearnerBehindTheLogStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 2, func(o *multiraft.Options) { o.TailBytes = 32 << 10 })
		defer c.close()
		groups := map[protocol.BrokerID]*multiraft.Group{1: c.member("a", 1, 1)}
		lead := c.leader(groups)
		payload := string(bytes.Repeat([]byte("0123456789abcdef"), 1<<10))
		for range 40 {
			if r := appendTo(lead, batchOf(t, payload), time.Second); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		if err := lead.Trim(lead.Status().Commit); err != nil {
			t.Fatal(err)
		}
		start := lead.Status().LogStart
		if start == 0 {
			t.Fatal("the log was not trimmed")
		}
		synctest.Wait() // the files go with the next flush, at once
		if names, err := c.disks[1].List("data/a"); err != nil || len(names) > 3 {
			t.Errorf("after the trim the log has the files %v, %v", names, err)
		}
		groups[2] = c.member("a", 2)
		c.change(lead, ids(1), ids(2))
		c.caughtUp(lead, 2)
		c.change(lead, ids(1, 2), nil)
		c.converged(groups, 40)
		for id, g := range groups {
			if st := g.Status(); st.LogStart != start {
				t.Errorf("broker %d's log begins at offset %d, want %d", id, st.LogStart, start)
			}
			r, err := g.Read(nil, start, 1<<20)
			if err != nil || r.Next <= start {
				t.Errorf("broker %d: read from %d to %d, %v", id, start, r.Next, err)
			}
		}
		// And the one that jumped can lead.
		if err := lead.Transfer(2); err != nil {
			t.Fatal(err)
		}
		c.wait(time.Second)
		if next := c.leader(groups); next != groups[2] {
			t.Errorf("replica %d leads", next.Self())
		}
	})
}

// TestPreferredLeaders take over when a group has no leader, mostly.
func TestPreferredLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		const n = 40
		var all []map[protocol.BrokerID]*multiraft.Group
		for i := range n {
			groups := make(map[protocol.BrokerID]*multiraft.Group)
			for id := range c.hosts {
				spec := multiraft.Spec{Name: fmt.Sprintf("group-%d", i), Self: raft.ReplicaID(id), Voters: ids(1, 2, 3)}
				copy(spec.Group[:], spec.Name)
				copy(spec.Topic[:], spec.Name)
				if id == 3 {
					spec.Priority = 1
				}
				g, err := c.hosts[id].Open(t.Context(), spec)
				if err != nil {
					t.Fatal(err)
				}
				groups[id] = g
			}
			all = append(all, groups)
		}
		c.settled(all)
		led := 0
		for _, groups := range all {
			if c.leader(groups) == groups[3] {
				led++
			}
		}
		if led < n*11/20 {
			t.Errorf("broker 3 is preferred for %d groups and leads %d", n, led)
		}
	})
}
