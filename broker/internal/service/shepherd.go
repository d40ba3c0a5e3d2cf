package service

import (
	"context"
	"slices"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

// shepherd, on the controller, does what follows from the metadata without anybody asking: drained brokers get rid of their
// replicas, lost replicas are replaced, and the right brokers vote on the metadata. All that it knows is in the metadata and
// in the group's own members, so that the next controller goes on. One goroutine runs it.
type shepherd struct {
	s     *Service
	round int
	seen  int64 // next record of the metadata when lost replicas were looked for last
}

// lostRounds is how many rounds pass between two looks for lost replicas while the metadata doesn't change: what had no
// place may find one when a broker comes back.
const lostRounds = 16

func (h *shepherd) run(ctx context.Context) {
	for ctx.Err() == nil {
		if h.s.controller() == h.s.id {
			h.tend(ctx)
		}
		pause(ctx, h.s.opts.MoveInterval, nil)
	}
}

func (h *shepherd) tend(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, h.s.opts.DefaultDeadline)
	defer cancel()
	snap := h.s.table.Load().snap
	h.voters(ctx, snap)
	moving := 0
	for _, t := range snap.Topics() {
		moving += t.Moving()
	}
	room := movesAtOnce*len(snap.Brokers()) - moving
	h.round++
	if h.seen != snap.Next() || h.round%lostRounds == 0 {
		h.seen = snap.Next()
		room = h.begin(ctx, meta.PlanLost(snap, h.s.alive), room)
	}
	for _, b := range snap.Brokers() {
		if !snap.Draining(b.ID) || room <= 0 {
			continue
		}
		plan, e := meta.PlanDrain(snap, h.s.alive, b.ID)
		if e != nil {
			h.s.log.Warn("a broker can't be drained at present", "broker", b.ID, "error", e)
			continue
		}
		room = h.begin(ctx, plan, room)
	}
}

// begin starts moves as far as there is room for them, and returns what is left of it.
func (h *shepherd) begin(ctx context.Context, plan []meta.ReassignPartition, room int) int {
	for _, cmd := range plan {
		if room <= 0 {
			h.seen = -1 // look again for what had no room
			return 0
		}
		if _, e := h.s.propose(ctx, cmd); e != nil {
			h.s.log.Warn("a move is not begun", "topic", cmd.Name, "partition", cmd.Partition, "error", e)
			return 0
		}
		room--
	}
	return room
}

// voters takes the next step towards the members that the metadata's group should have.
func (h *shepherd) voters(ctx context.Context, snap meta.Snapshot) {
	s := h.s
	g := s.leaderOf(s.meta).group
	if g == nil || snap.ClusterID() == "" {
		return
	}
	st := g.Status()
	if !st.Serving || !st.Members.Settled {
		return
	}
	voters, learners := meta.PlanMetaMembers(snap, st.Members.Voters, func(replica uint64) bool {
		return s.alive(protocol.BrokerOf(replica)) && caughtUp(st.Peers, []uint64{replica})
	})
	if slices.Equal(voters, st.Members.Voters) && slices.Equal(learners, st.Members.Learners) {
		return
	}
	if err := g.Change(ctx, st.Members.At, voters, learners); err != nil {
		s.log.Warn("the members of the metadata's group are not changed yet", "voters", brokersOf(voters), "learners", brokersOf(learners), "error", err)
		return
	}
	s.log.Info("the metadata's group has other members", "voters", brokersOf(voters), "learners", brokersOf(learners))
}
