package multiraft

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/replica"
	"github.com/logq/logq/raft"
)

// Close hands the leaderships of this host's groups to other replicas, stops
// everything and closes the logs. When ctx is done, or was from the start, it
// stops at once, as in a crash: nothing is handed over, and what waited is
// unknown. It waits for every goroutine in either case.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()

	if ctx.Err() == nil {
		h.handOver(ctx)
	}
	for _, s := range h.shards {
		close(s.stop)
	}
	h.loops.Wait()
	h.disk.close()
	h.journal.close()
	h.changes.close()
	h.recovery.close()
	h.scrub.close()
	h.workers.Wait()

	var errs []error
	var marks []journal.Entry
	for _, g := range h.Groups() {
		if err := g.view.Load().err; ctx.Err() == nil && (err == nil || errors.Is(err, ErrClosed)) {
			if err := g.log.Flush(); err != nil {
				errs = append(errs, fmt.Errorf("flush %s: %w", g.spec.Name, err))
			} else if e, ok := g.rep.Mark(); ok {
				marks = append(marks, journal.Entry{Key: markKey(g.spec.Group), Value: replica.EncodeMark(g.spec.Self, e)})
			}
		}
		if err := g.log.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", g.spec.Name, err))
		}
	}
	if len(marks) > 0 && h.Err() == nil {
		if err := h.o.Journal.Save(marks); err != nil {
			errs = append(errs, fmt.Errorf("note where the logs end: %w", err))
		}
	}
	return errors.Join(errs...)
}

// handOver transfers every leadership that has somewhere to go, and waits until
// it is gone, at most for ctx or a few election timeouts.
func (h *Host) handOver(ctx context.Context) {
	limit := h.o.Tick * time.Duration(4*h.o.ElectionTicks)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var led []*Group
	for _, g := range h.Groups() {
		if v := g.view.Load(); v.role == raft.RoleLeader && len(g.members.Load().ids) > 1 {
			if err := g.Transfer(0); err != nil {
				h.log.Debug("leadership not handed over", "group", g.spec.Name, "error", err)
				continue
			}
			led = append(led, g)
		}
	}
	for _, g := range led {
		for g.view.Load().role == raft.RoleLeader && g.view.Load().err == nil {
			ch := g.WaitFor(g.Status().HighWatermark)
			if g.view.Load().role != raft.RoleLeader {
				break
			}
			select {
			case <-ch:
			case <-ctx.Done():
				return
			}
		}
	}
}
