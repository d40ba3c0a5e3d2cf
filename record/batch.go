package record

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Offset is a record's position in its partition: 0, 1, 2, …
type Offset int64

// Where the header's fields lie, in bytes from the start of a batch. The CRC
// covers everything from the attributes to the end.
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

	lengthOverhead = 12 // the bytes before what the length field counts
	magic          = 2
)

// Bits of the attributes.
const (
	attrCodec         = 0x07
	attrAppendTime    = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is exactly one batch. Its methods read the header in place; a slice that
// didn't come from [Next] or [Builder.Seal] goes through Verify first, since the
// other methods need a whole header and panic without one.
type Batch []byte

// Next splits the first batch off buf. b is cut to its length and capacity and
// aliases buf, as does rest. Only the structure is checked: magic and length.
//
// ErrShort says that buf ends before the batch does, or is empty; the caller
// reads on or takes it as damage. A *CorruptError says that no batch begins here.
// In both cases rest is buf.
func Next(buf []byte) (b Batch, rest []byte, err error) {
	n, err := batchSize(buf)
	if err != nil {
		return nil, buf, err
	}
	if n > len(buf) {
		return nil, buf, ErrShort
	}
	return Batch(buf[:n:n]), buf[n:], nil
}

// batchSize returns the size of the batch that buf begins with, of which buf may
// be only a part.
func batchSize(buf []byte) (int, error) {
	if len(buf) < HeaderSize {
		return 0, ErrShort
	}
	if buf[posMagic] != magic {
		return 0, batchCorrupt(buf, "magic is not 2")
	}
	n := int64(int32(binary.BigEndian.Uint32(buf[posLength:]))) + lengthOverhead
	if n < HeaderSize || n > math.MaxInt32 {
		return 0, batchCorrupt(buf, "length is out of bounds")
	}
	return int(n), nil
}

// BaseOffset returns the offset of the first record. It is 0 until a leader
// assigns one.
func (b Batch) BaseOffset() Offset { return Offset(binary.BigEndian.Uint64(b[posBaseOffset:])) }

// LastOffset returns the offset of the last record.
func (b Batch) LastOffset() Offset { return b.BaseOffset() + Offset(b.lastDelta()) }

// lastDelta returns the last record's offset less the first's.
func (b Batch) lastDelta() int32 { return int32(binary.BigEndian.Uint32(b[posLastDelta:])) }

// LeaderEpoch returns the term of the leader that appended the batch, -1 before.
func (b Batch) LeaderEpoch() int32 { return int32(binary.BigEndian.Uint32(b[posLeaderEpoch:])) }

// Count returns the number of records. It is negative in a damaged batch only;
// that so many records are there is known when they have been decoded.
func (b Batch) Count() int { return int(int32(binary.BigEndian.Uint32(b[posCount:]))) }

// Attributes returns the attribute bits: codec 0x07, append time 0x08,
// transactional 0x10, control 0x20, delete horizon 0x40. Others have no meaning
// yet and are kept as they are.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[posAttributes:])) }

// Codec returns the compression of the records. Verify refuses the values over
// Zstd, which nobody has defined.
func (b Batch) Codec() Codec { return Codec(b[posAttributes+1] & attrCodec) }

// AppendTime says whether the timestamps are the time of the append, equal for
// all records, rather than the producer's.
func (b Batch) AppendTime() bool { return b[posAttributes+1]&attrAppendTime != 0 }

// Transactional says whether the batch belongs to a transaction.
func (b Batch) Transactional() bool { return b[posAttributes+1]&attrTransactional != 0 }

// Control says whether the records are a broker's marks, which applications never
// see, such as the end of a transaction.
func (b Batch) Control() bool { return b[posAttributes+1]&attrControl != 0 }

// BaseTimestamp returns what the records' timestamps count from, in ms since the
// epoch: the first record's timestamp in a batch as its producer made it.
func (b Batch) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[posBaseTimestamp:])) }

// MaxTimestamp returns the highest timestamp in ms since the epoch; with
// AppendTime it is the timestamp of every record.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[posMaxTimestamp:])) }

// ProducerID returns the producer's id, -1 for none.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[posProducerID:])) }

// ProducerEpoch returns the producer's epoch, -1 for none.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[posProducerEpoch:])) }

// BaseSequence returns the first record's sequence, -1 for none.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[posBaseSequence:])) }

// CRC returns the CRC-32C that the header states.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[posCRC:]) }

// Records returns the records' bytes, compressed as Codec says. It aliases b.
func (b Batch) Records() []byte { return b[HeaderSize:] }

// Assign sets base offset and leader epoch in place. Both lie outside the CRC, so
// that a leader places a batch in its partition without touching anything else.
func (b Batch) Assign(base Offset, leaderEpoch int32) {
	binary.BigEndian.PutUint64(b[posBaseOffset:], uint64(base))
	binary.BigEndian.PutUint32(b[posLeaderEpoch:], uint32(leaderEpoch))
}

// Verify checks that b is one whole batch: magic, length, record count, last
// offset delta, codec and the CRC. It reads every byte once (the CRC) and
// allocates nothing. What it can't see without decompressing is whether the
// records are well formed and as many as the header claims; [Decoder.Check] does.
// It doesn't compare the size with MaxBatchBytes.
//
// Errors: ErrShort, *CorruptError, *UnsupportedCodecError.
func (b Batch) Verify() error {
	n, err := batchSize(b)
	if err != nil {
		return err
	}
	if n > len(b) {
		return ErrShort
	}
	if n < len(b) {
		return batchCorrupt(b, "bytes after the batch")
	}
	if b.Codec() > Zstd {
		return &UnsupportedCodecError{Codec: b.Codec()}
	}
	room := len(b) - HeaderSize
	if b.Codec() != None {
		room = DefaultDecodedMax
	}
	switch count := b.Count(); {
	case count <= 0:
		return batchCorrupt(b, "record count is not positive")
	case count > room/minRecordBytes:
		return batchCorrupt(b, "more records than bytes can hold")
	case b.lastDelta() != int32(count-1):
		return batchCorrupt(b, "last offset delta is not count-1")
	case b.BaseOffset() < 0 || b.BaseOffset() > math.MaxInt64-Offset(count):
		return batchCorrupt(b, "base offset is out of bounds")
	}
	if crc32.Checksum(b[posAttributes:], castagnoli) != b.CRC() {
		return batchCorrupt(b, "CRC mismatch")
	}
	return nil
}
