package multiraft

import (
	"cmp"
	"slices"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

// laneView is what one shard knows of another broker.
type laneView struct {
	broker protocol.BrokerID
	pulses uint64 // that were seen
	missed int    // ticks since the last one
	heard  bool   // one came since the connection began
	down   bool   // none came for an election timeout
}

// sweep is a walk over the groups that depend on a broker, after something has
// changed about it. It wakes a bounded number per tick, in the same order on all
// brokers, so that the replicas of a group wake together.
type sweep struct {
	broker protocol.BrokerID
	groups []*Group
}

// promise is a replica's word that it is quiet: the brokers that had it, and as what
// it was given.
type promise struct {
	to     []protocol.BrokerID
	term   raft.Term
	leader raft.ReplicaID
}

// lane returns the shard's view of a broker, nil if nothing is known.
func (s *shard) lane(id protocol.BrokerID) *laneView {
	for i := range s.lanes {
		if s.lanes[i].broker == id {
			return &s.lanes[i]
		}
	}
	return nil
}

// trusts says that a broker's pulses are heard.
func (s *shard) trusts(id protocol.BrokerID) bool {
	v := s.lane(id)
	return v != nil && v.heard && !v.down
}

// watch counts ticks without a pulse. It counts ticks and not time, so that a
// broker that was stopped for a while doesn't take the others for dead.
func (s *shard) watch() {
	s.meet()
	for i, l := range s.h.lanes.all()[:len(s.lanes)] {
		v := &s.lanes[i]
		if n := l.pulses.Load(); n != v.pulses {
			v.pulses, v.missed, v.heard = n, 0, true
			if v.down {
				v.down = false
				s.sweep(v.broker)
			}
			continue
		}
		if v.missed++; v.missed == s.h.o.ElectionTicks {
			v.down = true
			s.sweep(v.broker)
		}
	}
}

// meet adds the lanes that are new.
func (s *shard) meet() {
	for _, l := range s.h.lanes.all()[len(s.lanes):] {
		s.lanes = append(s.lanes, laneView{broker: l.broker})
	}
}

// relink is for a connection that has begun or ended.
func (s *shard) relink(id protocol.BrokerID) {
	s.meet()
	s.lane(id).heard = false
	s.sweep(id)
}

// sweep begins a walk over all groups that depend on broker id, in place of one that
// is under way.
func (s *shard) sweep(id protocol.BrokerID) {
	var groups []*Group
	for _, g := range s.groups {
		if g.members.Load().has(id) || protocol.BrokerOf(uint64(g.view.Load().leader)) == id {
			groups = append(groups, g)
		}
	}
	slices.SortFunc(groups, func(a, b *Group) int { return cmp.Compare(a.hash, b.hash) })
	for i := range s.sweeps {
		if s.sweeps[i].broker == id {
			s.sweeps[i].groups = groups
			return
		}
	}
	s.sweeps = append(s.sweeps, sweep{broker: id, groups: groups})
}

// sweepOn goes on with the walks until the wakes of this tick are used up.
func (s *shard) sweepOn() {
	budget, visits := s.h.wakesPerTick, max(visitsPerTick, s.h.wakesPerTick)
	for len(s.sweeps) > 0 && budget > 0 && visits > 0 {
		w := &s.sweeps[0]
		n := 0
		for n < len(w.groups) && budget > 0 && visits > 0 {
			g := w.groups[n]
			w.groups[n] = nil
			n++
			visits--
			if !g.gone && s.reconsider(g, s.lane(w.broker)) {
				budget--
			}
		}
		if w.groups = w.groups[n:]; len(w.groups) == 0 {
			s.sweeps = slices.Delete(s.sweeps, 0, 1)
		}
	}
}

// reconsider tells g's replica what is known of a broker, and wakes it if it is
// quiet because of it.
func (s *shard) reconsider(g *Group, v *laneView) (woken bool) {
	before := g.rep.Quiet()
	s.tell(g, s.clock)
	s.guard(g, func() {
		for _, id := range g.members.Load().ids {
			if id != g.spec.Self && protocol.BrokerOf(uint64(id)) == v.broker {
				g.rep.PeerDown(id, v.down, &s.out)
			}
		}
		if !g.rep.Quiet() {
			return
		}
		switch leader := g.rep.Status().Leader; {
		case leader != g.spec.Self:
			if protocol.BrokerOf(uint64(leader)) == v.broker {
				g.rep.Wake(s.silence(g, v.missed), &s.out)
			}
		case !v.down:
			g.rep.Wake(0, &s.out)
		}
	})
	return before && !g.rep.Quiet()
}

// introduce tells g's replica which of its peers are down.
func (s *shard) introduce(g *Group) {
	for i := range s.lanes {
		if v := &s.lanes[i]; v.down {
			for _, id := range g.members.Load().ids {
				if protocol.BrokerOf(uint64(id)) == v.broker {
					s.guard(g, func() { g.rep.PeerDown(id, true, &s.out) })
				}
			}
		}
	}
}

// notice is what another broker says with a pulse: its replica of g is not any more
// what it was when it agreed to be quiet.
func (s *shard) notice(g *Group, from protocol.BrokerID) {
	s.tell(g, s.clock)
	s.guard(g, func() {
		switch leader := g.rep.Status().Leader; {
		case leader == g.spec.Self:
			g.rep.Wake(0, &s.out)
		case protocol.BrokerOf(uint64(leader)) == from:
			g.rep.Wake(s.silence(g, s.h.o.ElectionTicks), &s.out)
		}
	})
}

// silence is for how many ticks g's replica has not heard its leader, when its
// leader's broker was not heard for missed: not longer than since its last
// heartbeat. It sticks to the leader for an election timeout after that one, whatever
// the pulses say, or the leader's lease would not be worth anything.
func (s *shard) silence(g *Group, missed int) int {
	return int(min(uint64(missed), s.ticks-g.quietAt))
}

// hear prepares g's replica for a message.
func (s *shard) hear(g *Group, m *raft.Message) {
	from := protocol.BrokerOf(uint64(m.From))
	if m.Quiet && (s.h.links == nil || !s.trusts(from)) {
		// Nobody would notice if that broker died: better no quiet than one for ever.
		m.Quiet = false
	}
	if m.Type == raft.MsgPreVote && g.rep.Quiet() {
		// The sender misses a leader that this replica is about to miss too, once the
		// sweep gets here.
		if leader := protocol.BrokerOf(uint64(g.rep.Status().Leader)); leader != s.h.o.Broker && !s.trusts(leader) {
			if v := s.lane(leader); v != nil {
				s.reconsider(g, v)
			}
		}
	}
}

// promised notes that g told broker to that it is quiet.
func (g *Group) promised(to protocol.BrokerID, m *raft.Message) {
	p := &g.promise
	if st := g.rep.Status(); len(p.to) == 0 {
		p.term, p.leader = st.Term, st.Leader
	}
	if !slices.Contains(p.to, to) {
		p.to = append(p.to, to)
	}
}

// keepPromise owes a notice to whom g's replica gave its word, if that doesn't
// hold any more: it leads or follows no more as it did then, or is out of service.
func (s *shard) keepPromise(g *Group, st *raft.Status) {
	p := &g.promise
	if len(p.to) == 0 || !g.gone && g.rep.Err() == nil && st.Term == p.term && st.Leader == p.leader {
		return
	}
	for _, to := range p.to {
		s.h.beat.owe(to, g.spec.Group)
	}
	p.to = p.to[:0]
}

// pace gives g ticks or takes them away.
func (s *shard) pace(g *Group) {
	idle := g.rep.Quiet() && len(g.appends.slots) == 0 && len(g.latest) == 0
	if idle || g.rep.Err() != nil {
		s.rest(g)
	} else {
		s.wake(g)
	}
}
