package replica

import (
	"fmt"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// Options configure a replica. Zero sizes take the defaults of limits.go.
type Options struct {
	Group    raft.GroupID
	Identity segments.Identity
	// ID is this replica. Voters are the members with which the group was made; a
	// replica that joined later has none and learns who belongs to it from the log.
	ID     raft.ReplicaID
	Voters []raft.ReplicaID
	// FS and Dir hold the partition's segment files.
	FS  vfs.FS
	Dir string
	// SegmentBytes is the size at which a segment rolls, TailBytes the budget of
	// the recent tail in memory.
	SegmentBytes int64
	TailBytes    int
	// Memory is what the tails of many logs share; nil: the log has its own.
	Memory *segments.Memory
	// Direct has the files written past the page cache, where that can be.
	Direct bool
	// Hard is the hard state that the journal holds for ID.
	Hard raft.HardState
	// Mark is what the journal holds of a log that was closed in order, zero if nothing.
	Mark raft.EntryID
	// Seed feeds the election timeouts.
	Seed uint64
	// ElectionTicks and HeartbeatTicks count calls of Tick.
	ElectionTicks, HeartbeatTicks int
	// MaxMessageBytes bounds the entries of one append message, MaxInflightBytes
	// what is unacknowledged per follower, MaxUncommittedBytes what a leader
	// accepts beyond the commit index before it answers raft.ErrBusy.
	MaxMessageBytes, MaxInflightBytes, MaxUncommittedBytes int
	MaxInflightMessages                                    int
	// Priority, Lease and Quiesce are those of raft.Options.
	Priority int
	Lease    uint64
	Quiesce  bool
}

// Replica is one replica of one partition. It isn't safe for concurrent use.
type Replica struct {
	o    Options
	core *raft.Core
	log  *segments.Log

	term   raft.Term // of the last Ready's hard state; the write term of new frames
	hard   raft.HardState
	commit raft.Index
	hw     record.Offset // offset after the last committed record; never falls
	marks  offsetMarks   // entries in (commit, last]
	own    proposals     // appended here, not yet committed
	reads  map[uint64]uint64
	disk   diskQueue
	mend   mending
	err    error // first failure; set once

	// The bytes of the input being handled, for the Ready that follows it.
	staged record.Batch // own proposal
	raw    []byte       // frames of a stepped append
	rawLo  raft.Index
	start  segments.Start // what came beside a jump
}

// Open opens or creates the log in o.Dir and boots the core on it. It does file
// I/O; nothing else in this package does. A damaged log gives the error of
// segments.Open (errors.Is segments.ErrCorrupt) and nothing is changed on disk.
func Open(o Options) (*Replica, segments.Recovery, error) {
	o.setDefaults()
	log, rec, err := segments.Open(segments.Options{
		FS: o.FS, Dir: o.Dir, Identity: o.Identity,
		SegmentBytes: o.SegmentBytes, TailBytes: o.TailBytes, Memory: o.Memory, Direct: o.Direct,
	})
	if err != nil {
		return nil, rec, fmt.Errorf("open the log of replica %d: %w", o.ID, err)
	}
	r := &Replica{o: o, log: log, reads: make(map[uint64]uint64)}
	if err := r.boot(rec); err != nil {
		_ = log.Close() // the boot error is the one that tells
		return nil, rec, err
	}
	return r, rec, nil
}

// boot restores commit index and high watermark from the marks in the frames
// and starts the core.
func (r *Replica) boot(rec segments.Recovery) error {
	prevIndex, prevTerm := r.log.PrevOfFirst()
	last := raft.Index(r.log.Last())
	r.commit = min(max(raft.Index(rec.Commit), raft.Index(prevIndex)), max(last, raft.Index(prevIndex)))
	if err := r.restoreMarks(raft.Index(prevIndex), last); err != nil {
		return fmt.Errorf("read the uncommitted tail of replica %d: %w", r.o.ID, err)
	}
	r.log.SetCommit(segments.Index(r.commit))

	r.hard = r.o.Hard
	starts := r.log.Terms()
	terms := make([]raft.TermStart, len(starts))
	for i, s := range starts {
		terms[i] = raft.TermStart{Term: raft.Term(s.Term), First: raft.Index(s.First)}
	}
	configs, err := r.bootConfigs()
	if err != nil {
		return err
	}
	r.mend.gaps = r.log.Damage()
	damaged, unsettled := r.damaged(r.mend.gaps)
	r.mend.unsettled = unsettled
	r.disk.marked = r.o.Mark.Index != 0
	core, err := raft.New(raft.Options{
		Group: r.o.Group, ID: r.o.ID, Voters: r.o.Voters, Seed: r.o.Seed,
		ElectionTicks: r.o.ElectionTicks, HeartbeatTicks: r.o.HeartbeatTicks,
		MaxMessageBytes: r.o.MaxMessageBytes, MaxInflightBytes: r.o.MaxInflightBytes,
		MaxUncommittedBytes: r.o.MaxUncommittedBytes, MaxInflightMessages: r.o.MaxInflightMessages,
		Priority: r.o.Priority, Lease: r.o.Lease, Quiesce: r.o.Quiesce,
	}, sizes{r.log}, r.hard, raft.LogState{
		Prev:   raft.EntryID{Term: raft.Term(prevTerm), Index: raft.Index(prevIndex)},
		Last:   max(last, raft.Index(prevIndex)),
		Terms:  terms,
		Commit: r.commit,

		Promised:  r.promised(),
		Damaged:   damaged,
		Unsettled: unsettled,
		Configs:   configs,

		LostConfig: raft.Index(r.log.LostConfig()),

		WriteTerm: raft.Term(rec.WriteTerm),
	})
	if err != nil {
		return fmt.Errorf("start the Raft core of replica %d: %w", r.o.ID, err)
	}
	r.core = core
	// The core may be in a later term than the journal knows: its first Ready then
	// saves it.
	r.term = r.core.Status().Term
	return nil
}

// restoreMarks reads the frames from the commit index on: the committed one for
// the high watermark, the others for what follows when they commit.
func (r *Replica) restoreMarks(prev, last raft.Index) error {
	r.hw = r.log.StartOffset()
	lo := r.commit
	if lo <= prev {
		lo = prev + 1
	}
	gaps := r.log.Damage()
	var buf []byte
	for lo <= last {
		for len(gaps) > 0 && raft.Index(gaps[0].Hi) <= lo {
			gaps = gaps[1:]
		}
		until := last + 1
		if len(gaps) > 0 {
			if g := &gaps[0]; raft.Index(g.Lo) <= lo {
				r.restoreGap(g, lo)
				lo = raft.Index(g.Hi)
				continue
			}
			until = raft.Index(gaps[0].Lo)
		}
		hi, _ := r.log.Fit(segments.Index(lo), segments.Index(until), bootReadBytes)
		var err error
		if buf, err = r.log.ReadFrames(buf[:0], segments.Index(lo), hi); err != nil {
			return err
		}
		for rest := buf; len(rest) > 0; {
			f, n, err := segments.ParseFrame(r.o.Identity, rest)
			if err != nil {
				return err
			}
			rest = rest[n:]
			next := f.BaseOffset + record.Offset(f.Records)
			if i := raft.Index(f.Index); i <= r.commit {
				r.hw = next
			} else {
				r.marks.push(i, next)
			}
		}
		lo = raft.Index(hi)
	}
	return nil
}

// restoreGap is restoreMarks for the damaged entries from lo on. Where the records of
// all but the last end is not known; a high watermark there is none too high.
func (r *Replica) restoreGap(g *segments.Gap, lo raft.Index) {
	for i := lo; i < raft.Index(g.Hi); i++ {
		next := g.Start
		if i == raft.Index(g.Hi)-1 {
			next = g.Next
		}
		if i <= r.commit {
			r.hw = next
		} else {
			r.marks.push(i, next)
		}
	}
}

// sizes lets the core ask how much of the log fits a message.
type sizes struct{ log *segments.Log }

func (s sizes) Fit(lo, hi raft.Index, maxBytes int) (raft.Index, int) {
	end, n := s.log.Fit(segments.Index(lo), segments.Index(hi), maxBytes)
	return raft.Index(end), n
}

// Log returns the log, for its reader methods and for Flush.
func (r *Replica) Log() *segments.Log { return r.log }

// ID returns the replica's id.
func (r *Replica) ID() raft.ReplicaID { return r.o.ID }

// HighWatermark returns the offset after the last record known to be committed.
func (r *Replica) HighWatermark() record.Offset { return r.hw }

// Commit returns the commit index.
func (r *Replica) Commit() raft.Index { return r.commit }

// HardState returns the newest hard state, durable or not.
func (r *Replica) HardState() raft.HardState { return r.hard }

// Status returns the core's view.
func (r *Replica) Status() raft.Status { return r.core.Status() }

// Err returns why the replica is out of service, or nil.
func (r *Replica) Err() error { return r.err }
