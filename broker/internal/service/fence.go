package service

import (
	"sync"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
)

// Intro is what a broker says of its data directory when it calls another one.
type Intro struct {
	// Directory is a random id that was made with the directory; "" = not known.
	Directory string
	// Incarnation is what the cluster gave the broker when it joined; 0 = the cluster began with it.
	Incarnation uint64
	// Generation is a count that rises with each start, and now and then while the broker runs, above runBits that are drawn
	// at random for each run.
	Generation uint64
}

// runBits of a generation tell runs apart that began with the same count: two copies of one directory.
const runBits = 24

// Generation composes the generation of an [Intro]. Of run only the low bits count.
func Generation(count, run uint64) uint64 { return count<<runBits | run&(1<<runBits-1) }

// same reports whether both are about the same directory.
func (i Intro) same(other Intro) bool {
	return i.Directory == other.Directory && i.Incarnation == other.Incarnation
}

func (i Intro) count() uint64 { return i.Generation >> runBits }

func (i Intro) run() uint64 { return i.Generation & (1<<runBits - 1) }

// intros is what other brokers have last said of themselves.
type intros struct {
	mu sync.Mutex
	by map[protocol.BrokerID]Intro // guarded by mu
}

// Judge says why a broker must not go on with the data directory that it has, "" if it may: the cluster knows it by another
// one, has removed it, or the directory is an old copy of one that went on since. It never blocks for long.
func (s *Service) Judge(from protocol.BrokerID, who Intro) string {
	var snap meta.Snapshot
	if t := s.table.Load(); t != nil {
		snap = t.snap
	}
	e := meta.CheckIntroduction(snap, from, who.Directory, who.Incarnation)
	if known, ok := s.opts.Known[from]; ok && e == nil { // the metadata may not be folded as far as it was
		e = meta.CheckSuccessor(from, known.Directory, known.Incarnation, who.Directory, who.Incarnation)
	}
	if e != nil {
		return e.Message
	}
	return s.intros.judge(from, who)
}

// judge holds the generation against the one before. Within one run greetings may overtake each other; a later run begins
// with a higher count than any that the run before has told, because each is durable before it is told.
func (i *intros) judge(from protocol.BrokerID, who Intro) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	last, known := i.by[from]
	switch {
	case !known || !last.same(who) || last.Generation == 0:
	case last.run() == who.run():
		who.Generation = max(who.Generation, last.Generation)
	case who.count() <= last.count():
		return protocol.Errorf(protocol.DuplicateBrokerRegistration, "broker %d runs on an old copy of its data directory: generation %d, while generation %d was seen before. "+
			"What it has promised in between is missing there. Run \"logq broker remove %d --data-lost\", then start it anew with --join on an empty directory",
			from, who.count(), last.count(), from).Message
	}
	if i.by == nil {
		i.by = map[protocol.BrokerID]Intro{}
	}
	i.by[from] = who
	return ""
}

// generation returns the last one that was heard of a broker on a data directory, 0 if there is none.
func (i *intros) generation(from protocol.BrokerID, on Intro) uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	if last := i.by[from]; last.same(on) {
		return last.Generation
	}
	return 0
}

// heard notes how far the generation of a broker has risen, from its gossip.
func (i *intros) heard(from protocol.BrokerID, generation uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	last, known := i.by[from]
	if known && last.run() == (Intro{Generation: generation}).run() && generation > last.Generation {
		last.Generation = generation
		i.by[from] = last
	}
}

// stale returns the brokers that were let in before the metadata said that they must not be, and forgets them.
func (i *intros) stale(snap meta.Snapshot) (out []protocol.BrokerID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for id, who := range i.by {
		if meta.CheckIntroduction(snap, id, who.Directory, who.Incarnation) != nil {
			delete(i.by, id)
			out = append(out, id)
		}
	}
	return out
}

// SetGeneration says that this broker's generation has risen; it is durable.
func (s *Service) SetGeneration(generation uint64) { s.generation.Store(generation) }

// expelled notes that the cluster doesn't let this broker go on with its data directory.
func (s *Service) expelled(e *protocol.Error) {
	s.log.Error("the cluster does not accept this broker's data directory", "error", e)
	if s.opts.OnFenced != nil {
		s.opts.OnFenced(e)
	}
}
