package quorumloss

import (
	"errors"
	"fmt"
	"path"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

// ErrUnusable: the replica can't be made the sole voter.
var ErrUnusable = errors.New("the replica can't be used")

// Accept makes r, as Survey returned it, the sole voter of its group. All that it
// holds counts as committed from the broker's next start on. A crash in the middle
// changes nothing or only the term; Accept may then be called again.
//
// Errors: ErrUnusable for a damaged log or a replica that never had a hard state;
// else those of the disk.
func Accept(fsys vfs.FS, dir string, j journal.Journal, r Replica) (err error) {
	switch {
	case r.Damage != nil:
		return fmt.Errorf("make %s the sole voter: %w: its log is damaged, use another survivor: %w", r.Name, ErrUnusable, r.Damage)
	case r.ID == 0:
		return fmt.Errorf("make %s the sole voter: %w: the journal knows no vote or term of it", r.Name, ErrUnusable)
	}
	log, rec, err := segments.Open(segments.Options{
		FS: fsys, Dir: path.Join(dir, r.Name),
		Identity: segments.Identity{Topic: r.Topic, Partition: uint32(r.Partition)},
	})
	if err != nil {
		return fmt.Errorf("make %s the sole voter: %w", r.Name, err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	term := max(r.Hard.Term, raft.Term(log.LastTerm()), raft.Term(rec.WriteTerm)) + 1
	// The term goes first: were the entry there without it, the replica could vote
	// in that term for another.
	key := journal.Key{Group: protocol.GroupID(r.Topic, r.Partition), Kind: replica.HardStateKind}
	hard := raft.HardState{Term: term, Vote: r.ID}
	if err := j.Save([]journal.Entry{{Key: key, Value: replica.EncodeHardState(r.ID, hard)}}); err != nil {
		return fmt.Errorf("make %s the sole voter: %w", r.Name, err)
	}
	last := log.Last()
	if prev, _ := log.PrevOfFirst(); last == 0 {
		last = prev
	}
	sole := raft.Config{Voters: []raft.ReplicaID{r.ID}}
	err = log.Append(segments.Frame{
		Kind: segments.KindConfig, Index: last + 1, Term: segments.Term(term), PrevTerm: log.LastTerm(),
		BaseOffset: log.NextOffset(), Payload: sole.AppendTo(nil),
	}, segments.Local{WriteTerm: segments.Term(term), DurableThrough: log.Durable(), Commit: rec.Commit})
	if err == nil {
		err = log.Flush()
	}
	if err != nil {
		return fmt.Errorf("make %s the sole voter: %w", r.Name, err)
	}
	return nil
}
