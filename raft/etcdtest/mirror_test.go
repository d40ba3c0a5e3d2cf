package etcdtest

import (
	"fmt"
	"slices"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/rafttest"
)

// An election timeout is three ticks and a heartbeat one in etcd's environment. Ours
// divides each tick, so that no random timeout ends just when a scenario has counted
// three of them.
const (
	electionTicks  = 3
	heartbeatTicks = 1
	tickParts      = 100
)

// mirror runs a script on a group of ours. As in etcd's environment, what a replica
// wants done waits until the script says so: its disk work, and the messages of it.
type mirror struct {
	c *rafttest.Cluster
	s *script
	// exist of the nodes; the others are not made yet.
	exist int
	// out holds what each replica has sent but the script not yet taken from it, net
	// what is on its way.
	out map[raft.ReplicaID][]rafttest.Envelope
	net []rafttest.Envelope
	// told is the commit index of which each leader has sent heartbeats.
	told map[raft.ReplicaID]raft.Index
	// handing is to whom a replica was told to hand over.
	handing map[raft.ReplicaID]raft.ReplicaID
	// timeouts are the ticks that are left; forgot, who has forgotten its leader.
	timeouts map[raft.ReplicaID]int
	forgot   map[raft.ReplicaID]bool
}

func newMirror(s *script) (*mirror, error) {
	o := raft.Options{ElectionTicks: electionTicks * tickParts, HeartbeatTicks: heartbeatTicks * tickParts, MaxInflightMessages: 1 << 10}
	if s.inflight > 0 {
		o.MaxInflightMessages = s.inflight
	}
	c, err := newGroup(o, s.start)
	if err != nil {
		return nil, err
	}
	if !s.polite {
		c.Forge() // messages are made up; see campaign
	}
	m := &mirror{
		c: c, s: s, out: map[raft.ReplicaID][]rafttest.Envelope{}, told: map[raft.ReplicaID]raft.Index{},
		handing: map[raft.ReplicaID]raft.ReplicaID{}, timeouts: map[raft.ReplicaID]int{}, forgot: map[raft.ReplicaID]bool{},
	}
	for _, n := range c.Nodes {
		n.AutoDisk = false
	}
	return m, nil
}

func (m *mirror) status(id raft.ReplicaID) raft.Status { return m.c.Node(id).Core.Status() }

func (m *mirror) view(id raft.ReplicaID) view {
	s := m.status(id)
	return view{
		Role: s.Role, Term: s.Term, Vote: s.Vote, Commit: s.Commit,
		Last: raft.EntryID{Term: s.LastTerm, Index: s.Last}, Config: s.Config.String(),
	}
}

// all are the replicas that exist.
func (m *mirror) all() (out []raft.ReplicaID) {
	for i := range m.exist {
		out = append(out, raft.ReplicaID(i+1))
	}
	return out
}

// gather takes what the replicas have sent. A leader whose commit index has moved
// sends heartbeats.
func (m *mirror) gather() {
	for {
		for _, e := range m.c.Take(nil) {
			if e.Type == raft.MsgTimeoutNow && m.handing[e.From] != e.To {
				continue // a leader that is removed names its successor
			}
			e.Transfer = e.Transfer || e.Type == raft.MsgVote && !m.s.polite
			m.out[e.From] = append(m.out[e.From], e)
		}
		again := false
		for _, n := range m.c.Nodes {
			s := m.status(n.ID)
			if s.Role != raft.RoleLeader {
				delete(m.handing, n.ID)
			}
			if s.Serving && s.Commit > m.told[n.ID] {
				m.told[n.ID] = s.Commit
				_, _ = m.c.Read(n.ID)
				again = true
			}
		}
		if !again {
			return
		}
	}
}

// ready does the disk work of a replica, unless storage is asynchronous, and sends
// its messages. It says whether there was anything. A candidate asks for votes when
// its own is on disk, while etcd's asks before, so that work isn't put off.
func (m *mirror) ready(id raft.ReplicaID) bool {
	n := m.c.Node(id)
	did := len(m.out[id]) > 0
	if n.Writes() > 0 && (!m.s.async || m.status(id).Role == raft.RoleCandidate) {
		did = true
		n.Flush()
		m.gather()
	}
	m.net = append(m.net, m.out[id]...)
	m.out[id] = nil
	return did
}

// appendThread does one piece of disk work and sends what waited for it.
func (m *mirror) appendThread(id raft.ReplicaID) bool {
	n := m.c.Node(id)
	if n.Writes() == 0 {
		return false
	}
	before := len(m.out[id])
	n.Journal()
	n.Write()
	m.gather()
	m.net = append(m.net, m.out[id][before:]...)
	m.out[id] = m.out[id][:before]
	return true
}

// deliver hands over the messages on their way to a replica that match.
func (m *mirror) deliver(to raft.ReplicaID, drop bool, match func(e *rafttest.Envelope) bool) int {
	var batch []rafttest.Envelope
	m.net = slices.DeleteFunc(m.net, func(e rafttest.Envelope) bool {
		if e.To != to || match != nil && !match(&e) {
			return false
		}
		batch = append(batch, e)
		return true
	})
	for _, e := range batch {
		if drop {
			continue
		}
		if e.Type == raft.MsgAppend || e.Type == raft.MsgHeartbeat || e.Type == raft.MsgJump {
			delete(m.forgot, to)
		}
		m.c.Hand(e)
		if !m.s.polite {
			m.c.Take(func(r *rafttest.Envelope) bool { return r.To == e.From && r.Reject && r.Term > e.Term })
		}
		m.gather()
	}
	return len(batch)
}

// stabilize goes on, in the order of etcd's environment, until the replicas have
// nothing to do and no message waits for them.
func (m *mirror) stabilize(of []raft.ReplicaID) error {
	const rounds = 10_000
	for range rounds {
		did := false
		for _, id := range of {
			did = m.ready(id) || did
		}
		for _, id := range of {
			did = m.deliver(id, false, nil) > 0 || did
		}
		if m.s.async {
			for _, id := range of {
				for m.appendThread(id) {
					did = true
				}
			}
		}
		if !did {
			return m.c.Err()
		}
	}
	return fmt.Errorf("messages go on for ever")
}

func (m *mirror) quiescent() bool {
	for _, n := range m.c.Nodes {
		if n.Writes() > 0 || len(m.out[n.ID]) > 0 {
			return false
		}
	}
	return len(m.net) == 0
}
