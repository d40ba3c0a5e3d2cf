package natsplane

import (
	"context"
	"sync/atomic"
)

// gate counts the requests under way and can be shut.
type gate struct {
	n    atomic.Int64
	shut atomic.Bool
	idle chan struct{} // gets a token when the last request leaves a shut gate
}

// enter reports false once the gate is shut; otherwise leave must be called.
func (g *gate) enter() bool {
	g.n.Add(1)
	if g.shut.Load() {
		g.leave()
		return false
	}
	return true
}

func (g *gate) leave() {
	if g.n.Add(-1) == 0 && g.shut.Load() {
		select {
		case g.idle <- struct{}{}:
		default:
		}
	}
}

// close shuts the gate and waits until the last request has left, or ctx ends.
func (g *gate) close(ctx context.Context) error {
	g.shut.Store(true)
	for g.n.Load() != 0 {
		select {
		case <-g.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
