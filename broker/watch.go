package broker

import (
	"context"
	"fmt"

	"github.com/logq/logq/broker/internal/natsplane"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/raft"
)

// watch follows what the cluster decides: which subjects are bound, and which
// cluster this is.
func (b *Broker) watch(ctx context.Context) {
	var last []natsplane.Binding
	for {
		bindings, changed := b.service.Bindings()
		if err := b.learnCluster(); err != nil {
			b.fail(err)
		}
		want := make([]natsplane.Binding, len(bindings))
		for i, s := range bindings {
			want[i] = natsplane.Binding{Subject: s.Subject, Topic: s.Topic}
		}
		if !same(want, last) {
			if err := b.plane.SetBindings(want); err != nil {
				b.log.Warn("bind subjects", "broker", b.c.ID, "error", err)
			} else {
				last = want
			}
		}
		select {
		case <-changed:
		case <-b.host.Done():
			b.fail(b.host.Err())
			return
		case <-ctx.Done():
			return
		}
	}
}

func same(a, b []natsplane.Binding) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// learnCluster notes the cluster's id in the data directory once it is known,
// and from then on stays with that cluster.
func (b *Broker) learnCluster() error {
	now, mine := b.service.ClusterID(), *b.cluster.Load()
	switch {
	case now == "" || now == mine:
		return nil
	case mine != "":
		return fmt.Errorf("data directory %s belongs to cluster %s, but the metadata is that of cluster %s", b.c.DataDir, mine, now)
	}
	if err := writeIdentity(b.fs, b.c.DataDir, identity{Broker: b.c.ID, Cluster: now}); err != nil {
		return err
	}
	b.cluster.Store(&now)
	return nil
}

func (b *Broker) clusterID() string { return *b.cluster.Load() }

// peerHandler takes what other brokers send.
type peerHandler struct{ b *Broker }

func (h peerHandler) HandleRaft(_ protocol.BrokerID, m *raft.Message, frames []byte) {
	h.b.host.Deliver(m, frames)
}

func (h peerHandler) HandleRequest(ctx context.Context, from protocol.BrokerID, body []byte, reply func([]byte)) {
	h.b.service.HandleForwarded(ctx, from, body, reply)
}

func (h peerHandler) HandleGossip(from protocol.BrokerID, body []byte) {
	h.b.service.HandleGossip(from, body)
}
