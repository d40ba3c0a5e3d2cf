package multiraft

import (
	"sync"

	"github.com/logq/logq/raft"
)

// Deliver hands in a message from another broker and takes ownership of frames.
// It never blocks: messages for groups that aren't open here, or beyond the
// inbox's bound, are dropped and counted, and Raft sends again.
func (h *Host) Deliver(m *raft.Message, frames []byte) {
	h.mu.RLock()
	g := h.groups[m.Group]
	h.mu.RUnlock()
	if g == nil || m.To != g.spec.Self {
		h.stats.strays.Add(1)
		return
	}
	if ok, _ := g.shard.in.put(event{kind: evMessage, g: g, msg: *m, frames: frames}, true); !ok {
		h.stats.dropped.Add(1)
	}
}

// DeliverAll hands in messages without frames, which another broker sent as one
// batch, in their order, as Deliver does. msgs is copied.
func (h *Host) DeliverAll(msgs []raft.Message) {
	scratch := h.targets.Get().(*[]*Group)
	groups := (*scratch)[:0]
	strays := 0
	h.mu.RLock()
	for i := range msgs {
		g := h.groups[msgs[i].Group]
		if g != nil && msgs[i].To != g.spec.Self {
			g = nil
		}
		if g == nil {
			strays++
		}
		groups = append(groups, g)
	}
	h.mu.RUnlock()
	dropped := 0
	for _, s := range h.shards {
		dropped += s.in.putMessages(s, groups, msgs)
	}
	h.stats.strays.Add(uint64(strays))
	h.stats.dropped.Add(uint64(dropped))
	clear(groups)
	*scratch = groups
	h.targets.Put(scratch)
}

// newTargets makes the memory that DeliverAll needs for a moment.
func newTargets() *sync.Pool { return &sync.Pool{New: func() any { return new([]*Group) }} }
