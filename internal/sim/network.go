package sim

import (
	"bytes"
	"errors"
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
	var frames []byte
	switch {
	case s.Cold:
		w.report.ColdReads++
		var err error
		frames, err = w.readCold(n, &s.Message)
		if frames == nil || err != nil {
			return err
		}
	case len(s.Frames) > 0:
		frames = bytes.Join(s.Frames, nil) // a copy: the receiver owns it
	}
	if s.Message.Type == raft.MsgJump {
		w.report.Jumps++
	}
	w.mixMessage(&s.Message, frames)
	from, to := w.indexOf(n), int(s.Message.To)-1
	if w.links[from][to].cut || w.chance(Drop, w.s.drop) {
		return nil
	}
	copies := 1
	if w.chance(Duplicate, w.s.dup) {
		copies = 2
	}
	for i := range copies {
		if i > 0 {
			frames = bytes.Clone(frames)
		}
		e := w.q.make(evDeliver, to)
		e.msg, e.frames, e.sent = s.Message, frames, w.q.seq
		if len(frames) > 0 && w.chance(Mangle, w.s.mangle) {
			frames = bytes.Clone(frames)
			bit := w.r.IntN(8 * len(e.frames))
			e.frames[bit/8] ^= 1 << (bit % 8)
			e.mangled = true
		}
		w.carry(&w.links[from][to], e)
	}
	return nil
}

// carry sends e over a link.
func (w *world) carry(l *link, e *event) {
	if l.swallows {
		l.held = append(l.held, e)
		return
	}
	at := w.now + w.between(w.s.latencyMin, w.s.latencyMax)
	if w.now < l.slowUntil {
		at += l.slow
	}
	if w.chance(Delay, w.s.delay) {
		at += w.between(0, second)
	}
	w.q.add(at, e)
}

// readCold reads from disk what a follower needs. If the disk fails, the message
// is not sent: nil, nil.
func (w *world) readCold(n *node, m *raft.Message) ([]byte, error) {
	fails := w.chance(ReadFails, w.s.readFails)
	if fails {
		n.disk.failRead()
	}
	frames, err := n.rep.Log().ReadFrames(nil, segments.Index(m.Lo), segments.Index(m.Hi))
	n.disk.clear()
	if n.rotten && errors.Is(err, segments.ErrCorrupt) {
		return nil, nil
	}
	if err != nil && !isInjected(err) {
		return nil, fmt.Errorf("replica %d can't read [%d,%d) for a follower: %w", n.id, m.Lo, m.Hi, err)
	}
	if err != nil {
		return nil, nil
	}
	return frames, nil
}

func (w *world) deliver(n *node, e *event) error {
	l := &w.links[e.msg.From-1][e.node]
	if n.rep == nil || l.cut && (w.s.cutInFlight || e.sent > l.cutAt) {
		return nil
	}
	w.report.Delivered++
	if e.sent < l.lastSent {
		w.report.Faults[Reorder]++
	}
	l.lastSent = max(l.lastSent, e.sent)
	if w.o.Trace {
		w.stepf("%v", e.msg)
	}
	return w.step(n, func(out *replica.Output) {
		before := n.seen
		err := n.rep.Step(&e.msg, e.frames, out)
		n.refusal = w.checkRefusal(n, e, err)
		w.o.Coverage.message(&before, n, &e.msg, err)
	})
}

// checkRefusal: what a replica refuses is part of the game if it is late or from
// a stranger. That another broke the protocol, or that entries don't pass their
// checks although nobody has touched them, isn't.
func (w *world) checkRefusal(n *node, e *event, err error) error {
	var broken *raft.ProtocolError
	var frames *replica.FrameError
	if errors.As(err, &broken) || errors.As(err, &frames) && !e.mangled {
		return fmt.Errorf("replica %d refuses %v: %w", n.id, e.msg, err)
	}
	return nil
}
