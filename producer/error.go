package producer

import (
	"context"
	"errors"
	"fmt"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// Outcome says what is known about a record that failed.
type Outcome = protocol.Outcome

// Code is the number of an error; the numbers are Kafka's, and docs/reference lists them.
type Code = protocol.Code

// The outcomes.
const (
	NotWritten = protocol.NotWritten // not stored, and never will be
	Unknown    = protocol.Unknown    // stored, or not, or will be soon
)

// ErrClosed is the cause of errors after [Producer.Close], and of records that it gave up.
var ErrClosed = errors.New("the producer is closed")

// Error is a record that was not acknowledged. All errors of a [Producer]'s records are of this type.
type Error struct {
	Outcome   Outcome
	Code      Code
	Topic     string
	Partition int32 // -1: not chosen yet
	// Err is the last cause.
	Err error
}

// Error names the partition, the outcome and the cause.
func (e *Error) Error() string {
	at := e.Topic
	if e.Partition >= 0 {
		at = fmt.Sprintf("%s/%d", e.Topic, e.Partition)
	}
	state := "not written"
	if e.Outcome != NotWritten {
		state = "unknown whether written"
	}
	return fmt.Sprintf("produce to %s: %s: %v", at, state, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// As gives the error in the form that all of logq's packages share, for code inside this module.
func (e *Error) As(target any) bool {
	return client.AsProtocol(target, e.Code, e.Outcome, e.Code.Info().Retriable, e.Error)
}

// notTaken is the error of a record that was never taken over.
func notTaken(topic string, partition int32, err error) *Error {
	e := &Error{Outcome: NotWritten, Code: protocol.InvalidRequest, Topic: topic, Partition: partition, Err: err}
	if c, ok := err.(*client.Error); ok { //nolint:errorlint // only the outermost one repeats what e says
		e.Err = c.Err
	}
	var typed *protocol.Error
	var large *record.TooLargeError
	switch {
	case errors.As(err, &typed):
		e.Code = typed.Code
	case errors.As(err, &large):
		e.Code = protocol.MessageTooLarge
	case errors.Is(err, ErrClosed):
		e.Code = protocol.BrokerNotAvailable
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Code = protocol.RequestTimedOut
	}
	return e
}
