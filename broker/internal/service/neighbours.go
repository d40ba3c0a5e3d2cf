package service

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// neighbour is another broker of the cluster, as its gossip shows it.
type neighbour struct {
	id    protocol.BrokerID
	heard atomic.Int64 // when, in Unix nanoseconds; 0 = never, or it has said that it leaves
	info  atomic.Pointer[protocol.BrokerInfo]

	// Guarded by neighbours.mu.
	led      []led  // of its last message
	messages uint64 // that came from it
	wasAlive bool
	strange  bool // it belongs to another cluster; said once
}

// neighbours are the other brokers of the cluster. The map is replaced as a whole.
type neighbours struct {
	timeout time.Duration
	byID    atomic.Pointer[map[protocol.BrokerID]*neighbour]

	mu sync.Mutex // orders what gossip changes
}

func newNeighbours(o *Options) *neighbours {
	n := &neighbours{timeout: o.AliveTimeout}
	n.byID.Store(&map[protocol.BrokerID]*neighbour{})
	n.become(o.Brokers, o.ID)
	return n
}

// all returns the other brokers; the map must not be changed.
func (n *neighbours) all() map[protocol.BrokerID]*neighbour { return *n.byID.Load() }

// of returns what is known of a broker, nil if it is none of the cluster.
func (n *neighbours) of(id protocol.BrokerID) *neighbour { return n.all()[id] }

// become puts other brokers in force and reports whether there is a change. One goroutine calls it.
func (n *neighbours) become(ids []protocol.BrokerID, self protocol.BrokerID) bool {
	old := n.all()
	next := make(map[protocol.BrokerID]*neighbour, len(ids))
	changed := false
	for _, id := range ids {
		if id == self {
			continue
		}
		if next[id] = old[id]; next[id] == nil {
			next[id], changed = &neighbour{id: id}, true
		}
	}
	if !changed && len(next) == len(old) {
		return false
	}
	n.byID.Store(&next)
	return true
}

func (n *neighbours) alive(id protocol.BrokerID, now time.Time) bool {
	b := n.of(id)
	if b == nil {
		return false
	}
	heard := b.heard.Load()
	return heard != 0 && now.UnixNano()-heard < int64(n.timeout)
}

// alive reports whether a broker was heard of lately. This one is always alive.
func (s *Service) alive(id protocol.BrokerID) bool {
	return id == s.id || s.neighbours.alive(id, time.Now())
}

// infoOf returns what is known of a broker: from its own mouth if it has spoken, else what it has registered.
func (s *Service) infoOf(id protocol.BrokerID) protocol.BrokerInfo {
	if id == s.id {
		info := s.self
		info.Alive = true
		return info
	}
	info := protocol.BrokerInfo{ID: id}
	n := s.neighbours.of(id)
	if b := s.table.Load().snap.Broker(id); b != nil {
		info = protocol.BrokerInfo{ID: id, URL: b.URL, HTTP: b.HTTP, Peer: b.Peer, Rack: b.Rack}
	}
	if n != nil {
		if own := n.info.Load(); own != nil {
			info = *own
		}
	}
	info.Alive = s.alive(id)
	return info
}

func (s *Service) urlOf(id protocol.BrokerID) string { return s.infoOf(id).URL }

// HandleGossip takes in what another broker says of itself. It does not keep body, and may be called at any time.
func (s *Service) HandleGossip(from protocol.BrokerID, body []byte) {
	n := s.neighbours.of(from)
	t := s.table.Load()
	if n == nil || t == nil {
		return
	}
	g, err := decodeGossip(body)
	if err != nil {
		s.stats.badGossip.Add(1)
		s.log.Warn("gossip is ignored", "from", from, "error", err)
		return
	}
	s.neighbours.mu.Lock()
	defer s.neighbours.mu.Unlock()
	if own := t.snap.ClusterID(); own != "" && g.clusterID != "" && own != g.clusterID {
		if !n.strange {
			n.strange = true
			s.log.Error("a broker of another cluster is configured as one of ours; correct the peers of one of the two", "broker", from, "its cluster", g.clusterID, "our cluster", own)
		}
		return
	}
	now := time.Now()
	was := s.neighbours.alive(from, now)
	s.intros.heard(from, g.generation)
	info := g.self
	info.ID = from
	n.info.Store(&info)
	n.heard.Store(now.UnixNano())
	if g.leaving {
		n.heard.Store(0)
		g.led = nil
	}
	if s.takeClaims(t, n, g.led) || was == g.leaving {
		s.changes.send()
	}
}

// takeClaims replaces what a neighbour says that it leads; it reports whether a leadership has changed. The caller holds
// neighbours.mu.
func (s *Service) takeClaims(t *table, n *neighbour, all []led) bool {
	changed := false
	n.messages++
	for i := range all {
		p := t.groups[all[i].group]
		if p != nil && s.takeClaim(p, n, &all[i]) {
			changed = true
		}
	}
	for i := range n.led {
		p := t.groups[n.led[i].group]
		if p == nil {
			continue
		}
		if c := p.claim.Load(); c != nil && c.broker == n.id && c.message != n.messages {
			p.claim.Store(nil) // it does not lead it any more
			changed = true
		}
	}
	n.led = all
	return changed
}

// takeClaim notes that a neighbour says it leads p. A claim of a higher term wins; one of a lower term is that of a leader
// that does not know yet that it was replaced, unless the one that is known has gone silent.
func (s *Service) takeClaim(p *partition, n *neighbour, l *led) bool {
	old := p.claim.Load()
	if old != nil && old.broker != n.id && old.term >= l.term && s.neighbours.alive(old.broker, time.Now()) {
		return false
	}
	p.claim.Store(&claim{
		broker: n.id, term: l.term, highWatermark: int64(l.highWatermark), logStart: int64(l.logStart), insync: l.insync, message: n.messages,
	})
	return old == nil || old.broker != n.id || old.term != l.term
}

// reclaim applies what neighbours have said to the partitions of a new table.
func (s *Service) reclaim() {
	s.neighbours.mu.Lock()
	defer s.neighbours.mu.Unlock()
	t := s.table.Load()
	for _, n := range s.neighbours.all() {
		for i := range n.led {
			if p := t.groups[n.led[i].group]; p != nil && p.claim.Load() == nil {
				s.takeClaim(p, n, &n.led[i])
			}
		}
	}
}
