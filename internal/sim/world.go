package sim

import (
	"fmt"
	"math/rand/v2"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
)

var (
	groupID = raft.GroupID{1}
	topicID = [16]byte{1}
)

// Options bound a history.
type Options struct {
	// Steps is the number of events in the phase with faults; default 2,000.
	Steps int
	// Trace keeps the last events for the failure report.
	Trace bool
}

const (
	defaultSteps = 2000
	// healSteps and healTime bound the phase without faults.
	healSteps = 200_000
	healTime  = 60 * second
)

// Report counts what a history did.
type Report struct {
	Steps, Appends, Acked, NotWritten, Unknown, Reads           int
	Crashes, PowerLosses, Cuts, Transfers, SyncFailures, Pauses int
	Dropped, Duplicated, Delivered, Stalls, Elections           int
	Truncations, ColdReads, CommittedEntries, ReadsServed       int
	Configs, Joint, Trims, Jumps                                int
}

// Add sums reports.
func (r *Report) Add(o Report) {
	r.Steps += o.Steps
	r.Appends += o.Appends
	r.Acked += o.Acked
	r.NotWritten += o.NotWritten
	r.Unknown += o.Unknown
	r.Reads += o.Reads
	r.ReadsServed += o.ReadsServed
	r.Crashes += o.Crashes
	r.PowerLosses += o.PowerLosses
	r.Cuts += o.Cuts
	r.Pauses += o.Pauses
	r.Transfers += o.Transfers
	r.SyncFailures += o.SyncFailures
	r.Dropped += o.Dropped
	r.Duplicated += o.Duplicated
	r.Delivered += o.Delivered
	r.Stalls += o.Stalls
	r.Elections += o.Elections
	r.Truncations += o.Truncations
	r.ColdReads += o.ColdReads
	r.Configs += o.Configs
	r.Joint += o.Joint
	r.Trims += o.Trims
	r.Jumps += o.Jumps
	r.CommittedEntries += o.CommittedEntries
}

// Failure is a broken invariant.
type Failure struct {
	Seed  uint64
	Step  int
	Err   error
	Trace []string
}

// Error tells how to see it again.
func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d, step %d: %v (again: go test ./internal/sim -run TestSim -seed=%d -v)", f.Seed, f.Step, f.Err, f.Seed)
}

// Unwrap returns the broken invariant.
func (f *Failure) Unwrap() error { return f.Err }

// world is one history.
type world struct {
	seed   uint64
	r      *rand.Rand
	s      swarm
	q      eventQueue
	now    micros
	nodes  []*node
	voters []raft.ReplicaID
	cut    [][]bool // cut[a][b]: nothing gets from a to b
	healed bool     // the phase without faults
	report Report

	oracle
	clients
	trace []string
	keep  bool
}

// Run plays the history of a seed. The failure is nil when every invariant held
// and the replicas converged at the end.
func Run(seed uint64, o Options) (Report, *Failure) {
	if o.Steps == 0 {
		o.Steps = defaultSteps
	}
	r := rand.New(rand.NewPCG(seed, 0x6c6f6771))
	w := &world{seed: seed, r: r, s: drawSwarm(r), keep: o.Trace, oracle: newOracle(), clients: newClients()}
	err := w.play(o.Steps)
	if err != nil {
		return w.report, &Failure{Seed: seed, Step: w.report.Steps, Err: err, Trace: w.trace}
	}
	return w.report, nil
}

func (w *world) play(steps int) error {
	for i := range w.s.nodes {
		if i < w.s.voters {
			w.voters = append(w.voters, raft.ReplicaID(i+1))
		}
		w.nodes = append(w.nodes, &node{id: raft.ReplicaID(i + 1), disk: vfs.NewMem(), jrnl: journal.NewMem()})
		w.cut = append(w.cut, make([]bool, w.s.nodes))
	}
	for _, n := range w.nodes {
		if err := w.start(n); err != nil {
			return err
		}
	}
	for _, e := range []event{{kind: evClient}, {kind: evRead}, {kind: evFault}} {
		w.schedule(e.kind)
	}
	for range steps {
		if err := w.next(); err != nil {
			return err
		}
	}
	return w.converge()
}

func (w *world) next() error {
	e := w.q.next()
	w.now = e.at
	w.report.Steps++
	if err := w.handle(e); err != nil {
		return fmt.Errorf("at %.3f ms, %s: %w", float64(w.now)/1000, eventNames[e.kind], err)
	}
	return nil
}

func (w *world) handle(e *event) error {
	n := w.nodes[e.node]
	if n.pausedUntil > w.now && (e.kind == evTick || e.kind == evDeliver || e.kind == evDisk) {
		e.at = n.pausedUntil
		w.q.add(e)
		return nil
	}
	switch e.kind {
	case evTick:
		if n.rep == nil || n.life != e.life {
			return nil
		}
		w.q.add(&event{at: w.now + w.tickOf(n), kind: evTick, node: e.node, life: e.life})
		return w.step(n, func(out *replica.Output) { n.rep.Tick(out) })
	case evDeliver:
		return w.deliver(n, e)
	case evDisk:
		if n.rep == nil || n.life != e.life {
			return nil
		}
		return w.finish(n, e.op)
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
		if !w.healed {
			w.strike(e.node)
		}
		return nil
	case evRestart:
		if n.rep != nil {
			return nil
		}
		w.tracef("restart of %d", n.id)
		return w.start(n)
	}
	return nil
}

func (w *world) schedule(kind eventKind) {
	every := map[eventKind]micros{evClient: w.s.clientEvery, evRead: w.s.readEvery, evFault: w.s.faultEvery}[kind]
	w.q.add(&event{at: w.now + w.between(every/2, every*3/2), kind: kind})
}

func (w *world) between(lo, hi micros) micros { return lo + w.r.Int64N(max(1, hi-lo)) }

func (w *world) tickOf(n *node) micros {
	return micros(float64(w.s.tick) * w.s.skew[w.indexOf(n)])
}

func (w *world) indexOf(n *node) int { return int(n.id) - 1 }

func (w *world) tracef(format string, args ...any) {
	if w.keep {
		w.trace = append(w.trace, fmt.Sprintf("%10.3f ", float64(w.now)/1000)+fmt.Sprintf(format, args...))
	}
}
