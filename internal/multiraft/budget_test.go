package multiraft

import (
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	const rate = 1000
	b := newBudget(rate, 100*time.Millisecond)
	now := time.Unix(1000, 0)
	take := func(n int, want time.Duration, wantOK bool) {
		t.Helper()
		if wait, ok := b.reserve(n, now); ok != wantOK || (wait-want).Abs() > time.Microsecond {
			t.Errorf("%d bytes: wait %v, %v; want %v, %v", n, wait, ok, want, wantOK)
		}
	}
	take(100, 0, true)                   // what is saved up
	take(50, 0, true)                    // into debt
	take(50, 50*time.Millisecond, true)  // who comes then waits for it
	take(50, 100*time.Millisecond, true) // up to the patience
	take(1, 0, false)                    // and no further
	now = now.Add(60 * time.Millisecond)
	take(1, 90*time.Millisecond, true)
	now = now.Add(time.Hour)
	take(5000, 0, true) // a message is never cut, however large
	take(1, 0, false)
	now = now.Add(4900 * time.Millisecond)
	take(1, 0, true)
}

// TestBudgetKeepsItsRate: whoever asks again and again gets the rate, no more and not
// much less.
func TestBudgetKeepsItsRate(t *testing.T) {
	const rate, size = 100 << 20, 1 << 20
	b := newBudget(rate, 100*time.Millisecond)
	start := time.Unix(1000, 0)
	total := 0
	for now := start; now.Sub(start) < 10*time.Second; now = now.Add(7 * time.Millisecond) {
		for {
			if _, ok := b.reserve(size, now); !ok {
				break
			}
			total += size
		}
	}
	if got := float64(total) / 10 / rate; got < 0.98 || got > 1.04 {
		t.Errorf("%.3f of the rate", got)
	}
}
