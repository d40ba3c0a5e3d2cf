// Package protocol holds what clients and brokers of logq say to each other: identifiers, the error table, subjects,
// header names, request and reply bodies, and the binary form in which one broker forwards a request to another.
//
// Start with [ParseSubject] on the broker and with [ProduceSubject] and its siblings in a client:
//
//	op, partition, topic, err := protocol.ParseSubject(msg.Subject)
//	if err != nil {
//		return err // always a *protocol.Error
//	}
//
// # Contract
//
// The package is data and pure functions: no goroutine, no clock, no socket. Every function may be called from any
// goroutine. Values are plain; nothing here is locked, so a value that two goroutines share must not be changed.
//
// Ownership of buffers: [Request.Decode] and [Response.Decode] alias the bytes they are given (key, header values, body);
// the caller must not change or reuse those bytes while the value is in use. [Request.AppendTo] and [Response.AppendTo] copy.
//
// Errors: everything that can fail returns a *[Error] except the binary decoders, which return a *[DecodeError]. An Error
// always carries an [Outcome], which is the one thing a client needs in order to decide on a retry:
//
//   - [Done]: it happened. Replies without an error mean it; an Error says so only where a part beyond the effect itself
//     failed, as a topic that exists but has no leaders yet.
//   - [NotWritten]: it definitely did not happen and never will. A retry cannot duplicate.
//   - [Unknown]: it may have happened, or may still happen. A retry may duplicate.
//
// # Wire forms
//
// Clients speak NATS: the operation, partition and topic are in the subject (topic last, so that its dots become NATS
// hierarchy and subject permissions become topic permissions), small parameters in headers, and bodies are JSON, except for
// produce requests and fetch replies, whose bodies are record batches as they lie in the log. Unknown JSON fields are
// ignored, so that an older side understands a newer one.
//
// Brokers forward to each other with [Request] and [Response] in a binary form with a leading version byte.
//
// # Limits
//
// All limits are named in limits.go. Decoders check every length against them before they allocate.
//
// # Departures from Kafka
//
// Error codes are Kafka's numbers, so that one table serves every listener, but each has a definite outcome, which Kafka's
// do not have. Topic names may be hierarchical (dots separate NATS tokens) and may not contain empty tokens.
package protocol
