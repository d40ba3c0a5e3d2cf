package peer

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

type frameType uint8

const (
	frameRaft    frameType = 1 // head: message, body: entries
	frameRequest frameType = 2 // head: id u64, milliseconds left u32
	frameReply   frameType = 3 // head: id u64
	frameRefused frameType = 4 // head: id u64; the request was not looked at
	frameGossip  frameType = 5
	framePing    frameType = 6
	framePong    frameType = 7
	frameEnd     frameType = 8
)

const frameHeader = 12

// appendHeader appends a frame's header and head; body of n bytes follows.
func appendHeader(dst []byte, t frameType, head []byte, n int) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(head)+n))
	dst = append(dst, byte(t), 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(head)))
	crc := crc32.Update(crc32.Checksum(dst[start:], castagnoli), castagnoli, head)
	dst = binary.LittleEndian.AppendUint32(dst, crc)
	return append(dst, head...)
}

// frame is one as read; body has its exact size and belongs to the receiver.
type frame struct {
	t          frameType
	head, body []byte
}

func readFrame(r *bufio.Reader, limit int) (f frame, err error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return f, err
	}
	n := binary.LittleEndian.Uint32(h[:])
	headLen := int(binary.LittleEndian.Uint16(h[6:]))
	f.t = frameType(h[4])
	switch {
	case uint64(n) > uint64(limit):
		return f, &FrameError{What: fmt.Sprintf("%d bytes, the limit is %d", n, limit)}
	case f.t == 0 || f.t >= frameEnd || h[5] != 0:
		return f, &FrameError{What: fmt.Sprintf("unknown type %d", h[4])}
	case uint32(headLen) > n:
		return f, &FrameError{What: "the head is longer than the frame"}
	}
	// The head is checked before the rest is allocated, so that a damaged length
	// can't ask for more than the head's 64 KiB.
	head := make([]byte, headLen)
	if _, err := io.ReadFull(r, head); err != nil {
		return f, err
	}
	if crc32.Update(crc32.Checksum(h[:8], castagnoli), castagnoli, head) != binary.LittleEndian.Uint32(h[8:]) {
		return f, &FrameError{What: "CRC mismatch"}
	}
	f.head = head
	if f.body = make([]byte, int(n)-headLen); len(f.body) > 0 {
		_, err = io.ReadFull(r, f.body)
	}
	return f, err
}
