package multiraft

import (
	"slices"
	"sync/atomic"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

// PeerStatus is what a leader knows of one member.
type PeerStatus struct {
	ID raft.ReplicaID
	// Match is the highest index known to be durable there.
	Match raft.Index
	// Learner is set for those that don't vote, neither now nor before a change that
	// is under way.
	Learner bool
	// CaughtUp is set for those that keep pace: a learner may become a voter.
	CaughtUp bool
	// Jumping is set while the member needs what this log doesn't hold any more.
	Jumping bool
}

// members are those of one configuration. All but state is immutable.
type members struct {
	config raft.Config
	index  raft.Index
	ids    []raft.ReplicaID // ascending; not nil, except before the first publish
	state  []atomic.Uint64  // match and flags, by the place in ids
}

const (
	memberCaughtUp = 1 << iota
	memberJumping
	memberFlags = iota
)

func newMembers(st *raft.Status) *members {
	c := st.Config.Clone()
	ids := slices.Concat(c.Voters, c.Outgoing, c.Learners)
	slices.Sort(ids)
	ids = append([]raft.ReplicaID{}, slices.Compact(ids)...)
	return &members{config: c, index: st.ConfigIndex, ids: ids, state: make([]atomic.Uint64, len(ids))}
}

// update takes over what st says of the same configuration.
func (m *members) update(st *raft.Status) {
	peers := st.Peers // the same ids without the replica's own
	for i, id := range m.ids {
		v := uint64(st.Durable) << memberFlags
		if id == st.ID {
			v |= memberCaughtUp
		} else if len(peers) > 0 {
			v = uint64(peers[0].Match) << memberFlags
			if peers[0].CaughtUp {
				v |= memberCaughtUp
			}
			if peers[0].Jumping {
				v |= memberJumping
			}
			peers = peers[1:]
		}
		m.state[i].Store(v)
	}
}

func (m *members) peers() []PeerStatus {
	peers := make([]PeerStatus, len(m.ids))
	for i, id := range m.ids {
		v := m.state[i].Load()
		peers[i] = PeerStatus{
			ID: id, Match: raft.Index(v >> memberFlags), Learner: !m.config.Votes(id),
			CaughtUp: v&memberCaughtUp != 0, Jumping: v&memberJumping != 0,
		}
	}
	return peers
}

// has says whether one of the members is on broker id.
func (m *members) has(id protocol.BrokerID) bool {
	return slices.ContainsFunc(m.ids, func(r raft.ReplicaID) bool { return protocol.BrokerOf(uint64(r)) == id })
}
