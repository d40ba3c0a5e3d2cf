package segments

import (
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/logq/logq/record"
)

// Field positions in a file's header block; docs/internals/format.md has the table.
const (
	posFileMagic    = 0
	posFileVersion  = 8
	posHeaderSize   = 12
	posTopic        = 16
	posPartition    = 32
	posFileFlags    = 36
	posSegmentID    = 40
	posBaseIndex    = 48
	posFileOffset   = 56
	posBasePrevTerm = 64
	posCreated      = 72
	posConfigIndex  = 80
	posConfigLen    = 88
	posFileReserved = 92 // or the configuration
	posHeaderCRC    = 4092

	fileMagic   = "logq-seg"
	fileVersion = 2

	fileFlagConfig = 1 << 0
	fileFlagStart  = 1 << 1
)

// FileHeader is the decoded header block of a segment file.
type FileHeader struct {
	Version      uint32
	Identity     Identity
	ID           ID
	BaseIndex    Index
	BaseOffset   record.Offset
	BasePrevTerm Term
	Created      int64 // milliseconds since the epoch, 0 if unknown
	// Config was in force at the base; without payload if none was that is known.
	Config ConfigAt
	// Start says that the log begins here, by a Reset or a TrimFront: files with lower
	// IDs are not part of it any more.
	Start bool
}

func (h *FileHeader) encode() []byte {
	b := make([]byte, FileHeaderSize)
	copy(b[posFileMagic:], fileMagic)
	le.PutUint32(b[posFileVersion:], fileVersion)
	le.PutUint32(b[posHeaderSize:], FileHeaderSize)
	copy(b[posTopic:], h.Identity.Topic[:])
	le.PutUint32(b[posPartition:], h.Identity.Partition)
	le.PutUint64(b[posSegmentID:], uint64(h.ID))
	le.PutUint64(b[posBaseIndex:], uint64(h.BaseIndex))
	le.PutUint64(b[posFileOffset:], uint64(h.BaseOffset))
	le.PutUint64(b[posBasePrevTerm:], uint64(h.BasePrevTerm))
	le.PutUint64(b[posCreated:], uint64(h.Created))
	flags := uint32(0)
	if h.Start {
		flags |= fileFlagStart
	}
	if len(h.Config.Payload) > 0 {
		flags |= fileFlagConfig
		le.PutUint64(b[posConfigIndex:], uint64(h.Config.Index))
		le.PutUint32(b[posConfigLen:], uint32(len(h.Config.Payload)))
		copy(b[posFileReserved:posHeaderCRC], h.Config.Payload)
	}
	le.PutUint32(b[posFileFlags:], flags)
	le.PutUint32(b[posHeaderCRC:], crc32.Checksum(b[:posHeaderCRC], castagnoli))
	return b
}

// headerFault is why a header block can't be used, as a *CorruptionError's cause.
type headerFault string

func (f headerFault) Error() string { return "header block: " + string(f) }

// decodeHeader reads a header block. A block that is not what was written gives
// a headerFault, a newer version a *VersionError without path.
func decodeHeader(b []byte) (h FileHeader, err error) {
	switch {
	case len(b) < FileHeaderSize:
		return h, headerFault("shorter than 4096 bytes")
	case string(b[:len(fileMagic)]) != fileMagic:
		return h, headerFault("no segment magic")
	case crc32.Checksum(b[:posHeaderCRC], castagnoli) != le.Uint32(b[posHeaderCRC:]):
		return h, headerFault("checksum mismatch")
	}
	h.Version = le.Uint32(b[posFileVersion:])
	if h.Version != fileVersion {
		return h, &VersionError{Version: h.Version, Know: fileVersion}
	}
	copy(h.Identity.Topic[:], b[posTopic:])
	h.Identity.Partition = le.Uint32(b[posPartition:])
	h.ID = ID(le.Uint64(b[posSegmentID:]))
	h.BaseIndex = Index(le.Uint64(b[posBaseIndex:]))
	h.BaseOffset = record.Offset(le.Uint64(b[posFileOffset:]))
	h.BasePrevTerm = Term(le.Uint64(b[posBasePrevTerm:]))
	h.Created = int64(le.Uint64(b[posCreated:]))
	flags := le.Uint32(b[posFileFlags:])
	h.Start = flags&fileFlagStart != 0
	n := le.Uint32(b[posConfigLen:])
	if flags&fileFlagConfig != 0 && n > 0 && n <= MaxConfigBytes {
		h.Config = ConfigAt{Index(le.Uint64(b[posConfigIndex:])), append([]byte(nil), b[posFileReserved:posFileReserved+n]...)}
	}
	switch {
	case le.Uint32(b[posHeaderSize:]) != FileHeaderSize:
		return h, headerFault("unexpected header size")
	case flags&^(fileFlagConfig|fileFlagStart) != 0:
		return h, headerFault("unknown flags")
	case (flags&fileFlagConfig != 0) != (len(h.Config.Payload) > 0) || h.Config.Index >= max(1, h.BaseIndex):
		return h, headerFault("configuration out of range")
	case h.BaseIndex == 0 || h.BaseOffset < 0:
		return h, headerFault("base index or offset out of range")
	}
	return h, nil
}

const (
	fileSuffix = ".seg"
	// startSuffix is behind the name of a file that begins the log anew, until it is
	// whole.
	startSuffix = ".start"
)

func fileName(base Index, id ID) string { return fmt.Sprintf("%020d-%s%s", base, id, fileSuffix) }

// parseName reads a file name; ok is false for names that are no segment's.
func parseName(name string) (base Index, id ID, ok bool) {
	stem, found := strings.CutSuffix(name, fileSuffix)
	if !found || len(stem) != 20+1+16 || stem[20] != '-' {
		return 0, 0, false
	}
	b, err1 := strconv.ParseUint(stem[:20], 10, 64)
	i, err2 := strconv.ParseUint(stem[21:], 16, 64)
	if err1 != nil || err2 != nil || fileName(Index(b), ID(i)) != name {
		return 0, 0, false
	}
	return Index(b), ID(i), true
}
