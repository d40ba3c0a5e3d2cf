package gate_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/gate"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate.New()
		for range 2 {
			if !g.Enter() {
				t.Fatal("an open gate lets nobody in")
			}
		}
		closed := make(chan error)
		go func() { closed <- g.Close(t.Context()) }()
		synctest.Wait()
		if !g.IsShut() || g.Enter() || g.Inside() != 2 {
			t.Errorf("shut %v, %d are inside", g.IsShut(), g.Inside())
		}
		g.Leave()
		synctest.Wait()
		select {
		case err := <-closed:
			t.Errorf("closed with one inside: %v", err)
		default:
		}
		g.Leave()
		if err := <-closed; err != nil {
			t.Error(err)
		}

		g.Open()
		if !g.Enter() {
			t.Error("opened again, it lets nobody in")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("closed with one inside: %v", err)
		}
		g.Leave()
		if err := g.Close(t.Context()); err != nil || g.Inside() != 0 {
			t.Errorf("empty: %v, %d inside", err, g.Inside())
		}
	})
}
