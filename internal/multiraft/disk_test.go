package multiraft_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
)

// hang lets every sync of a broker's files under dir hang until the returned
// function is called.
func (c *cluster) hang(id protocol.BrokerID, dir string) (release func()) {
	stuck := make(chan struct{})
	c.faults[id].SetHook(func(call vfs.Call) error {
		if call.Op == vfs.OpSync && strings.HasPrefix(call.Path, dir) {
			<-stuck
		}
		return nil
	})
	return sync.OnceFunc(func() { close(stuck) })
}

// TestD7LeaderWithAHungDiskHandsOver: no call fails, the leader only waits for its
// disk. Its leadership moves within two election timeouts, what was appended is
// committed by the others, and groups on another disk of that broker don't notice.
func TestD7LeaderWithAHungDiskHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 3, func(o *multiraft.Options) { o.DiskWorkers = 2 })
		defer c.close()
		groups, other := c.open("bad", 1, 2, 3), c.open("good", 1, 2, 3)
		lead := c.leader(groups)
		id := protocol.BrokerOf(uint64(lead.Self()))
		for start := time.Now(); c.leader(other) != other[id]; c.wait(100 * time.Millisecond) {
			if time.Since(start) > 10*time.Second {
				t.Fatal("the second leadership doesn't move")
			}
			if err := c.leader(other).Transfer(other[id].Self()); err != nil {
				t.Log(err)
			}
		}
		release := c.hang(id, "data/bad")
		defer release()
		start := time.Now()
		if r := appendTo(lead, batchOf(t, "x"), 10*time.Second); r.Err != nil || time.Since(start) > 0 {
			t.Errorf("the append over the hung disk: %v after %v; the followers are a majority", r.Err, time.Since(start))
		}
		appended := make(chan time.Duration, 1)
		go func() {
			for lead.Status().Leader == lead.Self() {
				c.wait(time.Millisecond)
			}
			appended <- time.Since(start)
		}()
		if d := <-appended; d > 2*electionTimeout {
			t.Errorf("the leader with the hung disk led for %v", d)
		}
		next := c.leader(groups)
		if d := time.Since(start); d > 2*electionTimeout || next == lead {
			t.Errorf("replica %d leads after %v", next.Self(), d)
		}
		if r := appendTo(next, batchOf(t, "y"), time.Second); r.Err != nil || r.Base != 1 {
			t.Errorf("append at the next leader: %+v", r)
		}
		for i := range 10 {
			was := time.Now()
			if r := appendTo(other[id], batchOf(t, "z"), time.Second); r.Err != nil || time.Since(was) > 0 {
				t.Errorf("append %d to the group on the other disk: %v after %v", i, r.Err, time.Since(was))
			}
		}
		// The disk comes back: nothing was lost, and the replica catches up.
		release()
		c.converged(groups, 2)
	})
}

// TestManyHungLogsLeaveWorkersForOthers: more logs hang than there are workers, and
// flushes on other disks go on after a moment.
func TestManyHungLogsLeaveWorkersForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 1, func(o *multiraft.Options) { o.DiskWorkers = 2 })
		defer c.close()
		var bad []*multiraft.Group
		for i := range 40 {
			bad = append(bad, c.leader(c.open(fmt.Sprintf("bad-%d", i), 1)))
		}
		good := c.leader(c.open("good", 1))
		release := c.hang(1, "data/bad")
		defer release()
		results := make(chan error, len(bad))
		for _, g := range bad {
			g.Append(batchOf(t, "x"), 0, time.Now().Add(time.Hour), func(r multiraft.AppendResult) { results <- r.Err })
		}
		synctest.Wait()
		start := time.Now()
		if r := appendTo(good, batchOf(t, "y"), time.Minute); r.Err != nil {
			t.Fatal(r.Err)
		}
		if d := time.Since(start); d > 3*electionTimeout {
			t.Errorf("the append on the working disk took %v", d)
		}
		if n := c.hosts[1].Stats().HungFlushes; n < 2 {
			t.Errorf("%d hung flushes are reported", n)
		}
		for range 5 {
			start := time.Now()
			if r := appendTo(good, batchOf(t, "y"), time.Minute); r.Err != nil || time.Since(start) > electionTimeout {
				t.Errorf("a later append: %v after %v", r.Err, time.Since(start))
			}
		}
		release()
		for range bad {
			if err := <-results; err != nil {
				t.Errorf("an append whose disk hung and came back: %v", err)
			}
		}
		c.wait(time.Second)
		if n := c.hosts[1].Stats().HungFlushes; n != 0 {
			t.Errorf("%d hung flushes afterwards", n)
		}
	})
}

// slowJournal is a journal whose saves can be made to hang.
type slowJournal struct {
	*journal.Mem
	mu   sync.Mutex
	stop chan struct{} // guarded by mu; nil: it works
}

func (j *slowJournal) Save(entries []journal.Entry) error {
	j.mu.Lock()
	stop := j.stop
	j.mu.Unlock()
	if stop != nil {
		<-stop
	}
	return j.Mem.Save(entries)
}

// TestHungJournalDoesNotLead: a broker whose journal hangs keeps what it leads, for
// which the journal isn't needed, but takes over nothing and holds nobody up.
func TestHungJournalDoesNotLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow *slowJournal
		c := newClusterWith(t, 5, func(o *multiraft.Options) {
			if o.Broker == 2 {
				slow = &slowJournal{Mem: o.Journal.(*journal.Mem)}
				o.Journal = slow
			}
		})
		defer c.close()
		all := c.many(20)
		c.quiet()
		stop := make(chan struct{})
		release := sync.OnceFunc(func() { close(stop) })
		defer release()
		slow.mu.Lock()
		slow.stop = stop
		slow.mu.Unlock()

		led := make(map[*multiraft.Group]bool)
		for _, groups := range all {
			led[groups[2]] = groups[2].Status().Serving
			delete(groups, 1)
		}
		c.stop(1, true)
		if d := c.settled(all); d > electionsTake {
			t.Errorf("all groups had a leader after %v", d)
		}
		for _, groups := range all {
			lead := c.leader(groups)
			if r := appendTo(lead, batchOf(t, "x"), time.Second); r.Err != nil {
				t.Errorf("append to %s: %v", lead.Name(), r.Err)
			}
			if lead == groups[2] && !led[lead] {
				t.Errorf("broker 2 has taken over %s without a vote on its disk", lead.Name())
			}
		}
		release()
		for _, groups := range all {
			c.converged(groups, 1)
		}
	})
}

// TestFailedJournalEndsTheHost: no replica can vote without it, so the broker is
// told to stop.
func TestFailedJournalEndsTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := c.open("a", 1, 2, 3)
		c.leader(groups)
		if err := c.hosts[1].Err(); err != nil {
			t.Errorf("a working host ends with %v", err)
		}
		c.jrnls[1].Inject(journal.Fault{Err: syscall.EIO})
		for start := time.Now(); c.hosts[1].Err() == nil && time.Since(start) < 20*time.Second; c.wait(time.Second) {
			for _, g := range groups { // a new term has to be saved
				if g.Status().Serving {
					if err := g.Transfer(0); err != nil {
						t.Log(err)
					}
				}
			}
		}
		<-c.hosts[1].Done()
		if err := c.hosts[1].Err(); !errors.Is(err, syscall.EIO) {
			t.Errorf("the host ends with %v", err)
		}
		delete(groups, 1)
		if r := appendTo(c.leader(groups), batchOf(t, "x"), time.Second); r.Err != nil {
			t.Errorf("the others: %v", r.Err)
		}
	})
}
