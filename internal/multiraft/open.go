package multiraft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

type storedHardState struct {
	id    raft.ReplicaID
	state raft.HardState
	mark  raft.EntryID // of a log that was closed in order
}

func (h *Host) loadHardStates() error {
	err := h.o.Journal.Load(func(e journal.Entry) error {
		if e.Value == nil {
			return nil
		}
		stored := h.hard[e.Key.Group]
		var err error
		switch e.Key.Kind {
		case replica.HardStateKind: // comes first
			stored.id, stored.state, err = replica.DecodeHardState(e.Value)
		case replica.MarkKind:
			var id raft.ReplicaID
			var mark raft.EntryID
			if id, mark, err = replica.DecodeMark(e.Value); err != nil || id != stored.id {
				break // of an earlier replica
			}
			stored.mark = mark
		default:
			return nil
		}
		if err != nil {
			return fmt.Errorf("group %x: %w", e.Key.Group, err)
		}
		h.hard[e.Key.Group] = stored
		return nil
	})
	if err != nil {
		return fmt.Errorf("load hard states from the journal: %w", err)
	}
	return nil
}

// Open creates or reopens a replica in Dir/Name and starts it. It reads the log
// in the caller's goroutine, so many may be opened at once. What is damaged of it is
// repaired from the other replicas while it runs. A log that is damaged beyond that
// gives an error that is segments.ErrCorrupt; no entry on disk is changed, and the
// other groups aren't touched.
func (h *Host) Open(ctx context.Context, spec Spec) (*Group, error) {
	stored, err := h.claim(spec)
	if err != nil {
		return nil, err
	}
	g, err := h.openReplica(spec, stored)
	if err == nil {
		err = h.admit(ctx, g)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.opening, spec.Group)
	if err != nil {
		return nil, fmt.Errorf("open group %s: %w", spec.Name, err)
	}
	h.groups[spec.Group] = g
	return g, nil
}

// claim reserves the group's id and returns its stored state.
func (h *Host) claim(spec Spec) (none storedHardState, err error) {
	if spec.Name == "" || spec.Self == 0 || len(spec.Voters) > 0 && !slices.Contains(spec.Voters, spec.Self) {
		return none, fmt.Errorf("open group %q: it needs a name, and replica %d must be among the voters %v, unless it joins without any", spec.Name, spec.Self, spec.Voters)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return none, ErrClosed
	}
	_, busy := h.opening[spec.Group]
	if busy || h.groups[spec.Group] != nil {
		return none, &GroupExistsError{Name: spec.Name}
	}
	stored, ok := h.hard[spec.Group]
	if ok && stored.id != spec.Self {
		return none, &IdentityError{Name: spec.Name, Stored: uint64(stored.id), Opening: uint64(spec.Self)}
	}
	h.opening[spec.Group] = struct{}{}
	return stored, nil
}

func (h *Host) openReplica(spec Spec, stored storedHardState) (*Group, error) {
	rep, rec, err := replica.Open(replica.Options{
		Group: spec.Group, ID: spec.Self, Voters: spec.Voters,
		Identity: segments.Identity{Topic: spec.Topic, Partition: spec.Partition},
		FS:       h.o.FS, Dir: h.dirOf(spec.Name),
		SegmentBytes: spec.SegmentBytes, TailBytes: h.o.TailBytes, Memory: h.memory, Direct: h.o.Direct,
		Hard: stored.state, Mark: stored.mark, Seed: h.o.Seed ^ binary.LittleEndian.Uint64(spec.Group[:8]),
		ElectionTicks: h.o.ElectionTicks, HeartbeatTicks: h.o.HeartbeatTicks,
		MaxUncommittedBytes: h.o.MaxUncommittedBytes, Priority: spec.Priority, Quiesce: !h.o.KeepAwake, Lease: uint64(h.o.Lease),
	})
	if err != nil {
		return nil, err
	}
	if rec.Truncated > 0 {
		h.log.Log(h.ctx, slog.LevelWarn, "cut a torn tail off the log; it was never acknowledged",
			"group", spec.Name, "bytes", rec.Truncated)
	}
	h.tellDamage(&spec, rep.Damage())
	if rep.Repairing() {
		h.stats.damaged.Add(1)
		h.log.Log(h.ctx, slog.LevelError, "the end of the log is missing; the replica counts for nothing until it has it again",
			"group", spec.Name, "replica", spec.Self, "closed_at", stored.mark.String(), "last", uint64(rep.Log().Last()))
	}
	g := &Group{
		spec: spec, hash: hashOf(spec.Group), shard: h.shardOf(spec.Group), log: rep.Log(), rep: rep,
	}
	g.members.Store(&members{})
	return g, nil
}

// admit hands the group to its shard.
func (h *Host) admit(ctx context.Context, g *Group) error {
	reply := make(chan error, 1)
	if ok, _ := g.shard.in.put(event{kind: evOpen, g: g, reply: reply}, false); !ok {
		_ = g.log.Close()
		return ErrClosed
	}
	select {
	case err := <-reply:
		return err
	case <-g.shard.stopped:
		_ = g.log.Close()
		return ErrClosed
	case <-ctx.Done():
		// The shard will still admit it; take it out again.
		h.evict(context.WithoutCancel(ctx), g)
		return ctx.Err()
	}
}

// evict takes g out of its shard and closes its log.
func (h *Host) evict(ctx context.Context, g *Group) {
	reply := make(chan error, 1)
	if ok, _ := g.shard.in.put(event{kind: evClose, g: g, reply: reply}, false); ok {
		select {
		case <-reply:
		case <-g.shard.stopped:
		case <-ctx.Done():
		}
	}
	// The shard starts no more work on its disk; what is under way uses its files.
	g.jobs.Wait()
	if err := g.log.Close(); err != nil {
		h.log.Warn("closing a log", "group", g.spec.Name, "error", err)
	}
}

// Remove stops a replica if it runs, and deletes its log and hard state; what
// isn't there needs no removing, so that a removal that a crash cut short can be
// asked for again. name and self are those of the group's Spec; another replica
// of the group is left alone. Callers make sure that the replica is meant to go:
// what is deleted here can't be had back.
func (h *Host) Remove(ctx context.Context, id raft.GroupID, name string, self raft.ReplicaID) error {
	h.mu.Lock()
	if _, busy := h.opening[id]; busy || h.closed {
		h.mu.Unlock()
		return fmt.Errorf("remove group %s: it is being opened or removed, or the host is closed", name)
	}
	g := h.groups[id]
	stored, voted := h.hard[id]
	if g != nil && g.spec.Self != self || g == nil && voted && stored.id != self {
		h.mu.Unlock()
		return h.removeDir(name) // of an earlier replica
	}
	delete(h.groups, id)
	h.opening[id] = struct{}{}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.opening, id)
		delete(h.hard, id)
		h.mu.Unlock()
	}()
	if g != nil {
		h.evict(ctx, g)
	} else if _, err := h.o.FS.Stat(h.dirOf(name)); errors.Is(err, fs.ErrNotExist) && !voted {
		return nil // removed before: a restart asks for every topic ever deleted
	}
	if err := h.removeDir(name); err != nil {
		return err
	}
	// The log goes first: a hard state without a log only costs a journal record.
	h.journal.submit(save{id: id, remove: true})
	return nil
}

func (h *Host) removeDir(name string) error {
	if _, err := h.o.FS.Stat(h.dirOf(name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := h.o.FS.RemoveAll(h.dirOf(name)); err != nil {
		return fmt.Errorf("delete the log of %s: %w", name, err)
	}
	if err := h.o.FS.SyncDir(h.o.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete the log of %s: %w", name, err)
	}
	return nil
}
