package sim

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

var (
	errPowerCut = errors.New("injected: the power is cut")
	errJournal  = errors.New("injected: the journal's sync failed")
)

var markKey = journal.Key{Group: groupID, Kind: replica.MarkKind}

// isInjected says that an error of the disk is one that the history wanted.
func isInjected(err error) bool {
	var rule *vfs.InjectedError
	return errors.Is(err, errPowerCut) || errors.Is(err, errJournal) || errors.As(err, &rule) || errors.Is(err, syscall.ENOSPC)
}

// disk is a file system with faults.
type disk struct {
	mem    *vfs.Mem
	faults *vfs.Faults
	fs     vfs.FS
	// The power is cut at the call number cutAt, 0 for none: that call and all later
	// ones fail.
	calls, cutAt int
}

func newDisk() *disk {
	d := &disk{}
	d.use(vfs.NewMem())
	return d
}

func (d *disk) use(mem *vfs.Mem) {
	d.mem, d.faults, d.calls, d.cutAt = mem, new(vfs.Faults), 0, 0
	d.faults.SetHook(d.call)
	d.fs = vfs.WithFaults(mem, d.faults)
}

func (d *disk) call(vfs.Call) error {
	d.calls++
	if d.cutAt > 0 && d.calls >= d.cutAt {
		return errPowerCut
	}
	return nil
}

// rule lets the next matching calls number k fail.
func (d *disk) rule(op vfs.Op, k, short int, lost bool) {
	d.faults.Add(vfs.Rule{Op: op, Pattern: "*", From: k, To: k, Short: short, Lost: lost, Err: syscall.EIO})
}

func (d *disk) failRead() { d.rule(vfs.OpRead, 1, 0, false) }

// clear ends faults that did not come to pass.
func (d *disk) clear() { d.faults.Clear() }

// diskOp is one save or flush on its way.
type diskOp struct {
	work    replica.DiskWork
	save    bool
	repair  bool
	started bool // took effect already
	err     error
	durable segments.Index // the end of what is on disk by a flush
}

// startDisk starts the disk work that n wants.
func (w *world) startDisk(n *node) error {
	work := n.rep.Disk()
	if work.Save {
		if err := w.launch(n, &diskOp{work: work, save: true}); err != nil || n.rep == nil {
			return err
		}
	}
	if work.Repair != nil {
		if err := w.launch(n, &diskOp{work: replica.DiskWork{Repair: work.Repair}, repair: true}); err != nil || n.rep == nil {
			return err
		}
	}
	if work.Flush {
		n.flush = &diskOp{work: work}
		return w.launch(n, n.flush)
	}
	return nil
}

func (w *world) launch(n *node, op *diskOp) error {
	if w.r.Float64() < w.s.early {
		if err := w.perform(n, op); err != nil || n.rep == nil {
			return err
		}
	}
	took := w.between(w.s.diskMin, w.s.diskMax)
	if w.now < n.slowUntil && !w.healed {
		took *= n.slowFactor
	}
	if w.chance(Stall, w.s.stall) {
		took += w.between(0, second)
	}
	if w.chance(HungDisk, w.s.hung) {
		took += w.between(second, 8*second)
		w.tracef("disk of %d hangs for %d ms", n.id, took/millisecond)
	}
	e := w.q.make(evDisk, w.indexOf(n))
	e.life, e.op = n.life, op
	w.q.add(w.now+took, e)
	return nil
}

// perform makes op's effect real on the simulated disk. The node is down afterwards
// if the power was cut meanwhile.
func (w *world) perform(n *node, op *diskOp) error {
	op.started = true
	switch {
	case op.save:
		op.err = w.save(n, op)
	case op.repair:
		op.err = w.write(n, func() error { return n.rep.Log().Repair(op.work.Repair) })
	default:
		op.err = w.write(n, n.rep.Log().Flush)
		op.durable = n.rep.Log().Durable()
	}
	var unfit *segments.FrameError
	if op.err == nil || op.repair && errors.As(op.err, &unfit) {
		return nil
	}
	seen := n.hidden && errors.Is(op.err, segments.ErrCorrupt) // before a cut
	if seen {
		w.report.Found++
	}
	if !isInjected(op.err) && !seen {
		return fmt.Errorf("disk of replica %d: %w", n.id, op.err)
	}
	w.tracef("disk of %d: %v", n.id, op.err)
	if errors.Is(op.err, errPowerCut) {
		return w.crashFor(n)
	}
	return nil
}

func (w *world) save(n *node, op *diskOp) error {
	if w.chance(JournalFails, w.s.journalFails) {
		n.jrnl.Inject(journal.Fault{Err: errJournal, Keep: w.r.IntN(2) == 0})
	}
	w.mix(uint64(op.work.Hard.Term), uint64(op.work.Hard.Vote))
	entries := []journal.Entry{{
		Key:   journal.Key{Group: groupID, Kind: replica.HardStateKind},
		Value: replica.EncodeHardState(n.id, op.work.Hard),
	}}
	if op.work.Unmark {
		entries = append(entries, journal.Entry{Key: markKey})
	}
	return n.jrnl.Save(entries)
}

// write writes to the log, with what the history has in store for this time. A fault
// is drawn for one call; a write with fewer calls escapes it.
func (w *world) write(n *node, do func() error) error {
	d := n.disk
	d.calls = 0
	before := d.faults.Fired()
	planned := w.plan(d)
	err := unbroken(do)
	d.clear()
	cut := d.cutAt > 0 && d.calls >= d.cutAt
	d.cutAt = 0
	if planned != faultKinds && !cut && d.faults.Fired() == before {
		w.report.Faults[planned]-- // it escaped
	}
	w.mix(uint64(d.calls))
	return err
}

// unbroken turns a broken invariant into an error.
func unbroken(do func() error) (err error) {
	defer invariants.Recover(&err)
	return do()
}

// plan draws at most one fault for the calls that follow; faultKinds is none.
func (w *world) plan(d *disk) Fault {
	call := 1 + w.r.IntN(6)
	switch {
	case w.chance(CrashAtCall, w.s.atCall):
		d.cutAt = call
		return CrashAtCall
	case w.r.Float64() < w.s.syncFails:
		lost := w.r.IntN(2) == 0
		f := SyncFails
		if lost {
			f = SyncLost
		}
		if w.strikes(f) {
			d.rule(vfs.OpSync, 1, 0, lost)
			return f
		}
	case w.r.Float64() < w.s.writeFails:
		short := w.r.IntN(3) * w.r.IntN(600)
		switch {
		case short > 0 && w.strikes(ShortWrite):
			d.rule(vfs.OpWrite, 1+call/5, short, false)
			return ShortWrite
		case short == 0 && w.strikes(WriteFails):
			d.rule(vfs.OpAny, call, 0, false)
			return WriteFails
		}
	}
	return faultKinds
}

// finish reports op to the replica.
func (w *world) finish(n *node, op *diskOp) error {
	if !op.started {
		if err := w.perform(n, op); err != nil || n.rep == nil {
			return err
		}
	}
	w.mix(op.work.SaveN, op.work.FlushN, uint64(len(op.work.Repair)))
	if op.repair {
		if op.err == nil {
			w.report.Repairs++
		}
		return w.step(n, func(out *replica.Output) { n.rep.Repaired(op.err, out) })
	}
	if op.err != nil {
		if err := w.step(n, func(out *replica.Output) { n.rep.DiskFailed(op.err, out) }); err != nil {
			return err
		}
		// Nobody knows what the disk holds: the process begins anew.
		if w.r.IntN(2) == 0 {
			w.killFor(n)
			return nil
		}
		return w.crashFor(n)
	}
	if !op.save {
		n.durable = op.durable
	}
	return w.step(n, func(out *replica.Output) {
		if op.save {
			n.rep.Saved(op.work.SaveN, out)
		} else {
			n.rep.Flushed(op.work.FlushN, out)
		}
	})
}

// fillDisk leaves little space on the disk of n, for a while.
func (w *world) fillDisk(n *node) {
	free, total, err := n.disk.mem.Usage(".")
	if err != nil || total != diskBytes {
		return
	}
	left := w.between(0, 256<<10)
	w.tracef("disk of %d is full but for %d bytes", n.id, left)
	n.disk.mem.SetCapacity(total - free + left)
	w.q.add(w.now+w.between(0, second), w.q.make(evSpace, w.indexOf(n)))
}

// diskBytes is the size of a disk that is not made small.
const diskBytes = 1 << 40

func (w *world) freeSpace(n *node) {
	w.tracef("disk of %d has space again", n.id)
	n.disk.mem.SetCapacity(diskBytes)
}
