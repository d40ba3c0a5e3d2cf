package segments

import (
	"errors"
	"fmt"
	"sort"

	"github.com/logq/logq/record"
)

// Gap is a run of entries whose bytes on disk are damaged or missing. Which entries
// they are is known, by index and term; what is in them is not.
type Gap struct {
	Lo, Hi Index // [Lo, Hi)
	// Start is the offset of the first record in or behind the gap, Next of the first
	// behind it.
	Start, Next record.Offset
	Path        string
	Pos         int64 // where entry Lo lies in the file, bytes
	Reason      string
}

// String names place and finding.
func (g Gap) String() string {
	return fmt.Sprintf("entries [%d,%d) at byte %d of %s can't be read: %s", g.Lo, g.Hi, g.Pos, g.Path, g.Reason)
}

// gap is a Gap with what is needed to fill it. It is immutable: a gap that is filled
// in part is replaced.
type gap struct {
	seg    *segment
	lo, hi Index
	pos    int64         // where entry lo lies
	end    int64         // where entry hi lies; openEnd: the segment ends with the gap, wherever that is
	before position      // the end of the log before the gap
	next   record.Offset // the offset that follows on the gap
	write  Term          // the write term before the gap
	config Index         // of the last configuration in the gap that isn't known; 0: none
	reason string
}

// openEnd: see gap.
const openEnd = -1

func (g *gap) public() Gap {
	return Gap{Lo: g.lo, Hi: g.hi, Start: g.before.next, Next: g.next, Path: g.seg.path, Pos: g.pos, Reason: g.reason}
}

func (g *gap) entries() Index { return g.hi - g.lo }

// room is how many entries there may be at most.
func (g *gap) room() Index {
	if g.end == openEnd {
		return MaxSegmentBytes / FrameHeaderSize
	}
	return Index(g.end-g.pos) / FrameHeaderSize
}

// err is the error that a read of a gap gives.
func (g *gap) err(i Index) error {
	return &CorruptionError{Path: g.seg.path, SegmentID: g.seg.id, Offset: g.pos, Index: i, Err: errors.New(g.reason)}
}

// Damage returns the entries of the log that can't be read, ascending; nil if there
// are none that are known. They are part of the log, but this replica doesn't hold
// them: it must not acknowledge them, nor campaign with them. Repair gives them back.
func (l *Log) Damage() []Gap {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []Gap
	for _, g := range l.gaps {
		out = append(out, g.public())
	}
	return out
}

// gapFrom returns the number of the first gap that ends above entry i.
func (l *Log) gapFrom(i Index) int {
	return sort.Search(len(l.gaps), func(k int) bool { return l.gaps[k].hi > i })
}

// gapAt returns the gap in which entry i lies, nil if there is none.
func (l *Log) gapAt(i Index) *gap {
	if k := l.gapFrom(i); k < len(l.gaps) && l.gaps[k].lo <= i {
		return l.gaps[k]
	}
	return nil
}

// soundUntil returns the first damaged entry in [lo, hi), or hi.
func (l *Log) soundUntil(lo, hi Index) Index {
	if k := l.gapFrom(lo); k < len(l.gaps) {
		return min(hi, max(lo, l.gaps[k].lo))
	}
	return hi
}

// keepGaps drops the gaps outside of [first, last].
func (l *Log) keepGaps(first, last Index) {
	kept := l.gaps[:0:0]
	for _, g := range l.gaps {
		if g.lo >= first && g.hi <= last+1 {
			kept = append(kept, g)
		}
	}
	l.gaps = kept
}

// noPlace marks an entry in a gap, of which it isn't known where it lies.
const noPlace = -1
