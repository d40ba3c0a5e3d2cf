package spec

import (
	"slices"

	"github.com/logq/logq/raft"
)

// disk is what survives a crash, and the writes on their way there.
type disk struct {
	hard    raft.HardState
	handed  raft.HardState // the newest that was handed out
	log     log
	writes  []write // handed out, not reported as done
	n       uint64  // the number of the newest
	durable raft.Index
	known   bool // something was seen on it
	lost    bool // it lost something and doesn't know
}

// write is the disk work of one Ready.
type write struct {
	n        uint64
	hard     raft.HardState
	truncate raft.Index
	install  *raft.EntryID
	entries  raft.Entries
}

// apply does w's part of the log up to entry hi.
func (l *log) apply(w *write, hi raft.Index) {
	if w.install != nil {
		l.begin(*w.install)
	}
	if w.truncate != 0 {
		l.truncate(w.truncate)
	}
	if hi > l.last+1 && w.entries.Lo < w.entries.Hi {
		l.append(hi, w.entries.Term)
	}
}

// installing says that a log that was begun anew is not durable yet.
func (r *Replica) installing() bool {
	if r.staged.install != nil {
		return true
	}
	for i := range r.disk.writes {
		if r.disk.writes[i].install != nil {
			return true
		}
	}
	return false
}

// settle finds the durable prefix: what is on disk and no write on its way, nor
// the one to come, will replace.
func (r *Replica) settle() {
	d := r.disk.log.last
	for i := range r.disk.writes {
		w := &r.disk.writes[i]
		if w.install != nil {
			d = w.install.Index
		}
		if w.truncate != 0 {
			d = min(d, w.truncate-1)
		}
	}
	if r.staged.install != nil {
		d = r.staged.install.Index
	}
	if r.staged.truncate != 0 {
		d = min(d, r.staged.truncate-1)
	}
	r.disk.durable = max(d, r.log.prev.Index)
}

// repaired: the durable log is as up-to-date again as the one that was lost.
func (r *Replica) repaired() {
	if r.promised.Index == 0 || r.installing() {
		return
	}
	if t, ok := r.log.term(r.disk.durable); ok && upToDate(raft.EntryID{Term: t, Index: r.disk.durable}, r.promised) {
		r.promised = raft.EntryID{}
	}
}

// Persisted: Ready n and all before it are on disk.
func (r *Replica) Persisted(n uint64, s *raft.Status) error {
	r.now = "Persisted"
	if r.faulted {
		return r.expect(s)
	}
	done := 0
	for done < len(r.disk.writes) && r.disk.writes[done].n <= n {
		w := &r.disk.writes[done]
		r.disk.hard = w.hard
		r.disk.log.apply(w, w.entries.Hi)
		done++
	}
	if done > 0 {
		r.disk.writes = slices.Delete(r.disk.writes, 0, done)
		r.settle()
		r.repaired()
	}
	return r.finish(s, never)
}

// Start: the replica comes up on what its disk holds (Restart of the paper). What
// was not durable may be lost; commit index, leader and role are.
func (r *Replica) Start(o *raft.Options, hs raft.HardState, ls *raft.LogState, s *raft.Status) error {
	r.now = "New"
	found := log{prev: ls.Prev, last: ls.Last, runs: slices.Clone(ls.Terms)}
	if r.disk.known && !r.disk.lost {
		if err := r.restart(hs, ls, &found); err != nil {
			return err
		}
	}
	r.up, r.faulted, r.lease = true, false, o.Lease > 0
	r.term, r.vote, r.role, r.leader = hs.Term, hs.Vote, raft.RoleFollower, 0
	if t := max(found.lastID().Term, ls.WriteTerm, ls.Promised.Term); t > r.term {
		r.term, r.vote = t, 0
	}
	r.log, r.commit = found, max(ls.Commit, ls.Prev.Index)
	r.promised, r.damaged, r.unsettled = ls.Promised, ls.Damaged, ls.Unsettled
	r.disk = disk{hard: hs, handed: hs, known: true}
	r.disk.log.copyFrom(&r.log)
	r.staged, r.poll, r.lead = staged{}, poll{}, lead{}
	r.configs = append(r.configs[:0], raft.ConfigEntry{Config: raft.Config{Voters: slices.Sorted(slices.Values(o.Voters))}})
	for _, e := range ls.Configs {
		r.configs = append(r.configs, raft.ConfigEntry{Index: e.Index, Config: e.Config.Clone()})
	}
	r.forgetConfigs()
	r.ignoreAlone()
	r.verified = r.commit
	r.sends = sends{}
	r.settle()
	r.repaired()
	r.g.register(&r.log)
	if r.commit > 0 {
		if err := r.g.commits(r, "Restart", r.commit); err != nil {
			return err
		}
	}
	r.note()
	return r.expect(s)
}

// restart: the disk holds what was durable, and of the writes on their way some
// prefix, each file its own.
func (r *Replica) restart(hs raft.HardState, ls *raft.LogState, found *log) error {
	known := hs == r.disk.hard
	for i := range r.disk.writes {
		known = known || hs == r.disk.writes[i].hard
	}
	if !known {
		return r.refuse("Restart", "the hard state is the durable one or a later one", "it is %+v, durable was %+v", hs, r.disk.hard)
	}
	if ls.Commit > r.g.committed.last && !r.g.o.Forged {
		return r.refuse("Restart", "the commit index was committed", "it is %d, committed are %d", ls.Commit, r.g.committed.last)
	}
	lost := ls.Promised.Index != 0
	if r.promised.Index != 0 && !lost && !upToDate(found.lastID(), r.promised) {
		return r.refuse("Restart", "what was promised is remembered until it is there again", "%v was promised, the log is %v", r.promised, found)
	}
	// could is the log if k writes are done, least what there is of it in any case.
	could := r.disk.log.clone()
	least := could.lastID()
	for k := 0; ; k++ {
		there := found.last >= least.Index || lost && (upToDate(ls.Promised, least) || upToDate(found.lastID(), least))
		if there && found.last <= could.last && found.agrees(&could, found.last) {
			return nil
		}
		if k == len(r.disk.writes) {
			break
		}
		w := r.disk.writes[k]
		could.apply(&w, 0)
		least = could.lastID()
		could.apply(&write{entries: w.entries}, w.entries.Hi)
	}
	return r.refuse("Restart", "the log is the durable one with some of the writes on their way", "it is %v, durable was %v, %d writes, promised %v", found, &r.disk.log, len(r.disk.writes), ls.Promised)
}

// Crash: the replica is down.
func (r *Replica) Crash() { r.up = false }

// Lost tells that the disk of a replica that is down loses something without
// noticing. No Raft survives that in general; the next Start takes what there is.
func (r *Replica) Lost() { r.disk.lost = true }

// Trimmed: retention has moved the log start to first.
func (r *Replica) Trimmed(first raft.Index, s *raft.Status) error {
	r.now = "Trim"
	if s.First == first && first > r.log.prev.Index+1 {
		if first-1 > r.commit || first-1 > r.disk.durable {
			return r.refuse("Trim", "what is dropped is committed and durable", "trim before %d, commit %d, durable %d", first, r.commit, r.disk.durable)
		}
		r.log.trim(first)
		if r.damaged < first {
			r.damaged = r.unsettled
		}
		r.settle()
	}
	return r.finish(s, never)
}

// Damaged: entries from first on can't be read; of those that may not be committed
// unsettled is the first.
func (r *Replica) Damaged(first, unsettled raft.Index, s *raft.Status) error {
	r.now = "SetDamaged"
	in := func(i raft.Index) bool { return i == 0 || i > r.log.prev.Index && i <= r.log.last }
	if !r.faulted && in(first) && in(unsettled) {
		r.damaged, r.unsettled = first, unsettled
		r.ignoreAlone()
		campaigns := r.role == raft.RoleCandidate || r.role == raft.RolePreCandidate
		switch {
		case campaigns && r.unsettled != 0 && s.Role == r.role:
			return r.refuse("SetDamaged", "a candidate has the log that it asked with", "it is %v, damaged %d", r.role, unsettled)
		case campaigns:
			r.poll.offer = r.offer() // more than it had
		}
	}
	return r.finish(s, never)
}

// ignoreAlone: all that is on the disk of the only voter is committed.
func (r *Replica) ignoreAlone() {
	if r.alone() {
		r.unsettled = 0
	}
}

// Faulted: the disk has failed, and the replica does nothing any more.
func (r *Replica) Faulted(s *raft.Status) error {
	r.now = "Faulted"
	r.faulted = true
	r.staged = staged{}
	if r.role != raft.RoleFollower {
		r.role = raft.RoleFollower
	}
	r.leader = s.Leader
	if s.Leader != 0 {
		return r.refuse("Faulted", "the replica follows nobody", "leader %d", s.Leader)
	}
	return r.expect(s)
}
