package replica

import "github.com/logq/logq/raft"

// DiskWork is what a replica wants made durable now.
type DiskWork struct {
	// Save: write Hard to the journal, then call Saved(SaveN).
	// With Unmark, delete the mark of the log in the same write; see MarkKind.
	Save   bool
	Unmark bool
	Hard   raft.HardState
	SaveN  uint64
	// Flush: run Log().Flush, then call Flushed(FlushN).
	Flush  bool
	FlushN uint64
	// Repair, if not nil: run Log().Repair with it, then call Repaired. It is never
	// handed out beside a Flush.
	Repair []byte
}

// diskQueue matches completions of two independent files, journal and segment,
// to the core's numbered Readys in order: a Ready is persisted when all that it
// asked of both is done, and so is every Ready before it.
type diskQueue struct {
	waiting []diskReady // FIFO by n
	saveN   uint64      // last Ready with a hard state
	flushN  uint64      // last Ready with log work
	savedN  uint64      // highest number reported by Saved
	flushed uint64      // highest number reported by Flushed
	saving  bool        // a Save is out
	flushes bool        // a Flush is out
	ordered bool        // a Flush is wanted that no Ready waits for
	marked  bool        // the journal holds a mark
	dropped bool        // a Save is out that deletes it
	cuts    bool        // something is cut off the log, which waits for that
	repair  []byte      // waits
	repairs bool        // a Repair is out
}

type diskReady struct {
	n           uint64
	save, flush bool
}

func (q *diskQueue) push(n uint64, save, flush bool) {
	q.waiting = append(q.waiting, diskReady{n: n, save: save, flush: flush})
	if save {
		q.saveN = n
	}
	if flush {
		q.flushN = n
	}
}

// take returns the work to start, at most one save and one flush at a time.
// mayUnmark says that the log holds what the mark proves.
func (q *diskQueue) take(mayUnmark bool) (w DiskWork) {
	unmark := q.marked && mayUnmark
	if !q.saving && (q.saveN > q.savedN || unmark && q.cuts) {
		q.saving, w.Save, w.SaveN = true, true, q.saveN
		q.dropped, w.Unmark = unmark, unmark
	}
	if unmark && q.cuts {
		return w // no Flush before the mark is gone
	}
	if !q.flushes && !q.repairs && q.repair != nil {
		q.repairs, w.Repair, q.repair = true, q.repair, nil
	}
	if !q.flushes && !q.repairs && (q.flushN > q.flushed || q.ordered) {
		q.flushes, q.ordered, w.Flush, w.FlushN = true, false, true, q.flushN
	}
	return w
}

// order asks for a Flush that no Ready waits for: removed files.
func (q *diskQueue) order() { q.ordered = true }

func (q *diskQueue) repaired() { q.repairs = false }

func (q *diskQueue) saved(n uint64) {
	q.saving, q.savedN = false, max(q.savedN, n)
	if q.dropped {
		q.marked, q.dropped, q.cuts = false, false, false
	}
}

func (q *diskQueue) flushDone(n uint64) { q.flushes, q.flushed = false, max(q.flushed, n) }

// next pops the highest Ready number that is wholly durable, 0 if there is none
// new.
func (q *diskQueue) next() (n uint64) {
	i := 0
	for ; i < len(q.waiting); i++ {
		r := q.waiting[i]
		if r.save && r.n > q.savedN || r.flush && r.n > q.flushed {
			break
		}
		n = r.n
	}
	if i > 0 {
		q.waiting = q.waiting[:copy(q.waiting, q.waiting[i:])]
	}
	return n
}
