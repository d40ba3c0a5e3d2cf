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

// node is one replica with its disk, through all its lives.
type node struct {
	id   raft.ReplicaID
	disk *disk
	jrnl *journal.Mem
	rep  *replica.Replica // nil while down
	out  replica.Output
	life int
	skew float64 // of its clock
	wall micros  // how far its wall clock is off
	// pausedUntil holds every event of the node up, as a stopped process does: it
	// comes back believing what it believed.
	pausedUntil micros
	slowUntil   micros // its disk takes slowFactor times as long
	slowFactor  micros
	vouch       vouch

	// rotten: the disk was damaged, and is not known to be repaired. gone: it must not
	// start again. replaced: another has taken its place.
	rotten, gone, replaced bool
	hidden                 bool     // the disk was damaged while the replica runs, and it doesn't know
	lost                   []*entry // what its log held when it lost its tail, until it has that again
	bared                  bool     // what stood behind hidden damage was cut off
	marred                 bool     // the disk was damaged since it was last opened without a complaint

	// What the checker knows of it.
	seen     view
	mirror   []*entry       // the log's entries from index 1 on, those before its start as they were committed
	origin   raft.Index     // index before the log's first
	commit   raft.Index     // in this life
	durable  segments.Index // the end of what is surely on its disk
	flush    *diskOp        // the newest
	hw       record.Offset
	promised raft.Term // highest term in which it granted a vote or acked
	refusal  error     // of the message that was stepped last
	changed  bool      // a configuration entry was added or dropped since the last check
	buf      []byte
}

// view is what is seen of a replica after each step.
type view struct {
	role    raft.Role
	term    raft.Term
	serving bool
	joint   bool
	member  bool // voter or learner
	votes   bool
	repairs bool
	commit  raft.Index
	last    raft.Index
}

// impaired says that n knows of something that its disk has lost.
func (n *node) impaired() bool {
	return len(n.rep.Damage()) > 0 || n.rep.Repairing() || n.rotten && n.rep.Err() != nil
}

func (n *node) alive() bool { return n.rep != nil && n.rep.Err() == nil }

// last returns the index of the last entry, or the one before an empty log.
func (n *node) last() raft.Index {
	start, _ := n.rep.Log().PrevOfFirst()
	return raft.Index(max(start, n.rep.Log().Last()))
}

// cut notes that what is on the disk behind index i is to be replaced.
func (n *node) cut(i segments.Index) {
	n.durable = min(n.durable, i)
	if n.flush != nil {
		n.flush.durable = min(n.flush.durable, i)
	}
}

func (n *node) leads() bool { return n.alive() && n.seen.role == raft.RoleLeader }

// addNode makes a replica with an empty disk.
func (w *world) addNode() *node {
	n := &node{id: raft.ReplicaID(len(w.nodes) + 1), disk: newDisk(), jrnl: journal.NewMem()}
	n.skew = w.s.skew[w.indexOf(n)]
	if n.skew < 0.9 || n.skew > 1.1 {
		w.report.Faults[Skew]++
	}
	w.nodes = append(w.nodes, n)
	return n
}

func (w *world) start(n *node) error {
	n.life++
	hard, mark, err := loadHard(n.jrnl, n.id)
	if err != nil {
		return err
	}
	if err := w.checkHard(n, hard); err != nil {
		return err
	}
	var birth []raft.ReplicaID // nobody, for one that is added later
	if slices.Contains(w.voters, n.id) {
		birth = w.voters
	}
	n.disk.calls = 0
	if w.chance(CrashInRecovery, w.s.inRecovery) {
		n.disk.cutAt = 1 + w.r.IntN(20)
	} else if w.chance(ReadFails, w.s.readFails) {
		n.disk.rule(vfs.OpRead, 1+w.r.IntN(6), 0, false)
	}
	rep, _, err := replica.Open(replica.Options{
		Group: groupID, Identity: segments.Identity{Topic: topicID}, ID: n.id, Voters: birth,
		FS: n.disk.fs, Dir: "log", SegmentBytes: w.s.segmentBytes, TailBytes: w.s.tailBytes, Direct: true,
		Hard: hard, Mark: mark, Seed: w.seed*31 + uint64(n.life)*7 + uint64(n.id),
		ElectionTicks: electionTicks, HeartbeatTicks: heartbeatTicks, Lease: uint64(w.s.lease), Priority: w.s.prio[w.indexOf(n)],
		MaxMessageBytes: w.s.maxMessage, MaxInflightBytes: w.s.maxInflight, MaxInflightMessages: w.s.maxMessages,
		MaxUncommittedBytes: w.s.maxUncommitted, Quiesce: w.s.quiesce,
	})
	n.disk.clear()
	n.disk.cutAt = 0
	if err != nil {
		return w.notOpened(n, err)
	}
	n.rep, n.vouch = rep, vouch{}
	n.commit, n.hw = rep.Commit(), rep.HighWatermark()
	before, durable := n.mirror, n.durable
	n.mirror, n.origin, n.durable, n.flush = nil, 0, rep.Log().Durable(), nil
	w.scheduleTick(n)
	n.out.Changed = true
	if err := w.learn(n); err != nil {
		return err
	}
	if n.marred && rep.Repairing() {
		w.tracef("%d has lost its tail, and knows it", n.id)
	} else if err := w.checkKept(n, before[:min(len(before), int(durable))]); err != nil {
		if !n.bared {
			return err
		}
		// Damage at the very end of a log can't be told from a torn write (FAST'18,
		// appendix A), and a cut has made it the end: an operator replaces the disk.
		w.tracef("%d has lost its end, and can't know: %v", n.id, err)
		w.report.Refused++
		w.dead(n)
		w.lose(n)
		return nil
	}
	n.bared = false
	n.rotten, n.hidden = n.impaired(), false
	n.marred = n.rotten
	return w.checkRestarted(n)
}

// notOpened decides about a replica that doesn't start: its disk is at fault, or
// was damaged on purpose.
func (w *world) notOpened(n *node, err error) error {
	switch {
	case errors.Is(err, errPowerCut):
		w.tracef("power of %d is cut while it starts", n.id)
		w.cutPower(n)
	case isInjected(err):
		w.tracef("%d doesn't start: %v", n.id, err)
	case n.marred && errors.Is(err, segments.ErrCorrupt):
		w.tracef("%d refuses its log: %v", n.id, err)
		w.report.Refused++
		w.lose(n)
		return nil
	default:
		return fmt.Errorf("replica %d doesn't open again: %w", n.id, err)
	}
	w.restart(n)
	return nil
}

func (w *world) restart(n *node) {
	w.q.add(w.now+w.between(1, w.s.downFor), w.q.make(evRestart, w.indexOf(n)))
}

// loadHard reads what the journal kept.
func loadHard(j *journal.Mem, id raft.ReplicaID) (hs raft.HardState, mark raft.EntryID, err error) {
	err = j.Load(func(e journal.Entry) (err error) {
		got := raft.ReplicaID(0)
		if e.Key == markKey {
			got, mark, err = replica.DecodeMark(e.Value)
		} else {
			got, hs, err = replica.DecodeHardState(e.Value)
		}
		if err == nil && got != id {
			err = fmt.Errorf("state of replica %d in the journal of %d", got, id)
		}
		return err
	})
	return hs, mark, err
}

// killFor ends the process of n for a while. The operating system lives on, and
// with it what was written and not synced: a later power cut may still take that.
func (w *world) killFor(n *node) {
	if n.rep == nil {
		return
	}
	w.tracef("%d killed", n.id)
	w.dead(n)
	n.jrnl = n.jrnl.Crash()
	w.restart(n)
}

// crashFor cuts the power of n for a while.
func (w *world) crashFor(n *node) error {
	if n.rep == nil {
		return nil
	}
	w.tracef("crash of %d", n.id)
	w.dead(n)
	w.cutPower(n)
	w.restart(n)
	return nil
}

// cutPower leaves of the disk what was synced, and any part of the rest.
func (w *world) cutPower(n *node) {
	which := w.r.IntN(3)
	torn := w.r.IntN(2) == 0
	n.disk.use(n.disk.mem.Crash(vfs.CrashOptions{Keep: float64(which) / 2, Torn: torn, Rand: w.r}))
	n.jrnl = n.jrnl.Crash()
	w.report.Faults[[...]Fault{UnsyncedLost, UnsyncedMixed, UnsyncedKept}[which]]++
	if torn {
		w.report.Faults[Torn]++
	}
}

// dead drops what a node had in memory. What clients wait for is unknown now.
func (w *world) dead(n *node) {
	n.rep = nil
	n.out.Reset()
	n.life++
	n.seen = view{}
	w.abandon(n)
}

// step runs one input of n's replica, and then everything that follows from it.
func (w *world) step(n *node, f func(out *replica.Output)) error {
	if w.s.lease > 0 {
		n.rep.SetClock(uint64(float64(w.now) / n.skew))
	}
	n.refusal = nil
	if err := w.guarded(n, f); err != nil {
		return err
	}
	if n.refusal != nil {
		return n.refusal
	}
	if w.beyondRepair(n) {
		w.lose(n)
		w.dead(n)
		return nil
	}
	if n.rotten = n.rotten && (n.hidden || n.impaired()); !n.rotten {
		n.lost = nil
	}
	if err := w.learn(n); err != nil {
		return err
	}
	for i := range n.out.Sends {
		if err := w.post(n, &n.out.Sends[i]); err != nil {
			return err
		}
	}
	if err := w.answers(n); err != nil {
		return err
	}
	n.out.Reset()
	return w.startDisk(n)
}

// beyondRepair says that n gives up, since what its disk has lost can't be had again.
func (w *world) beyondRepair(n *node) bool {
	var lost *replica.UnrepairableError
	err := n.rep.Err()
	if !n.rotten || !errors.As(err, &lost) {
		return false
	}
	w.tracef("%d gives up: %v", n.id, err)
	w.report.Refused++
	return true
}

func (w *world) guarded(n *node, f func(out *replica.Output)) (err error) {
	defer invariants.Recover(&err)
	f(&n.out)
	return nil
}
