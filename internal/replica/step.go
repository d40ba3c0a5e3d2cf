package replica

import (
	"errors"

	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// Tick advances the replica's time by one tick.
func (r *Replica) Tick(out *Output) {
	if r.err != nil {
		return
	}
	r.core.Tick()
	r.pump(out)
	r.tickRepair(out)
}

// Step hands in a message; frames are the bytes of an append's entries, which
// the replica then owns. A *FrameError says that they did not pass their
// checks: nothing happened, and the sender will send again. Errors of the core
// (unknown peer, stale message) are returned for counting; they are harmless.
func (r *Replica) Step(m *raft.Message, frames []byte, out *Output) error {
	if r.err != nil {
		return &FailedError{Cause: r.err}
	}
	switch m.Type {
	case raft.MsgRepair:
		return r.give(m, out)
	case raft.MsgRepairReply:
		return r.given(m, frames, out)
	}
	var configs []raft.ConfigEntry
	if m.Type == raft.MsgAppend && m.Hi > m.Lo {
		err := segments.CheckFrames(r.o.Identity, frames, segments.Index(m.Lo), segments.Index(m.Hi), segments.Term(m.EntryTerm))
		if err != nil {
			return &FrameError{From: m.From, Cause: err}
		}
		r.raw, r.rawLo = frames, m.Lo
		if configs, err = configsIn(frames); err != nil {
			return &FrameError{From: m.From, Cause: err}
		}
	}
	if m.Type == raft.MsgJump {
		start, config, err := startOf(m, frames)
		if err != nil {
			return &FrameError{From: m.From, Cause: err}
		}
		r.start, configs = start, []raft.ConfigEntry{config}
	}
	err := r.core.Step(m, configs...)
	r.pump(out)
	r.raw = nil
	return err
}

// Append proposes one batch, whose base offset and leader epoch are set in
// place. expect is the leader term that the caller counts on, 0 for any. The
// outcome comes as an AppendResult with the token, at once if it is refused.
func (r *Replica) Append(batch record.Batch, expect raft.Term, token uint64, out *Output) {
	if r.err != nil {
		out.Appends = append(out.Appends, AppendResult{Token: token, Err: &FailedError{Cause: r.err}})
		return
	}
	size := [1]int{len(batch) + frameOverhead}
	index, err := r.core.Propose(expect, size[:])
	if err != nil {
		out.Appends = append(out.Appends, AppendResult{Token: token, Err: err})
		return
	}
	base := record.Offset(r.log.NextOffset())
	r.own.push(proposal{
		index: index, term: r.term, base: base,
		last: base + record.Offset(batch.Count()) - 1, token: token,
	})
	batch.Assign(base, int32(r.term))
	r.staged = batch
	r.pump(out)
	invariants.Assertf(r.staged == nil, "proposal %d accepted but not appended", index)
}

// Read asks for a linearizable high watermark (ReadIndex, dissertation §6.4).
// The result comes as a ReadResult with the token.
func (r *Replica) Read(token uint64, out *Output) {
	if r.err != nil {
		out.Reads = append(out.Reads, ReadResult{Token: token, Err: &FailedError{Cause: r.err}})
		return
	}
	id, err := r.core.Read()
	if err != nil {
		out.Reads = append(out.Reads, ReadResult{Token: token, Err: err})
		return
	}
	r.reads[id] = token
	r.pump(out)
}

// Transfer hands leadership to another replica, 0 for the one that is closest.
func (r *Replica) Transfer(to raft.ReplicaID, out *Output) error {
	if r.err != nil {
		return &FailedError{Cause: r.err}
	}
	err := r.core.Transfer(to)
	r.pump(out)
	return err
}

// Sent tells the core that a message to a peer could not be queued, or that the
// peer is reachable again.
func (r *Replica) Sent(to raft.ReplicaID, ok bool, out *Output) {
	if r.err != nil {
		return
	}
	r.core.Sent(to, ok)
	r.pump(out)
}

// Disk returns the disk work to start now; what it returned before and was not
// yet reported done is not returned again.
func (r *Replica) Disk() DiskWork {
	if r.err != nil {
		return DiskWork{}
	}
	w := r.disk.take(r.disk.marked && !r.core.Status().Repairing)
	w.Hard = r.hard
	return w
}

// Saved reports that the hard state of Disk's SaveN is durable in the journal.
func (r *Replica) Saved(n uint64, out *Output) {
	r.disk.saved(n)
	r.persisted(out)
}

// Flushed reports that the Flush of Disk's FlushN succeeded.
func (r *Replica) Flushed(n uint64, out *Output) {
	r.disk.flushDone(n)
	r.persisted(out)
}

func (r *Replica) persisted(out *Output) {
	if r.err != nil {
		return
	}
	if n := r.disk.next(); n > 0 {
		r.core.Persisted(n)
		r.pump(out)
	}
}

// DiskFailed takes the replica out of service after a failed write or sync.
// What waited is unknown: the bytes may be on disk or not.
func (r *Replica) DiskFailed(cause error, out *Output) {
	if r.err != nil {
		return
	}
	r.core.Faulted(cause)
	r.Fail(cause, out)
}

// Fail takes the replica out of service for good: it answers nothing any more,
// and everything pending ends as unknown.
func (r *Replica) Fail(cause error, out *Output) {
	if r.err != nil {
		return
	}
	r.err = cause
	r.own.fail(cause, out)
	for id, token := range r.reads {
		out.Reads = append(out.Reads, ReadResult{Token: token, Err: &FailedError{Cause: cause}})
		delete(r.reads, id)
	}
	out.Changed = true
}

// IsNotWritten reports whether err, from an AppendResult, means that the batch
// is definitely not in the log and never will be.
func IsNotWritten(err error) bool {
	var unknown *UnknownError
	return err != nil && !errors.As(err, &unknown)
}
