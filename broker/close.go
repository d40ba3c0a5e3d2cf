package broker

import (
	"context"
	"errors"
	"fmt"
)

// Close answers what is under way, hands leaderships over, and stops. With a ctx
// that is done, or gets done, it goes on as in a crash: nothing is handed over,
// connections are cut, and the error says so. Everything that the broker started
// has ended when it returns. Further calls do nothing.
func (b *Broker) Close(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.started || b.closed {
		b.closed = true
		return nil
	}
	b.closed = true
	if err := b.shut(ctx); err != nil {
		return fmt.Errorf("close broker %d: %w", b.c.ID, err)
	}
	return nil
}

// shut closes what is open, from the outside in: first no more requests, then
// leaderships go while the others can still be reached, then the rest.
func (b *Broker) shut(ctx context.Context) error {
	if b.stop != nil {
		b.stop()
		b.tasks.Wait()
	}
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	abrupt := ctx.Err() != nil
	if abrupt && b.plane != nil {
		note(b.plane.Close(ctx)) // cut first: what happens from here on nobody hears
	}
	if b.service != nil {
		note(b.service.Close(ctx))
	}
	if b.plane != nil {
		note(b.plane.Close(ctx))
	}
	if b.http != nil {
		note(b.http.Close(ctx))
	}
	if b.host != nil {
		note(b.host.Close(ctx))
	}
	if b.transport != nil {
		note(b.transport.Close(ctx))
	}
	if b.journal != nil {
		note(b.journal.Close())
	}
	if b.lock != nil {
		note(b.lock.Close())
	}
	return errors.Join(errs...)
}
