package record

import (
	"errors"
	"fmt"
)

// ErrShort says that the bytes end before the batch does. Read more and try
// again; at the end of a file or message it means that the batch is cut off.
var ErrShort = errors.New("record batch ends too early")

// ErrFull says that the record doesn't fit the batch any more. Seal the batch,
// then append the record again: it is not in yet.
var ErrFull = errors.New("record batch is full, seal it first")

// ErrEmpty says that there is no record to seal.
var ErrEmpty = errors.New("record batch has no records, append one first")

// CorruptError says what is wrong with a batch. Its bytes will not get better:
// read them from another replica, or have the producer send them again.
type CorruptError struct {
	// What is wrong, as a short phrase.
	What string
	// BaseOffset is the one in the batch's header; it may be damaged as well.
	BaseOffset Offset
	// Record counts from 0 in the batch, -1 if no single record is at fault.
	Record int
	// Err is the cause, nil if there is none beneath.
	Err error
}

// Error names the batch, the record and the cause.
func (e *CorruptError) Error() string {
	s := fmt.Sprintf("corrupt record batch at base offset %d", e.BaseOffset)
	if e.Record >= 0 {
		s += fmt.Sprintf(", record %d", e.Record)
	}
	s += ": " + e.What
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// batchCorrupt returns the error of a batch, given at least its header.
func batchCorrupt(b Batch, what string) *CorruptError {
	return &CorruptError{What: what, BaseOffset: b.BaseOffset(), Record: -1}
}

// TooLargeError is a record that fits no batch, or a batch that is over
// MaxBatchBytes when it is compressed.
type TooLargeError struct {
	Size, Max int // bytes
}

// Error names both sizes.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("record of %d bytes is over the limit of %d; split it or raise the limit", e.Size, e.Max)
}

// DecodedTooLargeError is a batch that takes more memory to decode than the
// decoder may use. Decoding stopped there.
type DecodedTooLargeError struct {
	Max int // bytes, DecoderOptions.MaxBytes
}

// Error names the limit.
func (e *DecodedTooLargeError) Error() string {
	return fmt.Sprintf("record batch decompresses to more than %d bytes; if it is no attack, raise the decoder's limit", e.Max)
}

// UnsupportedCodecError is a compression that nobody has defined.
type UnsupportedCodecError struct {
	Codec Codec
}

// Error names the codec.
func (e *UnsupportedCodecError) Error() string {
	return fmt.Sprintf("record batch with unknown compression %d; use zstd, snappy, lz4, gzip or none", uint8(e.Codec))
}
