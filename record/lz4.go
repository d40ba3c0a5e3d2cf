package record

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"sync"

	"github.com/pierrec/lz4/v4"
)

// The LZ4 frame format around the library's block coders. A batch is in memory as
// a whole, so that the library's streams would only add copies and buffers of
// 4 MiB; and the limit on what a batch decodes to is kept before each block.
//
//	+-------+-----+----+------------------+----+--------+-------+--   --+----------+
//	| magic | FLG | BD | content size (8) | HC | length | block | …     | 0 (4)    |
//	+-------+-----+----+------------------+----+--------+-------+--   --+----------+
//
// Integers are little-endian; the highest bit of a length says that the block is
// stored as it is. Java's client reads independent blocks only and needs HC.

const (
	lz4Magic = 0x184D2204

	// FLG.
	lz4Version         = 0x40
	lz4VersionMask     = 0xc0
	lz4Independent     = 0x20
	lz4BlockChecksum   = 0x10
	lz4ContentSize     = 0x08
	lz4ContentChecksum = 0x04
	lz4Reserved        = 0x02
	lz4Dictionary      = 0x01

	lz4Stored = 1 << 31 // in a block's length

	lz4WindowBytes = 64 << 10 // how far back a match may lie
	lz4RatioMax    = 255      // bytes that one byte of a block may become
)

var (
	errLZ4Short      = errors.New("the frame ends too early")
	errLZ4Magic      = errors.New("no LZ4 frame begins here")
	errLZ4Descriptor = errors.New("the frame descriptor is invalid")
	errLZ4Checksum   = errors.New("the frame descriptor's checksum is wrong")
	errLZ4Dictionary = errors.New("the frame needs a dictionary")
	errLZ4Block      = errors.New("a block is larger than the frame allows")
	errLZ4Size       = errors.New("the content isn't of the size that the frame states")
	errLZ4Trailing   = errors.New("there are bytes after the frame")
)

// lz4BlockBytes returns the size of blocks by the index in BD, 4 to 7.
func lz4BlockBytes(index int) int { return 1 << (8 + 2*index) }

var lz4Small, lz4Large, lz4HC sync.Pool // of *lz4.Compressor, *lz4.CompressorCCompat, *lz4.CompressorHC

// lz4Block compresses one block into dst and returns its size; 0 if it doesn't fit.
type lz4Block func(src, dst []byte) (int, error)

func compressLZ4(dst, src []byte, level int) []byte {
	switch {
	case level > 0:
		c := pooled[lz4.CompressorHC](&lz4HC)
		defer lz4HC.Put(c)
		c.Level = lz4.Level1 << (min(level, 9) - 1)
		return lz4Frame(dst, src, c.CompressBlock)
	case len(src) > lz4BlockBytes(4):
		// Half as fast again as the other with large blocks, for 5 % more bytes.
		c := pooled[lz4.CompressorCCompat](&lz4Large)
		defer lz4Large.Put(c)
		return lz4Frame(dst, src, c.CompressBlock)
	}
	c := pooled[lz4.Compressor](&lz4Small)
	defer lz4Small.Put(c)
	return lz4Frame(dst, src, c.CompressBlock)
}

// pooled returns a *T from a pool of those, or a new one.
func pooled[T any](p *sync.Pool) *T {
	if t, ok := p.Get().(*T); ok {
		return t
	}
	return new(T)
}

func lz4Frame(dst, src []byte, compress lz4Block) []byte {
	// Blocks of 64 KiB, or of 256 KiB if there is so much. Larger ones gain nothing, and
	// readers in other languages take buffers of that size.
	index := 4
	if len(src) > lz4BlockBytes(index) {
		index = 5
	}
	most := lz4BlockBytes(index)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, lz4Magic)
	descriptor := len(dst)
	dst = append(dst, lz4Version|lz4Independent|lz4ContentSize, byte(index<<4))
	dst = le.AppendUint64(dst, uint64(len(src)))
	dst = append(dst, lz4HeaderChecksum(dst[descriptor:]))
	for len(src) > 0 {
		block := src[:min(len(src), most)]
		src = src[len(block):]
		dst = slices.Grow(dst, 4+len(block))
		at := len(dst) + 4
		// A block that isn't smaller is stored: an error says no more than n == 0.
		n, _ := compress(block, dst[at:at+len(block)])
		if n == 0 || n >= len(block) {
			dst = le.AppendUint32(dst, uint32(len(block))|lz4Stored)
			dst = append(dst, block...)
			continue
		}
		dst = le.AppendUint32(dst, uint32(n))[:at+n]
	}
	return le.AppendUint32(dst, 0)
}

// lz4Header is what a frame says of itself.
type lz4Header struct {
	flags      byte
	blockBytes int    // a block's size at most
	size       uint64 // of the content, if flags has lz4ContentSize
}

func parseLZ4Header(src []byte) (h lz4Header, rest []byte, err error) {
	le := binary.LittleEndian
	if len(src) < 7 {
		return h, src, errLZ4Short
	}
	if le.Uint32(src) != lz4Magic {
		return h, src, errLZ4Magic
	}
	h.flags = src[4]
	bd := src[5]
	if h.flags&lz4VersionMask != lz4Version || h.flags&lz4Reserved != 0 || bd&0x8f != 0 || bd>>4 < 4 {
		return h, src, errLZ4Descriptor
	}
	if h.flags&lz4Dictionary != 0 {
		return h, src, errLZ4Dictionary
	}
	h.blockBytes = lz4BlockBytes(int(bd >> 4))
	end := 6
	if h.flags&lz4ContentSize != 0 {
		end += 8
		if len(src) <= end {
			return h, src, errLZ4Short
		}
		h.size = le.Uint64(src[6:])
	}
	if src[end] != lz4HeaderChecksum(src[4:end]) {
		return h, src, errLZ4Checksum
	}
	return h, src[end+1:], nil
}

// decompressLZ4 takes one frame. Checksums of blocks and content are passed over:
// the batch's CRC covers them.
func decompressLZ4(dst, src []byte, limit int) ([]byte, error) {
	h, src, err := parseLZ4Header(src)
	if err != nil {
		return dst, undecodable(LZ4, err)
	}
	if h.flags&lz4ContentSize != 0 {
		if h.size > uint64(limit) {
			return dst, &DecodedTooLargeError{Max: limit}
		}
		dst = reserve(dst, min(int(h.size), lz4RatioMax*len(src)), limit)
	}
	for {
		var block []byte
		var length uint32
		if block, length, src, err = h.block(src); err != nil {
			return dst, undecodable(LZ4, err)
		}
		if length == 0 {
			break
		}
		if dst, err = h.decode(dst, block, length, limit); err != nil {
			return dst, err
		}
	}
	if h.flags&lz4ContentChecksum != 0 {
		if len(src) < 4 {
			return dst, undecodable(LZ4, errLZ4Short)
		}
		src = src[4:]
	}
	switch {
	case h.flags&lz4ContentSize != 0 && h.size != uint64(len(dst)):
		return dst, undecodable(LZ4, errLZ4Size)
	case len(src) > 0:
		return dst, undecodable(LZ4, errLZ4Trailing)
	}
	return dst, nil
}

// block splits the next block off src. length is as it stands there, 0 at the end.
func (h *lz4Header) block(src []byte) (block []byte, length uint32, rest []byte, err error) {
	if len(src) < 4 {
		return nil, 0, nil, errLZ4Short
	}
	length, src = binary.LittleEndian.Uint32(src), src[4:]
	if length == 0 {
		return nil, 0, src, nil
	}
	n := int(length &^ lz4Stored)
	if n > h.blockBytes {
		return nil, 0, nil, errLZ4Block
	}
	end := n
	if h.flags&lz4BlockChecksum != 0 {
		end += 4
	}
	if end > len(src) {
		return nil, 0, nil, errLZ4Short
	}
	return src[:n], length, src[end:], nil
}

// decode appends what a block holds, so that dst gets to limit bytes at most.
func (h *lz4Header) decode(dst, block []byte, length uint32, limit int) ([]byte, error) {
	most := min(h.blockBytes, lz4RatioMax*len(block))
	if length&lz4Stored != 0 {
		most = len(block)
	}
	sized := h.flags&lz4ContentSize != 0
	end := limit
	if sized {
		end = int(h.size) // not over limit
	}
	room := min(most, end-len(dst))
	dst = reserve(dst, room, limit)
	err := error(lz4.ErrInvalidSourceShortBuffer)
	n := len(block)
	switch {
	case length&lz4Stored == 0:
		var dict []byte
		if h.flags&lz4Independent == 0 {
			dict = dst[max(0, len(dst)-lz4WindowBytes):]
		}
		n, err = lz4.UncompressBlockWithDict(block, dst[len(dst):len(dst)+room], dict)
	case n <= room:
		copy(dst[len(dst):len(dst)+n], block)
		err = nil
	}
	switch {
	case err == nil:
		return dst[:len(dst)+n], nil
	case room < most && !sized:
		return dst, &DecodedTooLargeError{Max: limit}
	}
	return dst, undecodable(LZ4, err)
}

// lz4HeaderChecksum returns the second byte of the descriptor's xxHash32 with seed
// 0. A descriptor is shorter than the 16 bytes from which that hash has lanes.
func lz4HeaderChecksum(b []byte) byte {
	const (
		prime1 = 2654435761
		prime2 = 2246822519
		prime3 = 3266489917
		prime4 = 668265263
		prime5 = 374761393
	)
	h := prime5 + uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(b)*prime3, 17) * prime4
	}
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*prime5, 11) * prime1
	}
	h = (h ^ h>>15) * prime2
	h = (h ^ h>>13) * prime3
	h ^= h >> 16
	return byte(h >> 8)
}
