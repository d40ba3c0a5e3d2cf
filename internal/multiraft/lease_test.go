package multiraft_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
)

// TestLeaseReads: with a lease a leader answers without asking, as long as a
// majority has lately heard it; cut off, it stops well before another one leads.
func TestLeaseReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, func(o *multiraft.Options) { o.Lease, o.KeepAwake = 300*time.Millisecond, true })
		defer c.close()
		groups := c.open("a", 1, 2, 3)
		lead := c.leader(groups)
		c.wait(time.Second)
		before := c.sentBy(protocol.BrokerOf(uint64(lead.Self())))
		for range 100 {
			if _, err := latest(lead); err != nil {
				t.Fatal(err)
			}
		}
		if n := c.sentBy(protocol.BrokerOf(uint64(lead.Self()))) - before; n > 0 {
			t.Errorf("%d messages for reads under a lease", n)
		}
		c.setCut(protocol.BrokerOf(uint64(lead.Self())), true)
		start := time.Now()
		var last time.Duration
		for lead.Status().Serving {
			type answer struct {
				at  time.Duration
				err error
			}
			got := make(chan answer, 1)
			lead.Latest(func(_ record.Offset, err error) { got <- answer{time.Since(start), err} })
			synctest.Wait()
			select {
			case a := <-got:
				if a.err == nil {
					last = a.at
				}
			default: // no lease any more: it asks, and nobody answers
			}
			c.wait(5 * time.Millisecond)
		}
		if last == 0 || last > 300*time.Millisecond {
			t.Errorf("the last read under the lease was answered %v after the leader was cut off", last)
		}
		var not *raft.NotLeaderError
		if _, err := latest(lead); !errors.As(err, &not) {
			t.Errorf("after it stepped down: %v", err)
		}
	})
}

// TestLeaseIsShorterThanAnElectionTimeout, or it is refused.
func TestLeaseIsShorterThanAnElectionTimeout(t *testing.T) {
	c := &cluster{}
	_, err := multiraft.New(multiraft.Options{
		Broker: 1, FS: vfs.NewMem(), Dir: "data", Journal: journal.NewMem(), Transport: link{c: c, from: 1}, Lease: 350 * time.Millisecond,
	})
	if err == nil {
		t.Error("a lease of 350 ms is taken, the election timeout is 400 ms")
	}
}
