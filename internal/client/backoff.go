package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff are the pauses between tries: they double from Min to Max, and each is shortened by a random part of up to a
// half, so that many clients that failed together do not come back together. The zero value starts at 10 ms and ends at
// 500 ms.
type Backoff struct {
	Min, Max time.Duration
	next     time.Duration
}

// Next returns the next pause.
func (b *Backoff) Next() time.Duration {
	least, most := b.Min, b.Max
	if least <= 0 {
		least = 10 * time.Millisecond
	}
	if most < least {
		most = max(500*time.Millisecond, least)
	}
	d := max(b.next, least)
	b.next = min(2*d, most)
	return d - rand.N(d/2+1)
}

// Reset starts from Min again.
func (b *Backoff) Reset() { b.next = 0 }

// Pause waits for d or until ctx ends, whose cause it then returns.
func Pause(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
