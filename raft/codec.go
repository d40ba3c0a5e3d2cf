package raft

import (
	"encoding/binary"
	"fmt"
)

// The wire form of a Message, little-endian:
//
//	offset  size  field
//	0       1     version, 1
//	1       1     type
//	2       1     flags: 1 reject, 2 transfer, 4 quiet
//	3       20    group
//	23      2     bit i set: field i of the list below follows
//	25      ...   the fields that are not 0, in order, as uvarints
//
// Fields by bit: from, to, term, index, log term, commit, lo, hi, entry term,
// hint index, hint term, hint first, context. There is one encoding of a
// message: a field that is 0 is absent and a varint has no leading zeros.
const (
	messageVersion    = 1
	messageHeaderSize = 3 + len(GroupID{}) + 2
	messageFields     = 13

	flagReject   = 1 << 0
	flagTransfer = 1 << 1
	flagQuiet    = 1 << 2
)

// MaxMessageSize bounds the encoded size of a Message, in bytes, without the
// entries that travel beside it.
const MaxMessageSize = messageHeaderSize + messageFields*binary.MaxVarintLen64

// DecodeError says why bytes are not a Message. Retrying doesn't help: the
// sender runs another version, or the bytes are damaged.
type DecodeError struct {
	// What names the field and the fault.
	What string
}

// Error names the fault.
func (e *DecodeError) Error() string { return "raft: message doesn't decode: " + e.What }

// AppendTo appends the encoded message to dst and returns the result. It
// allocates only to grow dst, by MaxMessageSize at most.
func (m *Message) AppendTo(dst []byte) []byte {
	var flags byte
	if m.Reject {
		flags |= flagReject
	}
	if m.Transfer {
		flags |= flagTransfer
	}
	if m.Quiet {
		flags |= flagQuiet
	}
	dst = append(dst, messageVersion, byte(m.Type), flags)
	dst = append(dst, m.Group[:]...)
	fields := [messageFields]uint64{
		uint64(m.From), uint64(m.To), uint64(m.Term), uint64(m.Index), uint64(m.LogTerm), uint64(m.Commit),
		uint64(m.Lo), uint64(m.Hi), uint64(m.EntryTerm),
		uint64(m.HintIndex), uint64(m.HintTerm), uint64(m.HintFirst), m.Context,
	}
	present := uint16(0)
	for i, v := range fields {
		if v != 0 {
			present |= 1 << i
		}
	}
	dst = binary.LittleEndian.AppendUint16(dst, present)
	for _, v := range fields {
		if v != 0 {
			dst = binary.AppendUvarint(dst, v)
		}
	}
	return dst
}

// Decode reads one message from the front of src and returns how many bytes it
// took. On error (always a *DecodeError) m holds nothing of use. It keeps no
// reference to src and allocates nothing on success.
func (m *Message) Decode(src []byte) (n int, err error) {
	*m = Message{}
	if len(src) < messageHeaderSize {
		return 0, &DecodeError{fmt.Sprintf("%d bytes, the header alone has %d", len(src), messageHeaderSize)}
	}
	if src[0] != messageVersion {
		return 0, &DecodeError{fmt.Sprintf("version %d; this build reads version %d", src[0], messageVersion)}
	}
	if t := MessageType(src[1]); t == 0 || t >= messageTypeEnd {
		return 0, &DecodeError{fmt.Sprintf("type %d is unknown", src[1])}
	}
	if src[2]&^(flagReject|flagTransfer|flagQuiet) != 0 {
		return 0, &DecodeError{fmt.Sprintf("flags %#x are unknown", src[2])}
	}
	present := binary.LittleEndian.Uint16(src[messageHeaderSize-2:])
	if present>>messageFields != 0 {
		return 0, &DecodeError{fmt.Sprintf("fields %#x are unknown", present)}
	}
	var fields [messageFields]uint64
	n = messageHeaderSize
	for i := range fields {
		if present&(1<<i) == 0 {
			continue
		}
		v, size := binary.Uvarint(src[n:])
		switch {
		case size <= 0:
			return 0, &DecodeError{fmt.Sprintf("field %d is cut off or over 64 bits", i)}
		case v == 0 || size > 1 && src[n+size-1] == 0:
			return 0, &DecodeError{fmt.Sprintf("field %d isn't in its shortest form", i)}
		}
		fields[i] = v
		n += size
	}
	m.Type, m.Reject, m.Transfer = MessageType(src[1]), src[2]&flagReject != 0, src[2]&flagTransfer != 0
	m.Quiet = src[2]&flagQuiet != 0
	copy(m.Group[:], src[3:])
	m.From, m.To, m.Term = ReplicaID(fields[0]), ReplicaID(fields[1]), Term(fields[2])
	m.Index, m.LogTerm, m.Commit = Index(fields[3]), Term(fields[4]), Index(fields[5])
	m.Lo, m.Hi, m.EntryTerm = Index(fields[6]), Index(fields[7]), Term(fields[8])
	m.HintIndex, m.HintTerm, m.HintFirst = Index(fields[9]), Term(fields[10]), Index(fields[11])
	m.Context = fields[12]
	return n, nil
}
