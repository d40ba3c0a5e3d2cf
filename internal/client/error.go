package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
)

// Error is a request that failed. It is a *protocol.Error in the sense of errors.As, with this Outcome and Code, so that
// [protocol.OutcomeOf] and [protocol.CodeOf] work on it.
type Error struct {
	Op        protocol.Op
	Topic     string // "" for operations that address none
	Partition protocol.Partition
	Outcome   protocol.Outcome
	Code      protocol.Code
	Retriable bool
	Err       error // the broker's *protocol.Error, or what went wrong on the way

	leaderURL string // where the broker says that the leader is
	term      uint64 // the term that the request counted on, 0 = none
}

// Error names the request and the cause.
func (e *Error) Error() string {
	if e.Topic == "" {
		return e.Op.String() + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s %s/%s: %s", e.Op, e.Topic, e.Partition, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// As gives the error as a *protocol.Error.
func (e *Error) As(target any) bool {
	return AsProtocol(target, e.Code, e.Outcome, e.Retriable, e.Error)
}

// AsProtocol is the As method of errors that stand for a *protocol.Error.
func AsProtocol(target any, code protocol.Code, outcome protocol.Outcome, retriable bool, text func() string) bool {
	p, ok := target.(**protocol.Error)
	if ok {
		*p = &protocol.Error{Code: code, Name: code.String(), Outcome: outcome, Retriable: retriable, Message: text()}
	}
	return ok
}

// fail makes an error of the code's outcome in the error table.
func (r *Request) fail(code protocol.Code, err error) *Error {
	info := code.Info()
	return &Error{Op: r.Op, Topic: r.Topic, Partition: r.Partition, Outcome: info.Outcome, Code: code, Retriable: info.Retriable, Err: err}
}

// unsent is a request that no broker has seen.
func (r *Request) unsent(err error) *Error { return r.fail(protocol.BrokerNotAvailable, err) }

// lost is a request that was sent and not answered.
func (r *Request) lost(err error) *Error { return r.fail(protocol.RequestTimedOut, err) }

// refused is a request that the broker has answered with an error.
func (r *Request) refused(e *protocol.Error) *Error {
	return &Error{
		Op: r.Op, Topic: r.Topic, Partition: r.Partition, Outcome: e.Outcome, Code: e.Code, Retriable: e.Retriable, Err: e,
		leaderURL: e.LeaderURL,
	}
}

var (
	errNoResponders = errors.New("the server the connection leads to is no logq broker, or one that is starting or stopping")
	errTimeout      = errors.New("no answer in time")
	errDisconnected = errors.New("the connection was lost before the answer came")
	errClosed       = errors.New("the client is closed")
)

// publishError judges an error of nats.go's publish. What it checks before it writes is not written; about everything
// else nothing is promised.
func (r *Request) publishError(err error) *Error {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return r.fail(protocol.MessageTooLarge, fmt.Errorf("%w: make batches smaller, or raise the limit of the server in between", err))
	case errors.Is(err, nats.ErrBadSubject):
		return r.fail(protocol.InvalidTopic, err)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining), errors.Is(err, nats.ErrReconnectBufExceeded),
		errors.Is(err, nats.ErrInvalidConnection), errors.Is(err, nats.ErrHeadersNotSupported):
		return r.unsent(err)
	default:
		return r.lost(err)
	}
}

// judge returns the error that a reply carries, nil if it carries none.
func (r *Request) judge(m *nats.Msg) *Error {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return r.unsent(errNoResponders)
	}
	text := m.Header.Get(protocol.HeaderError)
	if text == "" {
		return nil
	}
	var body protocol.ErrorReply
	if err := json.Unmarshal(m.Data, &body); err == nil && body.Error != nil {
		return r.refused(body.Error)
	}
	code, err := strconv.ParseInt(text, 10, 16)
	if err != nil {
		code = int64(protocol.UnknownServerError)
	}
	return r.refused(protocol.Errorf(protocol.Code(code), "the broker gave no reason"))
}
