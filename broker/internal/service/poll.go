package service

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// changed collects the groups whose leadership the host says has changed.
type changed struct {
	mu     sync.Mutex
	groups [][20]byte // guarded by mu
	told   bool       // guarded by mu; the host tells: nobody needs to look at all groups each time
}

// GroupsChanged tells that the leadership of these groups may have changed. A host that never calls it is looked at in full
// with each poll. It doesn't block.
func (s *Service) GroupsChanged(groups ...[20]byte) {
	s.changed.mu.Lock()
	defer s.changed.mu.Unlock()
	s.changed.groups = append(s.changed.groups, groups...)
	s.changed.told = true
}

func (c *changed) take() (groups [][20]byte, told bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	groups, c.groups = c.groups, nil
	return groups, c.told
}

// poll is the service's clock: it notices changes of leadership and of who is alive, tells the other brokers, and ends
// messages that wait past their deadline. What it costs grows with the replicas on this broker: one atomic load each, 20 times
// a second, and a few more with each gossip.
func (s *Service) poll(ctx context.Context) {
	ticker := time.NewTicker(s.opts.PollInterval)
	defer ticker.Stop()
	var told time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			due := now.Sub(told) >= s.opts.GossipInterval
			changed := s.look(now, due)
			if due {
				s.judgeSync()
				told = now
			}
			if due || changed {
				s.tell()
			}
			if changed {
				s.changes.send()
			}
		}
	}
}

// look compares the replicas that have changed, or all, and the neighbours with what was seen last; it reports whether
// something has changed.
func (s *Service) look(now time.Time, all bool) bool {
	changed := false
	t := s.table.Load()
	groups, told := s.changed.take()
	for _, p := range t.local {
		s.sweepPubs(p, now)
		if all || !told {
			changed = s.lookAt(p) || changed
		}
	}
	for _, id := range groups {
		if p := t.groups[id]; p != nil && !all {
			changed = s.lookAt(p) || changed
		}
	}
	s.neighbours.mu.Lock()
	defer s.neighbours.mu.Unlock()
	for _, n := range s.neighbours.all() {
		if alive := s.neighbours.alive(n.id, now); alive != n.wasAlive {
			n.wasAlive = alive
			changed = true
			s.log.Info("a broker's state changed", "broker", n.id, "alive", alive)
		}
	}
	return changed
}

// lookAt reports whether a replica's leadership is another than when it was seen last.
func (s *Service) lookAt(p *partition) bool {
	g := p.opened()
	if g == nil {
		return false
	}
	st := g.Leader()
	if st.Leader == p.seen.Leader && st.Term == p.seen.Term && st.Serving == p.seen.Serving && (st.Err == nil) == (p.seen.Err == nil) {
		return false
	}
	p.seen = st
	return true
}

// judgeSync decides which replicas of the partitions led here are in sync: those that have everything that was committed at
// the last gossip. A replica that is only as far behind as the network and the disk take is in sync.
func (s *Service) judgeSync() {
	t := s.table.Load()
	for _, p := range t.local {
		g := p.opened()
		if g == nil || !g.Leader().Serving {
			p.insync.Store(nil)
			p.lastCommit = 0
			continue
		}
		st := g.Status()
		var in []protocol.BrokerID
		for _, peer := range st.Peers {
			if peer.Learner || t.lost(p, peer.Replica) { // the broker may be there, but on another disk
				continue
			}
			if peer.Broker == s.id || peer.Match >= p.lastCommit && p.lastCommit > 0 && s.alive(peer.Broker) {
				in = append(in, peer.Broker)
			}
		}
		if p.lastCommit == 0 { // not known yet: nobody is called out of sync before it had time to follow
			in = slices.Clone(p.on())
		}
		slices.Sort(in)
		p.lastCommit = st.Commit
		p.insync.Store(&in)
	}
}

// tell sends this broker's state to the others, or that it leaves once it is closing.
func (s *Service) tell() {
	if len(s.neighbours.all()) == 0 {
		return
	}
	t := s.table.Load()
	g := gossip{clusterID: t.snap.ClusterID(), self: s.self, generation: s.generation.Load(), leaving: s.gate.IsShut()}
	for _, p := range t.local {
		if l, ok := s.ledHere(p); ok {
			g.led = append(g.led, l)
		}
	}
	body := g.appendTo(nil)
	for id := range s.neighbours.all() {
		if !s.opts.Peers.Gossip(id, body) {
			s.stats.gossipDropped.Add(1)
		}
	}
}

// ledHere describes a partition that this broker leads.
func (s *Service) ledHere(p *partition) (led, bool) {
	g := p.opened()
	if g == nil || !g.Leader().Serving {
		return led{}, false
	}
	st := g.Status()
	l := led{group: p.key(), term: st.Term, highWatermark: uint64(st.HighWatermark), logStart: uint64(st.LogStart), insync: p.on()}
	if in := p.insync.Load(); in != nil {
		l.insync = *in
	}
	return l, true
}
