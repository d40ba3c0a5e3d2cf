package service

import (
	"context"
	"sync"
	"time"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// fold follows the committed metadata and keeps the broker's picture of the cluster up to date. One goroutine runs it.
type fold struct {
	s     *Service
	state *meta.State
	dec   *record.Decoder

	deleted  []*partition // replicas here whose topics were deleted; not published yet
	dropped  []*partition // replicas here that have moved away; not published yet
	held     []*partition // those of dropped that are published; they go once a state file is durable that knows of it
	removals removals
	since    folded
	given    int64  // next record of the state that was not folded here; the log may take a while to be known so far
	unsure   string // why the state may be older than what this broker has acted upon before; "" = it is not
	wanted   bool   // a state file is wanted now
	asked    chan struct{}

	mu      sync.Mutex
	results map[int64]meta.Result // guarded by mu; of the last records
	removed []*partition          // guarded by mu; those of deleted that no table has any more: their data is to go
	failed  *protocol.Error       // guarded by mu; why the metadata cannot be followed at present
}

func newFold(s *Service) *fold {
	return &fold{s: s, state: meta.NewState(), dec: record.NewDecoder(record.DecoderOptions{}), results: map[int64]meta.Result{}, asked: make(chan struct{}, 1)}
}

// run folds until ctx ends. Everything that is committed is read before the first table with it is published, so that a
// restart does not open replicas of topics that were deleted since. What the log has dropped is fetched from another broker.
func (f *fold) run(ctx context.Context, g Group) {
	wait := backoff{least: f.s.opts.RetryMin, most: f.s.opts.RetryMax}
	var buf []byte
	for ctx.Err() == nil {
		next := record.Offset(f.state.Snapshot().Next())
		changed := g.WaitFor(next)
		r, err := g.Read(buf[:0], next, metaReadBytes)
		switch {
		case err == nil && next < r.LogStart:
			if err = f.fetch(ctx, int64(r.LogStart)); err == nil {
				continue
			}
		case err == nil:
			buf = r.Batches
			err = f.apply(r)
		}
		switch {
		case err != nil:
			f.fail(err)
			pause(ctx, wait.next(), nil)
		case f.state.Snapshot().Unsupported() != nil:
			f.fail(f.state.Snapshot().Unsupported())
			f.publish()
			return
		case record.Offset(f.state.Snapshot().Next()) < r.HighWatermark:
		case f.unsure != "":
			if err := f.confirm(ctx); err != nil {
				f.fail(err)
				pause(ctx, wait.next(), changed)
			}
		default:
			f.fail(nil)
			wait.reset()
			f.publish()
			f.rest(ctx, changed, f.save(g))
		}
	}
}

// rest waits for a change, for somebody who wants a state file, or for at most d if that is not 0.
func (f *fold) rest(ctx context.Context, changed <-chan struct{}, d time.Duration) {
	var due <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-changed:
	case <-due:
	case <-f.asked:
		f.wanted = true
	case <-ctx.Done():
	}
}

// want asks for a state file of what is published now. It may be called by anyone.
func (f *fold) want() {
	select {
	case f.asked <- struct{}{}:
	default:
	}
}

// apply folds what was read. An error means that committed metadata cannot be read; nothing is skipped then.
func (f *fold) apply(r ReadResult) error {
	if next := f.state.Snapshot().Next(); next > max(int64(r.HighWatermark), f.given) {
		return protocol.Errorf(protocol.StorageError, "metadata is needed from record %d on, the log ends at %d", next, r.HighWatermark)
	}
	f.since.bytes += int64(len(r.Batches))
	for rest := r.Batches; len(rest) > 0; {
		b, after, err := record.Next(rest)
		if err == nil {
			err = f.dec.Reset(b)
		}
		if err != nil {
			return err
		}
		for f.dec.Next() {
			if rec := f.dec.Record(); int64(rec.Offset) >= f.state.Snapshot().Next() {
				f.since.records++
				f.keep(f.state.Apply(int64(rec.Offset), rec.Key, rec.Value))
			}
		}
		if err := f.dec.Err(); err != nil {
			return err
		}
		rest = after
	}
	return nil
}

// keep remembers a result for who proposed the record, and the replicas that a deleted topic leaves behind.
func (f *fold) keep(r meta.Result) {
	if r.Err != nil {
		f.s.log.Warn("a metadata record changed nothing", "record", r.Offset, "command", r.Command, "reason", r.Err)
	}
	f.mu.Lock()
	f.results[r.Offset] = r
	delete(f.results, r.Offset-keptResults)
	f.mu.Unlock()
	if t := r.Deleted; t != nil {
		for n := range t.Partitions {
			f.leave(f.s.newPartition(t.Name, t.ID, n, f.s.settingsOf(t), f.s.placementIn(t, n)))
		}
	}
	for _, d := range r.Dropped {
		pl := f.s.placementOf(nil, []uint64{d.Replica}, nil)
		f.drop(f.s.newPartition(d.Topic.Name, d.Topic.ID, int(d.Partition), f.s.settingsOf(d.Topic), pl))
	}
}

// leave notes a replica of a deleted topic, if it is on this broker.
func (f *fold) leave(p *partition) {
	if p.self() != 0 {
		f.removals.add(p)
		f.deleted = append(f.deleted, p)
	}
}

// drop notes a replica that has moved away, if it was on this broker.
func (f *fold) drop(p *partition) {
	if p.self() != 0 {
		f.removals.add(p)
		f.dropped = append(f.dropped, p)
	}
}

// hand gives replicas up for deletion.
func (f *fold) hand(all []*partition) {
	f.mu.Lock()
	f.removed = append(f.removed, all...)
	f.mu.Unlock()
}

// takeRemoved hands over the replicas that are to be deleted.
func (f *fold) takeRemoved() []*partition {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.removed
	f.removed = nil
	return out
}

// result returns what the record at the offset did, if it was folded lately.
func (f *fold) result(offset int64) (meta.Result, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.results[offset]
	return r, ok
}

func (f *fold) fail(err error) {
	var e *protocol.Error
	if err != nil {
		e = protocol.AsError(err)
	}
	f.mu.Lock()
	news := (f.failed == nil) != (e == nil)
	f.failed = e
	f.mu.Unlock()
	if news && e != nil {
		f.s.log.Error("the metadata cannot be followed", "error", e)
	}
}

func (f *fold) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		return nil
	}
	return f.failed
}

// publish makes the folded state visible. Replicas are given up for deletion after the table that no longer has them, so
// that nobody who looks at the table opens one again behind the deletion. One that has moved away must also stay so after a
// restart, before the log is folded again: it would be made anew, empty, and could vote with others like it. It waits for the
// state file that has it gone.
func (f *fold) publish() {
	s, snap := f.s, f.state.Snapshot()
	old := s.table.Load()
	if old.snap.Next() == snap.Next() {
		return
	}
	s.table.Store(s.newTable(old, snap))
	if s.opts.States.Store != nil {
		f.held = append(f.held, f.dropped...)
	} else {
		f.deleted = append(f.deleted, f.dropped...)
	}
	f.hand(f.deleted)
	f.deleted, f.dropped = nil, nil
	s.reclaim()
	s.changes.send()
}

// await waits until the metadata is folded up to the offset, exclusive.
func (s *Service) await(ctx context.Context, offset int64) *protocol.Error {
	for {
		changed := s.changes.wait()
		if s.table.Load().snap.Next() >= offset {
			return nil
		}
		if err := s.fold.err(); err != nil {
			return protocol.AsError(err).WithOutcome(protocol.Unknown)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return protocol.Errorf(protocol.RequestTimedOut, "broker %d has not yet applied the metadata up to record %d", s.id, offset)
		}
	}
}
