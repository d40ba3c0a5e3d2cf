package gate

import (
	"context"
	"sync/atomic"
)

// Gate counts who is inside, and can be shut. All methods may be called from anywhere;
// only one Close at a time.
type Gate struct {
	n    atomic.Int64
	shut atomic.Bool
	idle chan struct{} // gets a token when the last one leaves a shut gate
}

// New returns an open gate.
func New() *Gate { return &Gate{idle: make(chan struct{}, 1)} }

// Enter reports false once the gate is shut; otherwise Leave must be called.
func (g *Gate) Enter() bool {
	g.n.Add(1)
	if g.shut.Load() {
		g.Leave()
		return false
	}
	return true
}

// Leave ends what a successful Enter began.
func (g *Gate) Leave() {
	if g.n.Add(-1) == 0 && g.shut.Load() {
		select {
		case g.idle <- struct{}{}:
		default:
		}
	}
}

// Inside returns how many are inside.
func (g *Gate) Inside() int64 { return g.n.Load() }

// Shut lets nobody in any more.
func (g *Gate) Shut() { g.shut.Store(true) }

// Open lets callers in, again.
func (g *Gate) Open() { g.shut.Store(false) }

// IsShut says whether the gate is shut.
func (g *Gate) IsShut() bool { return g.shut.Load() }

// Close shuts the gate and waits until the last one has left, or returns ctx's error.
func (g *Gate) Close(ctx context.Context) error {
	g.Shut()
	for g.n.Load() != 0 {
		select {
		case <-g.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
