package multiraft

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// AppendResult is the outcome of Group.Append.
type AppendResult = replica.AppendResult

// ReadResult is what Group.Read found.
type ReadResult struct {
	// Batches are whole record batches as they lie in the log.
	Batches []byte
	// Next is the offset after the last record in Batches.
	Next record.Offset
	// HighWatermark and LogStart bound what can be read: [LogStart, HighWatermark).
	HighWatermark, LogStart record.Offset
	// Term is the replica's term at the time of the read.
	Term raft.Term
}

// Status is a snapshot of a replica, cheap to take.
type Status struct {
	Role    raft.Role
	Leader  raft.ReplicaID // 0: unknown
	Term    raft.Term
	Serving bool // leads, and its own no-op is committed

	HighWatermark, LogStart, NextOffset record.Offset
	Last, Commit                        raft.Index
	// Durable is the last entry on this replica's own disk. A commit may be known
	// before.
	Durable raft.Index

	// Config is the configuration in force, of entry ConfigIndex; 0 is that with which
	// the group was made. It is committed once ConfigIndex <= Commit.
	Config      raft.Config
	ConfigIndex raft.Index
	// Peers are all members with this replica, in the order of their ids. It is set on
	// the leader only.
	Peers []PeerStatus
	// Damage are the entries that can't be read here, until they are repaired.
	// Repairing: the log has lost its end, and the replica abstains until it has it again.
	Damage    []segments.Gap
	Repairing bool
	// Err says why the replica is out of service; nil while it works.
	Err error
}

// view is the part of Status that changes rarely; it is replaced as a whole.
type view struct {
	role    raft.Role
	leader  raft.ReplicaID
	term    raft.Term
	serving bool
	err     error
}

// Group is this broker's replica of one Raft group.
type Group struct {
	spec  Spec
	hash  uint64
	shard *shard
	log   *segments.Log

	// Owned by the shard's goroutine.
	rep       *replica.Replica
	appends   pendingAppends
	latest    map[uint64]func(record.Offset, error) // nil while there is none
	nextToken uint64
	dirty     bool
	gone      bool
	regrouped bool // its peers have changed and were not looked at
	promise   promise
	stale     bool      // its state may have changed since it was shown
	shownAt   uint64    // shard.ticks
	quietAt   uint64    // shard.ticks at the last heartbeat with which it was quiet
	changes   []*change // of members, proposed here and not decided
	awakeAt   int       // 1 + the place in shard.awake, 0: it gets no ticks

	// Published by the shard after each change, read by anyone.
	view    atomic.Pointer[view]
	members atomic.Pointer[members]
	hw      atomic.Int64
	commit  atomic.Uint64

	repairing atomic.Bool // published likewise

	jobs sync.WaitGroup // flushes and repairs under way: the log must not be closed before

	unreadable atomic.Bool // the last read of old entries has failed

	noted bool // guarded by the host's changes

	mu     sync.Mutex
	waitCh chan struct{} // guarded by mu; closed and dropped at the next change
}

// Name returns the group's name, which is also its directory's.
func (g *Group) Name() string { return g.spec.Name }

// ID returns the Raft group's id.
func (g *Group) ID() raft.GroupID { return g.spec.Group }

// Self returns the id of this broker's replica.
func (g *Group) Self() raft.ReplicaID { return g.spec.Self }

// Voters returns the voters by the configuration in force; the slice must not be
// changed.
func (g *Group) Voters() []raft.ReplicaID { return g.members.Load().config.Voters }

// Append proposes one batch and takes ownership of it: base offset and leader
// epoch are set in place. term is the leader term that the caller counts on, 0
// for any. done gets the outcome exactly once; after deadline (zero: a minute)
// it gets a *replica.UnknownError if nothing better is known.
func (g *Group) Append(batch record.Batch, term raft.Term, deadline time.Time, done func(AppendResult)) {
	if deadline.IsZero() {
		deadline = time.Now().Add(abandonedAppend)
	}
	ok, closed := g.shard.in.put(event{
		kind: evAppend, g: g, batch: batch, term: term, deadline: deadline, done: done,
	}, true)
	switch {
	case closed:
		done(AppendResult{Err: &replica.FailedError{Cause: ErrClosed}})
	case !ok:
		done(AppendResult{Err: raft.ErrBusy})
	}
}

// Latest asks for a high watermark that covers every append acknowledged before
// the call (ReadIndex). Only the leader answers; elsewhere done gets a
// *raft.NotLeaderError.
func (g *Group) Latest(done func(record.Offset, error)) {
	ok, closed := g.shard.in.put(event{kind: evLatest, g: g, read: done}, true)
	switch {
	case closed:
		done(0, ErrClosed)
	case !ok:
		done(0, raft.ErrBusy)
	}
}

// Transfer asks the leader to hand over to another replica, 0 for the best one.
// It returns when the request is accepted, not when the hand-over is done.
func (g *Group) Transfer(to raft.ReplicaID) error {
	return g.ask(event{kind: evTransfer, g: g, to: to})
}

// Read appends committed batches to dst, starting with the one that holds the
// offset from: whole batches, at least one if there is any, else up to maxBytes.
// At from == HighWatermark it returns none. An offset outside the log gives
// *segments.OutOfRangeError.
func (g *Group) Read(dst []byte, from record.Offset, maxBytes int) (ReadResult, error) {
	v := g.view.Load()
	// The high watermark is read before the log start, so that a retention that
	// runs between the two can only make the range smaller.
	hw := record.Offset(g.hw.Load())
	r := ReadResult{Batches: dst, Next: from, HighWatermark: hw, LogStart: g.log.StartOffset(), Term: v.term}
	if v.err != nil {
		return r, &replica.FailedError{Cause: v.err}
	}
	if from == hw {
		return r, nil
	}
	if from > hw || from < r.LogStart {
		return r, &segments.OutOfRangeError{Start: r.LogStart, Next: hw}
	}
	out, next, err := g.log.ReadBatches(dst, from, hw, maxBytes)
	if err != nil {
		g.shard.h.scrub.suspect(g, err)
		return r, fmt.Errorf("read %s from offset %d: %w", g.spec.Name, from, err)
	}
	r.Batches, r.Next = out, next
	return r, nil
}

// OffsetForTime returns the offset and timestamp of the first committed record
// whose timestamp is at or after ts (milliseconds since the epoch); ok is false
// when there is none.
func (g *Group) OffsetForTime(ts int64) (off record.Offset, at int64, ok bool, err error) {
	return g.log.OffsetForTime(ts, record.Offset(g.hw.Load()))
}

// closedCh is what WaitFor returns when there is nothing to wait for.
var closedCh = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// WaitFor returns a channel that is closed once there is a committed record at
// or after from, or the role, leader or term has changed, or the replica failed.
// Callers look again and, if need be, wait again.
func (g *Group) WaitFor(from record.Offset) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if record.Offset(g.hw.Load()) > from || g.view.Load().err != nil {
		return closedCh
	}
	if g.waitCh == nil {
		g.waitCh = make(chan struct{})
	}
	return g.waitCh
}

// Leadership is the part of Status that says who leads.
type Leadership struct {
	Leader  raft.ReplicaID // 0: unknown
	Term    raft.Term
	Serving bool  // this replica leads, and its own no-op is committed
	Err     error // why the replica is out of service; nil while it works
}

// Leadership is a cheap Status for those who ask at each request.
func (g *Group) Leadership() Leadership {
	v := g.view.Load()
	return Leadership{Leader: v.leader, Term: v.term, Serving: v.serving, Err: v.err}
}

// Status returns a snapshot. Its parts may be a moment apart from each other.
func (g *Group) Status() Status {
	v := g.view.Load()
	s := Status{
		Role: v.role, Leader: v.leader, Term: v.term, Serving: v.serving, Err: v.err,
		HighWatermark: record.Offset(g.hw.Load()),
		LogStart:      g.log.StartOffset(),
		NextOffset:    g.log.NextOffset(),
		Last:          raft.Index(g.log.Last()),
		Commit:        raft.Index(g.commit.Load()),
		Durable:       raft.Index(g.log.Durable()),
		Damage:        g.log.Damage(),
		Repairing:     g.repairing.Load(),
	}
	m := g.members.Load()
	s.Config, s.ConfigIndex = m.config, m.index
	if v.role == raft.RoleLeader {
		s.Peers = m.peers()
	}
	return s
}

// publish makes the replica's state visible and wakes who waits for it. Only the
// shard calls it.
func (g *Group) publish() {
	st := g.rep.Status()
	m := g.members.Load()
	if m.ids == nil || m.index != st.ConfigIndex || !m.config.Equal(st.Config) {
		m = newMembers(&st)
		g.regrouped = true
	}
	m.update(&st)
	if m != g.members.Load() {
		g.members.Store(m)
	}
	changed := false
	// Before the view: who sees that the replica serves must not read by an older high watermark.
	if hw := int64(g.rep.HighWatermark()); hw != g.hw.Load() {
		g.hw.Store(hw)
		changed = true
	}
	g.commit.Store(uint64(g.rep.Commit())) // after the high watermark: what it covers lies below that
	old := g.view.Load()
	now := view{role: st.Role, leader: st.Leader, term: st.Term, serving: st.Serving, err: g.rep.Err()}
	if now.err != nil {
		now.role, now.leader, now.serving = raft.RoleFollower, 0, false
	}
	if old == nil || !sameView(*old, now) {
		if old != nil {
			g.shard.h.activity.turned(old.role, now.role)
		}
		g.view.Store(&now)
		g.shard.h.changes.note(g)
		changed = true
	}
	if st.Repairing != g.repairing.Load() {
		g.repairing.Store(st.Repairing)
	}
	if changed {
		g.wakeWaiters()
	}
}

func (g *Group) wakeWaiters() {
	g.mu.Lock()
	if g.waitCh != nil {
		close(g.waitCh)
		g.waitCh = nil
	}
	g.mu.Unlock()
}

// sameView compares everything; errors by identity, since a replica's error is
// set once.
func sameView(a, b view) bool {
	return a.role == b.role && a.leader == b.leader && a.term == b.term && a.serving == b.serving &&
		(a.err == b.err || a.err != nil && b.err != nil && errors.Is(a.err, b.err))
}
