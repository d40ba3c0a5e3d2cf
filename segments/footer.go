package segments

import (
	"fmt"
	"hash/crc32"
	"math"

	"github.com/logq/logq/record"
)

// Field positions in a footer's info, relative to its start, and in the trailer that
// ends the file; docs/internals/format.md has the tables.
const (
	posFirstIndex   = 0
	posLastIndex    = 8
	posFirstOffset  = 16
	posNextOffset   = 24
	posFootPrevTerm = 32
	posLastTerm     = 40
	posFootWrite    = 48
	posFootDurable  = 56
	posFootCommit   = 64
	posFootConfig   = 72
	posFootMaxTime  = 80
	posEnd          = 88
	posFramesCRC    = 96
	posFootFlags    = 100
	posMarks        = 104
	posIndexCRC     = 108
	posTerms        = 112
	posConfigs      = 116
	footInfoSize    = 120

	posInfoLen     = 0
	posFootVersion = 4
	posFootMagic   = 8
	posFootCRC     = 12
	trailerSize    = 16

	termSize        = 16 // in the list of term starts: term, first index
	configHeadSize  = 12 // before each configuration: index, length
	markSize        = 32 // in the sparse index: index, offset, position, time before
	footMagic       = "LQFT"
	indexMagicText  = "logq-idx"
	footVersion     = 1
	footFlagOpen    = 1 << 0
	posMarkIndex    = 0
	posMarkOffset   = 8
	posMarkPosition = 16
	posMarkBefore   = 24
)

// footer is what stands behind the last frame of a segment that is full, or whose log
// was closed in order. All of it follows from the frames and the header; it saves
// reading them.
type footer struct {
	first, last             Index // never empty
	firstOffset, nextOffset record.Offset
	prevTerm, lastTerm      Term
	write                   Term  // no frame has a higher write term, no later one a lower
	durable                 Index // entries up to here were durable when it was written
	commit                  Index
	config                  Index // of the configuration in force behind the last entry
	maxTime                 int64 // noTime: no batch
	end                     int64 // position after the last frame
	frames                  uint32
	open                    bool // frames may follow when it is cut off
	terms                   []TermStart
	configs                 []ConfigAt
	marks                   int // entries of the sparse index
	marksCRC                uint32
}

// footFault is why bytes are no footer.
type footFault string

func (f footFault) Error() string { return "footer: " + string(f) }

const errNoFooter = footFault("none")

// footPos is where a footer begins behind frames that end at end: in a block of its
// own, so that to write it touches no block with frames.
func footPos(end int64) int64 { return blockCeil(end) }

// infoPos is where the info begins: the sparse index lies before it.
func (ft *footer) infoPos() int64 {
	return footPos(ft.end) + int64(len(indexMagicText)) + int64(ft.marks)*markSize
}

// fits says whether a footer may be written: its lists are bounded.
func (ft *footer) bounded() bool {
	return len(ft.terms) <= footTermsMax && ft.configBytes() <= footConfigBytesMax
}

func (ft *footer) configBytes() (n int) {
	for _, c := range ft.configs {
		n += configHeadSize + len(c.Payload)
	}
	return n
}

// encode returns the footer with its sparse index, for the file of the segment whose
// salt s is.
func (ft *footer) encode(marks sparse, s salt) []byte {
	index := marks.encode()
	ft.marks, ft.marksCRC = len(marks), uint32(s.over(index))
	n := footInfoSize + termSize*len(ft.terms) + ft.configBytes()
	b := append(make([]byte, 0, len(index)+n+trailerSize), index...)
	b = append(b, make([]byte, footInfoSize)...)
	p := b[len(index):]
	le.PutUint64(p[posFirstIndex:], uint64(ft.first))
	le.PutUint64(p[posLastIndex:], uint64(ft.last))
	le.PutUint64(p[posFirstOffset:], uint64(ft.firstOffset))
	le.PutUint64(p[posNextOffset:], uint64(ft.nextOffset))
	le.PutUint64(p[posFootPrevTerm:], uint64(ft.prevTerm))
	le.PutUint64(p[posLastTerm:], uint64(ft.lastTerm))
	le.PutUint64(p[posFootWrite:], uint64(ft.write))
	le.PutUint64(p[posFootDurable:], uint64(ft.durable))
	le.PutUint64(p[posFootCommit:], uint64(ft.commit))
	le.PutUint64(p[posFootConfig:], uint64(ft.config))
	le.PutUint64(p[posFootMaxTime:], uint64(ft.maxTime))
	le.PutUint64(p[posEnd:], uint64(ft.end))
	le.PutUint32(p[posFramesCRC:], ft.frames)
	if ft.open {
		le.PutUint32(p[posFootFlags:], footFlagOpen)
	}
	le.PutUint32(p[posMarks:], uint32(ft.marks))
	le.PutUint32(p[posIndexCRC:], ft.marksCRC)
	le.PutUint32(p[posTerms:], uint32(len(ft.terms)))
	le.PutUint32(p[posConfigs:], uint32(len(ft.configs)))
	for _, t := range ft.terms {
		b = le.AppendUint64(b, uint64(t.Term))
		b = le.AppendUint64(b, uint64(t.First))
	}
	for _, c := range ft.configs {
		b = le.AppendUint64(b, uint64(c.Index))
		b = le.AppendUint32(b, uint32(len(c.Payload)))
		b = append(b, c.Payload...)
	}
	b = le.AppendUint32(b, uint32(n))
	b = le.AppendUint32(b, footVersion)
	b = append(b, footMagic...)
	return le.AppendUint32(b, uint32(s.over(b[len(index):])))
}

// infoLen returns from the last bytes of a file how long the info before them is.
func infoLen(trailer []byte) (int, error) {
	switch n := le.Uint32(trailer[posInfoLen:]); {
	case string(trailer[posFootMagic:posFootMagic+len(footMagic)]) != footMagic:
		return 0, errNoFooter
	case le.Uint32(trailer[posFootVersion:]) != footVersion:
		return 0, footFault("unknown version")
	case n < footInfoSize || n > footInfoSize+footTermsMax*termSize+footConfigBytesMax:
		return 0, footFault("length out of range")
	default:
		return int(n), nil
	}
}

// decodeFooter decodes info and trailer, the last bytes of a file of the given size.
func decodeFooter(b []byte, size int64, s salt) (*footer, error) {
	if len(b) < footInfoSize+trailerSize {
		return nil, footFault("too short")
	}
	n, err := infoLen(b[len(b)-trailerSize:])
	switch {
	case err != nil:
		return nil, err
	case n != len(b)-trailerSize:
		return nil, footFault("another length than its own")
	case uint32(s.over(b[:len(b)-4])) != le.Uint32(b[len(b)-4:]):
		return nil, footFault("checksum mismatch")
	}
	ft := &footer{
		first: Index(le.Uint64(b[posFirstIndex:])), last: Index(le.Uint64(b[posLastIndex:])),
		firstOffset: record.Offset(le.Uint64(b[posFirstOffset:])), nextOffset: record.Offset(le.Uint64(b[posNextOffset:])),
		prevTerm: Term(le.Uint64(b[posFootPrevTerm:])), lastTerm: Term(le.Uint64(b[posLastTerm:])),
		write: Term(le.Uint64(b[posFootWrite:])), durable: Index(le.Uint64(b[posFootDurable:])),
		commit: Index(le.Uint64(b[posFootCommit:])), config: Index(le.Uint64(b[posFootConfig:])),
		maxTime: int64(le.Uint64(b[posFootMaxTime:])), end: int64(le.Uint64(b[posEnd:])),
		frames: le.Uint32(b[posFramesCRC:]), open: le.Uint32(b[posFootFlags:])&footFlagOpen != 0,
		marks: int(le.Uint32(b[posMarks:])), marksCRC: le.Uint32(b[posIndexCRC:]),
	}
	if le.Uint32(b[posFootFlags:])&^footFlagOpen != 0 {
		return nil, footFault("unknown flags")
	}
	if err := ft.decodeLists(b[footInfoSize:len(b)-trailerSize], int(le.Uint32(b[posTerms:])), int(le.Uint32(b[posConfigs:]))); err != nil {
		return nil, err
	}
	if reason := ft.content(); reason != "" {
		return nil, footFault(reason)
	}
	if ft.infoPos()+int64(len(b)) != size {
		return nil, footFault("in another place than its own")
	}
	return ft, nil
}

// decodeLists decodes the term starts and the configurations.
func (ft *footer) decodeLists(b []byte, terms, configs int) error {
	if terms > len(b)/termSize || configs > len(b)/configHeadSize {
		return footFault("lists longer than itself")
	}
	if terms > 0 {
		ft.terms = make([]TermStart, terms)
	}
	for i := range ft.terms {
		ft.terms[i] = TermStart{Term(le.Uint64(b)), Index(le.Uint64(b[8:]))}
		b = b[termSize:]
	}
	for range configs {
		if len(b) < configHeadSize {
			return footFault("lists longer than itself")
		}
		i, n := Index(le.Uint64(b)), int(le.Uint32(b[8:]))
		if b = b[configHeadSize:]; n > min(len(b), MaxConfigBytes) {
			return footFault("lists longer than itself")
		}
		ft.configs = append(ft.configs, ConfigAt{i, append([]byte(nil), b[:n]...)})
		b = b[n:]
	}
	if len(b) != 0 {
		return footFault("bytes behind its lists")
	}
	return nil
}

// content checks the fields against each other.
func (ft *footer) content() string {
	n := ft.last - ft.first + 1
	switch {
	case ft.first == 0 || ft.last < ft.first || ft.last == math.MaxUint64:
		return "entries out of range"
	case ft.firstOffset < 0 || ft.nextOffset < ft.firstOffset:
		return "offsets out of range"
	case ft.end < FileHeaderSize+FrameHeaderSize || ft.end > fileBytesMax || uint64(n) > uint64(ft.end-FileHeaderSize)/FrameHeaderSize:
		return "end out of range"
	case ft.write < ft.lastTerm || ft.durable > ft.last || ft.commit > ft.last || ft.config > ft.last:
		return "marks out of range"
	case ft.marks < 1 || ft.marks > footMarksMax:
		return "entries of the index out of range"
	case len(ft.terms) == 0 || ft.terms[0].First != ft.first || ft.terms[0].Term < ft.prevTerm || ft.terms[len(ft.terms)-1].Term != ft.lastTerm:
		return "terms don't cover the entries"
	}
	for i, t := range ft.terms {
		if t.First > ft.last || i > 0 && (t.First <= ft.terms[i-1].First || t.Term <= ft.terms[i-1].Term) {
			return "terms out of order"
		}
	}
	for i, c := range ft.configs {
		if c.Index < ft.first || c.Index > ft.last || i > 0 && c.Index <= ft.configs[i-1].Index {
			return "configurations out of order"
		}
	}
	if k := len(ft.configs); k > 0 && ft.configs[k-1].Index != ft.config {
		return "another configuration in force than the last"
	}
	return ""
}

// term returns the term of an entry of the segment, or of the one before it.
func (ft *footer) term(i Index) Term {
	t := ft.prevTerm
	for _, s := range ft.terms {
		if s.First <= i {
			t = s.Term
		}
	}
	return t
}

// digest goes on with the checksum over a segment's frames: that of the checksums of
// their replicated parts, which cover the payloads. A repaired frame has the same.
func digest(d uint32, frame []byte) uint32 {
	return crc32.Update(d, castagnoli, frame[posReplicatedCRC:posReplicatedCRC+4])
}

// String tells an operator what it says.
func (ft *footer) String() string {
	if ft == nil {
		return "no entries"
	}
	return fmt.Sprintf("entries [%d,%d] of terms up to %d, offsets [%d,%d), to byte %d", ft.first, ft.last, ft.lastTerm, ft.firstOffset, ft.nextOffset, ft.end)
}
