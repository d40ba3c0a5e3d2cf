package segments

import (
	"sort"

	"github.com/logq/logq/record"
)

// mark is an entry of the sparse index: one about every IndexInterval bytes,
// and always the segment's first frame.
type mark struct {
	index  Index
	offset record.Offset // the frame's base offset
	pos    int64
	before int64 // highest timestamp in the segment before this frame
}

// sparse is the sparse index of a segment, or of the part of it that a read needs:
// marks in ascending order, never none if there are frames.
type sparse []mark

// floor returns the last mark at or before an index that lies in the segment.
func (x sparse) floor(i Index) mark {
	return x[sort.Search(len(x), func(k int) bool { return x[k].index > i })-1]
}

// floorOffset returns the last mark whose frame begins at or before an offset
// that lies at or above baseOffset. Of several with one offset the first is
// taken: no-ops share the offset of the batch that follows them.
func (x sparse) floorOffset(o record.Offset) mark {
	k := sort.Search(len(x), func(k int) bool { return x[k].offset >= o })
	if k == len(x) || x[k].offset > o {
		k = max(k-1, 0)
	}
	return x[k]
}

// floorTime returns the number of the last mark before which all timestamps lie
// below t: the first batch at or above t lies between it and the next.
func (x sparse) floorTime(t int64) int {
	return sort.Search(len(x), func(k int) bool { return x[k].before >= t }) - 1
}

// ceil returns a file position, at most end, by which the frames below index i end.
func (x sparse) ceil(i Index, end int64) int64 {
	if k := sort.Search(len(x), func(k int) bool { return x[k].index >= i }); k < len(x) {
		return min(x[k].pos, end)
	}
	return end
}

// below returns the marks that lie before a position.
func (x sparse) below(pos int64) sparse {
	n := sort.Search(len(x), func(k int) bool { return x[k].pos >= pos })
	return x[:n:n]
}

// thinned returns at most n of the marks, the first one always, evenly spread.
func (x sparse) thinned(n int) sparse {
	step := (len(x) + n - 1) / n
	if step <= 1 {
		return x
	}
	out := make(sparse, 0, n)
	for k := 0; k < len(x); k += step {
		out = append(out, x[k])
	}
	return out
}

// encode returns the index as it stands in a footer.
func (x sparse) encode() []byte {
	b := append(make([]byte, 0, len(indexMagicText)+len(x)*markSize), indexMagicText...)
	for _, m := range x {
		b = le.AppendUint64(b, uint64(m.index))
		b = le.AppendUint64(b, uint64(m.offset))
		b = le.AppendUint64(b, uint64(m.pos))
		b = le.AppendUint64(b, uint64(m.before))
	}
	return b
}

// decodeSparse decodes the index that ft describes.
func decodeSparse(b []byte, ft *footer, s salt) (sparse, error) {
	switch {
	case len(b) != len(indexMagicText)+ft.marks*markSize:
		return nil, footFault("index shorter than the footer says")
	case string(b[:len(indexMagicText)]) != indexMagicText:
		return nil, footFault("no index magic")
	case uint32(s.over(b)) != ft.marksCRC:
		return nil, footFault("index checksum mismatch")
	}
	x := make(sparse, ft.marks)
	b = b[len(indexMagicText):]
	for k := range x {
		m := &x[k]
		*m = mark{
			index: Index(le.Uint64(b[posMarkIndex:])), offset: record.Offset(le.Uint64(b[posMarkOffset:])),
			pos: int64(le.Uint64(b[posMarkPosition:])), before: int64(le.Uint64(b[posMarkBefore:])),
		}
		b = b[markSize:]
		switch {
		case m.index > ft.last || m.pos > ft.end-FrameHeaderSize || m.offset > ft.nextOffset:
			return nil, footFault("index leads behind the end")
		case k == 0 && (m.index != ft.first || m.pos != FileHeaderSize || m.offset != ft.firstOffset):
			return nil, footFault("index doesn't begin with the first entry")
		case k > 0 && (m.index <= x[k-1].index || m.pos < x[k-1].pos+FrameHeaderSize || m.offset < x[k-1].offset || m.before < x[k-1].before):
			return nil, footFault("index out of order")
		}
	}
	return x, nil
}
