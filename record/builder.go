package record

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"
)

// BuilderOptions configure a Builder.
type BuilderOptions struct {
	// Codec compresses the records; None by default.
	Codec Codec
	// Level is the codec's own: zstd 1 to 22, gzip 1 to 9, lz4 1 to 9 (0 is faster
	// than 1). 0 is a good one for logs; what lies outside is moved to the nearest.
	// Snappy has no levels.
	Level int
	// MaxBytes bounds the uncompressed batch, header included, and by that the sealed
	// one: records that don't compress are stored as they are. Default and most is
	// MaxBatchBytes.
	MaxBytes int
	// ProducerID, ProducerEpoch and BaseSequence are -1 for none. SetSequence changes
	// them.
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
}

// Builder gathers records into a batch. Its memory is used again for the next
// one. It is not safe for concurrent use.
type Builder struct {
	o   BuilderOptions
	buf []byte // place of the header, then the records; never shorter than HeaderSize

	count   int
	baseTS  int64 // of the first record
	highest int64 // of all timestamps
}

// NewBuilder returns an empty builder.
func NewBuilder(o BuilderOptions) *Builder {
	if o.MaxBytes <= 0 || o.MaxBytes > MaxBatchBytes {
		o.MaxBytes = MaxBatchBytes
	}
	return &Builder{o: o, buf: make([]byte, HeaderSize, builderBytesMin)}
}

// Count returns the number of records so far.
func (b *Builder) Count() int { return b.count }

// Size returns the bytes of the uncompressed batch so far, header included.
func (b *Builder) Size() int { return len(b.buf) }

// Reset drops the records.
func (b *Builder) Reset() {
	if cap(b.buf) > builderKeepMax {
		b.buf = make([]byte, HeaderSize, builderBytesMin)
	}
	b.buf, b.count = b.buf[:HeaderSize], 0
}

// SetSequence sets producer id, epoch and first sequence of the batch that is
// sealed next.
func (b *Builder) SetSequence(pid int64, epoch int16, seq int32) {
	b.o.ProducerID, b.o.ProducerEpoch, b.o.BaseSequence = pid, epoch, seq
}

// Append copies r into the batch; r.Offset is ignored.
//
// ErrFull says that r doesn't fit beside the records that are in: Seal, then append
// it again. A record that is over MaxBytes has a batch of its own if there is a
// codec, since it may fit when it is compressed: Seal tells. A *TooLargeError says
// that it doesn't fit an empty batch either, so never. After an error the batch is
// as it was.
func (b *Builder) Append(r Record) error {
	base := b.baseTS
	if b.count == 0 {
		base = r.Timestamp
	}
	// Differences wrap around, here and in the decoder: every timestamp comes back.
	delta := r.Timestamp - base
	body := 1 + varintLen(delta) + varintLen(int64(b.count)) + bytesLen(r.Key) + bytesLen(r.Value) + varintLen(int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		body += varintLen(int64(len(h.Key))) + len(h.Key) + bytesLen(h.Value)
	}
	total := varintLen(int64(body)) + body
	if len(b.buf)+total > b.o.MaxBytes {
		if err := b.overflow(total); err != nil {
			return err
		}
	}
	if b.count == 0 {
		b.baseTS, b.highest = base, base
	}
	b.highest = max(b.highest, r.Timestamp)

	i := len(b.buf)
	if cap(b.buf)-i < total {
		b.buf = slices.Grow(b.buf, total)
	}
	b.buf = b.buf[:i+total]
	dst := b.buf
	i = putVarint(dst, i, int64(body))
	dst[i] = 0 // attributes, which have no bit yet
	i = putVarint(dst, i+1, delta)
	i = putVarint(dst, i, int64(b.count))
	i = putBytes(dst, i, r.Key)
	i = putBytes(dst, i, r.Value)
	i = putVarint(dst, i, int64(len(r.Headers)))
	for k := range r.Headers {
		h := &r.Headers[k]
		i = putVarint(dst, i, int64(len(h.Key)))
		i += copy(dst[i:], h.Key)
		i = putBytes(dst, i, h.Value)
	}
	b.count++
	return nil
}

// overflow says why a record of total bytes can't be appended, if it can't.
func (b *Builder) overflow(total int) error {
	most := b.o.MaxBytes - HeaderSize
	if b.o.Codec != None {
		most = max(most, MaxRecordBytes)
	}
	switch {
	case b.count > 0:
		return ErrFull
	case total > most:
		return &TooLargeError{Size: total, Max: most}
	}
	return nil // alone; Seal decides by the compressed size
}

func bytesLen(p []byte) int {
	if p == nil {
		return 1
	}
	return varintLen(int64(len(p))) + len(p)
}

func putBytes(dst []byte, i int, p []byte) int {
	if p == nil {
		dst[i] = 1 // length -1
		return i + 1
	}
	i = putVarint(dst, i, int64(len(p)))
	return i + copy(dst[i:], p)
}

// Seal appends the batch to dst, compressed and with its CRC, and empties the
// builder. Base offset and leader epoch are 0 and -1 until a leader assigns them.
// Records that the codec hardly shrinks are stored as they are, with codec None:
// decompressing them would cost every consumer more than the bytes do.
//
// Errors: ErrEmpty without records; *TooLargeError if a record that went alone
// stays over MaxBatchBytes; *UnsupportedCodecError. The records are gone then, and
// dst is returned as it was.
func (b *Builder) Seal(dst []byte) ([]byte, error) {
	if b.count == 0 {
		return dst, ErrEmpty
	}
	defer b.Reset()
	start := len(dst)
	codec := b.o.Codec
	if codec != None {
		dst = append(dst, b.buf[:HeaderSize]...)
		out, err := compress(dst, b.buf[HeaderSize:], codec, b.o.Level)
		if err != nil {
			return dst[:start], err
		}
		dst = out
		sealed, raw := len(dst)-start, len(b.buf)
		useless := raw >= rawBytesMin && sealed > raw-raw/rawShare || sealed > max(raw, b.o.MaxBytes)
		if useless && raw <= MaxBatchBytes {
			dst, codec = dst[:start], None
		}
	}
	if codec == None {
		dst = append(dst, b.buf...)
	}
	if n := len(dst) - start; n > MaxBatchBytes { // a record that went alone
		return dst[:start], &TooLargeError{Size: n, Max: MaxBatchBytes}
	}
	b.putHeader(dst[start:], codec)
	return dst, nil
}

func (b *Builder) putHeader(h []byte, codec Codec) {
	be := binary.BigEndian
	be.PutUint64(h[posBaseOffset:], 0)
	be.PutUint32(h[posLength:], uint32(len(h)-lengthOverhead))
	be.PutUint32(h[posLeaderEpoch:], math.MaxUint32) // -1
	h[posMagic] = magic
	be.PutUint16(h[posAttributes:], uint16(codec))
	be.PutUint32(h[posLastDelta:], uint32(b.count-1))
	be.PutUint64(h[posBaseTimestamp:], uint64(b.baseTS))
	be.PutUint64(h[posMaxTimestamp:], uint64(b.highest))
	be.PutUint64(h[posProducerID:], uint64(b.o.ProducerID))
	be.PutUint16(h[posProducerEpoch:], uint16(b.o.ProducerEpoch))
	be.PutUint32(h[posBaseSequence:], uint32(b.o.BaseSequence))
	be.PutUint32(h[posCount:], uint32(b.count))
	be.PutUint32(h[posCRC:], crc32.Checksum(h[posAttributes:], castagnoli))
}
