package record

import (
	"errors"
	"fmt"
)

// ErrShort: the bytes end inside the batch.
var ErrShort = errors.New("record batch ends too early")

// ErrFull: the record doesn't fit the batch any more. Seal, then append it again.
var ErrFull = errors.New("record batch is full, seal it first")

// CorruptError says what is wrong with a batch.
type CorruptError struct{ What string }

// Error says it.
func (e *CorruptError) Error() string { return "corrupt record batch: " + e.What }

// TooLargeError: a record that fits no batch.
type TooLargeError struct{ Size, Max int }

// Error names both sizes.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("record of %d bytes is over the limit of %d; split it or raise the limit", e.Size, e.Max)
}

// DecodedTooLargeError: a compressed batch that would decompress past the cap.
type DecodedTooLargeError struct{ Max int }

// Error names the cap.
func (e *DecodedTooLargeError) Error() string {
	return fmt.Sprintf("record batch decompresses to more than %d bytes", e.Max)
}

// UnsupportedCodecError: a codec number that nobody knows.
type UnsupportedCodecError struct{ Codec Codec }

// Error names it.
func (e *UnsupportedCodecError) Error() string {
	return fmt.Sprintf("record batch with unknown compression %d", uint8(e.Codec))
}
