package multiraft_test

import (
	"flag"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
)

var (
	faultSeeds = flag.Int("fault-seeds", 8, "how many histories of TestQuietUnderFaults are run")
	faultSeed  = flag.Uint64("fault-seed", 1, "the first of them")
)

// TestQuietUnderFaults lets brokers crash, connections break one way or both, pulses
// cease, shards hang and leaderships move, while most groups are idle most of the
// time. Whatever is acknowledged is there in the end; and once the faults are over,
// every group has a leader that serves, and then all are quiet: nobody waits for
// what will not come.
func TestQuietUnderFaults(t *testing.T) {
	for i := range *faultSeeds {
		seed := *faultSeed + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { (&faults{t: t, rnd: rand.New(rand.NewPCG(seed, 9))}).run() })
		})
	}
}

// faults is one history.
type faults struct {
	t     *testing.T
	rnd   *rand.Rand
	c     *cluster
	all   []map[protocol.BrokerID]*multiraft.Group
	acked []map[string]bool // by group
	heals []heal
	n     int
}

// heal is the end of a fault.
type heal struct {
	at time.Time
	f  func()
}

func (f *faults) run() {
	brokers := 3 + 2*f.rnd.IntN(2)
	f.c = newCluster(f.t, brokers)
	defer f.c.close()
	f.all = f.c.many(8)
	f.acked = make([]map[string]bool, len(f.all))
	for i := range f.acked {
		f.acked[i] = make(map[string]bool)
	}
	for i := range 120 {
		f.step()
		f.c.wait(time.Duration(f.rnd.IntN(300)) * time.Millisecond)
		f.heal(time.Now())
		if i%10 == 9 {
			f.probe()
		}
	}
	f.heal(time.Now().Add(time.Hour))
	f.c.settled(f.all)
	f.c.quiet()
	for i, groups := range f.all {
		lead := f.c.leader(groups)
		if r := appendTo(lead, batchOf(f.t, "end"), 10*time.Second); r.Err != nil {
			f.t.Fatalf("append to %s after all faults: %v", lead.Name(), r.Err)
		}
		want := readAll(f.t, lead)
		f.c.converged(groups, len(want))
		for id, g := range groups {
			if got := readAll(f.t, g); !slices.Equal(got, want) {
				f.t.Errorf("broker %d has %d records of %s, its leader %d", id, len(got), g.Name(), len(want))
			}
		}
		for v := range f.acked[i] {
			if !slices.Contains(want, v) {
				f.t.Errorf("%s was acknowledged in %s and is not there", v, lead.Name())
			}
		}
	}
}

// probe leaves the faults as they are for a while. If a majority of brokers is up and
// connected, every group must take appends: nobody in it waits for what is dead.
func (f *faults) probe() {
	if !f.majority() {
		return
	}
	start := time.Now()
	for i := range f.all {
		for !f.append(i) {
			if f.c.wait(50 * time.Millisecond); time.Since(start) > 20*time.Second {
				for id, g := range f.all[i] {
					f.t.Logf("broker %d: %+v", id, g.Status())
				}
				f.t.Fatalf("group %d takes no append, cut are %v, mute is %d", i, f.c.pairs, f.c.mute)
			}
		}
	}
}

// majority says whether more than half of all brokers are up and hear each other.
func (f *faults) majority() bool {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	for set := range 1 << f.c.n {
		if bits.OnesCount(uint(set)) <= f.c.n/2 {
			continue
		}
		ok := true
		for a := range f.c.n {
			for b := range f.c.n {
				x, y := protocol.BrokerID(a+1), protocol.BrokerID(b+1)
				if set>>a&1 == 1 && set>>b&1 == 1 {
					ok = ok && f.c.hosts[x] != nil && !f.c.pairs[[2]protocol.BrokerID{x, y}]
				}
			}
		}
		if ok {
			return true
		}
	}
	return false
}

// later ends a fault after a while.
func (f *faults) later(end func()) {
	f.heals = append(f.heals, heal{at: time.Now().Add(time.Duration(f.rnd.IntN(3000)) * time.Millisecond), f: end})
}

func (f *faults) heal(now time.Time) {
	rest := f.heals[:0]
	for _, h := range f.heals {
		if h.at.After(now) {
			rest = append(rest, h)
		} else {
			h.f()
		}
	}
	f.heals = rest
}

func (f *faults) broker() protocol.BrokerID { return protocol.BrokerID(1 + f.rnd.IntN(f.c.n)) }

func (f *faults) step() {
	switch f.rnd.IntN(8) {
	case 0:
		f.crash(f.broker())
	case 1:
		f.cut(f.broker(), f.broker())
	case 2:
		a, b := f.broker(), f.broker()
		f.cut(a, b)
		f.cut(b, a)
	case 3:
		f.mute(f.broker())
	case 4:
		f.jam(f.broker())
	case 5:
		for _, g := range f.all[f.rnd.IntN(len(f.all))] {
			if g.Status().Serving {
				_ = g.Transfer(0) // refused is as good
			}
		}
	default:
		f.append(f.rnd.IntN(len(f.all)))
	}
}

// crash cuts a broker's power, and brings it back later.
func (f *faults) crash(id protocol.BrokerID) {
	if f.host(id) == nil {
		return
	}
	f.c.stop(id, true)
	f.c.disks[id] = f.c.disks[id].Crash(vfs.CrashOptions{})
	f.c.jrnls[id] = f.c.jrnls[id].Crash()
	for _, groups := range f.all {
		delete(groups, id)
	}
	f.later(func() {
		f.c.start(id)
		for i, groups := range f.all {
			groups[id] = f.c.open(fmt.Sprintf("group-%04d", i), id)[id]
		}
	})
}

// cut breaks the connection on which a sends to b.
func (f *faults) cut(a, b protocol.BrokerID) {
	pair := [2]protocol.BrokerID{a, b}
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if f.c.pairs[pair] {
		return
	}
	f.c.pairs[pair] = true
	if h := f.c.hosts[b]; h != nil && f.rnd.IntN(2) == 0 { // else it is half-open
		h.Link(a)
	}
	f.later(func() {
		f.c.mu.Lock()
		defer f.c.mu.Unlock()
		delete(f.c.pairs, pair)
		if h := f.c.hosts[b]; h != nil {
			h.Link(a)
		}
	})
}

// mute lets a broker's pulses fail.
func (f *faults) mute(id protocol.BrokerID) {
	set := func(id protocol.BrokerID) {
		f.c.mu.Lock()
		f.c.mute = id
		f.c.mu.Unlock()
	}
	set(id)
	f.later(func() { set(0) })
}

// jam lets a shard hang.
func (f *faults) jam(id protocol.BrokerID) {
	h := f.host(id)
	if h == nil {
		return
	}
	stuck := make(chan struct{})
	f.all[f.rnd.IntN(len(f.all))][id].Latest(func(record.Offset, error) { <-stuck })
	// Nothing else happens meanwhile that would wait for this shard.
	f.c.wait(time.Duration(f.rnd.IntN(1500)) * time.Millisecond)
	close(stuck)
}

// append appends a record to a group at one that says it leads, if there is any.
func (f *faults) append(i int) (ok bool) {
	for _, g := range f.all[i] {
		if !g.Status().Serving {
			continue
		}
		f.n++
		v := fmt.Sprint(f.n)
		if r := appendTo(g, batchOf(f.t, v), time.Duration(f.rnd.IntN(1000))*time.Millisecond); r.Err == nil {
			f.acked[i][v] = true
			return true
		}
	}
	return false
}

func (f *faults) host(id protocol.BrokerID) *multiraft.Host {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	return f.c.hosts[id]
}
