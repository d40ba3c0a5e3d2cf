package service

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// broadcast tells any number of waiters that something has changed. Take the channel first, look second, wait third: a
// change between looking and waiting then closes the channel that is waited on.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{} // guarded by mu
}

func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// backoff is a growing, jittered pause.
type backoff struct{ least, most, now time.Duration }

func (b *backoff) next() time.Duration {
	b.now = min(max(b.now*2, b.least), b.most)
	return b.now/2 + rand.N(b.now/2+1)
}

func (b *backoff) reset() { b.now = 0 }

// pause waits for d, for any of the channels, or for ctx; it reports whether ctx still holds. A nil channel never comes.
func pause(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// waitChange waits for a change for at most d. It reports false when there is no point in waiting on: ctx has ended, or the
// service is closing.
func (s *Service) waitChange(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-ctx.Done():
	case <-s.drain.Done():
	}
	return ctx.Err() == nil && s.drain.Err() == nil
}
