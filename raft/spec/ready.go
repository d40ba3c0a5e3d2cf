package spec

import "github.com/logq/logq/raft"

// Ready: rd was handed out, and s is the state after it.
func (r *Replica) Ready(rd *raft.Ready, s *raft.Status) error {
	r.now = "Ready"
	for i := range rd.Reads {
		if err := r.readDone(&rd.Reads[i]); err != nil {
			return err
		}
	}
	if rd.Append.Kind == raft.KindConfig && r.staged.entries.Lo == r.staged.entries.Hi {
		if err := r.leaveJoint(rd.Append.Lo, &rd.Config); err != nil {
			return err
		}
	}
	if err := r.handOut(rd); err != nil {
		return err
	}
	for i := range rd.Send {
		if err := r.send(&rd.Send[i]); err != nil {
			return err
		}
	}
	for i := range rd.Lost {
		if err := r.lost(&rd.Lost[i]); err != nil {
			return err
		}
	}
	if rd.Commit != 0 && rd.Commit != r.commit {
		return r.refuse("Ready", "what is handed out is the state", "commit %d, it is %d", rd.Commit, r.commit)
	}
	if c := rd.Role; c != nil && (c.Role != r.role || c.Term != r.term || c.Leader != r.leader || c.Serving != s.Serving) {
		return r.refuse("Ready", "what is handed out is the state", "%+v, it is %v of term %d, leader %d", *c, r.role, r.term, r.leader)
	}
	r.sends.past = r.sends.past[:0]
	r.sends.now = era{}
	r.poll.consents = r.poll.consents[:0]
	r.note()
	return r.expect(s)
}

// handOut compares the disk work with what waits.
func (r *Replica) handOut(rd *raft.Ready) error {
	const action = "Ready"
	hard := raft.HardState{Term: r.term, Vote: r.vote}
	st := &r.staged
	switch {
	case rd.SaveHard && rd.Hard != hard, !rd.SaveHard && hard != r.disk.handed && !r.faulted:
		return r.refuse(action, "term and vote are saved when they have changed", "saved %v %+v, they are %+v, before %+v", rd.SaveHard, rd.Hard, hard, r.disk.handed)
	case rd.Truncate != st.truncate:
		return r.refuse(action, "the log is changed as the actions say", "truncated at %d instead of %d", rd.Truncate, st.truncate)
	case rd.Append.Lo < rd.Append.Hi && rd.Append != st.entries || rd.Append.Lo >= rd.Append.Hi && st.entries.Lo < st.entries.Hi:
		return r.refuse(action, "the log is changed as the actions say", "appended %+v instead of %+v", rd.Append, st.entries)
	case st.entries.Kind == raft.KindConfig && !rd.Config.Equal(st.config):
		return r.refuse(action, "the log is changed as the actions say", "configuration %v instead of %v", rd.Config, st.config)
	case (rd.Install == nil) != (st.install == nil), rd.Install != nil && rd.Install.Prev != *st.install:
		return r.refuse(action, "the log is changed as the actions say", "begun anew %v instead of %v", rd.Install, st.install)
	}
	work := rd.SaveHard || rd.Truncate != 0 || rd.Install != nil || rd.Append.Lo < rd.Append.Hi
	if work != (rd.N != 0) || work && rd.N <= r.disk.n {
		return r.refuse(action, "disk work has a number, in order", "number %d after %d, work %v", rd.N, r.disk.n, work)
	}
	if !work {
		return nil
	}
	r.disk.n, r.disk.handed = rd.N, hard
	r.disk.writes = append(r.disk.writes, write{n: rd.N, hard: hard, truncate: st.truncate, install: st.install, entries: st.entries})
	r.staged = staged{}
	return nil
}

// lost: own proposals are reported as definitely not written.
func (r *Replica) lost(l *raft.LostRange) error {
	const action = "Lost"
	if !r.g.led(r.id, l.Term) {
		return r.refuse(action, "they were proposed here", "%+v", *l)
	}
	at, known := r.log.term(l.Lo)
	now, _ := r.log.term(r.commit)
	if l.Lo <= r.commit && known && at == l.Term || l.Lo > r.commit && now <= l.Term {
		return r.refuse(action, "another entry is committed in their place", "%+v, commit %d of %v", *l, r.commit, &r.log)
	}
	return nil
}
