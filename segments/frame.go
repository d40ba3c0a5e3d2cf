package segments

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"github.com/logq/logq/record"
)

// Field positions in a frame's header; docs/internals/format.md has the table.
const (
	posMagic         = 0
	posVersion       = 4
	posKind          = 5
	posFlags         = 6
	posPayloadLen    = 8
	posRecords       = 12
	posIndex         = 16
	posTerm          = 24
	posPrevTerm      = 32
	posBaseOffset    = 40
	posMaxTimestamp  = 48
	posPayloadCRC    = 56
	posReplicatedCRC = 60

	posWriteTerm      = 64
	posDurableThrough = 72
	posCommit         = 80
	posConfigBack     = 88
	posLocalCRC       = 92

	frameMagic   = 'L' | 'Q'<<8 | 'F'<<16 | 'R'<<24
	frameVersion = 1
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	le         = binary.LittleEndian
)

// salt is the state of a checksum that has seen the identity.
type salt uint32

func (id Identity) salt() salt {
	var b [20]byte
	copy(b[:], id.Topic[:])
	le.PutUint32(b[16:], id.Partition)
	return salt(crc32.Checksum(b[:], castagnoli))
}

func (s salt) forSegment(id ID) salt {
	var b [8]byte
	le.PutUint64(b[:], uint64(id))
	return s.over(b[:])
}

func (s salt) over(b []byte) salt { return salt(crc32.Update(uint32(s), castagnoli, b)) }

// putFrame encodes f's header; the payload is not copied.
func putFrame(b []byte, f *Frame, s salt) {
	le.PutUint32(b[posMagic:], frameMagic)
	b[posVersion] = frameVersion
	b[posKind] = byte(f.Kind)
	le.PutUint16(b[posFlags:], 0)
	le.PutUint32(b[posPayloadLen:], uint32(len(f.Payload)))
	le.PutUint32(b[posRecords:], f.Records)
	le.PutUint64(b[posIndex:], uint64(f.Index))
	le.PutUint64(b[posTerm:], uint64(f.Term))
	le.PutUint64(b[posPrevTerm:], uint64(f.PrevTerm))
	le.PutUint64(b[posBaseOffset:], uint64(f.BaseOffset))
	le.PutUint64(b[posMaxTimestamp:], uint64(f.MaxTimestamp))
	le.PutUint32(b[posPayloadCRC:], crc32.Checksum(f.Payload, castagnoli))
	le.PutUint32(b[posReplicatedCRC:], uint32(s.over(b[:posReplicatedCRC])))
}

// putLocal encodes the local part behind a finished replicated part; s is
// salted with the segment too.
func putLocal(b []byte, l *Local, s salt) {
	le.PutUint64(b[posWriteTerm:], uint64(l.WriteTerm))
	le.PutUint64(b[posDurableThrough:], uint64(l.DurableThrough))
	le.PutUint64(b[posCommit:], uint64(l.Commit))
	back := Index(le.Uint64(b[posIndex:])) - l.Config + 1
	if back > math.MaxUint32 {
		back = 0 // further back than a gap is long
	}
	le.PutUint32(b[posConfigBack:], uint32(back))
	le.PutUint32(b[posLocalCRC:], uint32(s.over(b[posReplicatedCRC:posLocalCRC])))
}

// getFrame decodes the header's fields, unchecked. The payload is left out.
func getFrame(b []byte) Frame {
	return Frame{
		Kind:         Kind(b[posKind]),
		Index:        Index(le.Uint64(b[posIndex:])),
		Term:         Term(le.Uint64(b[posTerm:])),
		PrevTerm:     Term(le.Uint64(b[posPrevTerm:])),
		BaseOffset:   record.Offset(le.Uint64(b[posBaseOffset:])),
		Records:      le.Uint32(b[posRecords:]),
		MaxTimestamp: int64(le.Uint64(b[posMaxTimestamp:])),
	}
}

func getLocal(b []byte) Local {
	return Local{
		WriteTerm:      Term(le.Uint64(b[posWriteTerm:])),
		DurableThrough: Index(le.Uint64(b[posDurableThrough:])),
		Commit:         Index(le.Uint64(b[posCommit:])),
		Config:         configOf(b),
	}
}

func configOf(b []byte) Index {
	back, i := Index(le.Uint32(b[posConfigBack:])), Index(le.Uint64(b[posIndex:]))
	if back == 0 || back > i {
		return 0
	}
	return i + 1 - back
}

func payloadLen(b []byte) int { return int(le.Uint32(b[posPayloadLen:])) }

// frameNext is the offset after the records of the frame whose header b is.
func frameNext(b []byte) record.Offset {
	return record.Offset(le.Uint64(b[posBaseOffset:])) + record.Offset(le.Uint32(b[posRecords:]))
}

// shape checks what needs no checksum: b has a header's length. It returns what
// is wrong, or "".
func shape(b []byte) string {
	switch {
	case le.Uint32(b[posMagic:]) != frameMagic:
		return "no frame magic"
	case b[posVersion] != frameVersion:
		return "unknown frame version"
	case le.Uint16(b[posFlags:]) != 0:
		return "unknown flags"
	case le.Uint32(b[posPayloadLen:]) > MaxPayloadBytes:
		return "payload length above the limit"
	}
	f := getFrame(b)
	return content(&f, payloadLen(b))
}

// content checks the fields of a frame against each other.
func content(f *Frame, payload int) string {
	switch {
	case f.Kind < KindData || f.Kind > KindConfig:
		return "unknown kind"
	case f.Kind == KindData && (f.Records == 0 || payload == 0):
		return "data frame without records"
	case f.Kind != KindData && f.Records != 0:
		return "records in a frame that has no batch"
	case f.Kind == KindNoOp && payload != 0:
		return "payload in a no-op"
	case f.Kind == KindConfig && payload > MaxConfigBytes:
		return "configuration too long"
	case f.Index == 0 || f.Term == 0:
		return "index or term 0"
	case f.PrevTerm > f.Term:
		return "previous term above the term"
	case f.BaseOffset < 0 || f.BaseOffset > math.MaxInt64-record.Offset(f.Records):
		return "offsets out of range"
	}
	return ""
}

// checkHeader checks the replicated part of a header.
func checkHeader(b []byte, s salt) string {
	if reason := shape(b); reason != "" {
		return reason
	}
	if uint32(s.over(b[:posReplicatedCRC])) != le.Uint32(b[posReplicatedCRC:]) {
		return "header checksum mismatch"
	}
	return ""
}

// checkLocal checks the local part of a header; s is salted with the segment too.
func checkLocal(b []byte, s salt) string {
	if uint32(s.over(b[posReplicatedCRC:posLocalCRC])) != le.Uint32(b[posLocalCRC:]) {
		return "local checksum mismatch"
	}
	return ""
}

func checkPayload(b []byte) string {
	if crc32.Checksum(b[FrameHeaderSize:], castagnoli) != le.Uint32(b[posPayloadCRC:]) {
		return "payload checksum mismatch"
	}
	return ""
}

// firstFrame cuts the first frame off raw and checks it, its payload too.
func firstFrame(raw []byte, s salt) (frame []byte, reason string) {
	if len(raw) < FrameHeaderSize {
		return nil, "shorter than a frame header"
	}
	if reason := checkHeader(raw, s); reason != "" {
		return nil, reason
	}
	size := FrameHeaderSize + payloadLen(raw)
	if size > len(raw) {
		return nil, "shorter than its length says"
	}
	return raw[:size], checkPayload(raw[:size])
}

// ParseFrame decodes and checks the first frame in raw, all but its local part.
// It returns the frame, whose payload aliases raw, and its size in bytes. The
// error is a *FrameError.
func ParseFrame(id Identity, raw []byte) (Frame, int, error) {
	b, reason := firstFrame(raw, id.salt())
	if reason != "" {
		return Frame{}, 0, &FrameError{Reason: reason}
	}
	f, n := view(b)
	return f, n, nil
}

// ViewFrame decodes the first frame in raw without verifying checksums: for
// bytes that CheckFrames has passed or that a Log returned. The error is a
// *FrameError.
func ViewFrame(raw []byte) (Frame, int, error) {
	reason := "shorter than a frame header"
	if len(raw) >= FrameHeaderSize {
		reason = shape(raw)
		if reason == "" && FrameHeaderSize+payloadLen(raw) > len(raw) {
			reason = "shorter than its length says"
		}
	}
	if reason != "" {
		return Frame{}, 0, &FrameError{Reason: reason}
	}
	f, n := view(raw)
	return f, n, nil
}

func view(b []byte) (Frame, int) {
	f := getFrame(b)
	n := FrameHeaderSize + payloadLen(b)
	if n > FrameHeaderSize {
		f.Payload = b[FrameHeaderSize:n:n]
	}
	return f, n
}

// CheckFrames verifies that raw holds exactly the entries [lo, hi), all of the
// given term, with good checksums, each continuing the one before. The local
// parts are not looked at. The error is a *FrameError.
func CheckFrames(id Identity, raw []byte, lo, hi Index, term Term) error {
	s := id.salt()
	pos := 0
	var prev Frame
	for i := lo; i < hi; i++ {
		b, reason := firstFrame(raw[pos:], s)
		if reason == "" {
			f := getFrame(b)
			reason = follows(&f, &prev, i, term, i == lo)
			prev = f
		}
		if reason != "" {
			return &FrameError{Index: i, Pos: pos, Reason: reason}
		}
		pos += len(b)
	}
	if pos != len(raw) {
		return &FrameError{Index: hi, Pos: pos, Reason: "bytes after the last frame"}
	}
	return nil
}

// follows says why f is not entry i of the term, behind prev.
func follows(f, prev *Frame, i Index, term Term, first bool) string {
	switch {
	case f.Index != i:
		return "another index than expected"
	case f.Term != term:
		return "another term than expected"
	case !first && f.PrevTerm != term:
		return "previous term doesn't match the frame before"
	case !first && f.BaseOffset != prev.Next():
		return "base offset doesn't continue the frame before"
	}
	return ""
}
