package sim

import (
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
)

// In some histories the group may fall quiet (raft.Core.Quiet), and clients leave
// it the time to. The hosts of the replicas then hear each other's pulses in place
// of heartbeats; see internal/multiraft for the real ones.

// vouch is what one host knows of the others.
type vouch struct {
	missed [nodesMax]int // own ticks since a pulse came
	life   [nodesMax]int // of the process that sent it
	quiet  bool
}

// wakeEvery is how often a quiet replica is woken for no reason, in ticks: the
// leader may have stepped down without a word.
const wakeEvery = 200

// passTick lets time pass for n, unless it is quiet.
func (w *world) passTick(n *node, out *replica.Output) {
	if !w.s.quiesce {
		n.rep.Tick(out)
		return
	}
	wake := w.r.IntN(wakeEvery) == 0
	for i, o := range w.nodes {
		if o != n && w.listen(n, i, o, out) {
			wake = true
		}
	}
	if wake {
		n.rep.Wake(electionTicks, out)
	}
	quiet := n.rep.Quiet()
	if quiet && !n.vouch.quiet && n.seen.role == raft.RoleLeader {
		w.report.Quiet++
	}
	if n.vouch.quiet = quiet; !quiet {
		n.rep.Tick(out)
	}
}

// listen notes whether a pulse of o came to n, and says whether that is a reason to
// wake: none came for an election timeout, or it is of another process than before.
func (w *world) listen(n *node, i int, o *node, out *replica.Output) bool {
	v := &n.vouch
	l := &w.links[i][w.indexOf(n)]
	lost := o.rep == nil || o.pausedUntil > w.now || l.cut || l.swallows || w.r.Float64() < w.s.drop && !w.healed
	if lost {
		v.missed[i]++
		if v.missed[i] == electionTicks {
			n.rep.PeerDown(o.id, true, out)
		}
		return v.missed[i] == electionTicks
	}
	if v.missed[i] >= electionTicks {
		n.rep.PeerDown(o.id, false, out)
	}
	v.missed[i] = 0
	another := v.life[i] != o.life
	v.life[i] = o.life
	return another
}
