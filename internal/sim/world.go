package sim

import (
	"fmt"
	"math/rand/v2"

	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
)

var (
	groupID = raft.GroupID{1}
	topicID = [16]byte{1}
)

// world is one history.
type world struct {
	seed   uint64
	r      *rand.Rand
	s      swarm
	o      Options
	q      eventQueue
	now    micros
	nodes  []*node
	voters []raft.ReplicaID // when the history begins
	links  [nodesMax][nodesMax]link
	healed bool // the phase without faults
	report Report
	// injected numbers the faults.
	injected int

	oracle
	clients
	trace []line
}

func (w *world) play(steps int) error {
	for i := range w.s.nodes {
		if i < w.s.voters {
			w.voters = append(w.voters, raft.ReplicaID(i+1))
		}
		w.addNode()
	}
	for _, n := range w.nodes {
		if err := w.start(n); err != nil {
			return err
		}
	}
	for _, kind := range []eventKind{evClient, evRead, evFault} {
		w.schedule(kind)
	}
	for range steps {
		if err := w.next(); err != nil {
			return err
		}
	}
	return w.converge()
}

func (w *world) next() error {
	at, e := w.q.next()
	w.now = at
	w.report.Steps++
	if w.report.Steps%16 == 0 {
		w.o.Coverage.group(w)
	}
	w.mix(uint64(at), uint64(e.kind), uint64(e.node), uint64(e.life))
	n := w.nodes[e.node]
	if n.pausedUntil > w.now && e.kind.ofProcess() {
		w.q.add(n.pausedUntil, e)
		return nil
	}
	if err := w.handle(n, e); err != nil {
		return fmt.Errorf("at %.3f ms, %s: %w", float64(w.now)/1000, eventNames[e.kind], err)
	}
	w.q.done(e)
	return nil
}

// ofProcess says that a stopped process holds the event up.
func (k eventKind) ofProcess() bool {
	return k == evTick || k == evDeliver || k == evDisk || k == evReach
}

func (w *world) handle(n *node, e *event) error {
	switch e.kind {
	case evTick, evDisk, evReach:
		if n.rep == nil || n.life != e.life {
			return nil
		}
		return w.handleOwn(n, e)
	case evDeliver:
		return w.deliver(n, e)
	case evClient:
		w.schedule(evClient)
		return w.clientAppend()
	case evRead:
		w.schedule(evRead)
		return w.clientRead()
	case evFault:
		if w.healed {
			return nil
		}
		w.schedule(evFault)
		return w.fault()
	case evStrike:
		if !w.healed && n.rep != nil {
			return w.strike(n)
		}
	case evRestart:
		if n.rep == nil && !n.gone {
			w.tracef("restart of %d", n.id)
			return w.start(n)
		}
	case evSpace:
		w.freeSpace(n)
	case evMembers:
		return w.replaceLost()
	case evScrub:
		return w.scrub(n)
	}
	return nil
}

// handleOwn handles what a living process has waited for.
func (w *world) handleOwn(n *node, e *event) error {
	switch e.kind {
	case evTick:
		w.scheduleTick(n)
		return w.step(n, func(out *replica.Output) { w.passTick(n, out) })
	case evReach:
		return w.step(n, func(out *replica.Output) { n.rep.Sent(e.msg.To, e.ok, out) })
	default:
		return w.finish(n, e.op)
	}
}

func (w *world) schedule(kind eventKind) {
	every := w.s.faultEvery
	switch kind {
	case evClient:
		every = w.s.clientEvery
	case evRead:
		every = w.s.readEvery
	}
	w.q.add(w.now+w.between(every/2, every*3/2), w.q.make(kind, 0))
}

func (w *world) scheduleTick(n *node) {
	e := w.q.make(evTick, w.indexOf(n))
	e.life = n.life
	w.q.add(w.now+micros(float64(w.s.tick)*n.skew), e)
}

func (w *world) between(lo, hi micros) micros { return lo + w.r.Int64N(max(1, hi-lo)) }

func (w *world) indexOf(n *node) int { return int(n.id) - 1 }
