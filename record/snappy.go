package record

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/klauspost/compress/s2"
)

// Snappy comes in two shapes: one raw block, and the framing of snappy-java's
// SnappyOutputStream, which Java's client writes:
//
//	0         8         12        16
//	+---------+---------+---------+--------+-------+--------+-------+--
//	| magic   | version | compat. | length | block | length | block | …
//	+---------+---------+---------+--------+-------+--------+-------+--
//
// with big-endian integers. Both versions are 1 and have never been otherwise, so
// nobody looks at them. No raw block begins with the magic: its third byte would
// be a copy before the first literal.

var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHeaderBytes = 16

var (
	errSnappyShort = errors.New("the framing ends too early")
	errSnappyRatio = errors.New("the block claims more than it can hold")
)

func decompressSnappy(dst, src []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(src, xerialMagic) {
		n, err := snappySize(src)
		if err != nil {
			return dst, undecodable(Snappy, err)
		}
		return snappyBlock(dst, src, n, limit)
	}
	total, err := xerialSize(src)
	if err != nil {
		return dst, undecodable(Snappy, err)
	}
	if total > int64(limit) {
		return dst, &DecodedTooLargeError{Max: limit}
	}
	dst = reserve(dst, int(total), limit)
	for src = src[xerialHeaderBytes:]; len(src) > 0; {
		var block []byte
		block, src, _ = xerialBlock(src)
		n, err := snappySize(block)
		if err != nil {
			return dst, undecodable(Snappy, err)
		}
		if dst, err = snappyBlock(dst, block, n, limit); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// xerialSize walks the framing and returns what its blocks claim to hold.
func xerialSize(src []byte) (total int64, err error) {
	if len(src) < xerialHeaderBytes {
		return 0, errSnappyShort
	}
	for src = src[xerialHeaderBytes:]; len(src) > 0; {
		var block []byte
		if block, src, err = xerialBlock(src); err != nil {
			return 0, err
		}
		n, err := snappySize(block)
		if err != nil {
			return 0, err
		}
		total += int64(n)
	}
	return total, nil
}

// xerialBlock splits the first block off src.
func xerialBlock(src []byte) (block, rest []byte, err error) {
	if len(src) < 4 {
		return nil, nil, errSnappyShort
	}
	n := uint64(binary.BigEndian.Uint32(src))
	if n > uint64(len(src)-4) {
		return nil, nil, errSnappyShort
	}
	return src[4 : 4+n], src[4+n:], nil
}

// snappySize returns what a block claims to hold. The densest element makes 64
// bytes from 3, so that a claim over 22 times the block is a lie; and so is one
// that only S2, a larger format that the library reads as well, could keep.
func snappySize(block []byte) (int, error) {
	n, err := s2.DecodedLen(block)
	if err != nil {
		return 0, err
	}
	if n > 22*len(block) {
		return 0, errSnappyRatio
	}
	return n, nil
}

// snappyBlock appends the n bytes that a block holds.
func snappyBlock(dst, block []byte, n, limit int) ([]byte, error) {
	if n > limit-len(dst) {
		return dst, &DecodedTooLargeError{Max: limit}
	}
	dst = reserve(dst, n, limit)
	if _, err := s2.Decode(dst[len(dst):len(dst)+n], block); err != nil {
		return dst, undecodable(Snappy, err)
	}
	return dst[:len(dst)+n], nil
}
