package quorumloss

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// Replica is what a stopped broker holds of one group.
type Replica struct {
	// Name is the replica's directory, for people.
	Name      string
	Topic     protocol.TopicID
	Partition protocol.Partition
	// ID is the replica, 0 if the journal has no hard state of it: then it has never
	// voted, and can't be made a voter.
	ID   raft.ReplicaID
	Hard raft.HardState
	// First and Last are the first entry and the last one with its term; Last is zero
	// for an empty log.
	First raft.Index
	Last  raft.EntryID
	// Commit is the highest index that the log itself shows to be committed; more of
	// it may be.
	Commit raft.Index
	// Start, Committed and Next are offsets: of the first record, after the last one
	// that is shown to be committed, and after the last one.
	Start, Committed, Next record.Offset
	// Config is the newest configuration in the log; HasConfig is false if none is in
	// it, so that the group has the members with which it was made.
	Config    raft.Config
	HasConfig bool
	// Damage says what is wrong with the log, nil if nothing is.
	Damage error

	open []place // entries that nothing shows to be committed
}

// place is an entry and the offset after it.
type place struct {
	index raft.Index
	next  record.Offset
}

// Survey reads what the directories below dir hold, without changing anything, in
// order of their names. A damaged log is reported in its Replica, not as an error.
func Survey(fsys vfs.FS, dir string, j journal.Journal) ([]Replica, error) {
	type stored struct {
		id   raft.ReplicaID
		hard raft.HardState
	}
	states := make(map[[20]byte]stored)
	err := j.Load(func(e journal.Entry) error {
		if e.Key.Kind != replica.HardStateKind || e.Value == nil {
			return nil
		}
		id, hs, err := replica.DecodeHardState(e.Value)
		states[e.Key.Group] = stored{id, hs}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	names, err := fsys.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the replicas in %s: %w", dir, err)
	}
	slices.Sort(names)
	var all []Replica
	for _, name := range names {
		r, ok, err := surveyLog(fsys, path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		s := states[protocol.GroupID(r.Topic, r.Partition)]
		r.Name, r.ID, r.Hard = name, s.id, s.hard
		all = append(all, r)
	}
	return all, nil
}

// surveyLog reads the segments of one directory; ok is false if it holds none.
func surveyLog(fsys vfs.FS, dir string) (r Replica, ok bool, err error) {
	files, err := fsys.List(dir)
	if err != nil {
		return r, false, fmt.Errorf("list %s: %w", dir, err)
	}
	slices.Sort(files)
	for _, name := range files {
		if !strings.HasSuffix(name, ".seg") || r.Damage != nil {
			continue
		}
		info, err := segments.Inspect(fsys, path.Join(dir, name), r.take)
		var damaged *segments.CorruptionError
		switch {
		case errors.As(err, &damaged):
			r.Damage, ok = err, true
			continue
		case err != nil:
			return r, false, fmt.Errorf("read %s: %w", path.Join(dir, name), err)
		}
		h := info.Header
		switch {
		case !ok:
			r.Topic, r.Partition = h.Identity.Topic, protocol.Partition(h.Identity.Partition)
			r.begin(h.BaseIndex, h.BaseOffset)
		case raft.Index(h.BaseIndex) > r.Last.Index+1 && info.Frames > 0:
			r.Damage = fmt.Errorf("entries before %d are missing", h.BaseIndex)
		}
		ok = true
		r.Next = info.Next
		if info.Ending == segments.EndCorrupt {
			r.Damage = fmt.Errorf("%s: %s", name, info.Detail)
		}
	}
	return r, ok, nil
}

// begin notes where the log begins, once.
func (r *Replica) begin(base segments.Index, offset record.Offset) {
	if r.First == 0 {
		r.First, r.Start, r.Committed = raft.Index(base), offset, offset
		r.Commit = r.First - 1
	}
}

// take notes one frame.
func (r *Replica) take(f segments.FrameInfo) error {
	if f.Fault != "" {
		return nil
	}
	r.begin(f.Frame.Index, f.Frame.BaseOffset)
	i := raft.Index(f.Frame.Index)
	r.Last = raft.EntryID{Term: raft.Term(f.Frame.Term), Index: i}
	r.Commit = max(r.Commit, raft.Index(f.Local.Commit))
	r.open = append(r.open, place{i, f.Frame.Next()})
	for len(r.open) > 0 && r.open[0].index <= r.Commit {
		r.Committed = r.open[0].next
		r.open = r.open[1:]
	}
	if f.Frame.Kind == segments.KindConfig {
		c, err := raft.DecodeConfig(f.Frame.Payload)
		if err != nil {
			return fmt.Errorf("configuration in entry %d: %w", i, err)
		}
		r.Config, r.HasConfig = c, true
	}
	return nil
}
