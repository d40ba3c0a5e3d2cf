package multiraft

import (
	"time"

	"github.com/logq/logq/internal/replica"
)

// Time for the replicas of a shard. Only those in awake get ticks, so that a tick
// costs nothing for the others.

// tick gives every awake replica a tick, looks who is heard, and says that this
// shard lives.
func (s *shard) tick(now time.Time) {
	s.ticks++
	s.clock = s.h.clock()
	s.watch()
	s.sweepOn()
	if s.n == 0 {
		s.h.stats.hung.Store(int64(s.h.disk.look(now)))
		s.h.recovery.look(now)
	}
	if s.ticks%uint64(s.h.o.HeartbeatTicks) == 0 {
		defer s.h.beat.turn(s.n) // behind the work of this tick
	}
	// A group that is closed meanwhile would take another's place in the list; none
	// is, since only events close groups.
	for _, g := range s.awake {
		s.tickGroup(g, now)
	}
}

// clock is the time for leases, in nanoseconds. It never goes back.
func (h *Host) clock() uint64 {
	if h.o.Lease == 0 {
		return 0
	}
	return uint64(time.Since(h.began))
}

// tell lets g's core know the time. What is sent in a round may bear the time at
// which the round began, which makes its lease shorter; whether a lease holds is asked
// at the very moment.
func (s *shard) tell(g *Group, now uint64) {
	if s.h.o.Lease > 0 {
		g.rep.SetClock(now)
	}
}

func (s *shard) tickGroup(g *Group, now time.Time) {
	s.tell(g, s.clock)
	err := recovered(func() { g.rep.Tick(&s.out) })
	if err != nil || s.out.Changed || len(s.out.Sends)+len(s.out.Appends)+len(s.out.Reads) > 0 {
		s.after(g, err)
	}
	if len(g.appends.slots) > 0 {
		g.appends.expire(now, &replica.UnknownError{Cause: ErrDeadline})
	}
}

// wake lets g have ticks.
func (s *shard) wake(g *Group) {
	if g.awakeAt == 0 {
		s.resting.Add(-1)
		s.awake = append(s.awake, g)
		g.awakeAt = len(s.awake)
	}
}

// rest takes g's ticks away.
func (s *shard) rest(g *Group) {
	if g.awakeAt == 0 {
		return
	}
	last := s.awake[len(s.awake)-1]
	s.awake[g.awakeAt-1] = last
	last.awakeAt = g.awakeAt
	s.awake[len(s.awake)-1] = nil
	s.awake = s.awake[:len(s.awake)-1]
	g.awakeAt = 0
	s.resting.Add(1)
}
