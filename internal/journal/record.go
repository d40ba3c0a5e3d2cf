package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// The form of a record, little-endian. One record is what one Save wrote, and
// the content of one entry of the library's log.
//
//	offset  size  field
//	0       4     magic "LQJr"
//	4       1     version, 1
//	5       1     kind: 1 changes, 2 checkpoint (all live state)
//	6       2     0
//	8       8     generation: the number of the Save
//	16      8     owner: the broker's id
//	24      4     body length
//	28      4     number of entries
//	32      n     body: the entries
//	32+n    4     CRC-32C of all before
//	36+n    4     end mark "END!"
//
// An entry: group (20), kind (1), flags (1; 1 = deleted), value length (4), value.
const (
	recordMagic   = "LQJr"
	recordEnd     = "END!"
	recordVersion = 1

	recordHeaderSize  = 32
	recordTrailerSize = 8
	recordMinSize     = recordHeaderSize + recordTrailerSize

	// entryOverhead is what an entry costs beside its value.
	entryOverhead = 20 + 1 + 1 + 4

	flagDeleted = 1
)

// The sizes below must fit the fields of a record.
const _ = uint32(MaxStateBytes + recordMinSize)

type recordKind uint8

const (
	kindChanges    recordKind = 1
	kindCheckpoint recordKind = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is a decoded record. Its entries alias the bytes it was decoded from.
type record struct {
	kind       recordKind
	generation uint64
	owner      uint64
	entries    []Entry
	raw        []byte // the whole record
}

// appendRecord appends an encoded record to dst.
func appendRecord(dst []byte, kind recordKind, generation, owner uint64, entries []Entry) []byte {
	body := 0
	for i := range entries {
		body += entryOverhead + len(entries[i].Value)
	}
	start := len(dst)
	dst = append(dst, recordMagic...)
	dst = append(dst, recordVersion, byte(kind), 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, generation)
	dst = binary.LittleEndian.AppendUint64(dst, owner)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(body))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(entries)))
	for i := range entries {
		e := &entries[i]
		flags := byte(0)
		if e.Value == nil {
			flags = flagDeleted
		}
		dst = append(dst, e.Key.Group[:]...)
		dst = append(dst, e.Key.Kind, flags)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(e.Value)))
		dst = append(dst, e.Value...)
	}
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	return append(dst, recordEnd...)
}

// decodeRecord reads the record at the front of src. Nothing of it is trusted,
// and nothing allocated, before the checksum holds.
func decodeRecord(src []byte) (record, error) {
	if len(src) < recordMinSize {
		return record{}, fmt.Errorf("%d bytes, a record has at least %d", len(src), recordMinSize)
	}
	if string(src[:4]) != recordMagic {
		return record{}, fmt.Errorf("no record begins here")
	}
	body := binary.LittleEndian.Uint32(src[24:])
	if uint64(body)+recordMinSize > uint64(len(src)) {
		return record{}, fmt.Errorf("record of %d bytes is cut short", uint64(body)+recordMinSize)
	}
	end := recordHeaderSize + int(body)
	if sum := crc32.Checksum(src[:end], castagnoli); sum != binary.LittleEndian.Uint32(src[end:]) {
		return record{}, fmt.Errorf("checksum does not match")
	}
	if string(src[end+4:end+8]) != recordEnd {
		return record{}, fmt.Errorf("end mark is damaged")
	}
	if v := src[4]; v != recordVersion {
		return record{}, &VersionError{Version: v}
	}
	r := record{
		kind: recordKind(src[5]), generation: binary.LittleEndian.Uint64(src[8:]), owner: binary.LittleEndian.Uint64(src[16:]),
		raw: src[: end+recordTrailerSize : end+recordTrailerSize],
	}
	if r.kind != kindChanges && r.kind != kindCheckpoint || src[6] != 0 || src[7] != 0 || r.generation == 0 {
		return record{}, fmt.Errorf("fields of the header are out of bounds")
	}
	var err error
	r.entries, err = decodeEntries(src[recordHeaderSize:end], binary.LittleEndian.Uint32(src[28:]))
	return r, err
}

func decodeEntries(src []byte, count uint32) ([]Entry, error) {
	if uint64(count)*entryOverhead > uint64(len(src)) {
		return nil, fmt.Errorf("%d entries do not fit", count)
	}
	entries := make([]Entry, count)
	for i := range entries {
		if len(src) < entryOverhead {
			return nil, fmt.Errorf("entry %d is cut short", i)
		}
		e := &entries[i]
		copy(e.Key.Group[:], src)
		e.Key.Kind = src[20]
		flags, size := src[21], binary.LittleEndian.Uint32(src[22:])
		src = src[entryOverhead:]
		if flags&^flagDeleted != 0 || flags == flagDeleted && size != 0 || uint64(size) > uint64(len(src)) || size > MaxValueBytes {
			return nil, fmt.Errorf("entry %d is out of bounds", i)
		}
		if flags == 0 {
			e.Value = src[:size:size]
		}
		src = src[size:]
	}
	if len(src) != 0 {
		return nil, fmt.Errorf("%d bytes after the last entry", len(src))
	}
	return entries, nil
}

// framedSize returns how many bytes the library's log takes for an entry of n
// bytes: its length as a uvarint, then the entry.
func framedSize(n int) int {
	var buf [binary.MaxVarintLen64]byte
	return binary.PutUvarint(buf[:], uint64(n)) + n
}

// decodeFramed reads the library's entry at the front of src, which must hold
// exactly one record, and returns how many bytes it takes. The library itself
// would take a zero byte for an entry of no bytes.
func decodeFramed(src []byte) (record, int, error) {
	size, n := binary.Uvarint(src)
	if n <= 0 || size < recordMinSize || size > uint64(len(src)-n) || n+int(size) != framedSize(int(size)) {
		return record{}, 0, fmt.Errorf("no whole record begins here")
	}
	r, err := decodeRecord(src[n : n+int(size)])
	if err != nil {
		return record{}, 0, err
	}
	if len(r.raw) != int(size) {
		return record{}, 0, fmt.Errorf("record of %d bytes in a frame of %d", len(r.raw), size)
	}
	return r, n + int(size), nil
}

// nextRecord finds the first whole record after the front of src, framed or
// not: what follows damage.
func nextRecord(src []byte) (r record, at int, ok bool) {
	for from := 1; ; from++ {
		i := bytes.Index(src[min(from, len(src)):], []byte(recordMagic))
		if i < 0 {
			return record{}, 0, false
		}
		from += i
		if r, err := decodeRecord(src[from:]); err == nil {
			return r, from, true
		}
	}
}
