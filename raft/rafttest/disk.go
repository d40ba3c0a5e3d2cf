package rafttest

import (
	"fmt"
	"slices"

	"github.com/logq/logq/raft"
)

// Entry is one entry of a simulated log.
type Entry struct {
	Term raft.Term
	Kind raft.Kind
	Data string
}

// String returns the entry for traces.
func (e Entry) String() string {
	switch e.Kind {
	case raft.KindNoOp:
		return fmt.Sprintf("%d:no-op", e.Term)
	case raft.KindConfig:
		c, err := raft.DecodeConfig([]byte(e.Data))
		if err != nil {
			return fmt.Sprintf("%d:%v", e.Term, err)
		}
		return fmt.Sprintf("%d:%v", e.Term, c)
	}
	return fmt.Sprintf("%d:%q", e.Term, e.Data)
}

// configsOf returns the configurations in entries, of which the first has index lo.
func configsOf(lo raft.Index, entries []Entry) (configs []raft.ConfigEntry) {
	for i, e := range entries {
		if e.Kind != raft.KindConfig {
			continue
		}
		if c, err := raft.DecodeConfig([]byte(e.Data)); err == nil {
			configs = append(configs, raft.ConfigEntry{Index: lo + raft.Index(i), Config: c})
		}
	}
	return configs
}

// write is the disk work of one Ready.
type write struct {
	n        uint64
	save     bool
	hard     raft.HardState
	truncate raft.Index
	install  *install
	lo       raft.Index
	entries  []Entry
	mark     raft.Index // commit index at the time, which each frame carries
}

// install replaces a log by one that begins after some entry. What is before it
// stays in the array, so that index i is always at i-1; the core is not told.
type install struct {
	ghosts []Entry
	config raft.ConfigEntry
}

// disk is what survives a crash, and the work that is on its way there. The two
// files progress on their own: a fast journal must not vouch for a slow log.
type disk struct {
	hard raft.HardState
	log  []Entry // index 1 is log[0]
	// marks are the commit indexes that the frames of log carry. A frame that is
	// there vouches for the committed entries before it: nothing up to its mark was
	// truncated since. One that isn't vouches for nothing.
	marks []raft.Index
	// trimmed entries are not part of the log any more, start is the configuration
	// in force there if it is known.
	trimmed int
	start   *raft.ConfigEntry
	// promised is the end of the log before it lost what was durable.
	promised raft.EntryID
	// damaged entries can't be read until someone repairs them.
	damaged map[raft.Index]bool

	queue   []write
	journal int // how many of queue the journal has done
	logged  int // how many of queue the log has done
}

// push adds the work of one Ready.
func (d *disk) push(w write) { d.queue = append(d.queue, w) }

// stepJournal does the journal's part of one piece of work; false: none waits.
func (d *disk) stepJournal() bool {
	if d.journal == len(d.queue) {
		return false
	}
	if w := d.queue[d.journal]; w.save {
		d.hard = w.hard
	}
	d.journal++
	return true
}

// stepLog does the log's part of one piece of work; false: none waits.
func (d *disk) stepLog() bool {
	if d.logged == len(d.queue) {
		return false
	}
	w := &d.queue[d.logged]
	d.apply(w, len(w.entries))
	d.logged++
	return true
}

// apply writes the first n entries of w.
func (d *disk) apply(w *write, n int) {
	if w.install != nil {
		d.keep(0)
		d.log = append(d.log, w.install.ghosts...)
		d.marks = append(d.marks, make([]raft.Index, len(d.log))...)
		d.trimmed, d.start = len(d.log), &w.install.config
	}
	if w.truncate != 0 {
		d.keep(int(w.truncate) - 1)
	}
	for _, e := range w.entries[:n] {
		d.log, d.marks = append(d.log, e), append(d.marks, w.mark)
	}
}

// keep shortens the log to n entries.
func (d *disk) keep(n int) {
	n = min(n, len(d.log))
	for i := range d.damaged {
		if int(i) > n {
			delete(d.damaged, i)
		}
	}
	d.log, d.marks = d.log[:n], d.marks[:n]
}

// done takes the finished work off the queue and returns the number of the
// newest, 0 if none is finished.
func (d *disk) done() (n uint64) {
	k := min(d.journal, d.logged)
	if k == 0 {
		return 0
	}
	n = d.queue[k-1].n
	d.queue = slices.Delete(d.queue, 0, k)
	d.journal -= k
	d.logged -= k
	return n
}

// firstDamaged returns the first damaged entry above an index that is in the log, 0 if
// none is.
func (d *disk) firstDamaged(above raft.Index) (first raft.Index) {
	for i := range d.damaged {
		if int(i) > len(d.log) || int(i) <= d.trimmed {
			delete(d.damaged, i)
		} else if i > above && (first == 0 || i < first) {
			first = i
		}
	}
	return first
}

// rot loses the last n durable entries, not without evidence.
func (d *disk) rot(n int) {
	if n = min(n, len(d.log)-d.trimmed); n == 0 {
		return
	}
	if last := len(d.log); d.promised.Index == 0 {
		d.promised = raft.EntryID{Term: d.log[last-1].Term, Index: raft.Index(last)}
	}
	d.keep(len(d.log) - n)
}

// crash loses what was not done, except that the log may have got torn entries
// of the work that it was doing.
func (d *disk) crash(torn int) {
	if d.logged < len(d.queue) {
		if w := &d.queue[d.logged]; torn > 0 {
			d.apply(w, min(torn, len(w.entries)))
		}
	}
	d.queue, d.journal, d.logged = nil, 0, 0
}

// commit returns the highest mark in the log.
func (d *disk) commit() (c raft.Index) {
	for _, m := range d.marks {
		c = max(c, m)
	}
	return c
}

// state describes the log for raft.New.
func (d *disk) state(commit raft.Index) raft.LogState {
	last := raft.Index(len(d.log))
	s := raft.LogState{Last: last, Commit: min(last, max(commit, raft.Index(d.trimmed))), Promised: d.promised, Damaged: d.firstDamaged(0)}
	s.Unsettled = d.firstDamaged(s.Commit)
	if d.trimmed > 0 {
		s.Prev = raft.EntryID{Term: d.log[d.trimmed-1].Term, Index: raft.Index(d.trimmed)}
	}
	if d.start != nil {
		s.Configs = append(s.Configs, *d.start)
	}
	s.Configs = append(s.Configs, configsOf(s.Prev.Index+1, d.log[d.trimmed:])...)
	for i, e := range d.log {
		if i < d.trimmed {
			continue
		}
		if i == d.trimmed || d.log[i-1].Term != e.Term {
			s.Terms = append(s.Terms, raft.TermStart{Term: e.Term, First: raft.Index(i + 1)})
		}
	}
	return s
}
