package spec

import "github.com/logq/logq/raft"

// ownAppend: a leader appends n entries (ClientRequest of the paper).
func (r *Replica) ownAppend(action string, kind raft.Kind, n raft.Index) error {
	if r.role != raft.RoleLeader {
		return r.refuse(action, "the replica leads", "it is %v of term %d", r.role, r.term)
	}
	lo, before := r.log.last+1, r.log.lastID().Term
	r.log.append(lo+n, r.term)
	e := &r.staged.entries
	switch {
	case e.Lo == e.Hi:
		*e = raft.Entries{Lo: lo, Hi: lo + n, Term: r.term, Kind: kind}
	case kind != raft.KindData || e.Kind != kind || e.Hi != lo || e.Term != r.term:
		return r.refuse(action, "a Ready appends from one source", "[%d, %d) of kind %v waits", e.Lo, e.Hi, e.Kind)
	default:
		e.Hi = lo + n
	}
	return r.g.matching(r, action, lo, lo+n, before, r.term)
}

// Proposed: n entries from first on were accepted.
func (r *Replica) Proposed(first raft.Index, n int, s *raft.Status) error {
	r.now = "Propose"
	const action = "ClientRequest"
	if first != r.log.last+1 {
		return r.refuse(action, "entries are appended at the end", "at %d, the log is %v", first, &r.log)
	}
	if err := r.ownAppend(action, raft.KindData, raft.Index(n)); err != nil {
		return err
	}
	return r.finish(s, never)
}

// truncate drops the entries from i on.
func (r *Replica) truncate(action string, i raft.Index) error {
	if i <= r.commit {
		return r.refuse(action, "nothing that is committed is truncated", "truncation at %d, commit is %d", i, r.commit)
	}
	r.log.truncate(i)
	for n := len(r.configs); r.configs[n-1].Index >= i; n-- {
		if n == 1 {
			return r.refuse(action, "a configuration is in force", "truncation at %d, the first is that of entry %d", i, r.configs[0].Index)
		}
		r.configs = r.configs[:n-1]
	}
	if r.unsettled >= i {
		r.unsettled = 0
	}
	if r.damaged >= i {
		r.damaged = 0
	}
	r.staged.truncate = i
	r.settle()
	return nil
}

// handleAppend: the entries of the leader come (HandleAppendEntriesRequest of the
// paper). Only what differs is replaced.
func (r *Replica) handleAppend(m *raft.Message, configs []raft.ConfigEntry) error {
	const action = "HandleAppendEntries"
	prev := raft.EntryID{Term: m.LogTerm, Index: m.Index}
	if !r.log.holds(prev) {
		if m.Index > r.commit {
			return nil // refused
		}
		if m.Index >= r.log.prev.Index {
			return r.refuse(action, "the leader holds what is committed", "%v goes before the new ones, the log is %v, commit %d", prev, &r.log, r.commit)
		}
	}
	from := max(m.Lo, r.log.prev.Index+1)
	for from < m.Hi && from <= r.log.last {
		run := r.log.runOf(from)
		if run.Term != m.EntryTerm {
			break
		}
		from = r.log.endOf(from)
	}
	if from < m.Hi {
		if err := r.replace(m, from, configs); err != nil {
			return err
		}
	}
	r.verified = max(r.verified, m.Hi-1)
	return nil
}

// replace appends the entries [from, m.Hi), in place of those there.
func (r *Replica) replace(m *raft.Message, from raft.Index, configs []raft.ConfigEntry) error {
	const action = "HandleAppendEntries"
	if from <= r.verified {
		return r.refuse(action, "a leader only appends to its log", "entry %d is replaced, verified were %d", from, r.verified)
	}
	if from <= r.log.last {
		if err := r.truncate(action, from); err != nil {
			return err
		}
	}
	before := r.log.lastID().Term
	if before > m.EntryTerm {
		return r.refuse(action, "terms don't fall along a log", "entry %d of term %d after one of term %d", from, m.EntryTerm, before)
	}
	r.log.append(m.Hi, m.EntryTerm)
	r.staged.entries = raft.Entries{Lo: from, Hi: m.Hi, Term: m.EntryTerm, Kind: raft.KindData}
	for _, e := range configs {
		if e.Index >= from {
			r.configs = append(r.configs, raft.ConfigEntry{Index: e.Index, Config: e.Config.Clone()})
		}
	}
	return r.g.matching(r, action, from, m.Hi, before, m.EntryTerm)
}

// handleJump: the leader's log begins behind what this replica needs (InstallSnapshot,
// §7, with the log's start for a snapshot).
func (r *Replica) handleJump(m *raft.Message, configs []raft.ConfigEntry) error {
	const action = "HandleJump"
	prev := raft.EntryID{Term: m.LogTerm, Index: m.Index}
	switch {
	case r.log.holds(prev), m.Index < r.log.prev.Index:
	case m.Index <= r.commit:
		return r.refuse(action, "the leader holds what is committed", "it begins after %v, the log is %v, commit %d", prev, &r.log, r.commit)
	case m.Index <= r.verified:
		return r.refuse(action, "a leader only appends to its log", "it begins after %v, verified were %d", prev, r.verified)
	case len(configs) != 1:
		return r.refuse(action, "the configuration at the start is known", "%d came", len(configs))
	case !r.g.o.Forged && !r.g.committed.holds(prev) && prev.Index > r.g.committed.prev.Index:
		return r.refuse(action, "a log begins behind what is committed", "%v, committed are %v", prev, &r.g.committed)
	default:
		r.log.begin(prev)
		r.commit, r.damaged, r.unsettled = prev.Index, 0, 0
		r.configs = append(r.configs[:0], raft.ConfigEntry{Index: configs[0].Index, Config: configs[0].Config.Clone()})
		r.staged.install = &prev
		r.settle()
	}
	r.verified = max(r.verified, m.Index)
	return nil
}

// answered: a follower says what it has (HandleAppendEntriesResponse of the paper).
func (r *Replica) answered(m *raft.Message, err error, s *raft.Status) error {
	if err != nil || r.role != raft.RoleLeader || m.Term != r.term {
		return nil
	}
	f := r.followerOf(m.From)
	if !m.Reject {
		if !r.g.o.Forged {
			v := r.g.find(m.From)
			if v == nil || v.past.match(m.Term) < m.Index {
				return r.refuse("HandleAppendEntriesResponse", "the follower has acknowledged it", "replica %d, %d in term %d", m.From, m.Index, m.Term)
			}
		}
		f.match = max(f.match, m.Index)
		if m.Type == raft.MsgHeartbeatReply && m.Context <= r.lead.round {
			f.round = max(f.round, m.Context)
		}
	}
	if s.Role == raft.RoleLeader {
		if told := s.Match(m.From); told > f.match {
			return r.refuse("HandleAppendEntriesResponse", "a match is what was acknowledged", "match %d of replica %d, it acknowledged %d", told, m.From, f.match)
		} else {
			f.match = told // less: it has lost what it had
		}
	}
	return nil
}

// advance moves the commit index (AdvanceCommitIndex of the paper, or on a follower
// the leader's word for what is verified).
func (r *Replica) advance(to, bound raft.Index) error {
	const action = "AdvanceCommitIndex"
	switch t, ok := r.log.term(to); {
	case to < r.commit:
		return r.refuse(action, "the commit index never falls", "from %d to %d", r.commit, to)
	case !ok:
		return r.refuse(action, "what is committed is in the log", "commit %d of %v", to, &r.log)
	case r.role != raft.RoleLeader:
		if to > bound {
			return r.refuse(action, "the leader has said so, of what is verified", "commit %d, allowed %d, verified %d", to, bound, r.verified)
		}
	case t != r.term:
		return r.refuse(action, "only an entry of the own term is committed by counting", "entry %d of term %d in term %d", to, t, r.term)
	case !r.majority(func(id raft.ReplicaID) bool { return r.durableAt(id) >= to }):
		return r.refuse(action, "a majority has it on disk", "commit %d by %v, here %d, matches %v", to, r.config().Config, r.sound(), r.lead.peers)
	}
	return r.commitTo(action, to)
}

func (r *Replica) commitTo(action string, to raft.Index) error {
	if err := r.g.commits(r, action, to); err != nil {
		return err
	}
	r.commit = to
	r.verified = max(r.verified, to)
	r.forgetConfigs()
	return nil
}

// Learned: somebody has said that entry e is committed, outside the algorithm.
func (r *Replica) Learned(e raft.EntryID, s *raft.Status) error {
	r.now = "LearnCommitted"
	const action = "AdvanceCommitIndex"
	if r.faulted || e.Index <= r.commit || !r.log.holds(e) {
		return r.finish(s, never)
	}
	if !r.g.o.Forged && !r.g.committed.holds(e) {
		return r.refuse(action, "what is told as committed is", "%v, committed are %v", e, &r.g.committed)
	}
	if err := r.commitTo(action, e.Index); err != nil {
		return err
	}
	return r.finish(s, never)
}

// durableAt is what a leader knows to be durable on a voter.
func (r *Replica) durableAt(id raft.ReplicaID) raft.Index {
	if id == r.id {
		return r.sound()
	}
	if f := r.follower(id); f != nil {
		return f.match
	}
	return 0
}
