package service

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

// mover carries out the moves of the partitions that this broker leads: new replicas become learners, and when they have
// caught up, one joint change makes the target the voters; then the controller is told. Each step is read off the group's
// own members, so that another leader goes on where this one stopped.
type mover struct {
	s     *Service
	slots chan struct{}

	mu   sync.Mutex
	busy map[*partition]bool // guarded by mu
}

// movesLedAtOnce bounds how many partitions a broker moves at a time.
const movesLedAtOnce = 16

func newMover(s *Service) *mover {
	return &mover{s: s, slots: make(chan struct{}, movesLedAtOnce), busy: map[*partition]bool{}}
}

func (m *mover) run(ctx context.Context) {
	for ctx.Err() == nil {
		for _, p := range m.s.table.Load().local {
			if p.place.Load().target != nil {
				m.start(ctx, p)
			}
		}
		pause(ctx, m.s.opts.MoveInterval, nil)
	}
}

// start takes the next step of a move on a goroutine of its own, unless one is under way.
func (m *mover) start(ctx context.Context, p *partition) {
	g := p.opened()
	if g == nil || !g.Leader().Serving || !m.claim(p) {
		return
	}
	select {
	case m.slots <- struct{}{}:
	default:
		m.release(p)
		return
	}
	started := m.s.tasks.start(func() {
		defer func() { <-m.slots; m.release(p) }()
		ctx, cancel := context.WithTimeout(ctx, m.s.opts.DefaultDeadline)
		defer cancel()
		if e := m.step(ctx, p, g); e != nil {
			m.s.log.Warn("a partition doesn't move on", "partition", p.String(), "error", e)
		}
	})
	if !started {
		<-m.slots
		m.release(p)
	}
}

func (m *mover) claim(p *partition) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy[p] {
		return false
	}
	m.busy[p] = true
	return true
}

func (m *mover) release(p *partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.busy, p)
}

// step does what the group's members ask for next. Errors mean that it is tried again.
func (m *mover) step(ctx context.Context, p *partition, g Group) error {
	st, target := g.Status(), p.place.Load().target
	if target == nil || !st.Serving || !st.Members.Settled {
		return nil
	}
	want := slices.Sorted(slices.Values(target))
	var fresh []uint64 // of the target, no voters yet
	for _, id := range want {
		if !slices.Contains(st.Members.Voters, id) {
			fresh = append(fresh, id)
		}
	}
	switch {
	case slices.Equal(st.Members.Voters, want) && len(st.Members.Learners) == 0:
		return m.moved(ctx, p, target)
	case !slices.Equal(st.Members.Learners, fresh):
		return g.Change(ctx, st.Members.At, st.Members.Voters, fresh)
	case caughtUp(st.Peers, fresh):
		return g.Change(ctx, st.Members.At, want, nil)
	}
	return nil
}

func caughtUp(peers []PeerProgress, ids []uint64) bool {
	for _, id := range ids {
		if !slices.ContainsFunc(peers, func(p PeerProgress) bool { return p.Replica == id && p.CaughtUp }) {
			return false
		}
	}
	return true
}

// moved tells the controller that the partition is where it was wanted.
func (m *mover) moved(ctx context.Context, p *partition, replicas []uint64) error {
	s := m.s
	cmd := meta.PartitionMoved{Name: p.name, ID: p.topicID, Partition: p.id, Replicas: replicas}
	body, err := json.Marshal(cmd)
	if err != nil {
		return err
	}
	r := s.atController(ctx, &protocol.Request{Op: protocol.OpPartitionMoved, Body: body}, func(ctx context.Context) *protocol.Response {
		res, e := s.propose(ctx, cmd)
		if e != nil {
			return &protocol.Response{Err: e}
		}
		return &protocol.Response{BaseOffset: res.Offset + 1}
	})
	if r.Err != nil {
		return r.Err
	}
	s.log.Info("a partition has moved", "partition", p.String(), "brokers", brokersOf(replicas))
	return nil
}

func brokersOf(replicas []uint64) []protocol.BrokerID {
	out := make([]protocol.BrokerID, len(replicas))
	for i, r := range replicas {
		out[i] = protocol.BrokerOf(r)
	}
	return out
}

// balancer hands leadership back to the replicas that are preferred for it, so that after a restart or a loss the leaders
// are spread over the brokers as they were placed. One goroutine runs it.
type balancer struct {
	s     *Service
	ready map[*partition]int // rounds in a row in which the preferred replica could have led
}

const (
	// balanceRounds is how many rounds the preferred replica must have been fit in before it is handed leadership, so that a
	// broker that comes and goes gets none.
	balanceRounds = 2
	// handoversPerRound bounds how many partitions of one broker change leaders in a round.
	handoversPerRound = 32
)

func (b *balancer) run(ctx context.Context) {
	for pause(ctx, b.s.opts.BalanceInterval, nil) {
		b.round()
	}
}

func (b *balancer) round() {
	done := 0
	ready := map[*partition]int{}
	for _, p := range b.s.table.Load().local {
		to, g := b.preferred(p)
		if to == 0 {
			continue
		}
		if ready[p] = b.ready[p] + 1; ready[p] <= balanceRounds || done == handoversPerRound {
			continue
		}
		if err := g.Transfer(to); err != nil {
			b.s.log.Debug("leadership is not handed over", "partition", p.String(), "error", err)
			continue
		}
		delete(ready, p)
		done++
	}
	b.ready = ready
}

// preferred returns the replica that should lead p instead of this broker, and could; 0 if there is none.
func (b *balancer) preferred(p *partition) (uint64, Group) {
	pl, g := p.place.Load(), p.opened()
	if p == b.s.meta || g == nil || pl.target != nil || len(pl.brokers) == 0 || pl.brokers[0] == b.s.id || !g.Leader().Serving || !b.s.alive(pl.brokers[0]) {
		return 0, nil
	}
	in := p.insync.Load()
	if in == nil || !slices.Contains(*in, pl.brokers[0]) {
		return 0, nil
	}
	st := g.Status()
	for _, peer := range st.Peers {
		if peer.Broker == pl.brokers[0] && !peer.Learner && st.Members.Settled {
			return peer.Replica, g
		}
	}
	return 0, nil
}

// defaults of the two intervals.
const (
	defaultMoveInterval    = 200 * time.Millisecond
	defaultBalanceInterval = 5 * time.Second
)
