package multiraft

import "sync"

// changes gathers the groups whose role, leader, term or error has changed, each
// at most once, for Options.OnChange: a slow reader makes changes coalesce, and
// holds nobody up.
type changes struct {
	mu     sync.Mutex
	more   *sync.Cond
	groups []*Group // guarded by mu; nil when nobody listens
	on     bool     // guarded by mu
}

func newChanges(on bool) *changes {
	c := &changes{on: on}
	c.more = sync.NewCond(&c.mu)
	return c
}

// note remembers that g has changed.
func (c *changes) note(g *Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on || g.noted {
		return
	}
	g.noted = true
	c.groups = append(c.groups, g)
	c.more.Signal()
}

// tell calls f with what has changed until close.
func (c *changes) tell(f func([]*Group)) {
	var spare []*Group
	for {
		c.mu.Lock()
		for c.on && len(c.groups) == 0 {
			c.more.Wait()
		}
		if !c.on {
			c.mu.Unlock()
			return
		}
		got := c.groups
		c.groups = spare[:0]
		for _, g := range got {
			g.noted = false
		}
		c.mu.Unlock()
		f(got)
		clear(got)
		spare = got
	}
}

func (c *changes) close() {
	c.mu.Lock()
	c.on = false
	c.mu.Unlock()
	c.more.Broadcast()
}
