package multiraft_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/multiraft"
	"github.com/logq/logq/internal/protocol"
)

// TestOnChangeTellsOfEveryLeadership: who listens knows, without asking, what
// Status says of who leads.
func TestOnChangeTellsOfEveryLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		seen := make(map[*multiraft.Group]multiraft.Status)
		c := newClusterWith(t, 3, func(o *multiraft.Options) {
			o.OnChange = func(groups []*multiraft.Group) {
				mu.Lock()
				defer mu.Unlock()
				for _, g := range groups {
					seen[g] = g.Status()
				}
			}
		})
		defer c.close()
		var all []map[protocol.BrokerID]*multiraft.Group
		for _, name := range []string{"a", "b", "c"} {
			all = append(all, c.open(name, 1, 2, 3))
		}
		agree := func(when string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			for _, groups := range all {
				for id, g := range groups {
					was, is := seen[g], g.Status()
					if was.Role != is.Role || was.Leader != is.Leader || was.Term != is.Term || was.Serving != is.Serving || was.Err != is.Err {
						t.Errorf("%s: broker %d was told %+v of %s, which is %+v", when, id, was, g.Name(), is)
					}
				}
			}
		}
		agree("after they were opened")
		for _, groups := range all {
			c.leader(groups)
		}
		agree("after the elections")
		lead := c.leader(all[0])
		if err := lead.Transfer(0); err != nil {
			t.Fatal(err)
		}
		c.wait(time.Second)
		if lead.Status().Serving {
			t.Fatal("the transfer did nothing")
		}
		agree("after a transfer")
	})
}

// TestOnChangeCoalesces: a listener that is held up gets each group once, as it is
// then.
func TestOnChangeCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		calls := make(chan []string, 100)
		c := newClusterWith(t, 1, func(o *multiraft.Options) {
			o.OnChange = func(groups []*multiraft.Group) {
				var names []string
				for _, g := range groups {
					names = append(names, g.Name())
				}
				calls <- names
				<-release
			}
		})
		defer c.close()
		c.leader(c.open("a", 1)) // opened, elected, serving: the first call holds up the rest
		c.leader(c.open("b", 1))
		close(release)
		synctest.Wait()
		total := 0
		for len(calls) > 0 {
			names := <-calls
			total += len(names)
			for i, n := range names {
				for _, m := range names[:i] {
					if n == m {
						t.Errorf("one call names %v", names)
					}
				}
			}
		}
		if total < 2 || total > 4 {
			t.Errorf("%d groups in all calls", total)
		}
	})
}
