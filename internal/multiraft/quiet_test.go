package multiraft_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
)

const (
	electionTimeout = 400 * time.Millisecond // the shortest
	// electionsTake is how long many groups may take until each has a leader: the ticks
	// of the simulated brokers are in step, so some votes are split, more than once.
	electionsTake = 20 * electionTimeout
)

// many opens n groups everywhere and waits until each has a leader.
func (c *cluster) many(n int) []map[protocol.BrokerID]*multiraft.Group {
	c.t.Helper()
	var on []protocol.BrokerID
	for i := range c.n {
		on = append(on, protocol.BrokerID(i+1))
	}
	all := make([]map[protocol.BrokerID]*multiraft.Group, n)
	for i := range all {
		all[i] = c.open(fmt.Sprintf("group-%04d", i), on...)
	}
	for _, groups := range all {
		c.leader(groups)
	}
	return all
}

// awake counts the groups with ticks on the brokers that are up.
func (c *cluster) awake() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.hosts {
		n += h.Stats().Awake
	}
	return n
}

func (c *cluster) sentBy(id protocol.BrokerID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent[id]
}

// quiet waits until nothing is awake.
func (c *cluster) quiet() {
	c.t.Helper()
	for start := time.Now(); c.awake() > 0; c.wait(10 * time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			c.t.Fatalf("%d replicas are still awake", c.awake())
		}
	}
}

// settled waits until every group has a serving leader, and returns how long that
// took.
func (c *cluster) settled(all []map[protocol.BrokerID]*multiraft.Group) time.Duration {
	c.t.Helper()
	start := time.Now()
	for _, groups := range all {
		c.leader(groups)
	}
	return time.Since(start)
}

// TestIdleGroupsAreQuiet: nothing but pulses is sent, no replica gets ticks, and an
// append takes no longer than ever.
func TestIdleGroupsAreQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		all := c.many(20)
		c.quiet()
		before := c.sentBy(1)
		c.wait(10 * time.Second)
		// A pulse to each of two brokers every 100 ms.
		if n := c.sentBy(1) - before; n < 190 || n > 210 {
			t.Errorf("broker 1 has sent %d messages in 10 s, want 200 pulses", n)
		}
		for i, groups := range all {
			start := time.Now()
			lead := c.leader(groups)
			if r := appendTo(lead, batchOf(t, "x"), time.Second); r.Err != nil {
				t.Fatal(r.Err)
			}
			if d := time.Since(start); d > time.Millisecond {
				t.Errorf("the append to group %d took %v", i, d)
			}
		}
		for _, groups := range all {
			c.converged(groups, 1)
		}
		c.quiet()
	})
}

// TestQuietGroupsSurviveTheirLeader: with the leader's broker dead, cut off or
// stuck, all groups that it led get new leaders about as fast as ever, and fall
// quiet again without it.
func TestQuietGroupsSurviveTheirLeader(t *testing.T) {
	for name, kill := range map[string]func(c *cluster) (restore func()){
		"dead":    func(c *cluster) func() { c.stop(1, true); return func() {} },
		"cut off": func(c *cluster) func() { c.setCut(1, true); return func() {} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				defer c.close()
				all := c.many(60)
				c.quiet()
				defer kill(c)()
				for _, groups := range all {
					delete(groups, 1)
				}
				// The pulses are missed for an election timeout at most, and then each group
				// has an election, or some more.
				if d := c.settled(all); d > electionsTake {
					t.Errorf("all groups had a leader after %v", d)
				}
				for _, groups := range all {
					if r := appendTo(c.leader(groups), batchOf(t, "x"), time.Second); r.Err != nil {
						t.Fatal(r.Err)
					}
				}
				c.wait(2 * time.Second)
				for _, id := range []protocol.BrokerID{2, 3} {
					if n := c.hosts[id].Stats().Awake; n > 0 {
						t.Errorf("%d replicas of broker %d are awake for want of broker 1", n, id)
					}
				}
			})
		})
	}
}

// TestRestartedBrokerIsNotTrusted: a broker that crashes and is back before
// anybody misses a pulse leads nothing any more, and those who followed it must not
// take its pulses for a sign that it does.
func TestRestartedBrokerIsNotTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		all := c.many(30)
		c.quiet()
		c.stop(1, true)
		c.start(1)
		for _, groups := range all {
			groups[1] = c.open(groups[2].Name(), 1)[1]
		}
		if d := c.settled(all); d > electionsTake {
			t.Errorf("all groups had a leader after %v", d)
		}
		c.quiet()
	})
}

// TestNoQuietWithoutPulses: who doesn't hear the pulses of a leader's broker doesn't
// agree to be quiet, or it would follow a dead leader for ever.
func TestNoQuietWithoutPulses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		c.mu.Lock()
		c.mute = 1
		c.mu.Unlock()
		all := c.many(30)
		c.wait(5 * time.Second)
		led := 0
		for _, groups := range all {
			if groups[1].Status().Serving {
				led++
			}
		}
		if n := c.awake(); n != 3*led || led == 0 {
			t.Errorf("%d replicas are awake, want those of the %d groups that broker 1 leads", n, led)
		}
		c.stop(1, true)
		for _, groups := range all {
			delete(groups, 1)
		}
		if d := c.settled(all); d > electionsTake {
			t.Errorf("all groups had a leader after %v", d)
		}
		c.quiet()
	})
}

// TestQuietWithoutAMemberThatNeverWas: groups that are opened while one of their
// brokers is down fall quiet without it, and with it when it is there.
func TestQuietWithoutAMemberThatNeverWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		c.stop(1, true)
		c.wait(2 * time.Second)
		groups := c.open("a", 2, 3)
		c.leader(groups)
		c.quiet()
		c.start(1)
		groups[1] = c.open("a", 1)[1]
		c.quiet()
		if groups[1].Status().Leader == 0 {
			t.Error("the late member knows no leader")
		}
	})
}

// TestStuckShardFallsSilent: a broker with a shard that hangs sends no pulses, so
// that the groups of that shard get other leaders. Those of its other shard go on
// under the old ones, awake.
func TestStuckShardFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		all := c.many(60)
		c.quiet()
		release := make(chan struct{})
		defer close(release)
		stuck := -1
		for _, g := range c.hosts[1].Groups() {
			if !g.Status().Serving { // so that the answer comes at once, and changes nothing
				stuck = g.Shard()
				g.Latest(func(record.Offset, error) { <-release }) // breaks the contract
				break
			}
		}
		led := 0
		for _, groups := range all {
			if g := groups[1]; g.Shard() == stuck {
				if g.Status().Serving {
					led++
				}
				delete(groups, 1)
			}
		}
		if led == 0 {
			t.Fatal("the stuck shard leads nothing")
		}
		if d := c.settled(all); d > electionsTake {
			t.Errorf("all groups had a leader after %v", d)
		}
		c.wait(5 * time.Second)
		for _, groups := range all {
			if r := appendTo(c.leader(groups), batchOf(t, "x"), time.Second); r.Err != nil {
				t.Errorf("append to %s: %v", groups[2].Name(), r.Err)
			}
		}
	})
}

// TestClosedReplicaSaysSo: the followers of a quiet leader that goes alone, while
// its broker lives, don't trust the broker any longer than to its next pulse.
func TestClosedReplicaSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		all := c.many(10)
		c.quiet()
		lead := c.leader(all[0])
		id := protocol.BrokerOf(uint64(lead.Self()))
		if err := c.hosts[id].Remove(t.Context(), lead.ID(), lead.Name(), lead.Self()); err != nil {
			t.Fatal(err)
		}
		delete(all[0], id)
		if d := c.settled(all); d > 2*electionTimeout {
			t.Errorf("the group had a leader after %v", d)
		}
	})
}

// TestQuietFollowerOfALeaderThatStepsDown: 1 leads, and is cut off from 3 and 4;
// 5 is dead. 1 loses its majority and steps down. 2 still hears the pulses of 1, and
// must vote for 3 or 4 all the same, or there is never a leader again.
func TestQuietFollowerOfALeaderThatStepsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 5)
		defer c.close()
		groups := c.open("a", 1, 2, 3, 4, 5)
		lead := c.leader(groups)
		for start := time.Now(); lead != groups[1]; lead = c.leader(groups) {
			if time.Since(start) > 10*time.Second {
				t.Fatal("the leadership doesn't go to broker 1")
			}
			if err := lead.Transfer(1); err != nil {
				t.Log(err)
			}
			c.wait(100 * time.Millisecond)
		}
		c.quiet()
		c.part(1, 3)
		c.part(1, 4)
		c.stop(5, true)
		delete(groups, 5)
		c.wait(5 * electionTimeout)
		delete(groups, 1)
		if d := c.settled([]map[protocol.BrokerID]*multiraft.Group{groups}); d > 4*electionTimeout {
			t.Errorf("a leader after %v more", d)
		}
	})
}

// TestWakesAreBounded: when a broker is lost, elections are spread.
func TestWakesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, rate = 300, 40 // one per tick and shard
		c := newClusterWith(t, 3, func(o *multiraft.Options) { o.WakesPerSecond = rate })
		defer c.close()
		all := c.many(n)
		c.quiet()
		led := 0
		for _, groups := range all {
			if groups[1].Status().Leader == 1 {
				led++
			}
			delete(groups, 1)
		}
		c.stop(1, true)
		if led < n/6 {
			t.Fatalf("broker 1 led %d of %d groups", led, n)
		}
		terms := func() (changed int) {
			for _, groups := range all {
				if l := groups[2].Status().Leader; l != 1 {
					changed++
				}
			}
			return changed
		}
		before := terms()
		for second := range 10 {
			c.wait(time.Second)
			now := terms()
			if now-before > rate+rate/4 {
				t.Errorf("in second %d %d groups have changed their leader, want at most %d", second, now-before, rate)
			}
			before = now
		}
		c.settled(all)
		c.quiet()
	})
}

// TestBrokerDiesAndReturns is S34: many groups lose a broker and get it back. The
// votes share the journal's syncs, and afterwards everything is as quiet as before.
func TestBrokerDiesAndReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		c := newCluster(t, 3)
		defer c.close()
		all := c.many(n)
		c.quiet()
		before := map[protocol.BrokerID]multiraft.Stats{2: c.hosts[2].Stats(), 3: c.hosts[3].Stats()}
		c.stop(1, true)
		for _, groups := range all {
			delete(groups, 1)
		}
		if d := c.settled(all); d > electionsTake {
			t.Errorf("all groups had a leader after %v", d)
		}
		c.quiet()
		for id, was := range before {
			is := c.hosts[id].Stats()
			saves, votes := is.JournalSaves-was.JournalSaves, is.JournalEntries-was.JournalEntries
			t.Logf("broker %d: %d hard states in %d saves", id, votes, saves)
			// Simulated syncs take no time at all, and still gather what one round brings.
			if votes > 0 && saves > votes {
				t.Errorf("broker %d: %d saves for %d hard states", id, saves, votes)
			}
		}
		sent := c.sentBy(2)
		c.start(1)
		for _, groups := range all {
			groups[1] = c.open(groups[2].Name(), 1)[1]
		}
		c.quiet()
		for _, groups := range all {
			leaders := 0
			for _, g := range groups {
				if st := g.Status(); st.Role == raft.RoleLeader {
					leaders++
				} else if st.Leader == 0 {
					t.Errorf("broker %d knows no leader of %s", g.Self(), g.Name())
				}
			}
			if leaders != 1 {
				t.Errorf("%s has %d leaders", groups[2].Name(), leaders)
			}
		}
		t.Logf("broker 2 has sent %d messages and batches for the return of broker 1", c.sentBy(2)-sent)
	})
}

// TestBadPulses: what isn't a pulse gives no trust and no alarm.
func TestBadPulses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		h := c.hosts[1]
		for _, body := range [][]byte{nil, {9}, make([]byte, 22), {1, 2}} {
			h.Pulse(7, body)
		}
		if n := h.Stats().BadFrames; n != 4 {
			t.Errorf("%d bad pulses counted, want 4", n)
		}
		h.Pulse(7, append([]byte{1}, make([]byte, 20)...)) // a group that isn't here
		h.Link(8)
		synctest.Wait()
	})
}
