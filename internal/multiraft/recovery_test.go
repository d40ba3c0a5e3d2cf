package multiraft_test

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
)

// behind fills n groups with mib MiB each while broker 3 is away, and starts it again.
func (c *cluster) behind(n, mib int) (all []map[protocol.BrokerID]*multiraft.Group) {
	c.t.Helper()
	c.stop(3, true)
	for i := range n {
		all = append(all, c.open(fmt.Sprintf("group-%d", i), 1, 2))
	}
	payload := string(bytes.Repeat([]byte("0123456789abcdef"), 16<<10))
	for _, groups := range all {
		lead := c.leader(groups)
		for range 4 * mib {
			if r := appendTo(lead, batchOf(c.t, payload), time.Second); r.Err != nil {
				c.t.Fatal(r.Err)
			}
		}
	}
	c.start(3)
	for _, groups := range all {
		groups[3] = c.open(groups[1].Name(), 3)[3]
	}
	return all
}

// TestRecoveryKeepsItsBudget: a broker that was away catches up at the rate that is
// allowed, and live traffic doesn't notice.
func TestRecoveryKeepsItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mib = 16
		c := newClusterWith(t, 3, func(o *multiraft.Options) {
			o.TailBytes, o.RecoveryBytesPerSecond = 256<<10, 2<<20
		})
		defer c.close()
		live := c.open("live", 1, 2)
		c.leader(live)
		start := time.Now()
		all := c.behind(1, mib)
		for i := range 20 {
			was := time.Now()
			if r := appendTo(c.leader(live), batchOf(t, "x"), time.Second); r.Err != nil || time.Since(was) > 0 {
				t.Errorf("live append %d: %v after %v", i, r.Err, time.Since(was))
			}
			c.wait(50 * time.Millisecond)
		}
		c.converged(all[0], 4*mib)
		// Some MiB are in the tail in memory, or sent in advance of the first second.
		if d := time.Since(start); d < 6*time.Second || d > 15*time.Second {
			t.Errorf("%d MiB at 2 MiB/s took %v", mib, d)
		}
		var sent, refused uint64
		for _, h := range c.hosts {
			s := h.Stats()
			sent += s.RecoveryBytes
			refused += s.RecoveryRefused
		}
		if sent < (mib-2)<<20 || sent > (mib+4)<<20 || refused == 0 {
			t.Errorf("%d bytes were sent for recovery of %d MiB, %d messages were put off", sent, mib, refused)
		}
	})
}

// TestRecoveryIsOfFewGroupsAtOnce: the others wait, and get their turn.
func TestRecoveryIsOfFewGroupsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, func(o *multiraft.Options) {
			o.TailBytes, o.RecoveryBytesPerSecond, o.RecoveryGroups = 64<<10, 8<<20, 2
		})
		defer c.close()
		all := c.behind(6, 2)
		most := 0
		for start := time.Now(); ; c.wait(20 * time.Millisecond) {
			done := true
			for _, groups := range all {
				done = done && groups[3].Status().HighWatermark == 8
			}
			for _, h := range c.hosts {
				most = max(most, h.Stats().RecoveringGroups)
			}
			if done {
				break
			}
			if time.Since(start) > time.Minute {
				t.Fatal("not all groups have caught up within a minute")
			}
		}
		if most == 0 || most > 2 {
			t.Errorf("up to %d groups on one broker have recovered at once, want 1 or 2", most)
		}
	})
}

// TestRecoveryLetsLiveTrafficFirst: nothing old is sent while a connection has
// enough to carry.
func TestRecoveryLetsLiveTrafficFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, func(o *multiraft.Options) { o.TailBytes = 64 << 10 })
		defer c.close()
		c.mu.Lock()
		c.backlog = 64 << 20
		c.mu.Unlock()
		all := c.behind(1, 4)
		c.wait(5 * time.Second)
		if st := all[0][3].Status(); st.HighWatermark > 0 {
			t.Errorf("%d batches came over a connection with a backlog", st.HighWatermark)
		}
		c.mu.Lock()
		c.backlog = 0
		c.mu.Unlock()
		c.converged(all[0], 16)
	})
}

// TestSmallRecoveriesNeedNoPlace: many groups with a little to send don't wait for
// each other.
func TestSmallRecoveriesNeedNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, func(o *multiraft.Options) { o.TailBytes, o.RecoveryGroups = 4<<10, 1 })
		defer c.close()
		var all []map[protocol.BrokerID]*multiraft.Group
		c.stop(3, true)
		for i := range 100 {
			all = append(all, c.open(fmt.Sprintf("group-%d", i), 1, 2))
		}
		payload := string(bytes.Repeat([]byte("x"), 3<<10))
		for _, groups := range all {
			for range 5 {
				if r := appendTo(c.leader(groups), batchOf(t, payload), time.Second); r.Err != nil {
					t.Fatal(r.Err)
				}
			}
		}
		c.start(3)
		start := time.Now()
		for _, groups := range all {
			groups[3] = c.open(groups[1].Name(), 3)[3]
		}
		for _, groups := range all {
			c.converged(groups, 5)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("100 small recoveries took %v", d)
		}
		var sent uint64
		for _, h := range c.hosts {
			sent += h.Stats().RecoveryBytes
		}
		if sent < 100*8<<10 {
			t.Errorf("%d bytes came from disk: the test is of no use", sent)
		}
	})
}

// TestS28UnreadableEntriesAreNotSent: a leader whose disk can't be read sends
// nothing in place of what it can't read, and goes on when it can.
func TestS28UnreadableEntriesAreNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, func(o *multiraft.Options) { o.TailBytes = 64 << 10 })
		defer c.close()
		for _, id := range []protocol.BrokerID{1, 2} {
			c.faults[id].Add(vfs.Rule{Op: vfs.OpRead, Pattern: "*", From: 1, Err: syscall.EIO})
		}
		all := c.behind(1, 2)
		c.wait(3 * time.Second)
		if st := all[0][3].Status(); st.HighWatermark > 0 || st.Err != nil {
			t.Errorf("from a disk that can't be read came %+v", st)
		}
		var failed uint64
		for _, h := range c.hosts {
			failed += h.Stats().ColdReadErrors
		}
		if failed == 0 {
			t.Error("no read has failed: the test is of no use")
		}
		if r := appendTo(c.leader(all[0]), batchOf(t, "x"), time.Second); r.Err != nil {
			t.Errorf("append meanwhile: %v", r.Err)
		}
		for _, id := range []protocol.BrokerID{1, 2} {
			c.faults[id].Clear()
		}
		c.converged(all[0], 9)
	})
}
