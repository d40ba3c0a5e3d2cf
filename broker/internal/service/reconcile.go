package service

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// reconciler opens the replicas that the metadata puts on this broker and removes those of deleted topics. One goroutine
// runs it; it opens several at a time, because each may have to scan the end of its log.
type reconciler struct {
	s     *Service
	retry map[*partition]*attempt // replicas that could not be opened
	waste []*partition            // replicas that are still to be deleted
}

// attempt is when to try again.
type attempt struct {
	wait backoff
	at   time.Time // zero = never: it will not go away by itself
}

func (r *reconciler) run(ctx context.Context) {
	wait := backoff{least: r.s.opts.RetryMin, most: r.s.opts.RetryMax}
	for ctx.Err() == nil {
		changed := r.s.changes.wait()
		r.waste = append(r.waste, r.s.fold.takeRemoved()...)
		r.remove(ctx)
		again := r.open(ctx)
		if len(r.waste) > 0 {
			again = min(again, wait.next())
		} else {
			wait.reset()
		}
		pause(ctx, again, changed)
	}
}

// open opens what is missing and returns when to look again at the latest.
func (r *reconciler) open(ctx context.Context) time.Duration {
	t := r.s.table.Load()
	for p := range r.retry {
		if t.groups[p.key()] != p {
			delete(r.retry, p) // its topic was deleted
		}
	}
	now, again := time.Now(), openRetryMax
	var todo []*partition
	for _, p := range t.local {
		if p == r.s.meta || p.opened() != nil || r.wasteOf(p) {
			continue
		}
		if a := r.retry[p]; a != nil {
			if a.at.IsZero() {
				continue
			}
			if a.at.After(now) {
				again = min(again, a.at.Sub(now))
				continue
			}
		}
		todo = append(todo, p)
	}
	errs := r.openAll(ctx, todo)
	for i, p := range todo {
		again = min(again, r.opened(p, errs[i]))
	}
	if len(todo) > 0 {
		r.s.changes.send()
	}
	return again
}

// wasteOf says that another replica of the partition is still to be deleted here.
func (r *reconciler) wasteOf(p *partition) bool {
	return slices.ContainsFunc(r.waste, func(w *partition) bool { return w.key() == p.key() })
}

func (r *reconciler) openAll(ctx context.Context, todo []*partition) []error {
	errs := make([]error, len(todo))
	slots := make(chan struct{}, openers)
	var wg sync.WaitGroup
	for i, p := range todo {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			var g Group
			if g, errs[i] = r.s.opts.Host.Open(ctx, p.spec()); errs[i] == nil {
				p.group.Store(&openGroup{g})
			}
		})
	}
	wg.Wait()
	return errs
}

// opened notes how opening p went and returns when to look at it again.
func (r *reconciler) opened(p *partition, err error) time.Duration {
	if err == nil {
		delete(r.retry, p)
		p.openErr.Store(nil)
		return openRetryMax
	}
	e := replicaError(p, err)
	p.openErr.Store(e)
	a := r.retry[p]
	if a == nil {
		a = &attempt{wait: backoff{least: r.s.opts.RetryMin, most: openRetryMax}}
		r.retry[p] = a
		r.s.log.Error("a replica cannot be opened", "partition", p.String(), "replica", p.self(), "error", err)
	}
	if e.Code == protocol.StorageError && !e.Retriable {
		a.at = time.Time{}
		return openRetryMax
	}
	d := a.wait.next()
	a.at = time.Now().Add(d)
	return d
}

// remove deletes the data of deleted topics. What fails is tried again.
func (r *reconciler) remove(ctx context.Context) {
	left := r.waste[:0]
	for _, p := range r.waste {
		if err := r.s.opts.Host.Remove(ctx, p.spec()); err != nil {
			r.s.log.Warn("the data of a deleted topic cannot be removed yet", "partition", p.String(), "error", err)
			left = append(left, p)
			continue
		}
		r.s.stats.removed.Add(1)
		r.s.fold.removals.done(p)
	}
	clear(r.waste[len(left):])
	r.waste = left
}
