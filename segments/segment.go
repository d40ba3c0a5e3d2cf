package segments

import (
	"math"
	"path"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
)

// segment is one file of the log. It exists in memory from the moment its first
// frame is appended; a Flush makes the file.
type segment struct {
	// Immutable.
	id         ID
	base       Index
	baseOffset record.Offset
	basePrev   Term
	config     ConfigAt // in force at the base
	starts     bool     // the log begins here: files with lower IDs are gone
	created    int64
	path       string
	salt       salt

	// Written by the owner and by Flush, guarded by Log.mu; the owner may read
	// next and end without it, since only the owner changes them.
	// Invariant: FileHeaderSize <= synced <= taken <= end.
	next    Index // after the last frame
	end     int64 // file position after the last frame, on disk or not yet
	taken   int64 // a Flush has written up to here, or is writing
	synced  int64 // durable up to here
	made    bool  // a Flush has made the file, or is making it
	cut     bool  // the file holds bytes beyond taken that a Truncate dropped, or a footer
	trimmed bool  // the file was cut to its end when the log rolled
	rehead  bool  // the header block is to be written again: the log begins here now
	maxTime int64 // no batch has a higher timestamp; an upper bound after a Truncate
	write   Term  // no frame has a higher write term; so too
	// The sparse index of the frames at or behind lazyEnd; of those before, if there are
	// such, the footer has it, and lazy perhaps.
	marks   sparse
	lazyEnd int64
	lazy    atomic.Pointer[lazyIndex]
	// What a Seal needs.
	foot   footState
	frames uint32 // digest of the frames
	poor   bool   // the digest or the index isn't known: the frames must be read for it
	failed bool   // to write a footer failed; not tried again
	// A footer is being written or is there: nothing is appended any more.
	closed atomic.Bool

	// Only for the one Flush that runs.
	file      vfs.File // nil when closed
	allocated int64    // size of the file
	written   int64    // blocks below have been written, those above perhaps only reserved
	// The block at edgePos as the file holds it, nil if it must be read: the next write
	// begins in it.
	edge    *[blockBytes]byte
	edgePos int64
}

// footState says what stands behind the frames.
type footState uint8

const (
	footNone   footState = iota
	footSealed           // a footer, for good
	footOpen             // a footer, to be cut off before anything is appended
)

const noTime = math.MinInt64

func (l *Log) newSegment(id ID, base Index, offset record.Offset, prev Term) *segment {
	return &segment{
		id: id, base: base, baseOffset: offset, basePrev: prev,
		config: l.lastConfig(),
		path:   path.Join(l.o.Dir, fileName(base, id)), salt: l.salt.forSegment(id),
		next: base, end: FileHeaderSize, taken: FileHeaderSize, synced: FileHeaderSize,
		maxTime: noTime,
	}
}

// add notes a frame that lies at s.end.
func (s *segment) add(b []byte, interval int64) {
	if n := len(s.marks); n == 0 || s.end-s.marks[n-1].pos >= interval {
		s.marks = append(s.marks, mark{
			index: s.next, offset: record.Offset(le.Uint64(b[posBaseOffset:])), pos: s.end, before: s.maxTime,
		})
	}
	s.frames = digest(s.frames, b)
	s.write = max(s.write, Term(le.Uint64(b[posWriteTerm:])))
	if Kind(b[posKind]) == KindData {
		s.maxTime = max(s.maxTime, int64(le.Uint64(b[posMaxTimestamp:])))
	}
	s.next++
	s.end += int64(len(b))
}

// truncate drops the frames from the one at (from, pos) on.
func (s *segment) truncate(from Index, pos int64) {
	s.next, s.end = from, pos
	if s.taken > pos {
		s.taken, s.cut = pos, true
	}
	s.synced = min(s.synced, pos)
	n := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].index >= from })
	s.marks = slices.Clip(s.marks[:n])
	s.lazyEnd = min(s.lazyEnd, pos)
	s.reopen()
	s.poor = true
}

// reopen has a footer cut off before anything is written there.
func (s *segment) reopen() {
	if s.foot != footNone {
		s.foot, s.cut, s.trimmed = footNone, true, false
	}
}

// idle says that the segment needs nothing from a Flush.
func (s *segment) idle() bool { return s.made && !s.cut && s.taken == s.end }
