package record

import (
	"encoding/binary"
	"math/bits"
)

// Integers in a record are zigzag varints, as Protocol Buffers' sint32 and
// sint64: seven bits a byte, the lowest first.

// zigzag maps 0, -1, 1, -2, … to 0, 1, 2, 3, …
func zigzag(v int64) uint64 { return uint64(v)<<1 ^ uint64(v>>63) }

// varintLen returns the bytes that v takes, 1 to 10. The multiplication is an
// exact division by 7 for as many bits as there are.
func varintLen(v int64) int { return (bits.Len64(zigzag(v)|1)*9 + 64) >> 6 }

// putVarint writes v to b at i and returns the position after it. The caller has
// made room for varintLen(v).
func putVarint(b []byte, i int, v int64) int {
	u := zigzag(v)
	for u >= 0x80 {
		b[i] = byte(u) | 0x80
		u >>= 7
		i++
	}
	b[i] = byte(u)
	return i + 1
}

// A varint is read at position i of b in two steps, so that the case of one byte
// is inlined where it is used:
//
//	v, ok := shortVarint(b, i)
//	if i++; !ok {
//		v, i = longVarint(b, i)
//	}
//
// leaves the position after it in i, or -1 if there is none: b ends within it, it
// takes more than 10 bytes or overflows. A position of -1 goes in and comes out
// again, so that a caller reads several and checks once.

// shortVarint reads a varint of one byte.
func shortVarint(b []byte, i int) (v int64, ok bool) {
	if uint(i) >= uint(len(b)) || b[i] >= 0x80 {
		return 0, false
	}
	return int64(b[i]>>1) ^ -int64(b[i]&1), true
}

// longVarint reads a varint whose second byte, if it has one, is at i. Two or
// three bytes are most offset deltas and most lengths.
func longVarint(b []byte, i int) (int64, int) {
	if i > 0 && i < len(b) && b[i] < 0x80 {
		u := uint64(b[i-1]&0x7f) | uint64(b[i])<<7
		return int64(u>>1) ^ -int64(u&1), i + 1
	}
	if i > 0 && i+1 < len(b) && b[i+1] < 0x80 {
		u := uint64(b[i-1]&0x7f) | uint64(b[i]&0x7f)<<7 | uint64(b[i+1])<<14
		return int64(u>>1) ^ -int64(u&1), i + 2
	}
	if i <= 0 || i > len(b) {
		return 0, -1
	}
	u, n := binary.Uvarint(b[i-1:])
	if n <= 0 {
		return 0, -1
	}
	return int64(u>>1) ^ -int64(u&1), i - 1 + n
}
