package replica

import (
	"errors"
	"fmt"
	"slices"

	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

// mending is the repair of entries that the disk has lost: the replica asks the
// members in turn for them, by index and term, and writes what it gets in their place.
type mending struct {
	gaps      []segments.Gap // what is damaged, as the core knows it
	unsettled raft.Index     // the first damaged entry above the commit index
	// asked is who has the question number question, 0 for nobody; at is the place of
	// the next among the members.
	asked    raft.ReplicaID
	question uint64
	at       int
	wait     int // ticks until the next is asked
	failures int // in a row
	// refused are those who don't hold the beginning of the first gap; trimmed: one
	// of them has dropped it by retention.
	refused []raft.ReplicaID
	trimmed bool
	filling bool
}

// UnrepairableError says that damaged entries, which are committed, are on no other
// replica any more, since retention has dropped them there. The replica can't go on;
// it is to be replaced by a new one.
type UnrepairableError struct{ Gap segments.Gap }

// Error names what is damaged, and the remedy.
func (e *UnrepairableError) Error() string {
	return fmt.Sprintf("%v, and no other replica holds them any more: replace this replica by a new one", e.Gap)
}

// repairBackoffMax bounds the pause between questions, in election timeouts.
const repairBackoffMax = 32

// Damage returns what of the log can't be read; see [segments.Log.Damage]. The slice
// must not be changed.
func (r *Replica) Damage() []segments.Gap { return r.mend.gaps }

// Damaged tells of entries that can't be read, as [segments.Log.Verify] found them.
func (r *Replica) Damaged(f *segments.Finding, out *Output) {
	if r.err != nil || r.log.Note(f) == 0 {
		return
	}
	r.tellDamage()
	r.mend.wait, r.mend.failures = 0, 0
	r.pump(out)
	out.Changed = true
}

// damaged returns the first damaged entry, and the first that isn't known to be
// committed; 0 for none.
func (r *Replica) damaged(gaps []segments.Gap) (first, unsettled raft.Index) {
	if len(gaps) == 0 {
		return 0, 0
	}
	for _, g := range gaps {
		if raft.Index(g.Hi) > r.commit+1 {
			unsettled = max(raft.Index(g.Lo), r.commit+1)
			break
		}
	}
	return raft.Index(gaps[0].Lo), unsettled
}

// tellDamage tells the core what can't be read now.
func (r *Replica) tellDamage() {
	w := &r.mend
	gaps := r.log.Damage()
	first, unsettled := r.damaged(gaps)
	if len(w.gaps) == 0 || raft.Index(w.gaps[0].Lo) != first {
		w.refused, w.trimmed = w.refused[:0], false
	}
	w.gaps, w.unsettled = gaps, unsettled
	err := r.core.SetDamaged(first, unsettled)
	invariants.Assertf(err == nil || errors.Is(err, raft.ErrFaulted), "the core doesn't know the damaged entries %v: %v", gaps, err)
}

// tickRepair asks the next member if it is time to.
func (r *Replica) tickRepair(out *Output) {
	m := &r.mend
	if len(m.gaps) == 0 || m.filling || r.err != nil {
		return
	}
	if m.wait > 0 {
		m.wait--
		return
	}
	if m.asked != 0 {
		m.failures++ // no answer
	}
	r.ask(out)
}

// ask asks the next member for the beginning of the first gap, as far as it is of one
// term.
func (r *Replica) ask(out *Output) {
	m := &r.mend
	m.wait = r.o.ElectionTicks * min(1+m.failures/4, repairBackoffMax)
	to := r.nextMember()
	g := &m.gaps[0]
	term, ok := r.log.Term(g.Lo)
	if to == 0 || !ok {
		return
	}
	hi := g.Hi
	for _, t := range r.log.Terms() {
		if t.First > g.Lo {
			hi = min(hi, t.First)
			break
		}
	}
	m.question++
	m.asked = to
	out.Sends = append(out.Sends, Send{Message: raft.Message{
		Type: raft.MsgRepair, Group: r.o.Group, From: r.o.ID, To: to, Term: r.term,
		Lo: raft.Index(g.Lo), Hi: raft.Index(hi), EntryTerm: raft.Term(term), Context: m.question,
	}})
}

// nextMember returns the leader and the other members in turn, 0 if there is none. The
// configuration may be among what is damaged, and the one before it may name nobody who
// is there any more; the leader is.
func (r *Replica) nextMember() raft.ReplicaID {
	st := r.core.Status()
	ids := slices.Concat([]raft.ReplicaID{st.Leader}, st.Config.Voters, st.Config.Outgoing, st.Config.Learners)
	for range ids {
		k := r.mend.at % len(ids)
		r.mend.at = k + 1
		if id := ids[k]; id != 0 && id != r.o.ID {
			return id
		}
	}
	return 0
}

// give answers another replica that has lost entries. What is named by index and term
// is the same in every log that holds it (Log Matching), committed or not.
func (r *Replica) give(m *raft.Message, out *Output) error {
	switch {
	case m.Group != r.o.Group || m.To != r.o.ID:
		return raft.ErrWrongGroup
	case m.From == 0 || m.From == r.o.ID || !r.core.Status().Config.Contains(m.From):
		return raft.ErrUnknownPeer
	case m.Lo == 0 || m.Hi <= m.Lo || m.EntryTerm == 0:
		return &raft.ProtocolError{From: m.From, Type: m.Type, Term: m.Term, What: "it asks for no entries"}
	}
	lo, hi := segments.Index(m.Lo), min(segments.Index(m.Hi), r.log.Last()+1)
	reply := Send{Message: raft.Message{
		Type: raft.MsgRepairReply, Group: r.o.Group, From: r.o.ID, To: m.From, Term: max(r.term, 1), Context: m.Context,
		Lo: m.Lo, EntryTerm: m.EntryTerm,
	}}
	prev, prevTerm := r.log.PrevOfFirst()
	if lo <= prev {
		reply.Message.Reject, reply.Message.Index, reply.Message.LogTerm = true, raft.Index(prev), raft.Term(prevTerm)
		out.Sends = append(out.Sends, reply)
		return nil
	}
	for _, g := range r.mend.gaps {
		if g.Hi > lo {
			hi = min(hi, max(g.Lo, lo))
			break
		}
	}
	if lo < hi {
		hi, _ = r.log.Fit(lo, hi, r.o.MaxMessageBytes)
	}
	for hi > lo {
		if t, ok := r.log.Term(hi - 1); ok && raft.Term(t) == m.EntryTerm {
			break
		}
		hi--
	}
	if t, ok := r.log.Term(lo); !ok || hi <= lo || raft.Term(t) != m.EntryTerm {
		reply.Message.Reject = true
		out.Sends = append(out.Sends, reply)
		return nil
	}
	reply.Message.Hi = raft.Index(hi)
	frames, ok := r.log.TailFrames(lo, hi)
	reply.Frames, reply.Cold = frames, !ok
	out.Sends = append(out.Sends, reply)
	return nil
}

// given takes an answer.
func (r *Replica) given(m *raft.Message, frames []byte, out *Output) error {
	w := &r.mend
	switch {
	case m.Group != r.o.Group || m.To != r.o.ID:
		return raft.ErrWrongGroup
	case m.From != w.asked || m.Context != w.question || w.filling || len(w.gaps) == 0:
		return raft.ErrStale
	}
	w.asked = 0
	if m.Reject {
		return r.refused(m, out)
	}
	err := segments.CheckFrames(r.o.Identity, frames, segments.Index(m.Lo), segments.Index(m.Hi), segments.Term(m.EntryTerm))
	if err != nil || m.Hi <= m.Lo {
		w.failures++
		return &FrameError{From: m.From, Cause: fmt.Errorf("repair of [%d,%d): %w", m.Lo, m.Hi, err)}
	}
	w.filling = true
	r.disk.repair = frames
	return nil
}

// refused notes that a member doesn't hold the entries. The next one may; when all
// have been asked there is a pause.
func (r *Replica) refused(m *raft.Message, out *Output) error {
	w := &r.mend
	w.failures++
	w.wait = 0
	if !slices.Contains(w.refused, m.From) {
		w.refused = append(w.refused, m.From)
	}
	if m.Index >= raft.Index(w.gaps[0].Lo) {
		w.trimmed = true
		if err := r.dropTrimmed(m, out); err != nil || r.err != nil || len(w.gaps) == 0 {
			return err
		}
	}
	if r.allRefused() {
		if w.trimmed {
			err := &UnrepairableError{Gap: w.gaps[0]}
			r.core.Faulted(err)
			r.Fail(err, out)
			return nil
		}
		w.refused = w.refused[:0]
		w.wait = r.o.ElectionTicks * min(1+w.failures, repairBackoffMax)
	}
	return nil
}

func (r *Replica) allRefused() bool {
	c := r.core.Status().Config
	for _, ids := range [][]raft.ReplicaID{c.Voters, c.Outgoing, c.Learners} {
		for _, id := range ids {
			if id != r.o.ID && !slices.Contains(r.mend.refused, id) {
				return false
			}
		}
	}
	return true
}

// dropTrimmed gives up damaged entries that retention has dropped elsewhere: they are
// committed then, as all before the start of any log.
func (r *Replica) dropTrimmed(m *raft.Message, out *Output) error {
	r.core.LearnCommitted(raft.EntryID{Term: m.LogTerm, Index: m.Index})
	r.pump(out)
	if r.err != nil || r.commit < m.Index {
		return nil
	}
	return r.Trim(m.Index+1, out)
}

// Repaired reports the end of a Repair; err is what it returned.
func (r *Replica) Repaired(err error, out *Output) {
	r.disk.repaired()
	if r.err != nil {
		return
	}
	w := &r.mend
	w.filling = false
	if err != nil {
		// The bytes don't fit, or the disk doesn't take them: another member, later.
		w.failures++
		w.wait = r.o.ElectionTicks * min(1+w.failures, repairBackoffMax)
		return
	}
	w.failures, w.wait = 0, 0
	r.learnConfigs()
	r.tellDamage()
	r.pump(out)
	out.Changed = true
	if len(w.gaps) > 0 {
		r.ask(out)
	}
}

// learnConfigs tells the core of configurations that couldn't be read before.
func (r *Replica) learnConfigs() {
	for _, at := range r.log.Configs() {
		e, err := configOf(at.Index, at.Payload)
		r.must(err)
		r.core.LearnConfig(e)
	}
}
