package consumer

import (
	"errors"
	"fmt"
	"time"
)

// ErrClosed ends Records when the consumer is closed.
var ErrClosed = errors.New("the consumer is closed")

// Error is why Records ended.
type Error struct {
	Topic     string
	Partition int32 // -1: the topic as a whole
	Err       error
}

// Error names the partition and the cause.
func (e *Error) Error() string {
	if e.Partition < 0 {
		return fmt.Sprintf("consume %s: %v", e.Topic, e.Err)
	}
	return fmt.Sprintf("consume %s/%d: %v", e.Topic, e.Partition, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// OutOfRangeError says that the offset to read is not in the log: before its start, because old records were dropped, or
// behind its end.
type OutOfRangeError struct {
	Offset int64
	// Err is the broker's answer, which names the range.
	Err error
}

// Error names the offset and the remedy.
func (e *OutOfRangeError) Error() string {
	return fmt.Sprintf("offset %d is not in the log (%v); seek to one that is, or set a policy with WithOutOfRange", e.Offset, e.Err)
}

// Unwrap returns the broker's answer.
func (e *OutOfRangeError) Unwrap() error { return e.Err }

// StalledError says that a partition could not be read for too long.
type StalledError struct {
	Offset int64         // of the next record
	For    time.Duration // since it last moved
	Err    error         // the last failure
}

// Error names the offset and the last failure.
func (e *StalledError) Error() string {
	return fmt.Sprintf("no progress at offset %d for %v: %v", e.Offset, e.For.Round(time.Millisecond), e.Err)
}

// Unwrap returns the last failure.
func (e *StalledError) Unwrap() error { return e.Err }

// ContinuityError says that a broker answered with records that do not follow the ones before: a breach of what logq
// promises. Nothing of that answer is handed out.
type ContinuityError struct{ Want, Got int64 }

// Error names the offsets.
func (e *ContinuityError) Error() string {
	return fmt.Sprintf("offset %d where %d was due: the broker broke its promise, please report it", e.Got, e.Want)
}
