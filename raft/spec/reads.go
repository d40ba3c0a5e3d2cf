package spec

import "github.com/logq/logq/raft"

// Asked: a read was accepted under a number.
func (r *Replica) Asked(id uint64, s *raft.Status) error {
	r.now = "Read"
	if r.role != raft.RoleLeader {
		return r.refuse("ReadIndex", "the replica leads", "it is %v", r.role)
	}
	r.lead.reads = append(r.lead.reads, read{id: id, round: r.lead.round, floor: r.g.committed.last})
	return r.finish(s, never)
}

// readDone checks the outcome of a read (ReadIndex, diss. §6.4).
func (r *Replica) readDone(res *raft.ReadResult) error {
	const action = "ReadIndex"
	at := -1
	for i := range r.lead.reads {
		if r.lead.reads[i].id == res.ID {
			at = i
			break
		}
	}
	if at < 0 {
		return r.refuse(action, "the read was asked and not answered yet", "read %d", res.ID)
	}
	q := r.lead.reads[at]
	copy(r.lead.reads[at:], r.lead.reads[at+1:])
	r.lead.reads = r.lead.reads[:len(r.lead.reads)-1]
	switch {
	case res.Lost:
		if r.role == raft.RoleLeader && len(r.sends.past) == 0 {
			return r.refuse(action, "a read is lost with the leadership", "read %d in term %d", res.ID, r.term)
		}
	case !r.g.o.Forged && res.Index < q.floor:
		return r.refuse(action, "it sees all that was committed when it was asked", "%d, committed were %d", res.Index, q.floor)
	case res.Index > r.commit || res.Index < r.lead.noop:
		return r.refuse(action, "an entry of the term is committed, and the index is", "%d, commit %d, no-op %d", res.Index, r.commit, r.lead.noop)
	case r.lease:
		return r.leased(res)
	case !r.majority(func(id raft.ReplicaID) bool { return id == r.id || r.roundOf(id) > q.round }):
		return r.refuse(action, "a majority has answered a heartbeat that was sent after it was asked", "rounds %v, asked after %d", r.lead.peers, q.round)
	}
	return nil
}

// leased: with a lease nobody needs to be asked, but nobody may have been elected.
func (r *Replica) leased(res *raft.ReadResult) error {
	for t, l := range r.g.terms {
		if t > r.term && l.leader != 0 {
			return r.refuse("LeaseRead", "no later leader is elected", "read %d at %d in term %d, replica %d leads term %d", res.ID, res.Index, r.term, l.leader, t)
		}
	}
	return nil
}

func (r *Replica) roundOf(id raft.ReplicaID) uint64 {
	if f := r.follower(id); f != nil {
		return f.round
	}
	return 0
}
