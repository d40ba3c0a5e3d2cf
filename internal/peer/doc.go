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
// with a jittered back-off.
//
// # Contract
//
// Send and Gossip never block: they queue, or report false when there is no
// connection or its queue is full; Raft sends again. The frames of a Send must
// not change afterwards; they are written without a copy. Request waits for the
// reply; its errors say whether the request may have been carried out: with
// *UnsentError it has certainly not, with *UnknownOutcomeError it may have.
// Handler methods are called from a connection's reader and must hand over
// quickly; the buffers they get are theirs to keep.
//
// # Wire format
//
// A connection starts with a greeting each way: magic, version, broker ids,
// class and cluster id, with a CRC. Then frames, little endian:
//
//	length u32 | type u8 | 0 u8 | head length u16 | CRC-32C u32 | head | body
//
// length counts head and body; the CRC covers the eight bytes before it and the
// head. Entries in a body carry their own checksums. Lengths are bounded before
// anything is allocated.
//
// # Bounds
//
// Queues are bounded in bytes per connection, requests in number per connection
// on both sides. A peer that says nothing for Options.Silence is cut off.
package peer
