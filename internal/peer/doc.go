// Package peer carries Raft messages, forwarded client requests and gossip
// between brokers, over plain TCP or TLS.
//
//	t, err := peer.New(peer.Options{Self: 1, Peers: …, Listener: l, Handler: h})
//	t.Start()
//	t.Send(2, &msg, frames)
//	reply, err := t.Request(ctx, 2, body)
//	t.Close(ctx)
//
// # Connections
//
// A broker dials two connections to each peer: control for everything small
// (votes, heartbeats, acknowledgements, gossip) and bulk for entries and
// forwarded requests, so that a heartbeat never waits behind data. What a broker
// sends goes over the connections it dialled; only answers (replies, pongs)
// come back on the connection that asked. A lost connection is dialled again
// with a jittered back-off, and at once when its peer calls us. A second
// connection of the same peer and class replaces the first.
//
// AddPeer, RemovePeer and SetAddress change who the peers are while all goes on; a
// broker that is none is refused with the reason, which both sides log once.
//
//	Send, Gossip, Request ─▶ outbox ─▶ writer ══ TCP ══▶ reader ─▶ Handler
//	                                   reader ◀═════════ writer ◀─ outbox ◀─ reply
//
// The writer sends what is queued at once when it is idle, and all that gathered
// meanwhile with its next system call. Keep-alives do not queue: they go between
// two system calls, so a busy connection shows that it lives.
//
// # Contract
//
//   - Send and Gossip never block: they queue, or report false when there is no
//     connection, its queue is full or the message is too large; Raft sends again.
//     Messages of one class to one peer arrive in order while a connection lasts,
//     batches (SendAll) and pulses (SendPulse) among them; what was queued when it
//     ends is lost.
//   - The frames of a Send, and the bodies of Gossip and Request, must not change
//     afterwards; they are written without a copy. The list of frames and the
//     message are copied.
//   - Request waits for the reply. Its errors say whether the request may have been
//     carried out: with *UnsentError it has certainly not, as its last byte never
//     left this broker or the peer refused it unread; with *UnknownOutcomeError it
//     may have been, or may be still.
//   - Handler methods are called from the reader of a connection and must hand
//     over quickly. The buffers they get are theirs to keep, each with memory of its
//     own; what HandleRaft, HandleBatch and HandlePulse get is valid during the call.
//   - Close writes what is queued first, as long as its context allows; then every
//     goroutine has ended when it returns.
//
// # Wire format
//
// A connection starts with a greeting each way: magic "LOGQPEER", version, class,
// the ids of both brokers and the cluster's, with a CRC; the answer is a verdict
// with a reason. A stranger is told what is wrong if it seems to listen, cut off
// within Options.HandshakeTimeout, and logged once. Then frames, little-endian:
//
//	offset  size  field
//	0       4     length of all after the header
//	4       4     length of the head
//	8       1     type
//	9       3     0
//	12      4     CRC-32C of bytes 0 to 11 and the head
//	16      …     head, then body
//
// A batch is the messages of many groups in one frame. Only single Raft messages
// have a body, the entries, which carry checksums of their own; all other frames are
// head, so that nothing goes unchecked. Lengths are compared with their limits
// before memory is taken. A ping carries the cluster's id: two brokers that greeted
// before they had one are parted when theirs differ.
//
// # Bounds
//
// Queues are bounded in bytes, requests under way in number and bytes, per
// connection and on both sides; 64 connections may be greeting at once. A peer
// from which nothing comes for Options.Silence is cut off, and one that takes
// nothing in that time for each MiB written to it. A peer that does not take
// its replies is cut off when they fill the queue, so that their askers learn at
// once that the outcome is unknown.
//
// Memory for entries is taken anew for each message, since the receiver keeps it:
// on loopback that, and not the protocol, sets the pace of large messages.
package peer
