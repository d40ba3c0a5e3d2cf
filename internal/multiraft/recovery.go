package multiraft

import (
	"math"
	"sync"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

// recovery sends entries that have left the tail in memory to replicas that are far
// behind: followers that were away, and learners. It reads them away from the
// shards, and holds back for live traffic: a number of groups at once, bytes per
// second, and nothing while a connection has enough to carry.
//
// What is over a bound is not queued but refused: the core of the group then asks
// again at the pace of heartbeats. A queue would only fill with what the core has
// given up by the time it is sent.
type recovery struct {
	h       *Host
	readers *pool[*Group]
	budget  *budget
	stop    chan struct{} // closed at Close: nothing waits any more

	mu     sync.Mutex
	groups map[*Group]*catchUp // those that catch others up; guarded by mu
	large  int                 // of them, those with much to send; guarded by mu
}

// catchUp is one group's: its appends are read and sent one at a time, since a later
// one that overtakes an earlier is refused.
type catchUp struct {
	jobs    []coldRead
	large   bool      // it has one of Options.RecoveryGroups places
	running bool      // a reader has the group
	last    time.Time // when the last job was done
}

type coldRead struct {
	msg  raft.Message
	wait time.Duration // what the budget asks for, from at on
	at   time.Time
}

func newRecovery(h *Host) *recovery {
	interval := h.o.Tick * time.Duration(h.o.HeartbeatTicks)
	r := &recovery{
		h: h, budget: newBudget(h.o.RecoveryBytesPerSecond, interval), stop: make(chan struct{}),
		groups: make(map[*Group]*catchUp),
	}
	r.readers = newPool(defaultColdReaders, h.o.Tick*time.Duration(h.o.ElectionTicks)/2, h.workers.Go, r.work)
	return r
}

// submit takes on an append with entries [m.Lo, m.Hi), or reports false: it is
// refused. It never blocks.
func (r *recovery) submit(g *Group, m raft.Message) bool {
	now := time.Now()
	if !r.admit(g, &m, now) {
		r.h.stats.recoveryRefused.Add(1)
		return false
	}
	return true
}

func (r *recovery) admit(g *Group, m *raft.Message, now time.Time) bool {
	if l := r.h.links; l != nil && l.Backlog(protocol.BrokerOf(uint64(m.To))) > maxBacklog {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.groups[g]
	_, bytes := g.log.Fit(segments.Index(m.Lo), segments.Index(m.Hi), math.MaxInt)
	// After a restart no log has a tail in memory, and thousands of groups may each
	// have a little to send: they need no place.
	large := bytes > smallRecovery
	if large && (c == nil || !c.large) && r.large >= r.h.o.RecoveryGroups || c != nil && len(c.jobs) >= coldQueue {
		return false
	}
	wait, ok := r.budget.reserve(bytes, now)
	if !ok {
		return false
	}
	if c == nil {
		c = &catchUp{}
		r.groups[g] = c
	}
	if large && !c.large {
		c.large = true
		r.large++
	}
	c.jobs = append(c.jobs, coldRead{msg: *m, wait: wait, at: now})
	if !c.running {
		c.running = true
		r.readers.submit(g)
	}
	return true
}

// work does one job of g and hands g back if there are more.
func (r *recovery) work(g *Group) {
	r.mu.Lock()
	c := r.groups[g]
	job := c.jobs[0]
	c.jobs = c.jobs[:copy(c.jobs, c.jobs[1:])]
	r.mu.Unlock()

	ok := r.send(g, &job)

	r.mu.Lock()
	defer r.mu.Unlock()
	lost := 0
	if !ok && needsAnswer(&job.msg) {
		// Those behind it for the same replica would be refused there.
		lost++
		rest := c.jobs[:0]
		for _, j := range c.jobs {
			if j.msg.To == job.msg.To && needsAnswer(&j.msg) {
				lost++
			} else {
				rest = append(rest, j)
			}
		}
		c.jobs = rest
	}
	for range lost {
		g.shard.in.put(event{kind: evSent, g: g, to: job.msg.To}, false)
	}
	c.last = time.Now()
	switch c.running = len(c.jobs) > 0; {
	case c.running:
		r.readers.submit(g)
	case !c.large:
		delete(r.groups, g)
	}
}

// send waits for the budget, reads and sends.
func (r *recovery) send(g *Group, job *coldRead) bool {
	if wait := job.wait - time.Since(job.at); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.stop:
			return false
		}
	}
	m := &job.msg
	frames, err := g.log.ReadFrames(nil, segments.Index(m.Lo), segments.Index(m.Hi))
	if err != nil {
		// Truncated or closed meanwhile, or damaged: in any case this message must
		// not go out without its entries (docs/internals/raft.md, S28).
		r.h.stats.coldReadErrors.Add(1)
		r.h.scrub.suspect(g, err)
		if g.unreadable.Swap(true) {
			return false // said so already
		}
		r.h.log.Warn("entries for a follower can't be read", "group", g.spec.Name, "lo", m.Lo, "hi", m.Hi, "error", err)
		return false
	}
	if !r.h.o.Transport.Send(protocol.BrokerOf(uint64(m.To)), m, [][]byte{frames}) {
		return false
	}
	g.unreadable.Store(false)
	r.h.stats.recoveryBytes.Add(uint64(len(frames)))
	return true
}

// look gives up the places of groups that have caught others up, once per tick.
func (r *recovery) look(now time.Time) {
	r.mu.Lock()
	for g, c := range r.groups {
		if c.large && !c.running && now.Sub(c.last) > recoveryIdle {
			delete(r.groups, g)
			r.large--
		}
	}
	r.h.stats.recovering.Store(int64(r.large))
	r.mu.Unlock()
	r.readers.look(now)
}

func (r *recovery) close() {
	close(r.stop)
	r.readers.close()
}
