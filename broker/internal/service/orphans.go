package service

import (
	"strconv"
	"strings"

	"github.com/logq/logq/internal/protocol"
)

// sweep finds replicas on this broker's disk that the metadata knows nothing of. Their topics were deleted, or they have moved
// away, in records that this broker has folded and lost again: a commit may be known before the entry is durable here, so a
// restart can fall back behind it, and a state that is fetched then leaps over it. It may be called only with a state that is
// as new as anything that this broker has ever folded, and before it is published.
func (f *fold) sweep() {
	s := f.s
	names, err := s.opts.Host.Dirs()
	if err != nil {
		s.log.Warn("replicas that belong to no topic cannot be looked for", "error", err)
		return
	}
	known := map[string]bool{s.meta.spec().Name: true}
	for _, t := range f.state.Snapshot().Topics() {
		for n := range t.Partitions {
			if pl := s.placementIn(t, n); pl.self != 0 {
				known[s.newPartition(t.Name, t.ID, n, s.settingsOf(t), pl).spec().Name] = true
			}
		}
	}
	for _, name := range names {
		if known[name] {
			continue
		}
		p := s.partitionIn(name)
		if p == nil {
			s.log.Warn("a directory beside those of the replicas is none of one; it is left alone", "name", name)
			continue
		}
		s.log.Info("a replica belongs to no topic any more; it is removed", "name", name)
		f.drop(p)
	}
}

// partitionIn returns the partition whose replica has a directory of that name, nil if the name is none of a replica. It is
// the inverse of the name in [partition.spec].
func (s *Service) partitionIn(name string) *partition {
	const idBytes = len("00000000-0000-0000-0000-000000000000")
	rest, incarnation := name, uint64(0)
	if i := strings.LastIndex(name, "-r"); i > idBytes {
		n, err := strconv.ParseUint(name[i+len("-r"):], 10, 48)
		if err != nil {
			return nil
		}
		rest, incarnation = name[:i], n
	}
	cut := len(rest) - idBytes - 1
	if cut < 0 || rest[cut] != '-' {
		return nil
	}
	id, err := protocol.ParseTopicID(rest[cut+1:])
	if err != nil || id == protocol.MetaTopicID {
		return nil
	}
	i := strings.LastIndexByte(rest[:cut], '-')
	if i < 1 {
		return nil
	}
	n, err := strconv.Atoi(rest[i+1 : cut])
	if err != nil || n < 0 || n >= protocol.MaxPartitions {
		return nil
	}
	p := s.newPartition(rest[:i], id, n, &s.opts.Defaults, s.placementOf(nil, []uint64{protocol.ReplicaOf(s.id, incarnation)}, nil))
	if p.spec().Name != name {
		return nil
	}
	return p
}
