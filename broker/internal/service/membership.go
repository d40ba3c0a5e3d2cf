package service

import (
	"context"
	"maps"
	"slices"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

// follower keeps the connections to other brokers, and what is known of them, in line with the metadata. One goroutine runs
// it.
type follower struct {
	s *Service
	// began is the address that each broker with which the cluster began had registered when this one first saw it. Those
	// are reached by this broker's own configuration until they register another address, so that a cluster whose addresses
	// have all changed while it was down finds itself.
	began map[protocol.BrokerID]string
}

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		changed := f.s.changes.wait()
		f.follow()
		f.s.followMeta()
		pause(ctx, f.s.opts.GossipInterval, changed)
	}
}

func (f *follower) follow() {
	s := f.s
	snap := s.table.Load().snap
	if s.neighbours.become(s.members(snap), s.id) {
		s.changes.send()
	}
	if s.opts.Network == nil {
		return
	}
	for _, id := range s.intros.stale(snap) {
		s.opts.Network.RemovePeer(id) // what it sends was let in by mistake
	}
	for _, id := range snap.RemovedBrokers() {
		s.opts.Network.RemovePeer(id)
	}
	for _, b := range snap.Brokers() {
		if addr := f.address(b); addr != "" && b.ID != s.id {
			if err := s.opts.Network.AddPeer(b.ID, addr); err != nil {
				s.log.Debug("a broker is not added to the peers", "broker", b.ID, "error", err)
			}
		}
	}
}

// address returns where a broker is to be reached from now on, "" for no change.
func (f *follower) address(b *meta.Broker) string {
	s := f.s
	configured := b.Incarnation == 0 && s.opts.Incarnation == 0 && slices.Contains(s.opts.Brokers, b.ID)
	if !configured {
		return s.infoOf(b.ID).Peer
	}
	if was, seen := f.began[b.ID]; seen && was == b.Peer {
		return ""
	} else if f.began[b.ID] = b.Peer; !seen {
		return ""
	}
	return b.Peer
}

// members returns the brokers that belong to the cluster: those registered, and until they have, those with which it began
// or that this one was told of.
func (s *Service) members(snap meta.Snapshot) []protocol.BrokerID {
	ids := map[protocol.BrokerID]bool{}
	for _, id := range s.opts.Brokers {
		if !snap.Removed(id) {
			ids[id] = true
		}
	}
	for _, b := range snap.Brokers() {
		ids[b.ID] = true
	}
	return slices.Sorted(maps.Keys(ids))
}

// followMeta notes who votes on the metadata, as this broker's replica knows it.
func (s *Service) followMeta() {
	g := s.meta.opened()
	if g == nil {
		return
	}
	voters := brokersOf(g.Status().Members.Voters)
	old := s.meta.place.Load()
	if len(voters) == 0 || slices.Equal(voters, old.brokers) {
		return
	}
	pl := *old
	pl.brokers = voters
	s.meta.place.Store(&pl)
}

// Member is what is known of a registered broker.
type Member struct {
	Intro
	Peer string // where other brokers reach it
}

// Members returns the registered brokers.
func (s *Service) Members() map[protocol.BrokerID]Member {
	out := map[protocol.BrokerID]Member{}
	for _, b := range s.table.Load().snap.Brokers() {
		who := Intro{Directory: b.Directory, Incarnation: b.Incarnation}
		who.Generation = s.intros.generation(b.ID, who)
		out[b.ID] = Member{Intro: who, Peer: s.infoOf(b.ID).Peer}
	}
	return out
}
