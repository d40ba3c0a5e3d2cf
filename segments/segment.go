package segments

import (
	"math"
	"path"
	"slices"
	"sort"

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
	cut     bool  // the file holds bytes beyond taken that a Truncate dropped
	trimmed bool  // the file was cut to its end when the log rolled
	marks   []mark
	maxTime int64 // no batch has a higher timestamp; an upper bound after a Truncate

	// Only for the one Flush that runs.
	file      vfs.File // nil when closed
	allocated int64    // size of the file
	written   int64    // blocks below have been written, those above perhaps only reserved
	// The block at edgePos as the file holds it, nil if it must be read: the next write
	// begins in it.
	edge    *[blockBytes]byte
	edgePos int64
}

// mark is an entry of the sparse index: one about every IndexInterval bytes,
// and always the segment's first frame.
type mark struct {
	index  Index
	offset record.Offset // the frame's base offset
	pos    int64
	before int64 // highest timestamp in the segment before this frame
}

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
}

// floor returns the last mark at or before an index that lies in the segment.
func (s *segment) floor(i Index) mark {
	return s.marks[sort.Search(len(s.marks), func(k int) bool { return s.marks[k].index > i })-1]
}

// floorOffset returns the last mark whose frame begins at or before an offset
// that lies at or above baseOffset. Of several with one offset the first is
// taken: no-ops share the offset of the batch that follows them.
func (s *segment) floorOffset(o record.Offset) mark {
	k := sort.Search(len(s.marks), func(k int) bool { return s.marks[k].offset >= o })
	if k == len(s.marks) || s.marks[k].offset > o {
		k = max(k-1, 0)
	}
	return s.marks[k]
}

// floorTime returns the number of the last mark before which all timestamps lie
// below t: the first batch at or above t lies between it and the next.
func (s *segment) floorTime(t int64) int {
	return sort.Search(len(s.marks), func(k int) bool { return s.marks[k].before >= t }) - 1
}

// ceil returns a file position, at most end, by which the frames below index i end.
func (s *segment) ceil(i Index, end int64) int64 {
	if k := sort.Search(len(s.marks), func(k int) bool { return s.marks[k].index >= i }); k < len(s.marks) {
		return min(s.marks[k].pos, end)
	}
	return end
}

// idle says that the segment needs nothing from a Flush.
func (s *segment) idle() bool { return s.made && !s.cut && s.taken == s.end }
