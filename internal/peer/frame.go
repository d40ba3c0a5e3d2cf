package peer

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/logq/logq/raft"
)

type frameType uint8

const (
	frameRaft    frameType = 1 // head: message; body: entries
	frameRequest frameType = 2 // id u64, milliseconds left u32, request
	frameReply   frameType = 3 // id u64, reply
	frameRefused frameType = 4 // id u64; the request was not looked at
	frameGossip  frameType = 5
	framePing    frameType = 6 // the sender's cluster id, "" until known
	framePong    frameType = 7
	frameBatch   frameType = 8 // raft messages without entries, one after the other
	framePulse   frameType = 9 // what the host of replicas says about itself
	frameEnd     frameType = 10
)

const (
	frameHeader  = 16
	requestHead  = 8 + 4
	replyHead    = 8
	inlineHead   = frameHeader + raft.MaxMessageSize // longest header and head of a raft frame
	maxSmallHead = 255                               // of pings and pongs
)

// appendHeader appends the header of a frame that consists of the heads, which
// its checksum covers, and of n bytes more.
func appendHeader(dst []byte, t frameType, n int, heads ...[]byte) []byte {
	covered := 0
	for _, h := range heads {
		covered += len(h)
	}
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(covered+n))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(covered))
	dst = append(dst, byte(t), 0, 0, 0)
	crc := crc32.Checksum(dst[start:], castagnoli)
	for _, h := range heads {
		crc = crc32.Update(crc, castagnoli, h)
	}
	return binary.LittleEndian.AppendUint32(dst, crc)
}

// header is a frame's header with its lengths checked. The checksum can be
// compared once the head is there.
type header struct {
	t        frameType
	head, n  int    // covered bytes, and all after the header
	crc, own uint32 // as stated; of the header alone
}

func parseHeader(h *[frameHeader]byte, limit int) (header, error) {
	n, head := binary.LittleEndian.Uint32(h[:]), binary.LittleEndian.Uint32(h[4:])
	t := frameType(h[8])
	least, most := 0, limit
	switch t {
	case frameRaft:
		most = raft.MaxMessageSize
	case frameRequest:
		least = requestHead
	case frameReply:
		least = replyHead
	case frameRefused:
		least, most = replyHead, replyHead
	case framePing, framePong:
		most = maxSmallHead
	case frameBatch:
		most = MaxBatch * raft.MaxMessageSize
	case framePulse:
		most = MaxPulse
	}
	switch {
	case t == 0 || t >= frameEnd || h[9] != 0 || h[10] != 0 || h[11] != 0:
		return header{}, &FrameError{What: fmt.Sprintf("unknown type %x", h[8:12])}
	case uint64(n) > uint64(limit):
		return header{}, &FrameError{What: fmt.Sprintf("%d bytes, the limit is %d", n, limit)}
	case head > n || uint64(head) > uint64(most) || uint64(head) < uint64(least) || t != frameRaft && head != n:
		return header{}, &FrameError{What: fmt.Sprintf("head of %d in %d bytes of type %d", head, n, t)}
	}
	return header{
		t: t, head: int(head), n: int(n),
		crc: binary.LittleEndian.Uint32(h[12:]), own: crc32.Checksum(h[:12], castagnoli),
	}, nil
}

// frame is one as read.
type frame struct {
	t frameType
	// head is what the checksum covers; of gossip, requests and replies it belongs to
	// the receiver, else it is valid until the next read.
	head []byte
	// body is the entries of a raft frame in memory of their exact size, which
	// belongs to the receiver; nil if there are none.
	body []byte
}

// frameReader reads the frames of one connection.
type frameReader struct {
	r     *bufio.Reader
	limit int
	fixed [frameHeader]byte
	small [max(raft.MaxMessageSize, maxSmallHead)]byte
	large []byte // batches and pulses
}

// next reads one frame. Memory is taken only after the length was compared with
// the limit, and for entries after the checksum of what announces them.
func (fr *frameReader) next() (f frame, err error) {
	if _, err := io.ReadFull(fr.r, fr.fixed[:]); err != nil {
		return f, err
	}
	h, err := parseHeader(&fr.fixed, fr.limit)
	if err != nil {
		return f, err
	}
	f.t = h.t
	switch h.t {
	case frameRaft, framePing, framePong, frameRefused:
		f.head = fr.small[:h.head]
	case frameBatch, framePulse:
		if cap(fr.large) < h.head {
			fr.large = make([]byte, h.head)
		}
		f.head = fr.large[:h.head]
	default:
		f.head = make([]byte, h.head)
	}
	if _, err := io.ReadFull(fr.r, f.head); err != nil {
		return f, inside(err)
	}
	if crc32.Update(h.own, castagnoli, f.head) != h.crc {
		return f, &FrameError{What: "CRC mismatch"}
	}
	if h.n > h.head {
		f.body = make([]byte, h.n-h.head)
		if _, err := io.ReadFull(fr.r, f.body); err != nil {
			return f, inside(err)
		}
	}
	return f, nil
}

// inside turns the end of a connection within a frame into what it is.
func inside(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
