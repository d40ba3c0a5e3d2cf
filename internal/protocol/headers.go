package protocol

// NATS header names of requests and replies. Their values are decimal numbers except for [HeaderKey].
const (
	// HeaderDeadlineMs (request): how long the client waits, in milliseconds from when the broker gets the request.
	HeaderDeadlineMs = "Logq-Deadline-Ms"
	// HeaderEpoch (produce request): the leader's term that the client expects. (replies): the leader's term.
	HeaderEpoch = "Logq-Epoch"
	// HeaderKey (pub request): the record's key.
	HeaderKey = "Logq-Key"
	// HeaderError (reply): the error's code; the body is an [ErrorReply]. Absent when there is no error.
	HeaderError = "Logq-Error"
	// HeaderHighWatermark (fetch reply): the offset after the last committed record.
	HeaderHighWatermark = "Logq-High-Watermark"
	// HeaderLogStart (fetch reply): the first offset that can be read.
	HeaderLogStart = "Logq-Log-Start"
	// HeaderNextOffset (fetch reply): the offset to ask for next.
	HeaderNextOffset = "Logq-Next-Offset"
	// HeaderPrefix starts the name of every header that logq gives a meaning; pub does not store those.
	HeaderPrefix = "Logq-"
)

// Header is a header of a plain message.
type Header struct {
	Name  string
	Value []byte
}
