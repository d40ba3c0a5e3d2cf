package sim

import (
	"errors"
	"fmt"
	"slices"

	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

var errInjectedSync = errors.New("injected: sync failed")

// entryID is what makes an entry what it is: the replicated part of its frame,
// with index, term, previous term, offset and the payload's checksum.
type entryID [replicatedBytes]byte

const replicatedBytes = 64

// node is one replica with its disk, through all its lives.
type node struct {
	id   raft.ReplicaID
	disk *vfs.Mem
	jrnl *journal.Mem
	rep  *replica.Replica // nil while down
	out  replica.Output
	life int
	// pausedUntil holds every event of the node up, as a stopped process does: it
	// comes back believing what it believed.
	pausedUntil micros

	saving, flushing *diskOp

	// What the checker knows of it.
	mirror   []mirrored // the log's entries from index 1 on, those before its start as they were committed
	start    raft.Index // index before the log's first
	commit   raft.Index // in this life
	hw       record.Offset
	promised raft.Term // highest term in which it granted a vote or acked
	buf      []byte
}

type mirrored struct {
	term raft.Term
	id   entryID
}

// diskOp is one save or flush on its way.
type diskOp struct {
	work    replica.DiskWork
	save    bool
	started bool // took effect already
	err     error
}

func (w *world) start(n *node) error {
	n.life++
	hard, err := loadHard(n.jrnl, n.id)
	if err != nil {
		return err
	}
	if hard.Term < n.promised {
		return fmt.Errorf("replica %d comes back in term %d, but it has promised in term %d", n.id, hard.Term, n.promised)
	}
	var birth []raft.ReplicaID // nobody, for one that is added later
	if slices.Contains(w.voters, n.id) {
		birth = w.voters
	}
	rep, _, err := replica.Open(replica.Options{
		Group: groupID, Identity: segments.Identity{Topic: topicID}, ID: n.id, Voters: birth,
		FS: n.disk, Dir: "log", SegmentBytes: w.s.segmentBytes, TailBytes: w.s.tailBytes,
		Hard: hard, Seed: w.seed*31 + uint64(n.life)*7 + uint64(n.id),
		MaxMessageBytes: w.s.maxMessage, MaxInflightBytes: w.s.maxInflight, MaxUncommittedBytes: 1 << 20,
	})
	if err != nil {
		return fmt.Errorf("replica %d doesn't open again: %w", n.id, err)
	}
	n.rep, n.saving, n.flushing = rep, nil, nil
	n.commit, n.hw = rep.Commit(), rep.HighWatermark()
	n.mirror, n.start = n.mirror[:0], 0
	w.q.add(&event{at: w.now + w.tickOf(n), kind: evTick, node: w.indexOf(n), life: n.life})
	if err := w.learn(n); err != nil {
		return err
	}
	return w.checkRestarted(n)
}

// loadHard reads the hard state that the journal kept.
func loadHard(j *journal.Mem, id raft.ReplicaID) (hs raft.HardState, err error) {
	err = j.Load(func(e journal.Entry) error {
		got, state, err := replica.DecodeHardState(e.Value)
		if err == nil && got != id {
			err = fmt.Errorf("hard state of replica %d in the journal of %d", got, id)
		}
		hs = state
		return err
	})
	return hs, err
}

// crash kills n; its disk keeps what was synced and any part of the rest.
func (w *world) crash(n *node) {
	if n.rep == nil {
		return
	}
	w.tracef("crash of %d", n.id)
	w.dead(n)
	keep := [...]float64{0, 0.5, 1}[w.r.IntN(3)]
	n.disk = n.disk.Crash(vfs.CrashOptions{Keep: keep, Torn: w.r.IntN(2) == 0, Rand: w.r})
	n.jrnl = n.jrnl.Crash()
	w.report.Crashes++
}

// dead drops what a node had in memory. What clients wait for is unknown now.
func (w *world) dead(n *node) {
	n.rep = nil
	n.out.Reset()
	n.life++
	for token, c := range w.calls {
		if c.node == n.id {
			w.unknown(token, c)
		}
	}
}

// step runs one input of n's replica, and then everything that follows from it.
func (w *world) step(n *node, f func(out *replica.Output)) error {
	if err := w.guarded(n, f); err != nil {
		return err
	}
	if err := w.learn(n); err != nil {
		return err
	}
	for i := range n.out.Sends {
		if err := w.post(n, &n.out.Sends[i]); err != nil {
			return err
		}
	}
	for _, r := range n.out.Appends {
		if err := w.answered(r); err != nil {
			return err
		}
	}
	for _, r := range n.out.Reads {
		if err := w.readAnswered(r); err != nil {
			return err
		}
	}
	n.out.Reset()
	w.startDisk(n)
	return nil
}

func (w *world) guarded(n *node, f func(out *replica.Output)) (err error) {
	defer invariants.Recover(&err)
	f(&n.out)
	return nil
}

// startDisk starts the disk work that n wants.
func (w *world) startDisk(n *node) {
	work := n.rep.Disk()
	if work.Save {
		w.launch(n, &diskOp{work: work, save: true}, &n.saving)
	}
	if work.Flush {
		w.launch(n, &diskOp{work: work}, &n.flushing)
	}
}

func (w *world) launch(n *node, op *diskOp, slot **diskOp) {
	*slot = op
	if w.r.Float64() < w.s.diskEarly {
		w.perform(n, op)
	}
	at := w.now + w.between(w.s.diskMin, w.s.diskMax)
	if w.r.Float64() < w.s.diskStall {
		at += w.between(0, second)
		w.report.Stalls++
	}
	w.q.add(&event{at: at, kind: evDisk, node: w.indexOf(n), life: n.life, op: op})
}

// perform makes op's effect real on the simulated disk.
func (w *world) perform(n *node, op *diskOp) {
	op.started = true
	if w.r.Float64() < w.s.syncFails && !w.healed {
		op.err = errInjectedSync
		w.report.SyncFailures++
		return
	}
	if op.save {
		op.err = n.jrnl.Save([]journal.Entry{{
			Key:   journal.Key{Group: groupID, Kind: replica.HardStateKind},
			Value: replica.EncodeHardState(n.id, op.work.Hard),
		}})
		return
	}
	op.err = n.rep.Log().Flush()
}

// finish reports op to the replica.
func (w *world) finish(n *node, op *diskOp) error {
	if !op.started {
		w.perform(n, op)
	}
	if op.err != nil && !errors.Is(op.err, errInjectedSync) {
		return fmt.Errorf("disk of replica %d: %w", n.id, op.err)
	}
	if op.err != nil {
		if err := w.step(n, func(out *replica.Output) { n.rep.DiskFailed(op.err, out) }); err != nil {
			return err
		}
		w.crash(n)
		w.q.add(&event{at: w.now + w.between(0, w.s.downFor), kind: evRestart, node: w.indexOf(n)})
		return nil
	}
	return w.step(n, func(out *replica.Output) {
		if op.save {
			n.rep.Saved(op.work.SaveN, out)
		} else {
			n.rep.Flushed(op.work.FlushN, out)
		}
	})
}
