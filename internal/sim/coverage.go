package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
)

// Coverage notes which transitions and states histories have been through. The
// zero value is ready; a nil one notes nothing.
type Coverage struct {
	transitions map[transition]int // role × message type × outcome
	branches    map[branch]int     // the same, with what else the core asks about
	groups      map[uint64]struct{}
}

// transition is the coarse view of what a message does.
type transition struct {
	role    raft.Role
	message raft.MessageType
	outcome outcome
}

// branch is a transition with what the core's branches depend on.
type branch struct {
	transition
	term               int8 // of the message: earlier, the same, later
	reject, joint      bool
	votes, member      bool
	serving, repairing bool
	beyond             bool // it names an entry behind the end of the log
	effects            uint8
}

// outcome is what a message came to.
type outcome uint8

const (
	took outcome = iota
	stale
	sticky
	unknownPeer
	refused
	cut // the log
	grew
	committing
	becameFollower
	becameCandidate
	becameLeader
	outcomes
)

var outcomeNames = [outcomes]string{
	"taken", "stale", "sticky", "unknown peer", "refused", "cut the log", "grew the log", "moved the commit index",
	"stepped down", "campaigned", "took the lead",
}

// message notes what a message did to n.
func (c *Coverage) message(before *view, n *node, m *raft.Message, err error) {
	if c == nil {
		return
	}
	if c.transitions == nil {
		c.transitions, c.branches, c.groups = make(map[transition]int), make(map[branch]int), make(map[uint64]struct{})
	}
	t := transition{role: before.role, message: m.Type, outcome: outcomeOf(before, n, err)}
	c.transitions[t]++
	b := branch{
		transition: t, reject: m.Reject, joint: before.joint, votes: before.votes, member: before.member,
		serving: before.serving, repairing: before.repairs, beyond: m.Index > before.last,
	}
	switch {
	case m.Term < before.term:
		b.term = -1
	case m.Term > before.term:
		b.term = 1
	}
	for i := range n.out.Sends {
		r := &n.out.Sends[i].Message
		b.effects |= 1 << (r.Type % 8)
	}
	c.branches[b]++
}

func outcomeOf(before *view, n *node, err error) outcome {
	var frames *replica.FrameError
	switch {
	case errors.Is(err, raft.ErrStale):
		return stale
	case errors.Is(err, raft.ErrSticky):
		return sticky
	case errors.Is(err, raft.ErrUnknownPeer):
		return unknownPeer
	case errors.As(err, &frames), err != nil:
		return refused
	}
	role := n.rep.Status().Role
	last := n.last()
	switch {
	case role != before.role && role == raft.RoleLeader:
		return becameLeader
	case role != before.role && role == raft.RoleFollower:
		return becameFollower
	case role != before.role:
		return becameCandidate
	case last < before.last:
		return cut
	case last > before.last:
		return grew
	case n.rep.Commit() > before.commit:
		return committing
	}
	return took
}

// group notes the shape of the whole group: what each replica is and roughly how
// far it is behind, whoever it is.
func (c *Coverage) group(w *world) {
	if c == nil || c.groups == nil {
		return
	}
	var shapes [nodesMax]uint64
	for i, n := range w.nodes {
		if !n.alive() {
			continue
		}
		s := &n.seen
		v := 1 | uint64(s.role)<<1 | min(2, uint64(w.topTerm()-s.term))<<3 | bucket(len(w.committed)-int(s.commit))<<5 | bucket(int(s.last)-int(s.commit))<<7
		for k, flag := range [...]bool{s.serving, s.joint, s.member, s.votes, s.repairs} {
			if flag {
				v |= 1 << (9 + k)
			}
		}
		shapes[i] = v
	}
	slices.Sort(shapes[:])
	h := uint64(14695981039346656037)
	for _, v := range shapes {
		h = (h ^ v) * 1099511628211
	}
	c.groups[h] = struct{}{}
}

// bucket makes two bits of a distance.
func bucket(n int) uint64 {
	switch {
	case n <= 0:
		return 0
	case n == 1:
		return 1
	case n < 16:
		return 2
	default:
		return 3
	}
}

// topTerm is the highest term of a living replica.
func (w *world) topTerm() (t raft.Term) {
	for _, n := range w.nodes {
		t = max(t, n.seen.term)
	}
	return t
}

// Add joins what another has noted.
func (c *Coverage) Add(o *Coverage) {
	if c.transitions == nil {
		c.transitions, c.branches, c.groups = make(map[transition]int), make(map[branch]int), make(map[uint64]struct{})
	}
	for t, n := range o.transitions {
		c.transitions[t] += n
	}
	for b, n := range o.branches {
		c.branches[b] += n
	}
	maps.Copy(c.groups, o.groups)
}

// String tells how many were seen.
func (c *Coverage) String() string {
	return fmt.Sprintf("coverage: %d combinations of role, message and outcome, %d with what the core's branches depend on, %d shapes of the whole group",
		len(c.transitions), len(c.branches), len(c.groups))
}

// Table lists the combinations of role, message and outcome with how often each
// was seen, a line each.
func (c *Coverage) Table() string {
	lines := make([]string, 0, len(c.transitions))
	for t, n := range c.transitions {
		lines = append(lines, fmt.Sprintf("%-13v %-14v %-22s %d\n", t.role, t.message, outcomeNames[t.outcome], n))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
