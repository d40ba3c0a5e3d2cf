package record

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// Header is one header of a record.
type Header struct{ Key, Value []byte }

// Record is one record. A nil Key or Value is null.
type Record struct {
	Offset     Offset
	Timestamp  int64 // ms since the epoch
	Key, Value []byte
	Headers    []Header
}

// BuilderOptions configure a Builder.
type BuilderOptions struct {
	Codec Codec
	Level int // of zstd and gzip; 0: the codec's default
	// MaxBytes bounds the uncompressed batch; default MaxBatchBytes less a reserve
	// for data that grows when compressed.
	MaxBytes      int
	ProducerID    int64 // -1: none; so the next two
	ProducerEpoch int16
	BaseSequence  int32
}

// compressReserve is what incompressible data may grow by.
const compressReserve = 8 << 10

// Builder gathers records into a batch.
type Builder struct {
	o       BuilderOptions
	buf     []byte
	count   int
	base    int64
	highest int64
}

// NewBuilder returns an empty builder.
func NewBuilder(o BuilderOptions) *Builder {
	if o.MaxBytes <= 0 {
		o.MaxBytes = MaxBatchBytes - compressReserve
	}
	b := &Builder{o: o, buf: make([]byte, HeaderSize, 4096)}
	return b
}

// Count returns the number of records so far.
func (b *Builder) Count() int { return b.count }

// Size returns the uncompressed bytes so far, header included.
func (b *Builder) Size() int { return len(b.buf) }

// Reset drops the records.
func (b *Builder) Reset() { b.buf, b.count = b.buf[:HeaderSize], 0 }

// SetSequence sets producer id, epoch and first sequence of the next batch.
func (b *Builder) SetSequence(pid int64, epoch int16, seq int32) {
	b.o.ProducerID, b.o.ProducerEpoch, b.o.BaseSequence = pid, epoch, seq
}

func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }
func varintLen(v int64) int { return (bits.Len64(zigzag(v)|1) + 6) / 7 }
func bytesLen(p []byte) int {
	if p == nil {
		return 1
	}
	return varintLen(int64(len(p))) + len(p)
}

func appendBytes(dst, p []byte) []byte {
	if p == nil {
		return append(dst, 1) // zigzag(-1)
	}
	return append(binary.AppendVarint(dst, int64(len(p))), p...)
}

// Append adds r; its Offset is ignored. ErrFull: seal, then append again. A record
// over MaxBytes gets a batch of its own if there is a codec; over MaxRecordBytes
// it is a *TooLargeError.
func (b *Builder) Append(r Record) error {
	base := b.base
	if b.count == 0 {
		base = r.Timestamp
	}
	n := 1 + varintLen(r.Timestamp-base) + varintLen(int64(b.count)) + bytesLen(r.Key) + bytesLen(r.Value) + varintLen(int64(len(r.Headers)))
	for i := range r.Headers {
		n += varintLen(int64(len(r.Headers[i].Key))) + len(r.Headers[i].Key) + bytesLen(r.Headers[i].Value)
	}
	total := varintLen(int64(n)) + n
	if len(b.buf)+total > b.o.MaxBytes {
		most := b.o.MaxBytes - HeaderSize
		if b.o.Codec != None {
			most = max(most, MaxRecordBytes) // Seal decides, by the compressed size
		}
		switch {
		case b.count > 0:
			return ErrFull
		case total > most:
			return &TooLargeError{Size: total, Max: most}
		}
	}
	if b.count == 0 {
		b.base, b.highest = base, base
	}
	b.highest = max(b.highest, r.Timestamp)
	dst := binary.AppendVarint(b.buf, int64(n))
	dst = append(dst, 0)
	dst = binary.AppendVarint(dst, r.Timestamp-base)
	dst = binary.AppendVarint(dst, int64(b.count))
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(len(r.Headers)))
	for i := range r.Headers {
		k := r.Headers[i].Key
		dst = append(binary.AppendVarint(dst, int64(len(k))), k...)
		dst = appendBytes(dst, r.Headers[i].Value)
	}
	b.buf = dst
	b.count++
	return nil
}

// Seal appends the batch to dst and resets the builder. A batch that is still
// over MaxBatchBytes when compressed is a *TooLargeError, and its records are
// dropped.
func (b *Builder) Seal(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, b.buf[:HeaderSize]...)
	var err error
	if dst, err = compress(dst, b.buf[HeaderSize:], b.o.Codec, b.o.Level); err != nil {
		return dst[:start], err
	}
	h := dst[start:]
	if len(h) > MaxBatchBytes {
		b.Reset()
		return dst[:start], &TooLargeError{Size: len(h), Max: MaxBatchBytes}
	}
	binary.BigEndian.PutUint64(h[posBaseOffset:], 0)
	binary.BigEndian.PutUint32(h[posLength:], uint32(len(h)-lengthOverhead))
	binary.BigEndian.PutUint32(h[posLeaderEpoch:], 0xffffffff)
	h[posMagic] = magic
	binary.BigEndian.PutUint16(h[posAttributes:], uint16(b.o.Codec))
	binary.BigEndian.PutUint32(h[posLastDelta:], uint32(b.count-1))
	binary.BigEndian.PutUint64(h[posBaseTimestamp:], uint64(b.base))
	binary.BigEndian.PutUint64(h[posMaxTimestamp:], uint64(b.highest))
	binary.BigEndian.PutUint64(h[posProducerID:], uint64(b.o.ProducerID))
	binary.BigEndian.PutUint16(h[posProducerEpoch:], uint16(b.o.ProducerEpoch))
	binary.BigEndian.PutUint32(h[posBaseSequence:], uint32(b.o.BaseSequence))
	binary.BigEndian.PutUint32(h[posCount:], uint32(b.count))
	binary.BigEndian.PutUint32(h[posCRC:], crc32.Checksum(h[posAttributes:], castagnoli))
	b.Reset()
	return dst, nil
}
