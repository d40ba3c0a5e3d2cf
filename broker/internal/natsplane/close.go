package natsplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Close refuses new requests, waits until those under way are answered and the
// answers written out, and stops the server. Once ctx is done, or if it was from
// the start, it waits for nothing: clients are cut off, and answers that come later
// are dropped. Further calls do nothing.
func (p *Plane) Close(ctx context.Context) error {
	if p.gate.IsShut() {
		return nil
	}
	err := p.gate.Close(ctx)
	if err == nil {
		err = errors.Join(p.flush(), p.delivered(ctx))
	} else {
		err = fmt.Errorf("close the NATS side: %d requests were not answered: %w", p.gate.Inside(), err)
	}
	p.stop()
	return err
}

// delivered waits until the server has written out what it holds for clients: a
// shutdown drops the rest, and a reply that is dropped makes a done request
// unknown.
func (p *Plane) delivered(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for {
		conns, err := p.server.Connz(&server.ConnzOptions{Limit: maxConnections})
		if err != nil {
			return fmt.Errorf("look at the clients' connections: %w", err)
		}
		pending := 0
		for _, c := range conns.Conns {
			pending += c.Pending
		}
		if pending == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d bytes for slow clients were not taken: %w", pending, ctx.Err())
		}
	}
}

func (p *Plane) stop() {
	p.gate.Shut()
	p.cancel()
	if p.micro != nil {
		if err := p.micro.Stop(); err != nil {
			p.log.Debug("stop service discovery", "error", err)
		}
	}
	for _, nc := range p.conns() {
		nc.Close()
	}
	p.server.Shutdown()
	p.server.WaitForShutdown()
}
