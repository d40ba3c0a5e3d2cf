package segments

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/logq/logq/record"
)

// Log is one partition's log. Three kinds of callers may use it at the same
// time: one owner, who appends and truncates; one Flush; any number of readers.
type Log struct {
	// Immutable after Open.
	o        Options
	salt     salt
	chunkMax int

	mu sync.RWMutex // guards what follows; never held over I/O

	first    Index         // of the log; above 1 after a TrimFront or a Reset
	prevTerm Term          // of the entry before first
	start    record.Offset // of the first record
	// firstConfig was in force at the start, configs are the config entries since.
	firstConfig ConfigAt
	configs     []ConfigAt

	// Changed by the owner only, who may read it without mu.
	segs      []*segment // in order; adjacent: segs[i].next == segs[i+1].base
	last      Index      // first-1 if the log is empty
	lastTerm  Term
	next      record.Offset
	terms     []TermStart // ascending in both
	maxID     ID          // highest ever used, also by segments that are gone
	write     Term        // highest write term ever appended
	mustRise  bool        // since a Truncate nothing was appended
	truncated uint64      // counts truncations, so that readers notice one
	// cur is what the next frame may go to; nil after a Truncate. Others take it from the
	// owner to save memory.
	cur       atomic.Pointer[chunk]
	chunkSize int // of the next chunk
	// Entries below the tail that are not known to be committed: what a Truncate
	// may need and only the disk holds otherwise. Invariant: they are the indexes
	// [looseFirst, looseFirst+len(loose)), and no uncommitted entry is neither here
	// nor in the tail.
	loose      []place
	looseFirst Index
	commit     Index

	// gaps are what can't be read, ascending; a Repair changes them too.
	gaps []*gap

	// Changed by owner and Flush.
	tail tail
	gone []*segment // dropped by a Truncate, their files to be removed
	// replaced are dropped by a TrimFront or a Reset; their files go when all else is
	// durable.
	replaced []*segment
	taken    Index // entries up to here are durable or a Flush writes them
	durable  Index // Invariant: durable <= taken <= last
	poison   error // *PoisonedError: no more I/O for writing
	closed   bool
	stats    Stats

	sealing bool // a Seal is under way
	reseal  bool // a segment before the last but one may lack its footer

	flush flusher // for the one Flush that runs
}

// place is where a frame lies and which offset it has.
type place struct {
	pos    int64
	offset record.Offset
}

// First returns the index of the first entry, or the one it will have.
func (l *Log) First() Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.first
}

// PrevOfFirst returns index and term of the entry before the first; 0 and 0 for
// a log that begins with entry 1.
func (l *Log) PrevOfFirst() (Index, Term) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.first - 1, l.prevTerm
}

// StartOffset returns the log start offset.
func (l *Log) StartOffset() record.Offset {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.start
}

// Last returns the index of the last entry, durable or not; 0 if there is none.
func (l *Log) Last() Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.last < l.first {
		return 0
	}
	return l.last
}

// LastTerm returns the term of the last entry; of an empty log that of the
// entry before the first.
func (l *Log) LastTerm() Term {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.lastTerm
}

// NextOffset returns the offset that the next record gets.
func (l *Log) NextOffset() record.Offset {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.next
}

// Durable returns the index up to which entries are durable. A Truncate lowers it.
func (l *Log) Durable() Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.durable
}

// Terms returns where each term of the log begins, ascending.
func (l *Log) Terms() []TermStart {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return append([]TermStart(nil), l.terms...)
}

// Term returns the term of entry i. It knows the entries of the log and the one
// before the first.
func (l *Log) Term(i Index) (Term, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if i == l.first-1 {
		return l.prevTerm, true
	}
	if i < l.first || i > l.last {
		return 0, false
	}
	k := sort.Search(len(l.terms), func(k int) bool { return l.terms[k].First > i })
	return l.terms[k-1].Term, true
}

// SetCommit tells the log the commit index. Entries up to it are never
// truncated; it never falls, and what lies beyond the log counts when it is there.
func (l *Log) SetCommit(commit Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commit = max(l.commit, min(commit, l.last))
	if n := int(min(l.commit+1, l.looseFirst+Index(len(l.loose))) - min(l.looseFirst, l.commit+1)); n > 0 {
		l.loose, l.looseFirst = l.loose[n:], l.looseFirst+Index(n)
		if len(l.loose) == 0 {
			l.loose = nil
		}
	}
}

// Sealable returns the IDs of the segments that will never change: rolled,
// durable, and committed to their last entry. A segment that is only full may
// still be opened again by a Truncate.
func (l *Log) Sealable() []ID {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var ids []ID
	for i, s := range l.segs {
		if i == len(l.segs)-1 || s.next > min(l.commit, l.durable)+1 {
			break
		}
		ids = append(ids, s.id)
	}
	return ids
}

// Unflushed says that a Flush has something to do, or is doing it.
func (l *Log) Unflushed() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.gone) > 0 || len(l.replaced) > 0 || l.durable < l.last {
		return true
	}
	n := len(l.segs)
	return n > 0 && (l.segs[n-1].cut || !l.segs[n-1].made)
}

// UnflushedBytes returns the size of the frames that are not durable yet.
func (l *Log) UnflushedBytes() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return int(l.unflushed())
}

func (l *Log) unflushed() (n int64) {
	for i := len(l.segs) - 1; i >= 0 && l.segs[i].synced < l.segs[i].end; i-- {
		n += l.segs[i].end - l.segs[i].synced
	}
	return n
}

// Err returns the *PoisonedError after a failed Flush, else nil.
func (l *Log) Err() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.poison
}

// Stats returns sizes and counters.
func (l *Log) Stats() Stats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.stats
	s.Segments, s.TailBytes, s.UnflushedBytes = len(l.segs), l.tail.bytes, l.unflushed()
	for _, seg := range l.segs {
		s.Bytes += seg.end
	}
	s.First, s.Last, s.Durable = l.first, l.last, l.durable
	return s
}

// Close closes the files. What was not flushed is dropped: Flush first. Like
// Flush it belongs to the disk side: not while a Flush runs. Readers get
// ErrClosed from then on. A second Close does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	segs := slices.Concat(l.segs, l.gone, l.replaced)
	l.tail.clear()
	l.cur.Store(nil)
	l.mu.Unlock()
	l.o.Memory.remove(l)
	var errs []error
	for _, s := range segs {
		l.o.Memory.indexes.drop(s)
		errs = append(errs, s.closeFile())
	}
	return errors.Join(errs...)
}

func (s *segment) closeFile() error {
	s.dropEdge()
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}

// Remove deletes the partition's directory with all in it. The log must be
// closed. After a crash in the middle nothing remains under the old name.
func (l *Log) Remove() error {
	l.mu.RLock()
	closed := l.closed
	l.mu.RUnlock()
	if !closed {
		return fmt.Errorf("segments: remove %s: the log is open: close it first", l.o.Dir)
	}
	return removeDir(l.o.FS, l.o.Dir)
}
