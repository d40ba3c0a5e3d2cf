package protocol

import (
	"errors"
	"fmt"
)

// Error is the typed error of every operation: what went wrong, what it means for the request, and where to go instead.
// It is a value for one reply; do not change one that has been handed on.
type Error struct {
	Code      Code     `json:"code"`
	Name      string   `json:"name"`
	Outcome   Outcome  `json:"outcome"`
	Message   string   `json:"message"`
	Retriable bool     `json:"retriable"`
	Leader    BrokerID `json:"leader,omitempty"`     // who leads the partition, as far as the replying broker knows
	LeaderURL string   `json:"leader_url,omitempty"` // its client URL
}

// ErrorReply is the JSON body of a reply that carries an error.
type ErrorReply struct {
	Error *Error `json:"error"`
}

// Errorf makes an error of the code with the outcome and retriability of the table.
func Errorf(code Code, format string, args ...any) *Error {
	info := code.Info()
	return &Error{
		Code: code, Name: info.Name, Outcome: info.Outcome, Retriable: info.Retriable,
		Message: fmt.Sprintf(format, args...),
	}
}

// Error returns "NAME (outcome): message".
func (e *Error) Error() string {
	if e == nil {
		return None.String()
	}
	return e.Name + " (" + e.Outcome.String() + "): " + e.Message
}

// Is reports whether target is an *Error of the same code, so that errors.Is(err, &protocol.Error{Code: c}) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t != nil && e != nil && e.Code == t.Code
}

// WithOutcome returns a copy with another outcome.
func (e *Error) WithOutcome(o Outcome) *Error {
	c := *e
	c.Outcome = o
	return &c
}

// WithLeader returns a copy that names the leader to go to. Zero and "" mean that it is not known.
func (e *Error) WithLeader(id BrokerID, url string) *Error {
	c := *e
	c.Leader, c.LeaderURL = id, url
	return &c
}

// AsError returns the *Error in err's chain; for any other error it returns an [UnknownServerError] with err's text and
// the outcome unknown. A nil err gives nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) && e != nil {
		return e
	}
	return Errorf(UnknownServerError, "%v", err)
}

// CodeOf returns the code of the *Error in err's chain: [None] for nil, [UnknownServerError] for an error without code.
func CodeOf(err error) Code {
	if err == nil {
		return None
	}
	return AsError(err).Code
}

// OutcomeOf returns the outcome of the *Error in err's chain: [Done] for nil, [Unknown] for an error without one.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Done
	}
	return AsError(err).Outcome
}

// clip shortens text from outside for an error message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
