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

// intros is what other brokers have last said of themselves. It is forgotten with a restart; another broker remembers then.
type intros struct {
	mu sync.Mutex
	by map[protocol.BrokerID]Intro // guarded by mu
}

// Judge says why a broker must not go on with the data directory that it has, "" if it may: the cluster knows it by another
// one, has removed it, or the directory is an old copy of one that went on since. It never blocks for long.
func (s *Service) Judge(from protocol.BrokerID, who Intro) string {
	t := s.table.Load()
	if t == nil {
		return ""
	}
	if e := meta.CheckIntroduction(t.snap, from, who.Directory, who.Incarnation); e != nil {
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
	case !known || last.Directory != who.Directory || last.Incarnation != who.Incarnation:
	case Generation(0, last.Generation) == Generation(0, who.Generation):
		who.Generation = max(who.Generation, last.Generation)
	case who.Generation>>runBits <= last.Generation>>runBits:
		return protocol.Errorf(protocol.DuplicateBrokerRegistration, "broker %d runs on an old copy of its data directory: generation %d, while generation %d was seen before. "+
			"What it has promised in between is missing there. Run \"logq broker remove %d --data-lost\", then start it anew with --join on an empty directory",
			from, who.Generation>>runBits, last.Generation>>runBits, from).Message
	}
	if i.by == nil {
		i.by = map[protocol.BrokerID]Intro{}
	}
	i.by[from] = who
	return ""
}

// heard notes how far the generation of a broker has risen, from its gossip.
func (i *intros) heard(from protocol.BrokerID, generation uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	last, known := i.by[from]
	if known && Generation(0, last.Generation) == Generation(0, generation) && generation > last.Generation {
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
