package record

// Sizes and limits. All are in bytes unless their name says otherwise.
const (
	// HeaderSize is the size of a batch's header; the records follow it.
	HeaderSize = 61
	// MaxBatchBytes bounds one batch on the wire and on disk, header included.
	// Builders keep to it; who takes batches from outside compares len(batch).
	MaxBatchBytes = 1 << 20
	// MaxRecordBytes bounds one record before compression, its framing included. A
	// record that fits no batch as it is may still fit one of its own when it is
	// compressed.
	MaxRecordBytes = 8 << 20
	// DefaultDecodedMax bounds what the records of one compressed batch may
	// decompress to.
	DefaultDecodedMax = 64 << 20

	// minRecordBytes is the smallest record: length, attributes, timestamp delta,
	// offset delta, null key, null value and no headers, of one byte each.
	minRecordBytes = 7
	// minBodyBytes is the same without the length.
	minBodyBytes = minRecordBytes - 1
	// minHeaderBytes is the smallest header of a record: an empty key, a null value.
	minHeaderBytes = 2
	// headerTableBytes is what one header takes in memory: Header is two slices.
	headerTableBytes = 48

	// A batch of at least rawBytesMin that a codec shrinks by less than one part in
	// rawShare is stored as it is. Below that size neither bytes nor time matter, and
	// a batch shows the codec that was asked for.
	rawBytesMin = 1 << 10
	rawShare    = 64

	// decodedKeepMax and headersKeepMax bound the memory that a Decoder keeps for
	// its next batch, so that one large batch isn't paid for ever after.
	decodedKeepMax = MaxRecordBytes + MaxBatchBytes
	headersKeepMax = 4 << 10 // headers
	// builderBytesMin is the memory that a Builder begins with, builderKeepMax what it
	// keeps for its next batch at most: growing by doubling may overshoot.
	builderBytesMin = 4 << 10
	builderKeepMax  = 2 * MaxBatchBytes
)

// Relations that the code relies on.
const (
	_ = uint(DefaultDecodedMax - MaxRecordBytes)
	_ = uint(rawBytesMin - HeaderSize)
	_ = uint(MaxRecordBytes - MaxBatchBytes)
)
