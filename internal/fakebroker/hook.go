package fakebroker

import (
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
)

// Request is a request as a hook sees it.
type Request struct {
	Broker    protocol.BrokerID // who was asked
	Op        protocol.Op
	Topic     string
	Partition protocol.Partition
	Epoch     uint64        // the term that the client expects, 0 = none
	Deadline  time.Duration // how long the client waits, 0 = not said
	Body      []byte
	Seen      int // how many requests of this Op the cluster got so far, this one included
}

// Action is what a hook does to a request. Fields can be combined; they take effect in their order here.
type Action struct {
	Hold      <-chan struct{} // wait for it before anything else
	Drop      bool            // do nothing and say nothing
	Err       *protocol.Error // say this instead of carrying the request out
	LoseReply bool            // carry it out, and say nothing
	HoldReply <-chan struct{} // wait for it before saying so
	Edit      func(*nats.Msg) // change what is said
}

// Hook has every request pass f, which returns nil to let it be. Hooks are asked in the order they were added; the first
// that returns an action decides. The returned function removes the hook.
func (c *Cluster) Hook(f func(*Request) *Action) (remove func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &hook{f}
	c.hooks = append(c.hooks, h)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i := range c.hooks {
			if c.hooks[i] == h {
				c.hooks = append(c.hooks[:i:i], c.hooks[i+1:]...)
				return
			}
		}
	}
}

type hook struct{ f func(*Request) *Action }

// intercept counts a request and asks the hooks.
func (c *Cluster) intercept(r *Request) *Action {
	c.mu.Lock()
	c.seen[r.Op]++
	r.Seen = c.seen[r.Op]
	hooks := c.hooks
	c.mu.Unlock()
	for _, h := range hooks {
		if a := h.f(r); a != nil {
			return a
		}
	}
	return nil
}

// Seen returns how many requests of an operation the cluster got.
func (c *Cluster) Seen(op protocol.Op) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[op]
}
