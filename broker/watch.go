package broker

import (
	"context"
	"slices"
	"time"

	"github.com/logq/logq/broker/internal/natsplane"
	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

// watch follows what the cluster decides: which subjects are bound, and which
// cluster this is; and it notices when the host can't go on.
func (b *Broker) watch(ctx context.Context) {
	var bound []natsplane.Binding
	age := time.NewTicker(agePause)
	defer age.Stop()
	for {
		bindings, changed := b.service.Bindings()
		if err := b.learnCluster(); err != nil {
			b.fail(err)
			return
		}
		b.learnBrokers()
		want := make([]natsplane.Binding, len(bindings))
		for i, s := range bindings {
			want[i] = natsplane.Binding{Subject: s.Subject, Topic: s.Topic}
		}
		if !slices.Equal(want, bound) {
			if err := b.plane.SetBindings(want); err != nil {
				b.log.Warn("not all subjects are bound", "broker", b.c.ID, "error", err)
			}
			bound = want
		}
		select {
		case <-changed:
		case <-age.C:
			b.age()
		case <-b.host.Done():
			b.fail(b.host.Err())
			return
		case <-ctx.Done():
			return
		}
	}
}

// stopIfFailed stops a broker that can't go on, as in a crash: nothing that it
// would still say or hand over can be relied on.
func (b *Broker) stopIfFailed(ctx context.Context) {
	select {
	case <-b.done:
	case <-ctx.Done():
		return
	}
	gone, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	if err := b.close(gone); err != nil {
		b.log.Debug("stopping a broker that can't go on", "broker", b.c.ID, "error", err)
	}
}

// peerHandler takes what other brokers send.
type peerHandler struct{ b *Broker }

var _ peer.HostHandler = peerHandler{}

// HandleRaft gives a message to its group.
func (h peerHandler) HandleRaft(_ protocol.BrokerID, m *raft.Message, frames []byte) {
	h.b.host.Deliver(m, frames)
}

// HandleBatch gives messages to their groups.
func (h peerHandler) HandleBatch(_ protocol.BrokerID, messages []raft.Message) {
	h.b.host.DeliverAll(messages)
}

// HandlePulse notes that another broker's host lives.
func (h peerHandler) HandlePulse(from protocol.BrokerID, body []byte) { h.b.host.Pulse(from, body) }

// HandleLink notes that a connection of another broker began or ended.
func (h peerHandler) HandleLink(from protocol.BrokerID) { h.b.host.Link(from) }

// HandleRequest carries out a forwarded request.
func (h peerHandler) HandleRequest(ctx context.Context, from protocol.BrokerID, body []byte, reply func([]byte)) {
	h.b.service.HandleForwarded(ctx, from, body, reply)
}

// HandleGossip notes what another broker leads.
func (h peerHandler) HandleGossip(from protocol.BrokerID, body []byte) {
	h.b.service.HandleGossip(from, body)
}
