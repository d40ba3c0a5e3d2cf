package statefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	// MaxImageBytes bounds the image: several times that of 200,000 partitions.
	MaxImageBytes = 256 << 20
	// MaxLocalBytes bounds what only this broker needs.
	MaxLocalBytes = 64 << 20

	version    = 1
	headerSize = 64
)

var (
	le         = binary.LittleEndian
	magic      = [4]byte{'L', 'Q', 'M', 'S'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// ErrDamaged: bytes that are no state file, or not as they were written.
var ErrDamaged = errors.New("the state file is damaged")

// NewerError is about a file that a later release has written.
type NewerError struct {
	Name    string
	Version uint16
}

// Error names the file and the remedy.
func (e *NewerError) Error() string {
	return fmt.Sprintf("%s has version %d, this release reads up to %d; run the release that wrote it, or a later one", e.Name, e.Version, version)
}

// Checksum is that of an image, also where it travels.
func Checksum(image []byte) uint32 { return crc32.Checksum(image, castagnoli) }

// State is what a log has been folded to.
type State struct {
	Index uint64 // every entry up to this one is in the image
	Next  int64  // offset of the first record that is not
	Local []byte // what only this broker needs; it does not travel
	Image []byte
}

// header describes a file.
type header struct {
	generation          uint64
	index               uint64
	next                int64
	localSize, imageSum uint32
	localSum            uint32
	imageSize           uint64
}

// appendTo appends the header:
//
//	magic | version u16 | header size u16 | generation, index, next, local size, image size u64 |
//	local CRC, image CRC, reserved, header CRC u32
func (h *header) appendTo(dst []byte) []byte {
	begin := len(dst)
	dst = append(dst, magic[:]...)
	dst = le.AppendUint16(dst, version)
	dst = le.AppendUint16(dst, headerSize)
	for _, v := range [...]uint64{h.generation, h.index, uint64(h.next), uint64(h.localSize), h.imageSize} {
		dst = le.AppendUint64(dst, v)
	}
	dst = le.AppendUint32(dst, h.localSum)
	dst = le.AppendUint32(dst, h.imageSum)
	dst = le.AppendUint32(dst, 0)
	return le.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// decodeHeader reads the first bytes of a file that has size bytes.
func decodeHeader(b []byte, size int64) (h header, err error) {
	if len(b) < headerSize || [4]byte(b[:4]) != magic {
		return h, damaged("it has no header")
	}
	if crc32.Checksum(b[:headerSize-4], castagnoli) != le.Uint32(b[headerSize-4:]) {
		return h, damaged("the checksum of its header doesn't match")
	}
	if v := le.Uint16(b[4:]); v > version {
		return h, &NewerError{Version: v}
	} else if v < 1 || le.Uint16(b[6:]) != headerSize || le.Uint32(b[56:]) != 0 {
		return h, damaged("version %d with a header of %d bytes", v, le.Uint16(b[6:]))
	}
	h = header{
		generation: le.Uint64(b[8:]), index: le.Uint64(b[16:]), next: int64(le.Uint64(b[24:])),
		imageSize: le.Uint64(b[40:]), localSum: le.Uint32(b[48:]), imageSum: le.Uint32(b[52:]),
	}
	local := le.Uint64(b[32:])
	if h.next < 0 || local > MaxLocalBytes || h.imageSize > MaxImageBytes || size != headerSize+int64(local+h.imageSize) {
		return h, damaged("it has %d bytes; its header says %d and %d behind it, record %d", size, local, h.imageSize, h.next)
	}
	h.localSize = uint32(local)
	return h, nil
}

// encode makes a file.
func encode(generation uint64, s *State) ([]byte, header, error) {
	if len(s.Image) > MaxImageBytes || len(s.Local) > MaxLocalBytes || s.Next < 0 {
		return nil, header{}, fmt.Errorf("a state of %d and %d bytes at record %d can't be written down: at most %d and %d fit",
			len(s.Image), len(s.Local), s.Next, MaxImageBytes, MaxLocalBytes)
	}
	h := header{
		generation: generation, index: s.Index, next: s.Next, localSize: uint32(len(s.Local)), imageSize: uint64(len(s.Image)),
		localSum: Checksum(s.Local), imageSum: Checksum(s.Image),
	}
	b := h.appendTo(make([]byte, 0, headerSize+len(s.Local)+len(s.Image)))
	return append(append(b, s.Local...), s.Image...), h, nil
}

// decode reads a whole file and checks all of it. The State aliases b.
func decode(b []byte) (h header, s State, err error) {
	if h, err = decodeHeader(b, int64(len(b))); err != nil {
		return h, s, err
	}
	local, image := b[headerSize:headerSize+h.localSize], b[headerSize+h.localSize:]
	if Checksum(local) != h.localSum || Checksum(image) != h.imageSum {
		return h, s, damaged("a checksum doesn't match")
	}
	return h, State{Index: h.index, Next: h.next, Local: local, Image: image}, nil
}
