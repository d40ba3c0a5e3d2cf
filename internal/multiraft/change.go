package multiraft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
)

// ConfigUndoneError says that a change of members was in the log, was not committed,
// and another leader has replaced it. Look at the group anew and decide again.
type ConfigUndoneError struct {
	// Index is the entry of the change, At that of the configuration now in force.
	Index, At raft.Index
}

// Error names both entries.
func (e *ConfigUndoneError) Error() string {
	return fmt.Sprintf("the change of members in entry %d was undone by another leader; in force is the configuration of entry %d", e.Index, e.At)
}

// ConfigUnknownError says that a change of members is in the log, and that this
// replica can't tell any more whether it will be committed. Look at the group until
// its configuration is committed and not joint.
type ConfigUnknownError struct {
	Index raft.Index
	Cause error
}

// Error names the cause.
func (e *ConfigUnknownError) Error() string {
	return fmt.Sprintf("the change of members in entry %d may or may not be committed: %v", e.Index, e.Cause)
}

// Unwrap returns the cause.
func (e *ConfigUnknownError) Unwrap() error { return e.Cause }

var errSuperseded = errors.New("another change of members is committed")

// change is one change of members that a caller waits for.
type change struct {
	at               raft.Index
	voters, learners []raft.ReplicaID
	index            atomic.Uint64 // of its entry, once there is one
	done             chan error    // holds one
	gone             atomic.Bool   // nobody waits any more
}

// ProposeConfig makes voters and learners the group's members, on its leader, and
// waits until that is committed and, if the voters change, the joint state is left.
// at is the Status.ConfigIndex that the caller has seen. New voters must be learners
// that have caught up (Status.Peers).
//
// *ConfigUndoneError and what raft.Core.ProposeConfig returns mean that the members
// are not changed; *ConfigUnknownError, also when ctx ends, that they may be.
func (g *Group) ProposeConfig(ctx context.Context, at raft.Index, voters, learners []raft.ReplicaID) error {
	c := &change{at: at, voters: slices.Clone(voters), learners: slices.Clone(learners), done: make(chan error, 1)}
	if ok, _ := g.shard.in.put(event{kind: evConfig, g: g, change: c}, false); !ok {
		return ErrClosed
	}
	select {
	case err := <-c.done:
		return err
	case <-g.shard.stopped:
	case <-ctx.Done():
	}
	c.gone.Store(true)
	select {
	case err := <-c.done:
		return err
	default:
	}
	cause := ctx.Err()
	if cause == nil {
		cause = ErrClosed
	}
	return &ConfigUnknownError{Index: raft.Index(c.index.Load()), Cause: cause}
}

// propose hands a change to g's replica.
func (s *shard) propose(g *Group, c *change) {
	if c.gone.Load() {
		return // and nothing was done
	}
	s.guard(g, func() {
		i, err := g.rep.ProposeConfig(c.at, c.voters, c.learners, &s.out)
		if err != nil {
			c.done <- err
			return
		}
		c.index.Store(uint64(i))
		g.changes = append(g.changes, c)
	})
}

// settleChanges answers the changes whose fate is known by the state st.
func (g *Group) settleChanges(st *raft.Status) {
	waiting := g.changes[:0]
	for _, c := range g.changes {
		index := raft.Index(c.index.Load())
		switch {
		case c.gone.Load():
		case g.gone:
			c.done <- &ConfigUnknownError{Index: index, Cause: ErrClosed}
		case g.rep.Err() != nil:
			c.done <- &ConfigUnknownError{Index: index, Cause: &replica.FailedError{Cause: g.rep.Err()}}
		case st.ConfigIndex < index:
			c.done <- &ConfigUndoneError{Index: index, At: st.ConfigIndex}
		case st.ConfigIndex > st.Commit || st.Config.Joint():
			waiting = append(waiting, c)
		case slices.Equal(st.Config.Voters, c.voters) && slices.Equal(st.Config.Learners, c.learners):
			c.done <- nil
		default:
			c.done <- &ConfigUnknownError{Index: index, Cause: errSuperseded} // in its place, or after it
		}
	}
	clear(g.changes[len(waiting):])
	g.changes = waiting
}

// Trim lets the log begin at or before index first: segments whose entries are all
// below it, committed and durable go. Followers that need them jump.
func (g *Group) Trim(first raft.Index) error {
	return g.ask(event{kind: evTrim, g: g, n: uint64(first)})
}

// ask puts an event with a reply and waits for it.
func (g *Group) ask(e event) error {
	e.reply = make(chan error, 1)
	if ok, _ := g.shard.in.put(e, false); !ok {
		return ErrClosed
	}
	select {
	case err := <-e.reply:
		return err
	case <-g.shard.stopped:
		return ErrClosed
	}
}
