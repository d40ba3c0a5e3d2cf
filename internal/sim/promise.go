package sim

import (
	"fmt"

	"github.com/logq/logq/raft"
)

// checkPromise looks at a message as it leaves.
func (w *world) checkPromise(n *node, m *raft.Message) error {
	if m.Reject {
		return nil
	}
	switch m.Type {
	case raft.MsgVote: // who asks has voted for itself
		return w.checkVote(n, m.Term, n.id)
	case raft.MsgVoteReply:
		return w.checkVote(n, m.Term, m.To)
	case raft.MsgAppendReply, raft.MsgHeartbeatReply:
		if d := raft.Index(n.durable); m.Index > d {
			return fmt.Errorf("replica %d acknowledges %d, durable is %d", n.id, m.Index, d)
		}
		for _, g := range n.rep.Log().Damage() {
			if lost := max(raft.Index(g.Lo), n.rep.Commit()+1); raft.Index(g.Hi) > lost && m.Index >= lost {
				return fmt.Errorf("replica %d acknowledges %d, it can't read %d, and commit is %d", n.id, m.Index, lost, n.rep.Commit())
			}
		}
		if m.Index > 0 {
			n.promised = max(n.promised, m.Term)
		}
	}
	return nil
}

// checkVote: a replica gives one vote in a term, in all its lives.
func (w *world) checkVote(n *node, term raft.Term, to raft.ReplicaID) error {
	v := vote{by: n.id, term: term}
	if before, ok := w.votes[v]; ok && before != to {
		return fmt.Errorf("replica %d votes for %d in term %d, it had voted for %d", n.id, to, term, before)
	}
	w.votes[v] = to
	n.promised = max(n.promised, term)
	return nil
}

// checkHard: what a replica has promised, it still knows when it comes back.
func (w *world) checkHard(n *node, hard raft.HardState) error {
	if hard.Term < n.promised {
		return fmt.Errorf("replica %d comes back in term %d, but it has promised in term %d", n.id, hard.Term, n.promised)
	}
	if to, ok := w.votes[vote{by: n.id, term: hard.Term}]; ok && to != hard.Vote {
		return fmt.Errorf("replica %d comes back in term %d with a vote for %d, it has voted for %d", n.id, hard.Term, hard.Vote, to)
	}
	return nil
}

// checkElected: whoever leads was elected by a majority of the voters of its
// configuration, of both if it is joint.
func (w *world) checkElected(n *node, st *raft.Status) error {
	for _, voters := range [...][]raft.ReplicaID{st.Config.Voters, st.Config.Outgoing} {
		votes := 0
		for _, id := range voters {
			if id == n.id || w.votes[vote{by: id, term: st.Term}] == n.id {
				votes++
			}
		}
		if votes <= len(voters)/2 && len(voters) > 0 {
			return fmt.Errorf("replica %d leads term %d by %d votes of %d", n.id, st.Term, votes, voters)
		}
	}
	return nil
}

// checkQuorum: what a leader commits is on the disks of a majority of the voters
// of its configuration, of both if it is joint.
func (w *world) checkQuorum(n *node, i raft.Index) error {
	c := n.rep.Status().Config
	for _, voters := range [...][]raft.ReplicaID{c.Voters, c.Outgoing} {
		holders := 0
		for _, id := range voters {
			o := w.nodes[id-1]
			holds := raft.Index(o.durable) >= i && len(o.mirror) >= int(i) && o.mirror[i-1] == n.mirror[i-1]
			// It has acknowledged what it has lost, and will elect nobody without it.
			holds = holds || len(o.lost) >= int(i) && o.lost[i-1] == n.mirror[i-1]
			if holds {
				holders++
			}
		}
		if holders <= len(voters)/2 && len(voters) > 0 {
			return fmt.Errorf("replica %d commits entry %d, which is durable on %d of the voters %d", n.id, i, holders, voters)
		}
	}
	return nil
}
