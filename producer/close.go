package producer

import (
	"context"
	"fmt"
)

// Flush waits until all records handed over before the call are decided, and their callbacks have returned, or until ctx
// ends, whose cause it then returns. It says nothing about how they were decided. Lingering batches go out at once.
func (p *Producer) Flush(ctx context.Context) error {
	var waits []<-chan struct{}
	for _, t := range *p.topics.Load() {
		for _, part := range t.parts {
			if ch := part.flush(); ch != nil {
				waits = append(waits, ch)
			}
		}
	}
	for _, ch := range waits {
		select {
		case <-ch:
		case <-ctx.Done():
			return fmt.Errorf("producer: flush: %w", context.Cause(ctx))
		}
	}
	return nil
}

// Close takes no more records, waits until those handed over are decided, and ends the producer. Calls that wait for room
// return. When ctx ends first, the rest fails: what is under way as unknown, what was never sent as not written; Close then
// returns an error that tells how much that was. When Close returns, all callbacks have returned. Further calls wait
// likewise.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if first {
		p.shut(ErrClosed)
		for _, t := range *p.topics.Load() {
			for _, part := range t.parts {
				part.close()
			}
		}
		go func() { // ends with the senders, which end with their batches or with ctx
			p.wg.Wait()
			p.cluster.Close()
			close(p.ended)
		}()
	}
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
	}
	left := p.budget.used.Load()
	p.abandon(ErrClosed)
	<-p.ended
	if left == 0 {
		return nil
	}
	return fmt.Errorf("producer: closed with %d bytes of records undecided: %w", left, context.Cause(ctx))
}

// hurryAll ends the linger of all partitions, now and until the returned function is called.
func (p *Producer) hurryAll() (stop func()) {
	// While somebody waits for room, take lets nothing linger; here only those are woken that linger already.
	p.budget.waiting.Add(1)
	for _, t := range *p.topics.Load() {
		for _, part := range t.parts {
			part.mu.Lock()
			part.hurry()
			part.mu.Unlock()
		}
	}
	return func() { p.budget.waiting.Add(-1) }
}
