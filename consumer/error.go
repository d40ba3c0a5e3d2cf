package consumer

import (
	"errors"
	"fmt"
	"time"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
)

// Code is the number of an error; the numbers are Kafka's, and docs/reference lists them.
type Code = protocol.Code

var (
	// ErrClosed ends an iteration when the consumer is closed.
	ErrClosed = errors.New("the consumer is closed")
	// ErrBusy ends an iteration that was begun while another one is on.
	ErrBusy = errors.New("the consumer is being read by another Records loop")
)

// Error is a partition, or the topic, that cannot be read: the broker refuses for good.
type Error struct {
	Topic     string
	Partition int32 // -1: the topic
	Code      Code
	Err       error
}

// Error names the partition and the cause.
func (e *Error) Error() string { return "consume " + name(e.Topic, e.Partition) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// As gives the error in the form that all of logq's packages share, for code inside this module.
func (e *Error) As(target any) bool {
	return client.AsProtocol(target, e.Code, protocol.NotWritten, e.Code.Info().Retriable, e.Error)
}

// OutOfRangeError is a position that is not in the log: below its start, because retention dropped it, or above its end,
// because it was never written.
type OutOfRangeError struct {
	Topic     string
	Partition int32
	Offset    int64 // that was asked for
	// Start and End are the first offset that is there, and the next to be written.
	Start, End int64
}

// Error says what is there, and what to do.
func (e *OutOfRangeError) Error() string {
	return fmt.Sprintf("consume %s: offset %d is out of range: the log has %d to %d; seek, or choose with WithOutOfRange",
		name(e.Topic, e.Partition), e.Offset, e.Start, e.End)
}

// As gives the error in the form that all of logq's packages share, for code inside this module.
func (e *OutOfRangeError) As(target any) bool {
	return client.AsProtocol(target, protocol.OffsetOutOfRange, protocol.NotWritten, false, e.Error)
}

// CorruptError is data that is not what was stored: a wrong checksum, a gap between offsets, a repetition, or records that
// cannot be decoded. It was fetched again without getting better.
type CorruptError struct {
	Topic     string
	Partition int32
	Offset    int64 // the record that was wanted
	Err       error
}

// Error names the place and the fault.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("consume %s: corrupt data at offset %d: %v", name(e.Topic, e.Partition), e.Offset, e.Err)
}

// Unwrap returns the fault.
func (e *CorruptError) Unwrap() error { return e.Err }

// StalledError is a partition that is behind, or cannot be asked, and did not move for the stall timeout. It is tried
// further.
type StalledError struct {
	Topic     string
	Partition int32
	Position  int64 // the next record wanted; -1: the start is not known yet
	// HighWatermark is the last one seen, -1 for none.
	HighWatermark int64
	For           time.Duration
	Err           error // the last failure, nil if the broker answers and sends nothing
}

// Error says where it stands and why.
func (e *StalledError) Error() string {
	cause := "the broker answers and sends nothing"
	if e.Err != nil {
		cause = e.Err.Error()
	}
	return fmt.Sprintf("consume %s: stalled for %v at offset %d, high watermark %d: %s; look at it with \"logq topic describe\"",
		name(e.Topic, e.Partition), e.For.Round(time.Millisecond), e.Position, e.HighWatermark, cause)
}

// Unwrap returns the last failure.
func (e *StalledError) Unwrap() error { return e.Err }

func name(topic string, partition int32) string {
	if partition < 0 {
		return topic
	}
	return fmt.Sprintf("%s/%d", topic, partition)
}

// refusal types an error that will not go away.
func refusal(topic string, partition int32, err error) error {
	e := &Error{Topic: topic, Partition: partition, Code: protocol.CodeOf(err), Err: err}
	var c *client.Error
	if errors.As(err, &c) {
		e.Code, e.Err = c.Code, c.Err
	}
	return e
}
