package multiraft

import (
	"sync"
	"time"
)

// budget is a rate in bytes per second, as a token bucket that may go into debt by
// what is sent in patience: who comes then waits, and who comes later is refused.
type budget struct {
	rate     float64 // bytes per second
	patience time.Duration

	mu   sync.Mutex
	left float64   // bytes; negative: debt; guarded by mu
	at   time.Time // of left; guarded by mu
}

func newBudget(bytesPerSecond int64, patience time.Duration) *budget {
	return &budget{rate: float64(bytesPerSecond), patience: patience}
}

// reserve takes n bytes and returns how long to wait before they are used. False:
// the debt is too high already; nothing was taken.
func (b *budget) reserve(n int, now time.Time) (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if most := b.rate * b.patience.Seconds(); b.at.IsZero() {
		b.left = most
	} else {
		b.left = min(most, b.left+b.rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	wait = max(0, time.Duration(-b.left/b.rate*float64(time.Second)))
	if wait > b.patience {
		return 0, false
	}
	b.left -= float64(n)
	return wait, true
}
