package protocol

import "fmt"

// Outcome says what is known about the effect of a request.
type Outcome uint8

// The three outcomes. The zero value is Unknown, so that a forgotten outcome never promises anything.
const (
	// Unknown: the request may have taken effect, or may still do so. A retry may duplicate.
	Unknown Outcome = iota
	// NotWritten: the request definitely had no effect and never will. A retry cannot duplicate.
	NotWritten
	// Done: the request took effect and is durable on a majority.
	Done
)

var outcomeText = [...]string{Unknown: "unknown", NotWritten: "not_written", Done: "done"}

// String returns "done", "not_written" or "unknown".
func (o Outcome) String() string {
	if int(o) < len(outcomeText) {
		return outcomeText[o]
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// MarshalText writes the form of [Outcome.String].
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the form of [Outcome.String]. A text that is not known means [Unknown]: a newer broker may know more
// outcomes, and Unknown is the one that promises nothing.
func (o *Outcome) UnmarshalText(b []byte) error {
	switch string(b) {
	case "done":
		*o = Done
	case "not_written":
		*o = NotWritten
	default:
		*o = Unknown
	}
	return nil
}
