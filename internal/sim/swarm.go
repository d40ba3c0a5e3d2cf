package sim

import "math/rand/v2"

// Times are in simulated microseconds.
type micros = int64

const (
	millisecond micros = 1000
	second      micros = 1000 * millisecond
)

// nodesMax bounds the replicas that a history ever has, with those that take the
// place of lost ones.
const nodesMax = 9

const (
	electionTicks  = 8
	heartbeatTicks = 2
)

// swarm is what one history draws before it starts: which faults exist in it
// and how strong they are. Histories with few strong faults find what a mix of
// all weak ones never does (Groce et al., "Swarm Testing", ISSTA 2012).
type swarm struct {
	nodes   int // in all, when it begins
	voters  int // of them, the group when it begins; the others may be added
	tick    micros
	skew    [nodesMax]float64 // of the tick length: above 1 the clock is slow
	lease   micros            // by the clock of each; 0: none
	prio    [nodesMax]int
	quiesce bool // idle groups may fall quiet

	network
	disks
	mischief [faultKinds]int // weights of the faults that are drawn one at a time
	healing  int             // the network is healed once in so many of them

	clientEvery, readEvery, faultEvery micros
	follower                           float64 // share of fetches from any replica
	atLeader                           float64 // share of faults that hit a leader
	strike                             float64 // share of new leaders that are hit as they start
	downFor, pauseFor                  micros

	segmentBytes                         int64
	tailBytes, valueBytes                int
	maxMessage, maxInflight, maxMessages int
	maxUncommitted                       int
}

// network is what messages meet.
type network struct {
	latencyMin, latencyMax   micros
	drop, dup, delay, mangle float64
	cutInFlight              bool // a cut also loses what is on its way
}

// disks is what disk operations meet.
type disks struct {
	diskMin, diskMax micros
	early            float64 // share of operations that take effect at their start
	stall, hung      float64
	atCall           float64 // share of flushes in which the power is cut at one call
	inRecovery       float64 // share of starts in which it is
	syncFails        float64
	writeFails       float64
	readFails        float64
	journalFails     float64
}

// untilFixed are faults that histories don't know, because a bug that is known and
// not yet fixed breaks them; docs/robustness.md names it. Now there is none.
const untilFixed = FaultSet(0)

func drawSwarm(r *rand.Rand) swarm {
	pick := func(vs ...float64) float64 { return vs[r.IntN(len(vs))] }
	s := swarm{
		nodes: []int{1, 3, 3, 3, 5, 5}[r.IntN(6)],
		tick:  10 * millisecond,
		network: network{
			latencyMin: 100,
			latencyMax: micros(pick(300, 2000, 10_000)),
			delay:      pick(0, 0, 0.01, 0.1),
			drop:       pick(0, 0, 0.01, 0.1, 0.3),
			dup:        pick(0, 0.02, 0.2),
			mangle:     pick(0, 0, 0, 0.02),

			cutInFlight: r.IntN(2) == 0,
		},
		disks: disks{
			diskMin:      200,
			diskMax:      micros(pick(1000, 5000, 30_000)),
			early:        pick(0, 0.5, 1),
			stall:        pick(0, 0, 0.01, 0.05),
			hung:         pick(0, 0, 0, 0.003),
			atCall:       pick(0, 0, 0.01, 0.05),
			inRecovery:   pick(0, 0, 0.3),
			syncFails:    pick(0, 0, 0, 0.01),
			writeFails:   pick(0, 0, 0, 0.01),
			readFails:    pick(0, 0, 0, 0.05),
			journalFails: pick(0, 0, 0, 0.01),
		},
		clientEvery:    micros(pick(500, 3000, 20_000)),
		readEvery:      micros(pick(1000, 5000, 50_000)),
		faultEvery:     micros(pick(20_000, 60_000, 200_000)),
		follower:       pick(0, 0.5),
		atLeader:       pick(0, 0.5, 0.9),
		strike:         pick(0, 0, 0.3, 0.7),
		downFor:        micros(pick(1000, 50_000, 400_000)),
		pauseFor:       micros(pick(20_000, 150_000, 500_000)),
		segmentBytes:   []int64{8 << 10, 16 << 10, 1 << 20}[r.IntN(3)],
		tailBytes:      []int{4 << 10, 1 << 20}[r.IntN(2)],
		valueBytes:     []int{8, 200, 2000}[r.IntN(3)],
		maxMessage:     []int{1, 1 << 10, 64 << 10}[r.IntN(3)],
		maxInflight:    []int{4 << 10, 256 << 10}[r.IntN(2)],
		maxMessages:    []int{1, 4, 16}[r.IntN(3)],
		maxUncommitted: []int{8 << 10, 1 << 20, 1 << 20}[r.IntN(3)],
	}
	if s.quiesce = r.IntN(5) == 0; s.quiesce {
		s.clientEvery, s.readEvery = micros(pick(100_000, 500_000)), micros(pick(200_000, 1_000_000))
	}
	s.voters = s.nodes
	s.drawMischief(r)
	s.healing = 1 + r.IntN(6)
	if s.mischief[Reconfigure] > 0 {
		s.nodes += r.IntN(3)
	}
	s.drawClocks(r)
	return s
}

// drawMischief gives weights to the faults that are drawn one at a time; about a
// third of them a history doesn't know.
func (s *swarm) drawMischief(r *rand.Rand) {
	weight := func(f Fault, most, rare int) {
		if w := 1 + r.IntN(most); r.IntN(rare) == 0 || rare == 1 {
			s.mischief[f] = 0
		} else {
			s.mischief[f] = w
		}
	}
	for _, f := range []Fault{CutNode, CutLink, Kill, PowerCut, Pause} {
		weight(f, 4, 3)
	}
	for _, f := range []Fault{HalfOpen, Partition, Bridge, SlowLink, SlowDisk, PowerLoss} {
		weight(f, 2, 2)
	}
	weight(Transfer, 3, 3)
	weight(ClockJump, 1, 2)
	if r.IntN(2) == 0 {
		weight(Reconfigure, 8, 4)
		weight(Trim, 8, 4)
	}
	if r.IntN(4) == 0 {
		weight(Wipe, 2, 2)
		weight(BitFlip, 2, 2)
		weight(Truncation, 2, 2)
	}
	if r.IntN(4) == 0 {
		s.mischief[NoSpace] = 1 + r.IntN(3)
	}
}

// drawClocks gives each replica a clock of its own rate, and the group perhaps a
// lease that the fastest of them allows.
func (s *swarm) drawClocks(r *rand.Rand) {
	slow, fast := 1.0, 1.0
	for i := range s.skew {
		s.skew[i] = 0.7 + 0.6*r.Float64()
		if r.IntN(8) == 0 {
			s.prio[i] = 1 - 2*r.IntN(2)
		}
		slow, fast = max(slow, s.skew[i]), min(fast, s.skew[i])
	}
	share := []float64{0, 0, 0, 0.7, 0.97}[r.IntN(5)]
	s.lease = micros(share * electionTicks * float64(s.tick) * fast / slow)
}
