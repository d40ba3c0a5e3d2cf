package peer

import (
	"errors"
	"fmt"

	"github.com/logq/logq/internal/protocol"
)

// ErrClosed is returned by a transport that is closed.
var ErrClosed = errors.New("peer transport is closed")

// UnsentError says that a request has not left this broker, not even in part.
type UnsentError struct {
	To    protocol.BrokerID
	Cause error
}

// Error names the broker and the cause.
func (e *UnsentError) Error() string {
	return fmt.Sprintf("request to broker %d was not sent: %v", e.To, e.Cause)
}

// Unwrap returns the cause.
func (e *UnsentError) Unwrap() error { return e.Cause }

// Unsent reports true: the request was not carried out.
func (e *UnsentError) Unsent() bool { return true }

// UnknownOutcomeError says that a request has left, in whole or in part, and no
// reply came: it may have been carried out.
type UnknownOutcomeError struct {
	To    protocol.BrokerID
	Cause error
}

// Error names the broker and the cause.
func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("request to broker %d was sent, but no reply came: %v; it may have been carried out", e.To, e.Cause)
}

// Unwrap returns the cause.
func (e *UnknownOutcomeError) Unwrap() error { return e.Cause }

// GreetingError says why a connection was refused.
type GreetingError struct {
	Reason string
	// Fenced says that this is not about the connection: the broker that called must
	// not go on as the one it says it is.
	Fenced bool
}

// Error gives the reason, which names the remedy.
func (e *GreetingError) Error() string { return "peer connection refused: " + e.Reason }

// FrameError says that the bytes on a connection are no frames of this
// protocol; the connection is cut.
type FrameError struct{ What string }

// Error says what is wrong.
func (e *FrameError) Error() string { return "bad frame from peer: " + e.What }

var (
	errNotConnected = errors.New("no connection; it is being dialled")
	errNoSuchPeer   = errors.New("no such peer is configured")
	errQueueFull    = errors.New("the send queue is full")
	errTooMany      = errors.New("too many requests are waiting for a reply")
	errTooLarge     = errors.New("it is larger than a frame may be")
	errRefused      = errors.New("the broker has too many requests under way")
	errSilent       = errors.New("the connection is half-open, or the broker hangs")
	errSlowReader   = errors.New("the broker does not read its replies")
	errReplaced     = errors.New("the broker has connected anew")
)
