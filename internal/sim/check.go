package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// oracle is what all replicas must agree on, gathered as it becomes known.
type oracle struct {
	leaders   map[raft.Term]raft.ReplicaID
	votes     map[vote]raft.ReplicaID
	entries   map[raft.EntryID]entryID // log matching: one content per (index, term)
	committed []committed              // by index - 1
	nextOff   record.Offset            // offset after the last committed record
}

type vote struct {
	by   raft.ReplicaID
	term raft.Term
}

type committed struct {
	term  raft.Term // of the entry
	in    raft.Term // in which it was committed
	id    entryID
	base  record.Offset
	value uint64 // 0: no-op
}

func newOracle() oracle {
	return oracle{
		leaders: make(map[raft.Term]raft.ReplicaID),
		votes:   make(map[vote]raft.ReplicaID),
		entries: make(map[raft.EntryID]entryID),
	}
}

// learn looks at what a step changed in n's log, role and commit index.
func (w *world) learn(n *node) error {
	if n.rep.Err() != nil {
		return nil
	}
	if err := w.learnLog(n); err != nil {
		return err
	}
	if err := w.learnRole(n); err != nil {
		return err
	}
	return w.learnCommit(n)
}

// learnLog brings the mirror of n's log up to date. A changed entry always has
// another term than the one it replaced, so comparing terms from the end finds
// what was cut.
func (w *world) learnLog(n *node) error {
	log := n.rep.Log()
	start, _ := log.PrevOfFirst()
	last := int(max(log.Last(), start))
	if err := w.learnStart(n, raft.Index(start)); err != nil {
		return err
	}
	keep := min(len(n.mirror), last)
	for keep > int(start) {
		t, ok := log.Term(segments.Index(keep))
		if ok && raft.Term(t) == n.mirror[keep-1].term {
			break
		}
		keep--
	}
	if keep < len(n.mirror) {
		w.report.Truncations++
		if raft.Index(keep) < n.commit {
			return fmt.Errorf("replica %d cut its log to %d, its commit index is %d", n.id, keep, n.commit)
		}
	}
	n.mirror = n.mirror[:keep]
	if keep == last {
		return nil
	}
	var err error
	n.buf, err = log.ReadFrames(n.buf[:0], segments.Index(keep+1), segments.Index(last+1))
	if err != nil {
		return fmt.Errorf("replica %d can't read [%d,%d]: %w", n.id, keep+1, last, err)
	}
	for rest := n.buf; len(rest) > 0; {
		f, size, err := segments.ParseFrame(segments.Identity{Topic: topicID}, rest)
		if err != nil {
			return fmt.Errorf("replica %d holds a bad frame: %w", n.id, err)
		}
		m := mirrored{term: raft.Term(f.Term), id: entryID(rest[:replicatedBytes])}
		name := raft.EntryID{Term: m.term, Index: raft.Index(f.Index)}
		if known, ok := w.entries[name]; ok && known != m.id {
			return fmt.Errorf("log matching: replica %d has another entry %d of term %d than was seen before", n.id, f.Index, f.Term)
		}
		w.entries[name] = m.id
		if k := len(n.mirror); k > 0 && raft.Term(f.PrevTerm) != n.mirror[k-1].term {
			return fmt.Errorf("log matching: entry %d of replica %d says that term %d is before it, there is term %d", f.Index, n.id, f.PrevTerm, n.mirror[k-1].term)
		}
		n.mirror = append(n.mirror, m)
		rest = rest[size:]
	}
	if len(n.mirror) != last {
		return fmt.Errorf("replica %d says its log ends at %d, it holds %d entries", n.id, last, len(n.mirror))
	}
	return nil
}

// learnStart fills in what was committed before the log's start, when that has
// moved: by a trim, or because the log was begun anew.
func (w *world) learnStart(n *node, start raft.Index) error {
	if start == n.start {
		return nil
	}
	if start < n.start || int(start) > len(w.committed) {
		return fmt.Errorf("the log of replica %d begins after %d, it began after %d, %d entries are committed", n.id, start, n.start, len(w.committed))
	}
	for i := range int(start) {
		c := &w.committed[i]
		m := mirrored{term: c.term, id: c.id}
		switch {
		case i == len(n.mirror):
			n.mirror = append(n.mirror, m)
		case n.mirror[i].id != c.id && raft.Index(i) < n.commit:
			return fmt.Errorf("replica %d held another entry %d than was committed", n.id, i+1)
		default:
			n.mirror[i] = m
		}
	}
	n.start = start
	return nil
}

// learnRole checks election safety and leader completeness.
func (w *world) learnRole(n *node) error {
	st := n.rep.Status()
	if st.Role != raft.RoleLeader {
		return nil
	}
	if other, ok := w.leaders[st.Term]; ok {
		if other != n.id {
			return fmt.Errorf("election safety: replicas %d and %d both lead term %d", other, n.id, st.Term)
		}
		return nil
	}
	w.leaders[st.Term] = n.id
	w.report.Elections++
	w.tracef("%d leads term %d", n.id, st.Term)
	if !w.healed && w.r.Float64() < w.s.strike {
		w.q.add(&event{at: w.now + w.between(0, 4*millisecond), kind: evStrike, node: w.indexOf(n)})
	}
	return w.checkComplete(n, st.Term)
}

// checkComplete: whoever leads has every entry that was committed in an earlier
// term (paper, figure 3). The entry may be of a still earlier one: a leader that
// never heard of it and whose term lies between the two is no breach.
func (w *world) checkComplete(n *node, term raft.Term) error {
	for i := len(w.committed); i > 0; i-- {
		c := &w.committed[i-1]
		if c.in >= term {
			continue
		}
		if len(n.mirror) < i || n.mirror[i-1].id != c.id {
			return fmt.Errorf("leader completeness: replica %d leads term %d without entry %d of term %d, which is committed", n.id, term, i, c.term)
		}
		return nil // log matching covers the ones before
	}
	return nil
}

// learnCommit checks state-machine safety for what n has newly committed.
func (w *world) learnCommit(n *node) error {
	commit, hw := n.rep.Commit(), n.rep.HighWatermark()
	if commit < n.commit || hw < n.hw {
		return fmt.Errorf("replica %d: commit falls from %d to %d, high watermark from %d to %d", n.id, n.commit, commit, n.hw, hw)
	}
	if int(commit) > len(n.mirror) {
		return fmt.Errorf("replica %d commits %d, its log ends at %d", n.id, commit, len(n.mirror))
	}
	for i := n.commit + 1; i <= commit; i++ {
		if err := w.commitEntry(n, i); err != nil {
			return err
		}
	}
	n.commit, n.hw = commit, hw
	return nil
}

func (w *world) commitEntry(n *node, i raft.Index) error {
	m := n.mirror[i-1]
	if int(i) <= len(w.committed) {
		if c := w.committed[i-1]; c.id != m.id {
			return fmt.Errorf("state machine safety: replica %d commits entry %d of term %d, another has committed one of term %d there", n.id, i, m.term, c.term)
		}
		return nil
	}
	raw, err := n.rep.Log().ReadFrames(n.buf[:0], segments.Index(i), segments.Index(i+1))
	if err != nil {
		return fmt.Errorf("replica %d can't read its committed entry %d: %w", n.id, i, err)
	}
	f, _, err := segments.ParseFrame(segments.Identity{Topic: topicID}, raw)
	if err != nil {
		return err
	}
	in := n.rep.Status().Term
	c := committed{term: m.term, in: in, id: m.id, base: f.BaseOffset}
	if f.BaseOffset != w.nextOff {
		return fmt.Errorf("offsets not dense: entry %d starts at %d, the one before ended at %d", i, f.BaseOffset, w.nextOff)
	}
	if f.Kind == segments.KindData {
		if c.value, err = valueOf(f.Payload); err != nil {
			return err
		}
		if w.refused[c.value] {
			return fmt.Errorf("value %d was reported as not written and is committed at index %d", c.value, i)
		}
	}
	w.nextOff += record.Offset(f.Records)
	w.committed = append(w.committed, c)
	w.report.CommittedEntries++
	for _, o := range w.nodes {
		if o.rep != nil && o != n && o.rep.Err() == nil {
			if st := o.rep.Status(); st.Role == raft.RoleLeader && st.Term > in {
				if err := w.checkComplete(o, st.Term); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func valueOf(payload []byte) (uint64, error) {
	d := record.NewDecoder(record.DecoderOptions{})
	if err := d.Reset(record.Batch(payload)); err != nil {
		return 0, err
	}
	if !d.Next() {
		return 0, fmt.Errorf("empty batch: %w", d.Err())
	}
	return binary.LittleEndian.Uint64(d.Record().Value), nil
}

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
	case raft.MsgAppendReply:
		if d := raft.Index(n.rep.Log().Durable()); m.Index > d {
			return fmt.Errorf("replica %d acknowledges %d, durable is %d", n.id, m.Index, d)
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

// checkAcked: an acknowledged batch is committed where the answer says.
func (w *world) checkAcked(r replica.AppendResult) error {
	for i := len(w.committed) - 1; i >= 0; i-- {
		if c := &w.committed[i]; c.value != 0 && c.base == r.Base {
			if v := w.ackedAt[r.Base]; c.value != v {
				return fmt.Errorf("value %d acknowledged at offset %d, value %d is committed there", v, r.Base, c.value)
			}
			return nil
		}
	}
	return fmt.Errorf("offset %d acknowledged but not committed", r.Base)
}

// checkRestarted: a replica that comes back still has what it made durable.
func (w *world) checkRestarted(n *node) error {
	for i := raft.Index(1); i <= n.commit; i++ {
		if int(i) > len(w.committed) {
			return fmt.Errorf("replica %d comes back with commit index %d, only %d entries are committed", n.id, n.commit, len(w.committed))
		}
		if w.committed[i-1].id != n.mirror[i-1].id {
			return fmt.Errorf("replica %d comes back with another entry %d than was committed", n.id, i)
		}
	}
	return nil
}
