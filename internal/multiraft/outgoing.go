package multiraft

import (
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

// outgoing gathers the small messages of one round of a shard's loop, by broker.
// Those to one broker leave in order.
type outgoing struct {
	links   Links // nil: the transport takes them one by one
	parcels map[protocol.BrokerID]*parcel
	filled  []*parcel // those that are not empty
}

type parcel struct {
	to   protocol.BrokerID
	msgs []raft.Message
}

func newOutgoing(h *Host) outgoing {
	return outgoing{links: h.links, parcels: make(map[protocol.BrokerID]*parcel)}
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
	case o.links != nil && len(p.msgs) > 1:
		if !o.links.SendAll(p.to, p.msgs) {
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
