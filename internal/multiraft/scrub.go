package multiraft

import (
	"errors"
	"log/slog"
	"time"

	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

// scrubber reads what is durable of all logs again and again, at a set rate, so that
// damage is found and repaired while others still hold what was lost. Where a read has
// just come upon damage, it looks first.
type scrubber struct {
	h        *Host
	suspects chan suspect
	stop     chan struct{}
	rate     scrubPace
}

// suspect is a place where a read met damage.
type suspect struct {
	g *Group
	i segments.Index
}

// scrubPace paces one reader.
type scrubPace struct {
	perSecond int64
	until     time.Time // when what was read so far is paid for
}

// errScrubStopped ends a Verify when the host closes.
var errScrubStopped = errors.New("the host is closing")

func newScrubber(h *Host) *scrubber {
	return &scrubber{
		h: h, suspects: make(chan suspect, maxSuspects), stop: make(chan struct{}),
		rate: scrubPace{perSecond: h.o.ScrubBytesPerSecond},
	}
}

// suspect asks for a look at the segment that err is about, if err is about damage.
// It never blocks; what is not looked at now comes with the next round.
func (s *scrubber) suspect(g *Group, err error) {
	var bad *segments.CorruptionError
	if !errors.As(err, &bad) {
		return
	}
	select {
	case s.suspects <- suspect{g, bad.Index}:
	default:
	}
}

func (s *scrubber) close() { close(s.stop) }

// run is the scrubber's goroutine. The first round begins when a first interval is
// over: whatever was open until then has been read when it was opened.
func (s *scrubber) run() {
	var round <-chan time.Time
	begin := func() {
		if s.h.o.ScrubInterval > 0 {
			round = time.After(s.h.o.ScrubInterval)
		}
	}
	begin()
	for {
		select {
		case <-s.stop:
			return
		case x := <-s.suspects:
			s.look(x)
		case <-round:
			if !s.all() {
				return
			}
			s.h.stats.scrubs.Add(1)
			begin()
		}
	}
}

// all reads all logs once. It reports false when the host closes.
func (s *scrubber) all() bool {
	for _, g := range s.h.Groups() {
		for i := segments.Index(1); i != 0; {
			var ok bool
			if i, ok = s.verify(g, i); !ok {
				return false
			}
			select {
			case x := <-s.suspects:
				s.look(x)
			default:
			}
		}
	}
	return true
}

func (s *scrubber) look(x suspect) { s.verify(x.g, x.i) }

// verify reads one segment, and tells the replica of what is damaged.
func (s *scrubber) verify(g *Group, i segments.Index) (next segments.Index, ok bool) {
	if g.view.Load() == nil || g.view.Load().err != nil {
		return 0, true
	}
	next, found, err := g.log.Verify(i, s.pace)
	switch {
	case errors.Is(err, errScrubStopped):
		return 0, false
	case err != nil:
		s.h.log.Warn("a segment can't be verified", "group", g.spec.Name, "entry", i, "error", err)
	case found != nil:
		g.shard.in.put(event{kind: evDamaged, g: g, found: found}, false)
	}
	return next, true
}

// pace waits until n bytes may be read.
func (s *scrubber) pace(n int) error {
	s.h.stats.scrubbedBytes.Add(uint64(n))
	now := time.Now()
	if s.rate.until.Before(now) {
		s.rate.until = now
	}
	wait := s.rate.until.Sub(now)
	s.rate.until = s.rate.until.Add(time.Duration(int64(n) * int64(time.Second) / s.rate.perSecond))
	if wait <= 0 {
		select {
		case <-s.stop:
			return errScrubStopped
		default:
			return nil
		}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.stop:
		return errScrubStopped
	}
}

// repair writes entries in the place of damaged ones, on a disk worker.
func (h *Host) repair(f flush) {
	err := f.g.log.Repair(f.repair)
	if err != nil {
		h.stats.repairErrors.Add(1)
		h.log.Warn("a repair failed; another replica is asked", "group", f.g.spec.Name, "error", err)
	} else {
		h.stats.repairs.Add(1)
		h.stats.repairedBytes.Add(uint64(len(f.repair)))
	}
	f.g.shard.in.put(event{kind: evRepaired, g: f.g, err: err}, false)
}

// damaged tells g's replica what was found.
func (s *shard) damaged(g *Group, f *segments.Finding) {
	before := len(g.rep.Damage())
	s.guard(g, func() { g.rep.Damaged(f, &s.out) })
	if gaps := g.rep.Damage(); len(gaps) > before {
		s.h.tellDamage(&g.spec, gaps)
	}
}

// repaired tells g's replica how its repair ended.
func (s *shard) repaired(g *Group, err error) {
	before := len(g.rep.Damage())
	s.guard(g, func() { g.rep.Repaired(err, &s.out) })
	if before > 0 && len(g.rep.Damage()) == 0 && !g.gone {
		s.h.log.Info("all damage is repaired", "group", g.spec.Name, "replica", g.spec.Self)
	}
}

// tellDamage logs what is damaged in a log that was opened.
func (h *Host) tellDamage(spec *Spec, gaps []segments.Gap) {
	for _, gap := range gaps {
		h.stats.damaged.Add(1)
		h.log.Log(h.ctx, slog.LevelError, "damage on disk; the other replicas are asked for what was lost", "group", spec.Name, "replica", spec.Self, "damage", gap.String())
	}
}

// needsAnswer says that the sender of m wants to know that it was not sent.
func needsAnswer(m *raft.Message) bool { return m.Type == raft.MsgAppend || m.Type == raft.MsgJump }
