package sim

import (
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
)

// fault draws one of the faults that come one at a time, or heals the network.
func (w *world) fault() error {
	total := 0
	for _, v := range w.s.mischief {
		total += v
	}
	heal := 1 + total/w.s.healing
	x, which := w.r.IntN(total+heal), Fault(0)
	if x -= heal; x < 0 {
		w.healNetwork()
		return nil
	}
	for x >= w.s.mischief[which] {
		x -= w.s.mischief[which]
		which++
	}
	victim := w.victim()
	if n := w.nodes[victim]; !w.possible(which, n) || !w.strikes(which) {
		return nil
	}
	return w.bring(which, victim)
}

// possible says whether a fault would change anything, and leaves the group a
// chance.
func (w *world) possible(f Fault, n *node) bool {
	switch f {
	case Kill, PowerCut, SlowDisk, ClockJump, NoSpace:
		return n.rep != nil
	case Wipe, BitFlip, Truncation:
		return n.rep != nil && w.canLose(n)
	case Trim:
		return n.rep != nil && n.rep.Err() == nil && n.pausedUntil <= w.now
	}
	return true
}

func (w *world) bring(f Fault, victim int) error {
	n := w.nodes[victim]
	switch f {
	case CutNode:
		w.cutOff(victim)
	case CutLink:
		w.cutOne(victim)
	case HalfOpen:
		w.halfOpen(victim)
	case Partition, Bridge:
		w.partition(f == Bridge)
	case SlowLink:
		w.slowLink(victim)
	case Kill:
		w.killFor(n)
	case PowerCut:
		return w.crashFor(n)
	case PowerLoss:
		w.tracef("power loss")
		for _, n := range w.nodes {
			if err := w.crashFor(n); err != nil {
				return err
			}
		}
	case Pause:
		w.pause(n)
	case ClockJump:
		n.wall += w.between(-3600*second, 3600*second)
		w.tracef("wall clock of %d jumps", n.id)
	case NoSpace:
		w.fillDisk(n)
	case SlowDisk:
		n.slowFactor, n.slowUntil = w.between(2, 40), w.now+w.between(0, 2*second)
		w.tracef("disk of %d slow by %d", n.id, n.slowFactor)
	case Wipe:
		return w.wipe(n)
	case BitFlip, Truncation:
		return w.rot(n, f)
	case Transfer:
		return w.transfer(w.nodes[w.r.IntN(len(w.nodes))])
	case Reconfigure:
		return w.reconfigure()
	case Trim:
		return w.trim(n)
	}
	return nil
}

// strike hits a leader just when it has won: what it has not yet sent, or its
// followers not yet stored, makes the histories of figure 8.
func (w *world) strike(n *node) error {
	switch w.r.IntN(4) {
	case 0:
		w.killFor(n)
	case 1:
		return w.crashFor(n)
	case 2:
		w.cutOff(w.indexOf(n))
	case 3:
		w.pause(n)
	}
	return nil
}

func (w *world) pause(n *node) {
	n.pausedUntil = w.now + w.between(1, w.s.pauseFor)
	w.tracef("%d paused until %.3f", n.id, float64(n.pausedUntil)/1000)
}

// victim draws whom a fault hits. Leaders are worth most: what goes wrong goes
// wrong when leadership changes.
func (w *world) victim() int {
	if w.r.Float64() < w.s.atLeader {
		if n := w.leader(); n != nil {
			return w.indexOf(n)
		}
	}
	return w.r.IntN(len(w.nodes))
}

func (w *world) transfer(to *node) error {
	for _, n := range w.nodes {
		if n.leads() && n != to {
			w.tracef("transfer from %d to %d", n.id, to.id)
			id := to.id
			if w.r.IntN(4) == 0 {
				id = raft.ReplicaID(0) // the leader chooses
			}
			return w.step(n, func(out *replica.Output) {
				_ = n.rep.Transfer(id, out) // a refusal is an answer
			})
		}
	}
	return nil
}
