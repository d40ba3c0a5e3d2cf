package client

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/nats-io/nats.go"
)

// Client sends requests to the brokers of a cluster.
type Client struct {
	o      Options
	log    *slog.Logger
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	seed   *seed
	pool   *pool
	topics metadata

	mu     sync.Mutex
	closed bool // guarded by mu
}

// New returns a client that starts from the caller's connection.
func New(nc *nats.Conn, o Options) (*Client, error) {
	if nc == nil {
		return nil, errors.New("the NATS connection is nil: make one with nats.Connect")
	}
	c := &Client{o: o.withDefaults()}
	c.log = c.o.Logger
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.topics.init()
	c.pool = newPool(c, nc)
	s, err := newSeed(c, nc)
	if err != nil {
		c.cancel()
		return nil, err
	}
	c.seed = s
	return c, nil
}

// Close ends everything under way and waits for the client's goroutines. The seed stays open. Further calls do nothing.
func (c *Client) Close() {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return
	}
	c.cancel()
	c.seed.close()
	c.pool.close()
	c.wg.Wait()
}

// start runs f as one of the client's goroutines; it reports false when the client is closed.
func (c *Client) start(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.wg.Go(f)
	return true
}

// within returns a context that ends with ctx or the client.
func (c *Client) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.ctx, func() { cancel(errClosed) })
	return ctx, func() { stop(); cancel(nil) }
}
