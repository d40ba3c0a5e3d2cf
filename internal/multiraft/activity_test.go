package multiraft_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/multiraft"
)

// total adds up what the hosts that are up have counted.
func (c *cluster) total() (sum multiraft.Activity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.hosts {
		a := h.Activity()
		sum.Campaigns += a.Campaigns
		sum.Elected += a.Elected
		sum.Deposed += a.Deposed
		sum.Transfers += a.Transfers
		sum.PulsesSent += a.PulsesSent
		sum.PulsesHeard += a.PulsesHeard
	}
	return sum
}

// Elections, hand-overs and pulses are counted.
func TestActivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := c.many(3)
		a := c.total()
		if a.Elected < 3 || a.Campaigns < a.Elected || a.Transfers != 0 {
			t.Errorf("after the elections of three groups: %+v", a)
		}
		if a.Elected-a.Deposed != 3 {
			t.Errorf("%d leaders by the counts: %+v", a.Elected-a.Deposed, a)
		}
		c.wait(5 * time.Second)
		b := c.total()
		if b.PulsesSent < a.PulsesSent+30 || b.PulsesHeard+6 < b.PulsesSent || b.PulsesHeard > b.PulsesSent {
			t.Errorf("pulses after 5 s: %+v, before %+v", b, a)
		}
		if b.Elected != a.Elected || b.Campaigns != a.Campaigns {
			t.Errorf("elections while nothing happens: %+v, before %+v", b, a)
		}
		old := c.leader(groups[0])
		if err := old.Transfer(0); err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); c.total().Deposed == b.Deposed; c.wait(10 * time.Millisecond) {
			if time.Since(start) > 20*time.Second {
				t.Fatal("no hand-over")
			}
		}
		c.leader(groups[0])
		if d := c.total(); d.Transfers != 1 || d.Elected != b.Elected+1 || d.Deposed != b.Deposed+1 {
			t.Errorf("after a hand-over: %+v, before %+v", d, b)
		}
	})
}
