package rafttest

import (
	"fmt"
	"slices"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/raft/spec"
)

// Node is one replica with its disk, through all its lives.
type Node struct {
	ID raft.ReplicaID
	// Core is nil while the node is down.
	Core *raft.Core
	// AutoDisk does disk work as soon as it is asked for.
	AutoDisk bool
	// Log is the log in memory; index 1 is Log[0].
	Log []Entry
	// Commit is the highest commit index that was handed out in this life.
	Commit raft.Index
	// Reads are the outcomes of reads by id, Lost what was reported as lost.
	Reads map[uint64]raft.ReadResult
	Lost  []raft.LostRange
	// Lives counts starts.
	Lives int
	// Seed feeds the elections of all lives.
	Seed uint64

	c      *Cluster
	spec   *spec.Replica
	disk   disk
	passed bool     // the commit index has moved, and there is damage
	next   []string // data of the proposals whose Ready is due
	took   []Entry  // entries of the message being stepped
	lo     raft.Index
	jump   *raft.ConfigEntry // what came beside a jump
	// trimmed entries of Log are not the core's any more; see disk.
	trimmed int
	start   *raft.ConfigEntry
}

// Fit implements raft.Log: an entry counts the length of its data plus one.
func (n *Node) Fit(lo, hi raft.Index, maxBytes int) (end raft.Index, bytes int) {
	if lo >= hi || hi > raft.Index(len(n.Log))+1 || lo <= raft.Index(n.trimmed) {
		n.c.failf("node %d is asked how much of [%d, %d) fits, its log ends at %d", n.ID, lo, hi, len(n.Log))
		return lo, 0
	}
	for end = lo; end < hi; end++ {
		size := SizeOf(n.Log[end-1])
		if end > lo && bytes+size > maxBytes {
			break
		}
		bytes += size
	}
	return end, bytes
}

// SizeOf is what an entry counts in Fit and Propose.
func SizeOf(e Entry) int { return len(e.Data) + 1 }

// Start boots the node from its disk, with the commit index that its log
// remembers.
func (n *Node) Start() { n.boot(n.disk.commit()) }

// StartForgetful boots the node without a commit index.
func (n *Node) StartForgetful() { n.boot(0) }

func (n *Node) boot(commit raft.Index) {
	o := n.c.o.Raft
	o.ID, o.Seed = n.ID, n.Seed+uint64(n.Lives)
	if slices.Contains(n.c.voters, n.ID) {
		o.Voters = n.c.voters
	}
	if n.c.o.PerNode != nil {
		n.c.o.PerNode(&o)
	}
	state := n.disk.state(commit)
	n.Lives++
	n.Log, n.trimmed, n.start = slices.Clone(n.disk.log), n.disk.trimmed, n.disk.start
	n.Commit = state.Commit
	n.Reads, n.next, n.took = make(map[uint64]raft.ReadResult), nil, nil
	core, err := raft.New(o, n, n.disk.hard, state)
	if err != nil {
		n.c.failf("node %d doesn't start: %v", n.ID, err)
		return
	}
	n.Core = core
	s := core.Status()
	n.judge(n.spec.Start(&o, n.disk.hard, &state, &s))
	n.c.check.started(n)
	n.pump()
}

// Crash stops the node and loses what its files have not done. Of the work that
// the log was doing, the truncation and torn entries survive.
func (n *Node) Crash(torn int) {
	n.Core = nil
	n.spec.Crash()
	n.disk.crash(torn)
	n.c.tracef("%d crashes: hard state term=%d vote=%d, log of %d\n", n.ID, n.disk.hard.Term, n.disk.hard.Vote, len(n.disk.log))
}

// Journal lets the journal do one piece of work and reports to the core what
// both files have done. It returns false if no work waits.
func (n *Node) Journal() bool { return n.diskStep(n.disk.stepJournal) }

// Write does so for the log.
func (n *Node) Write() bool { return n.diskStep(n.disk.stepLog) }

// JournalSilently and WriteSilently do the work without telling the core, as
// when a crash comes before the completion does.
func (n *Node) JournalSilently() bool { return n.disk.stepJournal() }

// WriteSilently does one piece of the log's work; see JournalSilently.
func (n *Node) WriteSilently() bool { return n.disk.stepLog() }

// Flush lets both files do all that waits.
func (n *Node) Flush() {
	for n.Journal() || n.Write() {
	}
}

// Writes returns how much disk work is not finished.
func (n *Node) Writes() int { return len(n.disk.queue) }

// Durable returns the log on disk and the hard state there.
func (n *Node) Durable() ([]Entry, raft.HardState) { return n.disk.log, n.disk.hard }

// Mark writes on the disk of a stopped node, in its last entry, that the entries
// up to commit are committed.
func (n *Node) Mark(commit raft.Index) {
	if k := len(n.disk.marks); k > 0 {
		n.disk.marks[k-1] = commit
	}
}

// Rot loses the last k durable entries of a stopped node, which it will notice.
func (n *Node) Rot(k int) { n.disk.rot(k) }

// Damage makes one entry on the disk unreadable, and the node notices.
func (n *Node) Damage(i raft.Index) {
	if int(i) <= n.disk.trimmed || int(i) > len(n.disk.log) {
		return
	}
	if n.disk.damaged == nil {
		n.disk.damaged = make(map[raft.Index]bool)
	}
	n.disk.damaged[i] = true
	n.tellDamage()
}

// Repair gives back the damaged entries that some other node can read, and drops
// those that retention has dropped elsewhere.
func (n *Node) Repair() {
	for i := range n.disk.damaged {
		for _, o := range n.c.Nodes {
			if k := o.disk.trimmed; int(i) <= k && n.Core != nil {
				learnt := raft.EntryID{Term: o.disk.log[k-1].Term, Index: raft.Index(k)}
				n.do(func() { n.Core.LearnCommitted(learnt) }, func(s *raft.Status) error { return n.spec.Learned(learnt, s) })
				_ = n.Trim(min(i, n.Commit) + 1) // it may have been trimmed further
			}
			if o != n && int(i) > o.disk.trimmed && int(i) <= len(o.disk.log) && !o.disk.damaged[i] && int(i) <= len(n.disk.log) && o.disk.log[i-1] == n.disk.log[i-1] {
				delete(n.disk.damaged, i)
				break
			}
		}
	}
	n.tellDamage()
}

// tellDamage tells the core of the damaged entries that it has in its log.
func (n *Node) tellDamage() {
	var first, unsettled raft.Index
	n.do(func() {
		n.disk.firstDamaged(0) // forgets what is gone
		for i := range n.disk.damaged {
			// What is damaged on disk may have been replaced in memory.
			if int(i) <= n.trimmed || int(i) > len(n.Log) || n.Log[i-1] != n.disk.log[i-1] {
				continue
			}
			if first == 0 || i < first {
				first = i
			}
			if i > n.Commit && (unsettled == 0 || i < unsettled) {
				unsettled = i
			}
		}
		if err := n.Core.SetDamaged(first, unsettled); err != nil && n.Core.Status().Faulted == nil {
			n.c.failf("node %d: %v", n.ID, err)
		}
	}, func(s *raft.Status) error { return n.spec.Damaged(first, unsettled, s) })
}

// Wipe shortens the log on the disk of a stopped node, as bit rot might.
func (n *Node) Wipe(keep int) {
	n.spec.Lost()
	n.disk.keep(keep)
}

func (n *Node) diskStep(step func() bool) bool {
	if !step() {
		return false
	}
	if w := n.disk.done(); w != 0 && n.Core != nil {
		n.do(func() { n.Core.Persisted(w) }, func(s *raft.Status) error { return n.spec.Persisted(w, s) })
	}
	return true
}

// do runs one input of the core, tells the specification of it, and then carries
// out what the core wants.
func (n *Node) do(input func(), tell func(s *raft.Status) error) {
	if n.c.err != nil || n.Core == nil {
		return
	}
	was := n.Core.Quiet()
	if n.c.guard(n, input) {
		if n.Core.Quiet() && !was {
			n.c.Quiets++
		}
		s := n.Core.Status()
		n.judge(tell(&s))
		n.pump()
	}
}

// pump carries out Readys until there is nothing to do.
func (n *Node) pump() {
	for n.c.err == nil && n.Core.Pending() {
		var r raft.Ready
		if !n.c.guard(n, func() { r = n.Core.Ready() }) {
			return
		}
		s := n.Core.Status()
		n.judge(n.spec.Ready(&r, &s))
		n.carryOut(&r)
		n.c.check.stepped(n, &s)
		if n.disk.promised.Index != 0 && !s.Repairing {
			n.disk.promised = raft.EntryID{} // the log itself is the evidence again
		}
	}
	if n.passed {
		n.passed = false
		n.tellDamage()
	}
	if n.AutoDisk && n.c.err == nil && n.Writes() > 0 {
		n.Flush()
	}
}

func (n *Node) carryOut(r *raft.Ready) {
	n.c.traceReady(n, r)
	w := write{n: r.N, save: r.SaveHard, hard: r.Hard, truncate: r.Truncate, lo: r.Append.Lo, mark: n.Commit}
	if r.Install != nil {
		n.install(r.Install, &w)
	}
	if r.Truncate != 0 {
		n.c.check.truncated(n, r.Truncate)
		n.Log = n.Log[:r.Truncate-1]
	}
	if r.Append.Lo < r.Append.Hi {
		w.entries = n.entries(r)
		n.c.check.appended(n, r.Append.Lo, w.entries)
		n.Log = append(n.Log, w.entries...)
	}
	if r.N != 0 {
		n.disk.push(w)
	}
	if r.Commit != 0 {
		n.c.check.committed(n, r.Commit)
		n.Commit = r.Commit
		n.passed = n.passed || len(n.disk.damaged) > 0
	}
	for i := range r.Send {
		m := &r.Send[i]
		n.c.check.sent(n, m)
		e := Envelope{Message: *m}
		if m.Entries() > 0 {
			if m.Hi > raft.Index(len(n.Log))+1 {
				n.c.failf("node %d sends [%d, %d), its log ends at %d", n.ID, m.Lo, m.Hi, len(n.Log))
				return
			}
			e.Entries = slices.Clone(n.Log[m.Lo-1 : m.Hi-1])
		}
		if m.Type == raft.MsgJump {
			start := n.configAt(int(m.Index))
			e.Start = &start
		}
		n.c.post(e)
	}
	for _, res := range r.Reads {
		n.c.check.read(n, res)
		n.Reads[res.ID] = res
	}
	for _, l := range r.Lost {
		n.c.check.lost(n, l)
		n.Lost = append(n.Lost, l)
	}
}

// Wake ends quiet, as a host does that misses a connection.
func (n *Node) Wake(missed int) { n.do(func() { n.Core.Wake(missed) }, n.other("Wake")) }

// PeerDown tells the node that it can't reach another, or can again.
func (n *Node) PeerDown(id raft.ReplicaID, down bool) {
	n.do(func() { n.Core.PeerDown(id, down) }, n.other("PeerDown"))
}

// Fault fails the node's disk.
func (n *Node) Fault(err error) {
	n.do(func() { n.Core.Faulted(err) }, n.spec.Faulted)
}

// other tells the specification of an input that no action of it names.
func (n *Node) other(name string) func(s *raft.Status) error {
	return func(s *raft.Status) error { return n.spec.Other(name, s) }
}

// judge takes what the specification says.
func (n *Node) judge(err error) {
	if err != nil {
		n.c.failf("%w", err)
	}
}

// Trim drops the entries below first from the log, on disk at once.
func (n *Node) Trim(first raft.Index) (err error) {
	n.do(func() {
		if err = n.Core.Trim(first); err != nil || int(first)-1 <= n.trimmed || int(first)-1 > len(n.disk.log) {
			return
		}
		start := n.configAt(int(first) - 1)
		n.trimmed, n.start = int(first)-1, &start
		n.disk.trimmed, n.disk.start = n.trimmed, n.start
	}, func(s *raft.Status) error { return n.spec.Trimmed(first, s) })
	if len(n.disk.damaged) > 0 {
		n.tellDamage() // there may be more
	}
	return err
}

// configAt returns the configuration in force after entry i.
func (n *Node) configAt(i int) raft.ConfigEntry {
	e := raft.ConfigEntry{Config: raft.Config{Voters: n.c.voters}}
	if n.start != nil {
		e = *n.start
	}
	for _, c := range configsOf(raft.Index(n.trimmed)+1, n.Log[min(n.trimmed, i):i]) {
		e = c
	}
	return e
}

// install begins the log anew. The entries before are those that are committed.
func (n *Node) install(j *raft.Jump, w *write) {
	ghosts := n.c.check.log
	if int(j.Prev.Index) > len(ghosts) || ghosts[j.Prev.Index-1].Term != j.Prev.Term {
		n.c.failf("node %d begins its log after %v, which is not committed", n.ID, j.Prev)
		return
	}
	if j.Prev.Index <= n.Commit {
		n.c.failf("node %d begins its log after %v, its commit index is %d", n.ID, j.Prev, n.Commit)
	}
	n.Log = slices.Clone(ghosts[:j.Prev.Index])
	n.trimmed, n.start = len(n.Log), n.jump
	w.install = &install{ghosts: slices.Clone(n.Log), config: *n.jump}
	n.c.Jumps++
}

// entries returns the bytes that belong to a range to append, from where a
// driver takes them: nowhere for a no-op, else the stepped message or the
// proposals.
func (n *Node) entries(r *raft.Ready) []Entry {
	e := &r.Append
	count := int(e.Hi - e.Lo)
	switch {
	case e.Lo != raft.Index(len(n.Log))+1:
		n.c.failf("node %d is told to append [%d, %d) to a log that ends at %d", n.ID, e.Lo, e.Hi, len(n.Log))
		return nil
	case e.Kind == raft.KindNoOp:
		return []Entry{{Term: e.Term, Kind: raft.KindNoOp}}
	case e.Kind == raft.KindConfig:
		return []Entry{{Term: e.Term, Kind: raft.KindConfig, Data: string(r.Config.AppendTo(nil))}}
	case n.took != nil:
		if e.Lo < n.lo || int(e.Hi-n.lo) > len(n.took) {
			n.c.failf("node %d is told to append [%d, %d) of a message with %d entries from %d", n.ID, e.Lo, e.Hi, len(n.took), n.lo)
			return nil
		}
		return slices.Clone(n.took[e.Lo-n.lo : e.Hi-n.lo])
	}
	if len(n.next) < count {
		n.c.failf("node %d is told to append %d entries, %d were proposed", n.ID, count, len(n.next))
		return nil
	}
	out := make([]Entry, count)
	for i := range out {
		out[i] = Entry{Term: e.Term, Kind: raft.KindData, Data: n.next[i]}
	}
	n.next = n.next[count:]
	return out
}

// Step delivers a message.
func (n *Node) Step(e Envelope) (err error) {
	var configs []raft.ConfigEntry
	n.do(func() {
		n.took, n.lo, n.jump = e.Entries, e.Lo, e.Start
		configs = configsOf(e.Lo, e.Entries)
		if e.Start != nil {
			configs = []raft.ConfigEntry{*e.Start}
		}
		err = n.Core.Step(&e.Message, configs...)
	}, func(s *raft.Status) error { return n.spec.Stepped(&e.Message, configs, err, s) })
	n.took = nil
	return err
}

// String returns a line of state for traces.
func (n *Node) String() string {
	if n.Core == nil {
		return fmt.Sprintf("%d: down", n.ID)
	}
	s := n.Core.Status()
	line := fmt.Sprintf("%d: %v term=%d vote=%d leader=%d last=%d/%d durable=%d commit=%d", n.ID, s.Role, s.Term, s.Vote, s.Leader, s.LastTerm, s.Last, s.Durable, s.Commit)
	if s.Quiet {
		line += " quiet"
	}
	if s.Serving {
		line += " serving"
	}
	if s.Config.Joint() || len(s.Config.Learners) > 0 || s.ConfigIndex > 0 {
		line += fmt.Sprintf(" config %d: %v", s.ConfigIndex, s.Config)
	}
	if s.Transferring != 0 {
		line += fmt.Sprintf(" transferring to %d", s.Transferring)
	}
	if s.Faulted != nil {
		line += " faulted"
	}
	return line
}
