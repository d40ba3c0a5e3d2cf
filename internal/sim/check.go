package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// oracle is what all replicas must agree on, gathered as it becomes known.
type oracle struct {
	leaders   map[raft.Term]raft.ReplicaID
	votes     map[vote]raft.ReplicaID
	entries   map[raft.EntryID]*entry // log matching: one content per (index, term)
	committed []committed             // by index - 1
	nextOff   record.Offset           // offset after the last committed record
	configs   []raft.ConfigEntry      // all that were ever in a log
	configIDs []raft.EntryID          // beside them
	decoder   *record.Decoder
}

type vote struct {
	by   raft.ReplicaID
	term raft.Term
}

// entryID is what makes an entry what it is: the replicated part of its frame,
// with index, term, previous term, offset and the payload's checksum.
type entryID [segments.ReplicatedSize]byte

// entry is one entry that was seen in a log. There is one for all replicas.
type entry struct {
	id       entryID
	term     raft.Term
	prevTerm raft.Term
	kind     segments.Kind
	base     record.Offset
	records  uint32
	value    uint64 // 0: not data
}

type committed struct {
	*entry
	in    raft.Term // in which it was committed
	clock int64     // of the history, when that was first known
}

func newOracle() oracle {
	return oracle{
		leaders: make(map[raft.Term]raft.ReplicaID),
		votes:   make(map[vote]raft.ReplicaID),
		entries: make(map[raft.EntryID]*entry),
		decoder: record.NewDecoder(record.DecoderOptions{}),
	}
}

// learn looks at what a step changed in n's log, role and commit index.
func (w *world) learn(n *node) error {
	if n.rep.Err() != nil {
		n.seen = view{}
		return nil
	}
	if err := w.learnLog(n); err != nil {
		return err
	}
	if n.out.Changed || n.changed {
		if err := w.learnRole(n); err != nil {
			return err
		}
	}
	if err := w.learnCommit(n); err != nil {
		return err
	}
	if n.changed {
		n.changed = false
		return w.checkPending(n)
	}
	return nil
}

// learnLog brings the mirror of n's log up to date. A changed entry always has
// another term than the one it replaced, so comparing terms from the end finds
// what was cut.
func (w *world) learnLog(n *node) error {
	log := n.rep.Log()
	start, _ := log.PrevOfFirst()
	last := int(n.last())
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
		n.mirror, n.changed = n.mirror[:keep], true
		n.bared = n.bared || n.hidden
		n.cut(segments.Index(keep))
	}
	if keep < last {
		if err := w.readNew(n, segments.Index(keep+1), segments.Index(last+1)); err != nil {
			return err
		}
	}
	n.seen.last = raft.Index(last)
	if len(n.mirror) != last {
		return fmt.Errorf("replica %d says its log ends at %d, it holds %d entries", n.id, last, len(n.mirror))
	}
	return nil
}

// readNew adds the entries [lo, hi) to the mirror. What is damaged can't be read, but
// the log says which entries it is.
func (w *world) readNew(n *node, lo, hi segments.Index) error {
	for _, g := range n.rep.Log().Damage() {
		if g.Hi <= lo || g.Lo >= hi {
			continue
		}
		if err := w.readSound(n, lo, max(lo, g.Lo)); err != nil {
			return err
		}
		for lo = max(lo, g.Lo); lo < min(hi, g.Hi); lo++ {
			t, _ := n.rep.Log().Term(lo)
			e := w.entries[raft.EntryID{Term: raft.Term(t), Index: raft.Index(lo)}]
			if e == nil {
				return fmt.Errorf("replica %d says that it has lost entry %d of term %d, which never was", n.id, lo, t)
			}
			n.mirror = append(n.mirror, e)
			n.changed = n.changed || e.kind == segments.KindConfig
		}
	}
	return w.readSound(n, lo, hi)
}

func (w *world) readSound(n *node, lo, hi segments.Index) error {
	if lo >= hi {
		return nil
	}
	chunks, ok := n.rep.Log().TailFrames(lo, hi)
	if !ok {
		var err error
		if n.buf, err = n.rep.Log().ReadFrames(n.buf[:0], lo, hi); err != nil {
			return fmt.Errorf("replica %d can't read [%d,%d): %w", n.id, lo, hi, err)
		}
		chunks = [][]byte{n.buf}
	}
	for _, rest := range chunks {
		for len(rest) > 0 {
			size, err := w.learnEntry(n, rest)
			if err != nil {
				return err
			}
			rest = rest[size:]
		}
	}
	return nil
}

// learnEntry adds the first of the frames to the mirror.
func (w *world) learnEntry(n *node, frames []byte) (size int, err error) {
	f, size, err := segments.ViewFrame(frames)
	if err != nil {
		return 0, fmt.Errorf("replica %d holds a bad frame: %w", n.id, err)
	}
	name := raft.EntryID{Term: raft.Term(f.Term), Index: raft.Index(f.Index)}
	e := w.entries[name]
	if e == nil {
		if e, err = w.newEntry(name, frames[:size]); err != nil {
			return 0, fmt.Errorf("replica %d holds a bad frame: %w", n.id, err)
		}
	} else if e.id != entryID(frames[:segments.ReplicatedSize]) {
		return 0, fmt.Errorf("log matching: replica %d has another entry %d of term %d than was seen before", n.id, f.Index, f.Term)
	}
	if k := len(n.mirror); k > 0 && e.prevTerm != n.mirror[k-1].term {
		return 0, fmt.Errorf("log matching: entry %d of replica %d says that term %d is before it, there is term %d", f.Index, n.id, e.prevTerm, n.mirror[k-1].term)
	}
	n.mirror = append(n.mirror, e)
	n.changed = n.changed || e.kind == segments.KindConfig
	return size, nil
}

// newEntry notes an entry that was never seen before.
func (w *world) newEntry(name raft.EntryID, frame []byte) (*entry, error) {
	f, _, err := segments.ParseFrame(segments.Identity{Topic: topicID}, frame)
	if err != nil {
		return nil, err
	}
	e := &entry{
		id: entryID(frame[:segments.ReplicatedSize]), term: name.Term, prevTerm: raft.Term(f.PrevTerm),
		kind: f.Kind, base: f.BaseOffset, records: f.Records,
	}
	switch f.Kind {
	case segments.KindData:
		e.value, err = w.valueOf(f.Payload)
	case segments.KindConfig:
		var c raft.Config
		c, err = raft.DecodeConfig(f.Payload)
		w.configs = append(w.configs, raft.ConfigEntry{Index: name.Index, Config: c})
		w.configIDs = append(w.configIDs, name)
	}
	w.entries[name] = e
	return e, err
}

// valueOf returns the number that names a batch.
func (o *oracle) valueOf(payload []byte) (uint64, error) {
	if err := o.decoder.Reset(record.Batch(payload)); err != nil {
		return 0, err
	}
	if !o.decoder.Next() {
		return 0, fmt.Errorf("empty batch: %w", o.decoder.Err())
	}
	return binary.LittleEndian.Uint64(o.decoder.Record().Value), nil
}

// learnStart fills in what was committed before the log's start, when that has
// moved: by a trim, or because the log was begun anew.
func (w *world) learnStart(n *node, start raft.Index) error {
	if start == n.origin {
		return nil
	}
	if start < n.origin || int(start) > len(w.committed) {
		return fmt.Errorf("the log of replica %d begins after %d, it began after %d, %d entries are committed", n.id, start, n.origin, len(w.committed))
	}
	held := len(n.mirror) >= int(start) && n.mirror[start-1] == w.committed[start-1].entry
	if start > n.commit && !held { // begun anew: the old log is on disk until the new one is
		n.cut(segments.Index(n.commit))
	}
	for i := range int(start) {
		c := w.committed[i].entry
		switch {
		case i == len(n.mirror):
			n.mirror = append(n.mirror, c)
		case n.mirror[i] != c && raft.Index(i) < n.commit:
			return fmt.Errorf("replica %d held another entry %d than was committed", n.id, i+1)
		default:
			n.mirror[i] = c
		}
	}
	n.origin = start
	return nil
}

// learnRole checks election safety and leader completeness.
func (w *world) learnRole(n *node) error {
	st := n.rep.Status()
	n.seen.role, n.seen.term, n.seen.serving, n.seen.joint = st.Role, st.Term, st.Serving, st.Config.Joint()
	n.seen.member, n.seen.votes, n.seen.repairs = st.Config.Contains(n.id), st.Config.Votes(n.id), st.Repairing
	w.mix(uint64(st.Role), uint64(st.Term), uint64(st.Vote), uint64(st.ConfigIndex))
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
	if err := w.checkElected(n, &st); err != nil {
		return err
	}
	if w.chance(Strike, w.s.strike) {
		w.q.add(w.now+w.between(0, 4*millisecond), w.q.make(evStrike, w.indexOf(n)))
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
		if len(n.mirror) < i || n.mirror[i-1] != c.entry {
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
	if commit > n.commit && n.seen.role == raft.RoleLeader {
		if err := w.checkQuorum(n, commit); err != nil {
			return err
		}
	}
	n.commit, n.hw, n.seen.commit = commit, hw, commit
	return nil
}

func (w *world) commitEntry(n *node, i raft.Index) error {
	e := n.mirror[i-1]
	if int(i) <= len(w.committed) {
		if c := w.committed[i-1]; c.entry != e {
			return fmt.Errorf("state machine safety: replica %d commits entry %d of term %d, another has committed one of term %d there", n.id, i, e.term, c.term)
		}
		return nil
	}
	in := n.rep.Status().Term
	if e.base != w.nextOff {
		return fmt.Errorf("offsets not dense: entry %d starts at %d, the one before ended at %d", i, e.base, w.nextOff)
	}
	if e.value != 0 && w.refused[e.value] {
		return fmt.Errorf("value %d was reported as not written and is committed at index %d", e.value, i)
	}
	w.nextOff += record.Offset(e.records)
	w.committed = append(w.committed, committed{entry: e, in: in, clock: w.tick()})
	w.report.CommittedEntries++
	for _, o := range w.nodes {
		if o != n && o.leads() && o.seen.term > in {
			if err := w.checkComplete(o, o.seen.term); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkRestarted: what a replica that comes back takes for committed is.
func (w *world) checkRestarted(n *node) error {
	if int(n.commit) > len(w.committed) {
		return fmt.Errorf("replica %d comes back with commit index %d, only %d entries are committed", n.id, n.commit, len(w.committed))
	}
	for i := range n.commit {
		if w.committed[i].entry != n.mirror[i] {
			return fmt.Errorf("replica %d comes back with another entry %d than was committed", n.id, i+1)
		}
	}
	return nil
}

// checkKept: a replica that comes back has what was on its disk, if that was not
// damaged in a way that it reports.
func (w *world) checkKept(n *node, durable []*entry) error {
	for i, e := range durable {
		if i >= len(n.mirror) || n.mirror[i] != e {
			return fmt.Errorf("replica %d comes back without entry %d, which was durable", n.id, i+1)
		}
	}
	return nil
}
