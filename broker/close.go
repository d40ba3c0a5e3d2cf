package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/raft"
)

// Close hands leaderships over, answers what is under way, and stops. With a ctx
// that is done, or gets done, it goes on as in a crash: nothing is handed over,
// connections are cut, and the error says so. Everything that the broker started
// has ended when it returns. Further calls do nothing.
func (b *Broker) Close(ctx context.Context) error {
	err := b.close(ctx)
	b.guard.Wait()
	if err != nil {
		return fmt.Errorf("close broker %d: %w", b.c.ID, err)
	}
	return nil
}

func (b *Broker) close(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || !b.started {
		b.closed = true
		return nil
	}
	b.closed = true
	return b.shut(ctx)
}

// shut closes what is open. First leaderships go, while requests are still taken
// and passed on to the new leaders; then no more requests; then the rest, from the
// outside in. When time is up nothing is waited for any more.
func (b *Broker) shut(ctx context.Context) error {
	if b.leave != nil {
		b.leave()
		b.tasks.Wait()
	}
	b.handOver(ctx)
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	if ctx.Err() != nil { // cut first: what happens from here on nobody hears
		if b.plane != nil {
			note(b.plane.Close(ctx))
		}
		if b.transport != nil {
			note(b.transport.Close(ctx))
		}
	}
	serviceEnd := b.closeService(ctx)
	if b.plane != nil {
		note(b.plane.Close(ctx))
	}
	if b.http != nil {
		note(b.http.Close(ctx))
	}
	if b.host != nil {
		note(b.host.Close(ctx)) // answers what the service may still wait for
	}
	note(serviceEnd())
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

// closeService closes the service, and waits for that unless ctx is done before.
// Then the rest is waited for by end: a request may be with a replica that can't
// commit it, and is answered only when the host closes.
func (b *Broker) closeService(ctx context.Context) (end func() error) {
	if b.service == nil {
		return func() error { return nil }
	}
	closed := make(chan struct{})
	var err error
	go func() {
		defer close(closed)
		err = b.service.Close(ctx)
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
	return func() error {
		<-closed
		return err
	}
}

// handOverPoll is how often a leadership is looked at while it moves.
const handOverPoll = 2 * time.Millisecond

// handOver gives every leadership away that somebody else can take, and waits
// until they are gone, for an election timeout at most: what is not gone by then
// has nowhere to go.
func (b *Broker) handOver(ctx context.Context) {
	if b.host == nil || ctx.Err() != nil {
		return
	}
	var going []*multiraft.Group
	for _, g := range b.host.Groups() {
		if leads(g) && len(g.Voters()) > 1 && g.Transfer(0) == nil {
			going = append(going, g)
		}
	}
	if len(going) == 0 {
		return
	}
	limit := time.NewTimer(handOverTimeout(&b.c))
	defer limit.Stop()
	tick := time.NewTicker(handOverPoll)
	defer tick.Stop()
	for {
		left := going[:0]
		for _, g := range going {
			if leads(g) {
				left = append(left, g)
			}
		}
		if going = left; len(going) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			b.log.Warn("leaderships were not handed over: no other replica is ready to lead", "broker", b.c.ID, "partitions", len(going))
			return
		case <-ctx.Done():
			return
		}
	}
}

func leads(g *multiraft.Group) bool {
	s := g.Status()
	return s.Role == raft.RoleLeader && s.Err == nil
}

// handOverTimeout is the longest election timeout: twice the shortest.
func handOverTimeout(c *Config) time.Duration {
	tick, ticks := c.Tick, c.ElectionTicks
	if tick == 0 {
		tick = defaultTick
	}
	if ticks == 0 {
		ticks = defaultElectionTicks
	}
	return 2 * tick * time.Duration(ticks)
}
