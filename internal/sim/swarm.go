package sim

import "math/rand/v2"

// Times are in simulated microseconds.
type micros = int64

const (
	millisecond micros = 1000
	second      micros = 1000 * millisecond
)

// swarm is what one history draws before it starts: which faults exist in it
// and how strong they are. Histories with few strong faults find what a mix of
// all weak ones never does (Groce et al., "Swarm Testing", ISSTA 2012).
type swarm struct {
	nodes        int // in all
	voters       int // of them, the group when it begins; the others may be added
	reconfigure  int
	trim         int
	tick         micros
	skew         []float64 // per node, of the tick length
	latencyMin   micros
	latencyMax   micros
	slowMessage  float64 // share of messages delayed by up to a second
	drop, dup    float64
	diskMin      micros
	diskMax      micros
	diskEarly    float64 // share of disk operations that take effect at their start
	diskStall    float64 // share that takes up to a second
	syncFails    float64
	clientEvery  micros
	readEvery    micros
	faultEvery   micros
	crash        int // weights of faults
	powerLoss    int
	cutNode      int
	cutLink      int
	heal         int
	transfer     int
	pause        int
	atLeader     float64 // share of faults that hit a leader
	strike       float64 // share of new leaders that are hit as they start
	downFor      micros
	pauseFor     micros
	segmentBytes int64
	tailBytes    int
	valueBytes   int
	maxMessage   int
	maxInflight  int
}

func drawSwarm(r *rand.Rand) swarm {
	pick := func(vs ...float64) float64 { return vs[r.IntN(len(vs))] }
	weight := func(w int) int {
		if r.IntN(3) == 0 {
			return 0
		}
		return 1 + r.IntN(w)
	}
	s := swarm{
		nodes:        []int{1, 3, 3, 3, 5, 5}[r.IntN(6)],
		tick:         10 * millisecond,
		latencyMin:   100,
		latencyMax:   micros(pick(300, 2000, 10_000)),
		slowMessage:  pick(0, 0, 0.01, 0.1),
		drop:         pick(0, 0, 0.01, 0.1, 0.3),
		dup:          pick(0, 0.02, 0.2),
		diskMin:      200,
		diskMax:      micros(pick(1000, 5000, 30_000)),
		diskEarly:    pick(0, 0.5, 1),
		diskStall:    pick(0, 0, 0.01, 0.05),
		syncFails:    pick(0, 0, 0, 0.005),
		clientEvery:  micros(pick(500, 3000, 20_000)),
		readEvery:    micros(pick(5000, 50_000)),
		faultEvery:   micros(pick(20_000, 60_000, 200_000)),
		crash:        weight(6),
		powerLoss:    weight(2),
		cutNode:      weight(4),
		cutLink:      weight(4),
		heal:         1 + r.IntN(6),
		transfer:     weight(3),
		pause:        weight(4),
		atLeader:     pick(0, 0.5, 0.9),
		strike:       pick(0, 0, 0.3, 0.7),
		downFor:      micros(pick(1000, 50_000, 400_000)),
		pauseFor:     micros(pick(20_000, 150_000, 500_000)),
		segmentBytes: []int64{8 << 10, 16 << 10, 1 << 20}[r.IntN(3)],
		tailBytes:    []int{4 << 10, 1 << 20}[r.IntN(2)],
		valueBytes:   []int{8, 200, 2000}[r.IntN(3)],
		maxMessage:   []int{1, 1 << 10, 64 << 10}[r.IntN(3)],
		maxInflight:  []int{4 << 10, 256 << 10}[r.IntN(2)],
	}
	s.voters = s.nodes
	if r.IntN(2) == 0 {
		s.reconfigure, s.trim = weight(8), weight(8)
		s.nodes += r.IntN(3)
	}
	for range s.nodes {
		s.skew = append(s.skew, 0.7+0.6*r.Float64())
	}
	return s
}
