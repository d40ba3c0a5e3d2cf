package service

import (
	"context"
	"fmt"
	"time"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/statefile"
)

// notYet is how soon it is looked again whether the log has what is to be written down.
const notYet = 20 * time.Millisecond

// folded counts what was folded since the last state file. It belongs to the fold's goroutine.
type folded struct {
	records, bytes int64
	index          uint64    // entries up to this one are in the state for certain
	again          time.Time // a failed write is not repeated before
	wait           backoff
}

// restore begins with the newest good state file. An error means that there is a state that this release cannot read.
func (f *fold) restore() error {
	found := f.s.opts.States.Found
	f.since.wait = backoff{least: f.s.opts.RetryMin, most: f.s.opts.RetryMax}
	for _, err := range found.Damaged {
		// What was folded here before may be ahead of what is left.
		f.unsure = "the newest file with its state is damaged"
		f.s.log.Error("a state file of the metadata is damaged; the one before, or another broker's state, takes its place", "error", err)
	}
	if found.State == nil {
		return nil
	}
	state, err := meta.DecodeState(found.State.Image)
	if err != nil {
		return fmt.Errorf("%w; run the release that wrote it", err)
	}
	if state.Snapshot().Next() != found.State.Next {
		return fmt.Errorf("%w: it is at record %d, its file says %d", meta.ErrImage, state.Snapshot().Next(), found.State.Next)
	}
	waste, err := decodeRemovals(found.State.Local)
	if err != nil {
		return err
	}
	f.state, f.since.index, f.given = state, found.State.Index, found.State.Next
	for _, r := range waste {
		f.leave(f.s.newPartition(r.Topic, r.ID, int(r.Partition), &f.s.opts.Defaults, f.s.placementOf(nil, []uint64{r.Replica}, nil)))
	}
	return nil
}

// confirm asks the controller how far the metadata reaches, for a state that may be older than what this broker has acted
// upon before: with it, replicas that are gone would be made anew, empty.
func (f *fold) confirm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	l := f.leader()
	if l.broker == 0 {
		return protocol.Errorf(protocol.BrokerNotAvailable, "the metadata may be old (%s), and no controller is known to confirm it", f.unsure)
	}
	at, e := f.s.metaEnd(ctx, l)
	if e != nil {
		return protocol.Errorf(protocol.BrokerNotAvailable, "the metadata may be old (%s), and the controller does not confirm it: %v", f.unsure, e)
	}
	if next := f.state.Snapshot().Next(); next < at {
		return protocol.Errorf(protocol.BrokerNotAvailable, "the metadata may be old (%s): it is at record %d of %d", f.unsure, next, at)
	}
	f.unsure = ""
	f.sweep()
	return nil
}

// leader is the controller, also one whose gossip has not reached a broker that is new.
func (f *fold) leader() leader {
	l := f.s.leaderOf(f.s.meta)
	if g := f.s.meta.opened(); l.broker == 0 && g != nil {
		if st := g.Leader(); st.Err == nil && st.Leader != f.s.id {
			l = leader{broker: st.Leader, term: st.Term}
		}
	}
	return l
}

// due reports whether the state is to be written down.
func (f *fold) due() bool {
	o := &f.s.opts.States
	switch {
	case o.Store == nil:
		return false
	case len(f.held) > 0 || f.wanted:
		return true
	}
	last, _ := o.Store.Newest()
	return (f.since.records >= o.Records || f.since.bytes >= o.Bytes) && f.since.bytes >= last.Bytes/4
}

// save writes the state down if that is due, and drops what is not needed any more of the log. It returns how long to wait
// before it must be called again, 0 = until something changes.
func (f *fold) save(g Group) time.Duration {
	now := time.Now()
	switch {
	case !f.due():
		return 0
	case now.Before(f.since.again):
		return f.since.again.Sub(now)
	}
	// The commit index is looked at before the high watermark, which is published first: what is committed up to the one lies
	// below the other.
	commit := g.Status().Commit
	// And a file never runs ahead of the broker's own log: were that to become all that is left of the cluster (logq recover),
	// new records would take the places of those that the file has and the log has not, and be taken for folded.
	if st := g.Status(); int64(st.HighWatermark) != f.state.Snapshot().Next() || st.Durable < commit {
		return notYet
	}
	f.since.index = max(f.since.index, commit)
	if err := f.write(); err != nil {
		f.s.stats.stateFileErrors.Add(1)
		f.s.log.Error("the metadata's state cannot be written down; its log grows", "error", err)
		d := f.since.wait.next()
		f.since.again = now.Add(d)
		return d
	}
	f.since.wait.reset()
	f.since.records, f.since.bytes, f.wanted = 0, 0, false
	f.hand(f.held)
	f.held = nil
	f.trim(g, commit)
	f.s.changes.send()
	return 0
}

func (f *fold) write() error {
	image, err := f.state.AppendTo(nil)
	if err != nil {
		return err
	}
	local, err := f.removals.encode()
	if err != nil {
		return err
	}
	err = f.s.opts.States.Store.Write(statefile.State{Index: f.since.index, Next: f.state.Snapshot().Next(), Local: local, Image: image})
	if err == nil {
		f.s.stats.stateFiles.Add(1)
	}
	return err
}

// trim drops the front of the log: what both files cover, but for half a file's worth of records that followers which are a
// little behind may still need.
func (f *fold) trim(g Group, commit uint64) {
	floor, ok := f.s.opts.States.Store.Floor()
	tail := uint64(f.s.opts.States.Records / 2)
	if !ok || commit <= tail {
		return
	}
	if err := g.Trim(min(floor.Index, commit-tail) + 1); err != nil {
		f.s.log.Warn("the metadata's log cannot be trimmed", "error", err)
	}
}
