package record

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdWindow is how far back zstd looks for repetitions. Twice as much gains 0.1 %
// of a full batch.
const zstdWindow = 512 << 10

// zstdEncoders holds one encoder for each speed the library has. EncodeAll is safe
// for concurrent use and runs as many at a time as there are processors.
var zstdEncoders [zstd.SpeedBestCompression + 1]struct {
	sync.Once
	e   *zstd.Encoder
	err error
}

func compressZstd(dst, src []byte, level int) ([]byte, error) {
	speed := zstd.SpeedFastest
	if level > 0 {
		speed = zstd.EncoderLevelFromZstd(level)
	}
	z := &zstdEncoders[speed]
	z.Do(func() {
		// The batch has a CRC, so the frame needs none.
		z.e, z.err = zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithWindowSize(zstdWindow),
			zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true))
	})
	if z.err != nil {
		return dst, z.err
	}
	return z.e.EncodeAll(src, dst), nil
}

// Decoding. The library is given a slice that it may not grow, so that the limit
// of each call is kept whatever a frame claims; how large a slice is enough is
// found beforehand from the headers of frames and blocks.

const (
	// zstdBlockMax is the most that one block may hold.
	zstdBlockMax = 128 << 10
	// zstdOverAlloc is the room after its output with which the library's decoder can
	// copy in larger steps.
	zstdOverAlloc = 16
)

// Types of blocks.
const (
	zstdRaw = iota
	zstdRLE
	zstdCompressed
)

var (
	errZstdShort = errors.New("the frame ends too early")
	errZstdBlock = errors.New("a block header is invalid")
	errZstdSize  = errors.New("the frame states a size that its blocks can't have")
)

// zstdDecoder returns the decoder that all share: DecodeAll is safe for concurrent
// use and runs as many at a time as there are processors.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true))
})

func decompressZstd(dst, src []byte, limit int) ([]byte, error) {
	d, err := zstdDecoder()
	if err != nil {
		return dst, err
	}
	bound, exact, err := zstdBound(src)
	switch {
	case err != nil:
		return dst, undecodable(Zstd, err)
	case exact && bound > int64(limit):
		return dst, &DecodedTooLargeError{Max: limit}
	}
	// One block more than the limit: if a block has no room, what was before it is over
	// the limit. A bound that isn't exact counts every block as full, which would be
	// 128 KiB for the smallest batch, so a likely size is tried first.
	most := int(min(bound, int64(limit)+zstdBlockMax))
	size := most
	if !exact {
		size = min(most, 8*len(src)+4<<10)
	}
	for {
		dst = reserve(dst[:0], size+zstdOverAlloc, limit+zstdBlockMax+zstdOverAlloc)
		out, err := d.DecodeAll(src, dst)
		switch {
		case len(out) > limit:
			return dst, &DecodedTooLargeError{Max: limit}
		case err == nil:
			return out, nil
		case cap(dst) >= most+zstdOverAlloc:
			return dst, undecodable(Zstd, err)
		}
		size = most
	}
}

// zstdBound walks the frames and their blocks and returns how much they hold at
// most; exact says that every frame states its size.
func zstdBound(src []byte) (bound int64, exact bool, err error) {
	exact = true
	if len(src) == 0 {
		return 0, exact, errZstdShort
	}
	for len(src) > 0 {
		var h zstd.Header
		if err := h.Decode(src); err != nil {
			return 0, false, err
		}
		src = src[h.HeaderSize:]
		if h.Skippable {
			if uint64(h.SkippableSize) > uint64(len(src)) {
				return 0, false, errZstdShort
			}
			src = src[h.SkippableSize:]
			continue
		}
		n, rest, err := zstdBlocks(src)
		if err != nil {
			return 0, false, err
		}
		if src = rest; h.HasCheckSum {
			if len(src) < 4 {
				return 0, false, errZstdShort
			}
			src = src[4:]
		}
		if h.HasFCS {
			if h.FrameContentSize > uint64(n) {
				return 0, false, errZstdSize
			}
			n = int64(h.FrameContentSize)
		}
		exact = exact && h.HasFCS
		bound += n
	}
	return bound, exact, nil
}

// zstdBlocks walks the blocks of one frame and returns how much they hold at most,
// and what follows the last one.
func zstdBlocks(src []byte) (bound int64, rest []byte, err error) {
	for last := false; !last; {
		if len(src) < 3 {
			return 0, nil, errZstdShort
		}
		header := uint32(binary.LittleEndian.Uint16(src)) | uint32(src[2])<<16
		src = src[3:]
		last = header&1 != 0
		size := int(header >> 3)
		n := size // what the block holds
		switch header >> 1 & 3 {
		case zstdRaw:
		case zstdRLE:
			size = 1
		case zstdCompressed:
			n = zstdBlockMax
		default:
			return 0, nil, errZstdBlock
		}
		if n > zstdBlockMax {
			return 0, nil, errZstdBlock
		}
		if size > len(src) {
			return 0, nil, errZstdShort
		}
		src = src[size:]
		bound += int64(n)
	}
	return bound, src, nil
}
