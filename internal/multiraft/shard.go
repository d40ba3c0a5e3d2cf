package multiraft

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
)

// shard is one goroutine and the replicas that it owns. Nothing else touches
// them, so they need no locks.
type shard struct {
	h       *Host
	n       int // its place among the host's shards
	in      *inbox
	stop    chan struct{}
	stopped chan struct{}

	groups map[raft.GroupID]*Group
	awake  []*Group // those that need ticks, in no order
	dirty  []*Group
	out    replica.Output
	post   outgoing

	ticks   uint64
	clock   uint64     // as this round began, for leases
	lanes   []laneView // in the order of the host's lanes
	sweeps  []sweep
	resting atomic.Int64 // groups without ticks, for Stats
}

func newShard(h *Host, n int) *shard {
	return &shard{
		h: h, n: n, in: newInbox(), stop: make(chan struct{}), stopped: make(chan struct{}),
		groups: make(map[raft.GroupID]*Group), post: newOutgoing(h),
	}
}

// run is the shard's loop. On stop it answers everything that still waits and
// returns; disk work that is out finishes on its own and reports to nobody.
func (s *shard) run() {
	defer close(s.stopped)
	ticker := time.NewTicker(s.h.o.Tick)
	defer ticker.Stop()
	var spare []event
	for {
		select {
		case <-s.stop:
			s.shutdown()
			return
		case <-s.in.wake:
		case now := <-ticker.C:
			s.tick(now)
		}
		s.clock = s.h.clock()
		events := s.in.swap(spare)
		for i := range events {
			s.handle(&events[i])
		}
		spare = events
		s.post.flush(s)
		s.settle()
	}
}

// handle carries out one event.
func (s *shard) handle(e *event) {
	g := e.g
	if e.kind == evLink {
		s.relink(e.broker)
		return
	}
	if g.gone && e.kind != evOpen {
		s.refuse(e, &UnknownGroupError{ID: g.spec.Group})
		return
	}
	switch e.kind {
	case evOpen:
		s.groups[g.spec.Group] = g
		s.resting.Add(1)
		s.wake(g)
		s.guard(g, func() { g.publish() })
		e.reply <- nil
	case evClose:
		s.close(g)
		e.reply <- nil
	case evMessage:
		s.step(g, e)
	case evAppend:
		s.append(g, e)
	case evLatest:
		s.guard(g, func() {
			g.nextToken++
			if g.latest == nil {
				g.latest = make(map[uint64]func(record.Offset, error))
			}
			g.latest[g.nextToken] = e.read
			s.tell(g, s.h.clock())
			g.rep.Read(g.nextToken, &s.out)
		})
	case evSaved:
		s.diskDone(g, e.err, func() { g.rep.Saved(e.n, &s.out) })
	case evFlushed:
		s.diskDone(g, e.err, func() { g.rep.Flushed(e.n, &s.out) })
	case evSent:
		s.guard(g, func() { g.rep.Sent(e.to, false, &s.out) })
	case evNotice:
		s.notice(g, e.broker)
	case evTransfer:
		s.guard(g, func() {
			err := g.rep.Transfer(e.to, &s.out)
			if err == nil {
				s.h.activity.transfers.Add(1)
			}
			e.reply <- err
		})
	case evConfig:
		s.propose(g, e.change)
	case evTrim:
		s.guard(g, func() { e.reply <- g.rep.Trim(raft.Index(e.n), &s.out) })
	case evDamaged:
		s.damaged(g, e.found)
	case evRepaired:
		s.repaired(g, e.err)
	}
}

func (s *shard) append(g *Group, e *event) {
	token := g.appends.add(e.deadline, e.done)
	if time.Now().After(e.deadline) {
		// It waited here past its deadline: refused before it was appended, so the
		// answer is a definite no.
		g.appends.finish(AppendResult{Token: token, Err: &ExpiredError{}})
		return
	}
	s.guard(g, func() { g.rep.Append(e.batch, e.term, token, &s.out) })
}

func (s *shard) step(g *Group, e *event) {
	s.hear(g, &e.msg)
	s.tell(g, s.clock)
	if t := e.msg.Type; t != raft.MsgHeartbeat && t != raft.MsgHeartbeatReply {
		g.stale = true
	}
	s.after(g, recovered(func() { s.stepReplica(g, e) }))
}

func (s *shard) stepReplica(g *Group, e *event) {
	err := g.rep.Step(&e.msg, e.frames, &s.out)
	if e.msg.Quiet && g.rep.Quiet() {
		g.quietAt = s.ticks
	}
	var bad *replica.FrameError
	if errors.As(err, &bad) {
		s.h.stats.badFrames.Add(1)
		s.h.log.Warn("dropped an append message with bad entries", "group", g.spec.Name, "error", err)
	}
}

func (s *shard) diskDone(g *Group, err error, ok func()) {
	s.guard(g, func() {
		if err != nil {
			g.rep.DiskFailed(err, &s.out)
			return
		}
		ok()
	})
}

// guard runs one step of g's replica and then what came out of it. A broken
// invariant parks the replica; the shard lives.
func (s *shard) guard(g *Group, f func()) {
	if g.gone {
		return
	}
	g.stale = true
	s.after(g, recovered(f))
}

// after carries out what came of a step of g's replica; err is the invariant that
// it broke, if any.
func (s *shard) after(g *Group, err error) {
	if err != nil {
		s.out.Sends = s.out.Sends[:0] // nothing of a broken replica leaves
		g.rep.Fail(err, &s.out)
	}
	if err := g.rep.Err(); err != nil && g.view.Load() != nil && g.view.Load().err == nil {
		s.h.stats.failed.Add(1)
		s.h.log.Log(s.h.ctx, slog.LevelError, "replica taken out of service", "group", g.spec.Name, "replica", g.spec.Self, "error", err)
	}
	s.collect(g)
	if !g.dirty {
		g.dirty = true
		s.dirty = append(s.dirty, g)
	}
}

func recovered(f func()) (err error) {
	defer invariants.Recover(&err)
	f()
	return nil
}

// collect sends the messages and answers the callers of one step.
func (s *shard) collect(g *Group) {
	for i := range s.out.Sends {
		s.send(g, &s.out.Sends[i])
	}
	// Answers go out after the high watermark is visible, so that a caller that
	// reads right after its ack finds its record.
	if len(s.out.Appends) > 0 || len(s.out.Reads) > 0 || s.out.Changed {
		g.publish()
		g.stale = true // and the rest follows at the end of the round
	}
	for _, r := range s.out.Appends {
		g.appends.finish(r)
	}
	for _, r := range s.out.Reads {
		done := g.latest[r.Token]
		delete(g.latest, r.Token)
		if done != nil {
			done(r.HighWatermark, r.Err)
		}
	}
	s.out.Reset()
}

func (s *shard) send(g *Group, m *replica.Send) {
	to := protocol.BrokerOf(uint64(m.Message.To))
	if m.Cold {
		if !s.h.recovery.submit(g, m.Message) {
			s.unsent(g, &m.Message)
		}
		return
	}
	if m.Message.Quiet {
		g.promised(to, &m.Message)
	}
	if len(m.Frames) == 0 {
		s.post.add(s, to, &m.Message)
		return
	}
	if !s.h.o.Transport.Send(to, &m.Message, m.Frames) {
		s.unsent(g, &m.Message)
	}
}

// unsent tells the core of g that an append could not be sent; it finds out by
// itself about everything else. Told through the inbox: the core must not be
// stepped while its output is being carried out.
func (s *shard) unsent(g *Group, m *raft.Message) {
	if needsAnswer(m) {
		s.in.put(event{kind: evSent, g: g, to: m.To}, false)
	}
}

// settle starts the disk work of all that changed in this round.
func (s *shard) settle() {
	for i := 0; i < len(s.dirty); i++ { // more may be added meanwhile
		g := s.dirty[i]
		s.dirty[i] = nil
		g.dirty = false
		if g.gone {
			continue
		}
		w := g.rep.Disk()
		if w.Save {
			s.h.journal.submit(save{g: g, id: g.spec.Group, hard: w.Hard, n: w.SaveN, unmark: w.Unmark})
		}
		if w.Repair != nil {
			g.jobs.Add(1)
			s.h.disk.submit(flush{g: g, repair: w.Repair})
		}
		if w.Flush {
			g.jobs.Add(1)
			s.h.disk.submit(flush{g: g, n: w.FlushN})
		}
		s.pace(g)
		// Heartbeats alone change little; they needn't be shown each time.
		if g.stale || s.ticks-g.shownAt >= showTicks || g.awakeAt == 0 {
			s.show(g)
		}
	}
	s.dirty = s.dirty[:0]
}

// show publishes g's state and acts on what has changed of it.
func (s *shard) show(g *Group) {
	g.stale, g.shownAt = false, s.ticks
	g.publish()
	if g.regrouped {
		g.regrouped = false
		s.introduce(g)
	}
	if len(g.promise.to) > 0 || len(g.changes) > 0 {
		st := g.rep.Status()
		s.keepPromise(g, &st)
		g.settleChanges(&st)
	}
}

// refuse answers an event of a group that is gone.
func (s *shard) refuse(e *event, err error) {
	switch e.kind {
	case evAppend:
		e.done(AppendResult{Err: &replica.FailedError{Cause: err}})
	case evLatest:
		e.read(0, err)
	case evTransfer, evTrim, evClose, evOpen:
		e.reply <- err
	case evConfig:
		e.change.done <- err
	}
}

// close takes g out of the shard and ends what waits for it.
func (s *shard) close(g *Group) {
	delete(s.groups, g.spec.Group)
	s.rest(g)
	g.rep.Fail(ErrClosed, &s.out)
	s.collect(g)
	g.gone = true
	st := g.rep.Status()
	s.keepPromise(g, &st)
	g.settleChanges(&st)
	s.resting.Add(-1)
	g.wakeWaiters()
}

func (s *shard) shutdown() {
	rest := s.in.close()
	for _, g := range s.groups {
		s.close(g)
	}
	for i := range rest {
		s.refuse(&rest[i], ErrClosed)
	}
}
