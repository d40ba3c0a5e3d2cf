package sim

import (
	"bytes"
	"fmt"

	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

// post puts a message on the network, or loses it. The promise that a message
// makes is checked as it leaves: that is when others may count on it.
func (w *world) post(n *node, s *replica.Send) error {
	if err := w.checkPromise(n, &s.Message); err != nil {
		return err
	}
	frames := bytes.Join(s.Frames, nil)
	if s.Cold {
		w.report.ColdReads++
		var err error
		frames, err = n.rep.Log().ReadFrames(nil, segments.Index(s.Message.Lo), segments.Index(s.Message.Hi))
		if err != nil {
			return fmt.Errorf("replica %d can't read [%d,%d) for a follower: %w", n.id, s.Message.Lo, s.Message.Hi, err)
		}
	}
	if s.Message.Type == raft.MsgJump {
		w.report.Jumps++
	}
	copies := 1
	if !w.healed {
		if w.r.Float64() < w.s.drop {
			copies = 0
			w.report.Dropped++
		} else if w.r.Float64() < w.s.dup {
			copies = 2
			w.report.Duplicated++
		}
	}
	for range copies {
		at := w.now + w.between(w.s.latencyMin, w.s.latencyMax)
		if !w.healed && w.r.Float64() < w.s.slowMessage {
			at += w.between(0, second)
		}
		// The receiver owns what it gets; each copy is its own.
		w.q.add(&event{at: at, kind: evDeliver, node: int(s.Message.To) - 1, msg: s.Message, frames: bytes.Clone(frames)})
	}
	return nil
}

func (w *world) deliver(n *node, e *event) error {
	if n.rep == nil || w.cut[e.msg.From-1][e.node] {
		w.report.Dropped++
		return nil
	}
	w.report.Delivered++
	if w.keep {
		m := &e.msg
		w.tracef("%d->%d %v term %d index %d/%d commit %d [%d,%d) of %d reject %v hint %d/%d/%d ctx %d", m.From, m.To, m.Type,
			m.Term, m.Index, m.LogTerm, m.Commit, m.Lo, m.Hi, m.EntryTerm, m.Reject, m.HintIndex, m.HintTerm, m.HintFirst, m.Context)
	}
	return w.step(n, func(out *replica.Output) {
		// What the core refuses (stale, unknown peer) is part of the game.
		_ = n.rep.Step(&e.msg, e.frames, out)
	})
}

// fault draws one.
func (w *world) fault() error {
	weights := []int{w.s.crash, w.s.powerLoss, w.s.cutNode, w.s.cutLink, w.s.heal, w.s.transfer, w.s.pause, w.s.reconfigure, w.s.trim}
	total := 0
	for _, v := range weights {
		total += v
	}
	x, which := w.r.IntN(total), 0
	for x >= weights[which] {
		x -= weights[which]
		which++
	}
	victim := w.victim()
	switch which {
	case 0:
		w.crashFor(w.nodes[victim])
	case 1:
		w.tracef("power loss")
		w.report.PowerLosses++
		for _, n := range w.nodes {
			w.crashFor(n)
		}
	case 2:
		w.cutOff(victim)
	case 3:
		to := w.r.IntN(len(w.nodes))
		w.tracef("link %d->%d cut", victim+1, to+1)
		w.report.Cuts++
		w.cut[victim][to] = true
	case 4:
		w.tracef("network healed")
		w.healNetwork()
	case 5:
		return w.transfer(w.nodes[w.r.IntN(len(w.nodes))])
	case 6:
		w.pause(victim)
	case 7:
		return w.reconfigure()
	case 8:
		return w.trim(w.nodes[victim])
	}
	return nil
}

// strike hits a leader just when it has won: what it has not yet sent, or its
// followers not yet stored, makes the histories of figure 8.
func (w *world) strike(victim int) {
	switch w.r.IntN(3) {
	case 0:
		w.crashFor(w.nodes[victim])
	case 1:
		w.cutOff(victim)
	case 2:
		w.pause(victim)
	}
}

func (w *world) cutOff(victim int) {
	w.tracef("%d cut off", victim+1)
	w.report.Cuts++
	for i := range w.nodes {
		w.cut[victim][i], w.cut[i][victim] = true, true
	}
}

func (w *world) pause(victim int) {
	w.tracef("%d paused", victim+1)
	w.report.Pauses++
	w.nodes[victim].pausedUntil = w.now + w.between(1, w.s.pauseFor)
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

func (w *world) crashFor(n *node) {
	if n.rep == nil {
		return
	}
	w.crash(n)
	w.q.add(&event{at: w.now + w.between(1, w.s.downFor), kind: evRestart, node: w.indexOf(n)})
}

func (w *world) healNetwork() {
	for i := range w.cut {
		clear(w.cut[i])
	}
}

func (w *world) transfer(to *node) error {
	for _, n := range w.nodes {
		if n.rep != nil && n != to && n.rep.Status().Role == raft.RoleLeader {
			w.tracef("transfer from %d to %d", n.id, to.id)
			w.report.Transfers++
			return w.step(n, func(out *replica.Output) {
				_ = n.rep.Transfer(to.id, out) // a refusal is an answer
			})
		}
	}
	return nil
}
