package sim

import (
	"github.com/logq/logq/raft"
)

// link is one direction between two replicas.
type link struct {
	// cut: nothing gets through. swallows: a half-open connection; what is sent is
	// kept as in the buffers of TCP, and comes late or never.
	cut, swallows bool
	held          []*event
	cutAt         uint64 // what was sent later is lost
	slow          micros // added to each message
	slowUntil     micros
	// lastSent is the number of the newest message that came through, for counting
	// reorderings.
	lastSent uint64
}

// connect tells from whether messages to another reach it. A broker knows that
// by its connections, unless one is half open.
func (w *world) connect(from, to int, ok bool) {
	if from >= len(w.nodes) || to >= len(w.nodes) || w.nodes[from].rep == nil || from == to {
		return
	}
	e := w.q.make(evReach, from)
	e.life, e.ok, e.msg.To = w.nodes[from].life, ok, raft.ReplicaID(to+1)
	w.q.add(w.now+w.between(0, 5*millisecond), e)
}

// cutLink cuts one direction.
func (w *world) cutLink(from, to int) {
	if l := &w.links[from][to]; !l.cut {
		l.cut, l.cutAt = true, w.q.seq
		w.connect(from, to, false)
	}
}

// sever cuts both directions.
func (w *world) sever(a, b int) {
	w.cutLink(a, b)
	w.cutLink(b, a)
}

func (w *world) cutOff(victim int) {
	w.tracef("%d cut off", victim+1)
	for i := range w.nodes {
		w.sever(victim, i)
	}
}

func (w *world) cutOne(victim int) {
	to := w.r.IntN(len(w.nodes))
	w.tracef("link %d->%d cut", victim+1, to+1)
	w.cutLink(victim, to)
}

func (w *world) halfOpen(victim int) {
	to := w.r.IntN(len(w.nodes))
	w.tracef("link %d->%d half open", victim+1, to+1)
	w.links[victim][to].swallows = true
}

func (w *world) slowLink(victim int) {
	to := w.r.IntN(len(w.nodes))
	l := &w.links[victim][to]
	l.slow, l.slowUntil = w.between(10*millisecond, 300*millisecond), w.now+w.between(0, 2*second)
	w.tracef("link %d->%d slow by %d ms", victim+1, to+1, l.slow/millisecond)
}

// partition splits the replicas in two sides; with a bridge one replica sees both.
func (w *world) partition(bridge bool) {
	side := w.r.Uint64()
	between := -1
	if bridge {
		between = w.r.IntN(len(w.nodes))
	}
	w.tracef("partition %b, bridge %d", side&(1<<len(w.nodes)-1), between+1)
	for a := range w.nodes {
		for b := range a {
			if a != between && b != between && side>>a&1 != side>>b&1 {
				w.sever(a, b)
			}
		}
	}
}

// healNetwork opens all links. What half-open ones have held comes now, or is lost
// with the connection.
func (w *world) healNetwork() {
	w.tracef("network healed")
	for a := range w.nodes {
		for b := range w.nodes {
			l := &w.links[a][b]
			if l.cut {
				w.connect(a, b, true)
			}
			lost := w.r.IntN(2) == 0
			for _, e := range l.held {
				if lost {
					w.q.done(e)
				} else {
					w.q.add(w.now+w.between(w.s.latencyMin, w.s.latencyMax), e)
				}
			}
			clear(l.held)
			l.cut, l.swallows, l.held, l.slow = false, false, l.held[:0], 0
		}
	}
}
