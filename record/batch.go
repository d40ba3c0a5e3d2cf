package record

import (
	"encoding/binary"
	"hash/crc32"
)

// Offset is a record's position in its partition: 0, 1, 2, …
type Offset int64

// Sizes and limits, in bytes.
const (
	// HeaderSize is a batch's header; the records follow it.
	HeaderSize = 61
	// MaxBatchBytes bounds one batch on the wire and on disk, header included.
	MaxBatchBytes = 1 << 20
	// MaxRecordBytes bounds one record before compression. A record that fits no
	// batch as it is may still fit one of its own when it is compressed.
	MaxRecordBytes = 8 << 20
	// DefaultDecodedMax bounds what one compressed batch may decompress to.
	DefaultDecodedMax = 64 << 20
)

// Field positions.
const (
	posBaseOffset    = 0
	posLength        = 8
	posLeaderEpoch   = 12
	posMagic         = 16
	posCRC           = 17
	posAttributes    = 21
	posLastDelta     = 23
	posBaseTimestamp = 27
	posMaxTimestamp  = 35
	posProducerID    = 43
	posProducerEpoch = 51
	posBaseSequence  = 53
	posCount         = 57

	lengthOverhead = 12 // what the length field doesn't count
	magic          = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is exactly one batch; methods read its header in place.
type Batch []byte

// Next splits the first batch off buf; it checks the structure only.
func Next(buf []byte) (b Batch, rest []byte, err error) {
	if len(buf) < HeaderSize {
		return nil, buf, ErrShort
	}
	if buf[posMagic] != magic {
		return nil, buf, &CorruptError{What: "magic is not 2"}
	}
	n := int(int32(binary.BigEndian.Uint32(buf[posLength:]))) + lengthOverhead
	if n < HeaderSize {
		return nil, buf, &CorruptError{What: "length is less than the header's"}
	}
	if n > len(buf) {
		return nil, buf, ErrShort
	}
	return Batch(buf[:n:n]), buf[n:], nil
}

// BaseOffset returns the offset of the first record.
func (b Batch) BaseOffset() Offset { return Offset(binary.BigEndian.Uint64(b[posBaseOffset:])) }

// LastOffset returns the offset of the last record.
func (b Batch) LastOffset() Offset { return b.BaseOffset() + Offset(b.Count()) - 1 }

// LeaderEpoch returns the term of the leader that appended the batch, -1 before.
func (b Batch) LeaderEpoch() int32 { return int32(binary.BigEndian.Uint32(b[posLeaderEpoch:])) }

// Count returns the number of records.
func (b Batch) Count() int { return int(int32(binary.BigEndian.Uint32(b[posCount:]))) }

// Attributes returns the attribute bits.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[posAttributes:])) }

// Codec returns the compression of the records.
func (b Batch) Codec() Codec { return Codec(b.Attributes() & 7) }

// BaseTimestamp returns the first record's timestamp in ms since the epoch.
func (b Batch) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[posBaseTimestamp:])) }

// MaxTimestamp returns the highest timestamp in ms since the epoch.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[posMaxTimestamp:])) }

// ProducerID returns the producer's id, -1 for none.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[posProducerID:])) }

// ProducerEpoch returns the producer's epoch, -1 for none.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[posProducerEpoch:])) }

// BaseSequence returns the first record's sequence, -1 for none.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[posBaseSequence:])) }

// Records returns the records' bytes, compressed as Codec says.
func (b Batch) Records() []byte { return b[HeaderSize:] }

// Assign sets base offset and leader epoch in place; both lie outside the CRC.
func (b Batch) Assign(base Offset, leaderEpoch int32) {
	binary.BigEndian.PutUint64(b[posBaseOffset:], uint64(base))
	binary.BigEndian.PutUint32(b[posLeaderEpoch:], uint32(leaderEpoch))
}

// Verify checks magic, length, counts and the CRC. It doesn't look at the
// records; Decoder.Check does.
func (b Batch) Verify() error {
	one, rest, err := Next(b)
	switch {
	case err != nil:
		return err
	case len(rest) != 0:
		return &CorruptError{What: "bytes after the batch"}
	}
	n := one.Count()
	// A record takes 7 bytes at least.
	switch {
	case n <= 0:
		return &CorruptError{What: "record count is not positive"}
	case int32(binary.BigEndian.Uint32(b[posLastDelta:])) != int32(n-1):
		return &CorruptError{What: "last offset delta is not count-1"}
	case one.Codec() == None && n > len(one.Records())/7:
		return &CorruptError{What: "more records than bytes can hold"}
	case one.Codec() > Zstd:
		return &UnsupportedCodecError{Codec: one.Codec()}
	}
	if got, want := crc32.Checksum(b[posAttributes:], castagnoli), binary.BigEndian.Uint32(b[posCRC:]); got != want {
		return &CorruptError{What: "CRC mismatch"}
	}
	return nil
}
