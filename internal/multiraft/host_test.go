package multiraft_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAppendIsReadEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := c.open("a", 1, 2, 3)
		g := c.leader(groups)
		want := values("v", 20)
		for _, v := range want {
			if r := appendTo(g, batchOf(t, v), time.Second); r.Err != nil {
				t.Fatal(r.Err)
			}
			// Read your writes: the ack comes after the high watermark is visible.
			if r, err := g.Read(nil, 0, 1); err != nil || r.HighWatermark < 1 {
				t.Fatalf("after an ack: %+v, %v", r, err)
			}
		}
		c.converged(groups, len(want))
		for id, g := range groups {
			if got := readAll(t, g); !slices.Equal(got, want) {
				t.Errorf("broker %d reads %v", id, got)
			}
		}
	})
}

func TestFollowerRefusesWithTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := c.open("a", 1, 2, 3)
		lead := c.leader(groups)
		for _, g := range groups {
			if g == lead {
				continue
			}
			r := appendTo(g, batchOf(t, "x"), time.Second)
			var not *raft.NotLeaderError
			if !errors.As(r.Err, &not) || not.Leader != lead.Self() {
				t.Errorf("a follower answers %v, want NotLeaderError naming %d", r.Err, lead.Self())
			}
			if !replica.IsNotWritten(r.Err) {
				t.Error("the refusal isn't a definite no")
			}
		}
	})
}

func TestExpectedTermIsEnforced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		g := c.leader(c.open("a", 1))
		got := make(chan multiraft.AppendResult, 1)
		g.Append(batchOf(t, "x"), g.Status().Term+1, time.Time{}, func(r multiraft.AppendResult) { got <- r })
		if r := <-got; !replica.IsNotWritten(r.Err) {
			t.Errorf("an append for another term gives %v, want a definite refusal", r.Err)
		}
	})
}

func TestCleanCloseHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := c.open("a", 1, 2, 3)
		lead := c.leader(groups)
		if r := appendTo(lead, batchOf(t, "before"), time.Second); r.Err != nil {
			t.Fatal(r.Err)
		}
		gone := protocol.BrokerOf(uint64(lead.Self()))
		start := time.Now()
		c.stop(gone, false)
		delete(groups, gone)
		next := c.leader(groups)
		// A transfer takes a round trip, not an election timeout of 400 ms.
		if d := time.Since(start); d > 300*time.Millisecond {
			t.Errorf("the hand-over took %v of simulated time", d)
		}
		if r := appendTo(next, batchOf(t, "after"), time.Second); r.Err != nil || r.Base != 1 {
			t.Errorf("append at the next leader: %+v", r)
		}
	})
}

func TestLeaderCrashLosesNothingAcked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := c.open("a", 1, 2, 3)
		var want []string
		for round := range 5 {
			lead := c.leader(groups)
			for i := range 5 {
				v := fmt.Sprintf("%d-%d", round, i)
				if r := appendTo(lead, batchOf(t, v), time.Second); r.Err != nil {
					t.Fatal(r.Err)
				}
				want = append(want, v)
			}
			id := protocol.BrokerOf(uint64(lead.Self()))
			c.stop(id, true)
			delete(groups, id)
			c.disks[id] = c.disks[id].Crash(vfs.CrashOptions{})
			c.jrnls[id] = c.jrnls[id].Crash()
			c.leader(groups)
			c.start(id)
			groups[id] = c.open("a", id)[id]
		}
		c.leader(groups)
		c.converged(groups, len(want))
		for id, g := range groups {
			if got := readAll(t, g); !slices.Equal(got, want) {
				t.Errorf("broker %d reads %v, want %v", id, got, want)
			}
		}
	})
}

func TestNoMajorityEndsUnknownAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := c.open("a", 1, 2, 3)
		lead := c.leader(groups)
		for i := range 3 {
			c.setCut(protocol.BrokerID(i+1), true)
		}
		start := time.Now()
		r := appendTo(lead, batchOf(t, "x"), 200*time.Millisecond)
		var unknown *replica.UnknownError
		if !errors.As(r.Err, &unknown) || !errors.Is(r.Err, multiraft.ErrDeadline) {
			t.Errorf("got %v, want UnknownError for the deadline", r.Err)
		}
		if d := time.Since(start); d > 300*time.Millisecond {
			t.Errorf("answered after %v, the deadline was 200ms", d)
		}
		// After the election timeout the leader knows that it has no quorum.
		c.wait(3 * time.Second)
		if r := appendTo(lead, batchOf(t, "y"), 200*time.Millisecond); !replica.IsNotWritten(r.Err) {
			t.Errorf("a leader without a quorum answers %v, want a definite refusal", r.Err)
		}
	})
}

func TestQuotaOfUncommittedBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := c.open("a", 1, 2, 3)
		lead := c.leader(groups)
		c.setCut(1, true)
		c.setCut(2, true)
		c.setCut(3, true)
		big := string(make([]byte, 500<<10))
		busy := 0
		results := make(chan multiraft.AppendResult, 20)
		for range 20 {
			lead.Append(batchOf(t, big), 0, time.Now().Add(100*time.Millisecond), func(r multiraft.AppendResult) { results <- r })
		}
		for range 20 {
			if r := <-results; errors.Is(r.Err, raft.ErrBusy) {
				busy++
			}
		}
		if busy < 10 {
			t.Errorf("%d of 20 half-megabyte appends were refused as busy; the quota is 4 MiB", busy)
		}
	})
}

func TestFailedSyncTakesTheReplicaOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := c.open("a", 1, 2, 3)
		lead := c.leader(groups)
		id := protocol.BrokerOf(uint64(lead.Self()))
		c.faults[id].Add(vfs.Rule{Op: vfs.OpSync, Pattern: "*", From: 1, Err: syscall.EIO})
		r := appendTo(lead, batchOf(t, "x"), time.Second)
		// The followers alone may commit it; what it may not be is acked by the
		// failed disk, or reported as not written.
		if r.Err != nil && replica.IsNotWritten(r.Err) {
			t.Errorf("append over a failing disk: %v", r.Err)
		}
		delete(groups, id)
		next := c.leader(groups)
		if r := appendTo(next, batchOf(t, "y"), time.Second); r.Err != nil {
			t.Errorf("the others don't go on: %v", r.Err)
		}
		if err := lead.Status().Err; err == nil {
			t.Error("the replica with the failed disk is still in service")
		}
		var failed *replica.FailedError
		if r := appendTo(lead, batchOf(t, "z"), time.Second); !errors.As(r.Err, &failed) {
			t.Errorf("it answers %v, want FailedError", r.Err)
		}
	})
}

func TestLatestIsLinearizable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := c.open("a", 1, 2, 3)
		lead := c.leader(groups)
		for i := range 10 {
			if r := appendTo(lead, batchOf(t, "a", "b"), time.Second); r.Err != nil {
				t.Fatal(r.Err)
			}
			if off, err := latest(lead); err != nil || off != record.Offset(2*(i+1)) {
				t.Fatalf("latest after %d batches: %d, %v", i+1, off, err)
			}
		}
		for _, g := range groups {
			if g == lead {
				continue
			}
			var not *raft.NotLeaderError
			if _, err := latest(g); !errors.As(err, &not) {
				t.Errorf("a follower answers latest with %v", err)
			}
		}
	})
}

func latest(g *multiraft.Group) (record.Offset, error) {
	type answer struct {
		off record.Offset
		err error
	}
	got := make(chan answer, 1)
	g.Latest(func(off record.Offset, err error) { got <- answer{off, err} })
	a := <-got
	return a.off, a.err
}

func TestWaitForWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		g := c.leader(c.open("a", 1))
		ch := g.WaitFor(0)
		select {
		case <-ch:
			t.Fatal("woken with nothing there")
		default:
		}
		if r := appendTo(g, batchOf(t, "x"), time.Second); r.Err != nil {
			t.Fatal(r.Err)
		}
		<-ch
		<-g.WaitFor(0)
	})
}

func TestRemoveDeletesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		groups := c.open("a", 1)
		g := c.leader(groups)
		if r := appendTo(g, batchOf(t, "x"), time.Second); r.Err != nil {
			t.Fatal(r.Err)
		}
		if err := c.hosts[1].Remove(t.Context(), g.ID(), g.Name(), g.Self()); err != nil {
			t.Fatal(err)
		}
		var failed *replica.FailedError
		if r := appendTo(g, batchOf(t, "y"), time.Second); !errors.As(r.Err, &failed) {
			t.Errorf("append to a removed group: %v", r.Err)
		}
		if _, err := c.disks[1].Stat("data/a"); err == nil {
			t.Error("the directory is still there")
		}
		g = c.leader(c.open("a", 1))
		if got := readAll(t, g); len(got) != 0 {
			t.Errorf("a new group of the same name holds %v", got)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close()
		g := c.leader(c.open("a", 1))
		spec := multiraft.Spec{Group: g.ID(), Name: "a", Self: 1, Voters: []raft.ReplicaID{1}}
		var exists *multiraft.GroupExistsError
		if _, err := c.hosts[1].Open(t.Context(), spec); !errors.As(err, &exists) {
			t.Errorf("opening twice: %v", err)
		}
		spec.Group[5], spec.Voters = 1, []raft.ReplicaID{2, 3}
		if _, err := c.hosts[1].Open(t.Context(), spec); err == nil {
			t.Error("a replica outside its voters was opened")
		}
		// Another incarnation under the same group must not use the old votes.
		c.stop(1, true)
		c.start(1)
		spec = multiraft.Spec{Group: g.ID(), Name: "a", Self: 1 << 16, Voters: []raft.ReplicaID{1 << 16}}
		var identity *multiraft.IdentityError
		if _, err := c.hosts[1].Open(t.Context(), spec); !errors.As(err, &identity) {
			t.Errorf("another incarnation: %v", err)
		}
	})
}

func TestManyGroupsShareTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		const n = 50
		all := make([]map[protocol.BrokerID]*multiraft.Group, n)
		for i := range all {
			all[i] = c.open(fmt.Sprintf("group-%02d", i), 1, 2, 3)
		}
		for i, groups := range all {
			if r := appendTo(c.leader(groups), batchOf(t, fmt.Sprint(i)), time.Second); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		for id, h := range c.hosts {
			s := h.Stats()
			if s.JournalEntries == 0 || s.JournalSaves > s.JournalEntries {
				t.Errorf("broker %d: %d hard states in %d saves", id, s.JournalEntries, s.JournalSaves)
			}
			if s.Groups != n {
				t.Errorf("broker %d has %d groups", id, s.Groups)
			}
		}
	})
}

func TestCloseAnswersEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		groups := c.open("a", 1, 2, 3)
		lead := c.leader(groups)
		results := make(chan multiraft.AppendResult, 100)
		for range 100 {
			lead.Append(batchOf(t, "x"), 0, time.Time{}, func(r multiraft.AppendResult) { results <- r })
		}
		c.close()
		for range 100 {
			<-results
		}
		if err := lead.Transfer(0); !errors.Is(err, multiraft.ErrClosed) {
			t.Errorf("transfer after close: %v", err)
		}
		var failed *replica.FailedError
		if r := appendTo(lead, batchOf(t, "x"), time.Second); !errors.As(r.Err, &failed) {
			t.Errorf("append after close: %v", r.Err)
		}
		if err := lead.Transfer(0); err == nil {
			t.Error("transfer after close succeeded")
		}
	})
}

func TestNewReportsAllFaults(t *testing.T) {
	_, err := multiraft.New(multiraft.Options{})
	for _, want := range []string{"Broker", "FS", "Dir", "Journal", "Transport"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v doesn't name %s", err, want)
		}
	}
}

// TestRemoveWaitsForTheDisk: a replica may be removed while a worker writes its files.
func TestRemoveWaitsForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close()
		groups := c.open("a", 1, 2, 3)
		lead := c.leader(groups)
		id := protocol.BrokerOf(uint64(lead.Self()))
		release := make(chan struct{})
		var held atomic.Bool
		c.faults[id].SetHook(func(call vfs.Call) error {
			if call.Op == vfs.OpWrite && held.CompareAndSwap(false, true) {
				<-release
			}
			return nil
		})
		lead.Append(batchOf(t, "x"), 0, time.Now().Add(time.Second), func(multiraft.AppendResult) {})
		synctest.Wait()
		if !held.Load() {
			t.Fatal("nothing is written")
		}
		removed := make(chan error, 1)
		go func() { removed <- c.hosts[id].Remove(t.Context(), lead.ID(), "a", lead.Self()) }()
		synctest.Wait()
		select {
		case err := <-removed:
			t.Errorf("removed under the worker's hands: %v", err)
		default:
		}
		close(release)
		if err := <-removed; err != nil {
			t.Error(err)
		}
	})
}
