package rafttest

import (
	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/quorum"
)

// Checker is the oracle: it sees everything, over all lives of all nodes.
type Checker struct {
	c       *Cluster
	leaders map[raft.Term]raft.ReplicaID
	entries map[raft.EntryID]content
	votes   map[ballot]raft.ReplicaID
	log     []Entry // what is committed
	gone    map[raft.EntryID]raft.ReplicaID
	reads   map[readKey]raft.Index
	// promised: the highest term in which a node has voted or acknowledged.
	promised map[raft.ReplicaID]raft.Term
	// Elections and Lost count, so that a test can tell that something happened.
	Elections, Lost int
}

type content struct {
	data string
	prev raft.Term
}

type ballot struct {
	voter raft.ReplicaID
	term  raft.Term
}

type readKey struct {
	node raft.ReplicaID
	life int
	id   uint64
}

func newChecker(c *Cluster) *Checker {
	return &Checker{
		c: c, leaders: make(map[raft.Term]raft.ReplicaID), entries: make(map[raft.EntryID]content),
		votes: make(map[ballot]raft.ReplicaID), gone: make(map[raft.EntryID]raft.ReplicaID),
		reads: make(map[readKey]raft.Index), promised: make(map[raft.ReplicaID]raft.Term),
	}
}

// failf reports a violated property, unless messages were made up.
func (k *Checker) failf(format string, args ...any) {
	if !k.c.o.Unchecked {
		k.c.failf(format, args...)
	}
}

// Stats returns the counts of elections won and of ranges reported as lost.
func (c *Cluster) Stats() (elections, lost int) { return c.check.Elections, c.check.Lost }

// started: a node comes back with what it has promised.
func (k *Checker) started(n *Node) {
	if s := n.Core.Status(); s.Term < k.promised[n.ID] {
		k.failf("node %d comes back in term %d, it had promised in term %d", n.ID, s.Term, k.promised[n.ID])
	}
	for i, e := range n.Log {
		k.appended(n, raft.Index(i+1), []Entry{e})
	}
}

// appended: log matching.
func (k *Checker) appended(n *Node, lo raft.Index, entries []Entry) {
	for i, e := range entries {
		at := lo + raft.Index(i)
		prev := raft.Term(0)
		switch {
		case i > 0:
			prev = entries[i-1].Term
		case at > 1:
			prev = n.Log[at-2].Term
		}
		id, now := raft.EntryID{Term: e.Term, Index: at}, content{data: e.Data, prev: prev}
		if was, ok := k.entries[id]; ok && was != now {
			k.failf("log matching: entry %v is %v at node %d, and %v elsewhere", id, now, n.ID, was)
		}
		if prev > e.Term {
			k.failf("node %d appends entry %v after one of term %d", n.ID, id, prev)
		}
		k.entries[id] = now
	}
}

// truncated: nothing committed goes.
func (k *Checker) truncated(n *Node, from raft.Index) {
	if from <= n.Commit || int(from) > len(n.Log) {
		k.failf("node %d truncates at %d, its commit index is %d, its log ends at %d", n.ID, from, n.Commit, len(n.Log))
	}
}

// committed: state-machine safety, and a majority really has it on disk.
func (k *Checker) committed(n *Node, to raft.Index) {
	if to <= n.Commit || int(to) > len(n.Log) {
		k.failf("node %d commits %d after %d in a log of %d", n.ID, to, n.Commit, len(n.Log))
		return
	}
	for i := n.Commit + 1; i <= to; i++ {
		e := n.Log[i-1]
		if int(i) <= len(k.log) {
			if k.log[i-1] != e {
				k.failf("state machine safety: node %d commits %v at %d, elsewhere it is %v", n.ID, e, i, k.log[i-1])
			}
			continue
		}
		if by, ok := k.gone[raft.EntryID{Term: e.Term, Index: i}]; ok {
			k.failf("entry %d of term %d is committed, node %d had reported it as lost", i, e.Term, by)
		}
		k.log = append(k.log, e)
	}
	if int(to) == len(k.log) && !k.c.o.Unchecked {
		k.durable(n, to)
	}
}

// durable: a majority has the committed prefix on disk, in the joint state one of
// each set of voters. The leader commits before anyone else learns of it.
func (k *Checker) durable(n *Node, to raft.Index) {
	s := n.Core.Status()
	if s.Role != raft.RoleLeader {
		return
	}
	for _, voters := range [][]raft.ReplicaID{s.Config.Voters, s.Config.Outgoing} {
		have := 0
		for _, id := range voters {
			o := k.c.Node(id)
			// Who has lost it, and knows, elects nobody without it.
			lost := o.disk.promised.Index >= to && len(o.disk.log) < int(to)
			if lost || len(o.disk.log) >= int(to) && o.disk.log[to-1] == k.log[to-1] {
				have++
			}
		}
		if len(voters) > 0 && have < quorum.Size(len(voters)) {
			k.failf("node %d commits %d, which is durable on %d of the voters %d", n.ID, to, have, voters)
		}
	}
}

// sent: what a message promises is on disk when it leaves.
func (k *Checker) sent(n *Node, m *raft.Message) {
	log, hard := n.Durable()
	switch m.Type {
	case raft.MsgVote:
		k.vote(n, m.Term, n.ID, hard)
		if last := n.lastReadable(); last != (raft.EntryID{Term: m.LogTerm, Index: m.Index}) {
			k.failf("node %d asks for votes with last entry %d/%d, on its disk is %v", n.ID, m.LogTerm, m.Index, last)
		}
	case raft.MsgVoteReply:
		if !m.Reject {
			k.vote(n, m.Term, m.To, hard)
		}
	case raft.MsgAppendReply, raft.MsgHeartbeatReply:
		if m.Reject || m.Index == 0 {
			return
		}
		if int(m.Index) > len(log) || hard.Term != m.Term {
			k.failf("node %d acknowledges %d in term %d, on its disk are term %d and %d entries", n.ID, m.Index, m.Term, hard.Term, len(log))
			return
		}
		k.acknowledged(n, m)
	}
}

// lastReadable returns the last entry on disk before any damage that is not settled.
func (n *Node) lastReadable() (e raft.EntryID) {
	k := len(n.disk.log)
	if d := n.Core.Status().Unsettled; d != 0 {
		k = int(d) - 1
	}
	if k > 0 {
		e = raft.EntryID{Term: n.disk.log[k-1].Term, Index: raft.Index(k)}
	}
	return e
}

// acknowledged: what is on disk equals the leader's log up to there.
func (k *Checker) acknowledged(n *Node, m *raft.Message) {
	k.promised[n.ID] = max(k.promised[n.ID], m.Term)
	l := k.c.Node(m.To)
	if l == nil || l.Core == nil {
		return
	}
	if s := l.Core.Status(); s.Role != raft.RoleLeader || s.Term != m.Term {
		return // that leadership is over
	}
	if int(m.Index) > len(l.Log) || n.disk.log[m.Index-1] != l.Log[m.Index-1] {
		k.failf("node %d acknowledges %d to node %d, whose log there differs", n.ID, m.Index, l.ID)
	}
}

// vote: one vote in a term, ever, and durable.
func (k *Checker) vote(n *Node, term raft.Term, to raft.ReplicaID, hard raft.HardState) {
	b := ballot{voter: n.ID, term: term}
	if was, ok := k.votes[b]; ok && was != to {
		k.failf("node %d votes for %d in term %d, it had voted for %d", n.ID, to, term, was)
	}
	k.votes[b] = to
	k.promised[n.ID] = max(k.promised[n.ID], term)
	if hard.Term < term || hard.Term == term && hard.Vote != to {
		k.failf("node %d votes for %d in term %d, on its disk is %+v", n.ID, to, term, hard)
	}
}

// stepped: election safety and leader completeness.
func (k *Checker) stepped(n *Node, s *raft.Status) {
	if s.Role != raft.RoleLeader || k.leaders[s.Term] == n.ID {
		return
	}
	if other, ok := k.leaders[s.Term]; ok {
		k.failf("election safety: nodes %d and %d both lead term %d", other, n.ID, s.Term)
		return
	}
	k.leaders[s.Term] = n.ID
	k.Elections++
	// What is committed by a leader of an earlier term must be there.
	for i := len(k.log); i > 0; i-- {
		if e := k.log[i-1]; e.Term < s.Term {
			if len(n.Log) < i || n.Log[i-1] != e {
				k.failf("leader completeness: node %d leads term %d without entry %d, %v, which is committed", n.ID, s.Term, i, e)
			}
			return // log matching covers those before
		}
	}
}

// asked notes what is committed when a read is asked for.
func (k *Checker) asked(n *Node, id uint64) {
	k.reads[readKey{n.ID, n.Lives, id}] = raft.Index(len(k.log))
}

// read: it sees everything that was committed before it was asked for.
func (k *Checker) read(n *Node, r raft.ReadResult) {
	if r.Lost {
		return
	}
	key := readKey{n.ID, n.Lives, r.ID}
	if floor, ok := k.reads[key]; ok && r.Index < floor {
		k.failf("stale read: node %d answers %d, %d was committed when it was asked", n.ID, r.Index, floor)
	}
	if int(r.Index) > len(k.log) {
		k.failf("node %d answers a read with %d, only %d is committed", n.ID, r.Index, len(k.log))
	}
	delete(k.reads, key)
}

// lost: definitely not written means never committed.
func (k *Checker) lost(n *Node, l raft.LostRange) {
	k.Lost++
	for i := l.Lo; i < l.Hi; i++ {
		if int(i) <= len(k.log) && k.log[i-1].Term == l.Term {
			k.failf("node %d reports entry %d of term %d as lost, it is committed", n.ID, i, l.Term)
		}
		k.gone[raft.EntryID{Term: l.Term, Index: i}] = n.ID
	}
}
