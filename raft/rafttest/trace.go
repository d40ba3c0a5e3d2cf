package rafttest

import (
	"fmt"
	"strings"

	"github.com/logq/logq/raft"
)

// traceReady prints what a core wants done, one line for each thing.
func (c *Cluster) traceReady(n *Node, r *raft.Ready) {
	if c.o.Trace == nil {
		return
	}
	if r.Role != nil {
		state := ""
		if r.Role.Serving {
			state = ", serving"
		}
		c.tracef("  %d is %v of term %d, leader %d%s\n", n.ID, r.Role.Role, r.Role.Term, r.Role.Leader, state)
	}
	if r.N != 0 {
		var parts []string
		if r.SaveHard {
			parts = append(parts, fmt.Sprintf("save term=%d vote=%d", r.Hard.Term, r.Hard.Vote))
		}
		if r.Install != nil {
			parts = append(parts, fmt.Sprintf("begin after %v", r.Install.Prev))
		}
		if r.Truncate != 0 {
			parts = append(parts, fmt.Sprintf("truncate %d", r.Truncate))
		}
		if r.Append.Lo < r.Append.Hi {
			parts = append(parts, fmt.Sprintf("append [%d,%d) of %d %v", r.Append.Lo, r.Append.Hi, r.Append.Term, r.Append.Kind))
			if r.Append.Kind == raft.KindConfig {
				parts = append(parts, r.Config.String())
			}
		}
		c.tracef("  %d write %d: %s\n", n.ID, r.N, strings.Join(parts, ", "))
	}
	if r.Commit != 0 {
		c.tracef("  %d commits %d\n", n.ID, r.Commit)
	}
	for _, l := range r.Lost {
		c.tracef("  %d lost [%d,%d) of term %d\n", n.ID, l.Lo, l.Hi, l.Term)
	}
	for _, res := range r.Reads {
		if res.Lost {
			c.tracef("  %d read %d is lost\n", n.ID, res.ID)
		} else {
			c.tracef("  %d read %d at %d\n", n.ID, res.ID, res.Index)
		}
	}
	for i := range r.Send {
		c.tracef("  sends %v\n", r.Send[i])
	}
}
