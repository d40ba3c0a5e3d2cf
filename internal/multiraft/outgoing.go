package multiraft

import (
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

// BatchTransport is a Transport that takes many small messages at once. A shard
// then hands over what one round of its loop has for a broker as one batch: the
// heartbeats of all its groups cost one frame and one write.
type BatchTransport interface {
	Transport
	// SendAll queues msgs, which have no frames, for broker to, all or none, and
	// never blocks; false means dropped. msgs is copied.
	SendAll(to protocol.BrokerID, msgs []raft.Message) bool
}

// outgoing gathers the small messages of one round of a shard's loop, by broker.
// Those to one broker leave in order.
type outgoing struct {
	batches BatchTransport // nil: the transport takes them one by one
	parcels map[protocol.BrokerID]*parcel
	filled  []*parcel // those that are not empty
}

type parcel struct {
	to   protocol.BrokerID
	msgs []raft.Message
}

func newOutgoing(h *Host) outgoing {
	batches, _ := h.o.Transport.(BatchTransport)
	return outgoing{batches: batches, parcels: make(map[protocol.BrokerID]*parcel)}
}

// add queues a copy of m for broker to.
func (o *outgoing) add(s *shard, to protocol.BrokerID, m *raft.Message) {
	p := o.parcels[to]
	if p == nil {
		p = &parcel{to: to}
		o.parcels[to] = p
	}
	if len(p.msgs) == 0 {
		o.filled = append(o.filled, p)
	}
	if p.msgs = append(p.msgs, *m); len(p.msgs) >= maxBatch {
		o.send(s, p)
	}
}

// flush sends everything.
func (o *outgoing) flush(s *shard) {
	for i, p := range o.filled {
		o.filled[i] = nil
		o.send(s, p)
	}
	o.filled = o.filled[:0]
}

func (o *outgoing) send(s *shard, p *parcel) {
	switch {
	case len(p.msgs) == 0:
	case o.batches != nil && len(p.msgs) > 1:
		if !o.batches.SendAll(p.to, p.msgs) {
			for i := range p.msgs {
				o.unsent(s, &p.msgs[i])
			}
		}
	default:
		for i := range p.msgs {
			if !s.h.o.Transport.Send(p.to, &p.msgs[i], nil) {
				o.unsent(s, &p.msgs[i])
			}
		}
	}
	p.msgs = p.msgs[:0]
}

func (o *outgoing) unsent(s *shard, m *raft.Message) {
	if g := s.groups[m.Group]; g != nil {
		s.unsent(g, m)
	}
}
