package segments_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// TestConcurrent runs the owner, a flusher and readers at once. Each truncation
// brings a new term, so a read that mixed two logs would break the chain of terms.
func TestConcurrent(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { runConcurrent(t, seed) })
	}
}

func runConcurrent(t *testing.T, seed uint64) {
	o := options(vfs.NewMem())
	o.SegmentBytes, o.TailBytes, o.IndexInterval = 40<<10, 16<<10, 1<<10
	l, _ := open(t, o)
	var done atomic.Bool
	var committed atomic.Uint64
	flushed := make(chan struct{}, 1)
	staged := make(chan struct{}, 1)
	var wg sync.WaitGroup
	wg.Go(func() { // the disk side
		defer close(flushed)
		for range staged {
			if err := l.Flush(); err != nil {
				t.Error(err)
				return
			}
			select {
			case flushed <- struct{}{}:
			default:
			}
		}
	})
	var reads atomic.Int64
	for i := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)+10))
			for !done.Load() && !t.Failed() {
				if err := readSome(l, r, &committed); err != nil {
					t.Error(err)
				}
				reads.Add(1)
			}
		})
	}
	owner(t, l, rand.New(rand.NewPCG(seed, 1)), staged, &committed)
	done.Store(true)
	close(staged)
	wg.Wait()
	must(t, l.Flush())
	last := l.Last()
	want := entries(t, l)
	must(t, l.Close())
	l, _ = open(t, o)
	if l.Last() != last {
		t.Errorf("reopened with %d entries, want %d", l.Last(), last)
	}
	wantEntries(t, l, want)
	t.Logf("%d entries, %d reads, %+v", last, reads.Load(), l.Stats())
}

func owner(t *testing.T, l *segments.Log, r *rand.Rand, staged chan<- struct{}, committed *atomic.Uint64) {
	term := segments.Term(1)
	for range 2500 {
		switch r.IntN(60) {
		case 0, 1, 2:
			if top := l.Durable(); top > segments.Index(committed.Load()) {
				l.SetCommit(top)
				committed.Store(uint64(top))
			}
		case 3:
			low := segments.Index(committed.Load()) + 1
			if last := l.Last(); last >= low {
				must(t, l.Truncate(low+segments.Index(r.Uint64N(uint64(last-low)+1))))
				term++
			}
		default:
			f := next(l, term, r.IntN(700))
			must(t, l.Append(f, segments.Local{WriteTerm: term, DurableThrough: l.Durable(), Commit: segments.Index(committed.Load())}))
		}
		select {
		case staged <- struct{}{}:
		default:
		}
	}
}

// readSome makes one read of a random kind and judges the result by itself.
func readSome(l *segments.Log, r *rand.Rand, committed *atomic.Uint64) error {
	commit := segments.Index(committed.Load())
	last := l.Last()
	if last == 0 {
		return nil
	}
	lo := 1 + segments.Index(r.Uint64N(uint64(last)))
	hi := lo + segments.Index(r.Uint64N(40)) + 1
	switch r.IntN(4) {
	case 0:
		end, n := l.Fit(lo, hi, 4000)
		if end > lo && n <= 0 || end > hi {
			return fmt.Errorf("Fit [%d,%d) = %d, %d", lo, hi, end, n)
		}
		return nil
	case 1:
		pieces, ok := l.TailFrames(lo, hi)
		if !ok {
			return nil
		}
		return checkChain(bytes.Join(pieces, nil), lo, hi)
	case 2:
		return readCommitted(l, r, commit)
	}
	raw, err := l.ReadFrames(nil, lo, hi)
	var gone *segments.EntriesError
	if errors.As(err, &gone) && hi > commit+1 || errors.Is(err, segments.ErrTruncated) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ReadFrames [%d,%d), committed %d: %w", lo, hi, commit, err)
	}
	return checkChain(raw, lo, hi)
}

func checkChain(raw []byte, lo, hi segments.Index) error {
	var prev segments.Frame
	for i := lo; i < hi; i++ {
		f, n, err := segments.ParseFrame(testID, raw)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if f.Index != i || i > lo && (f.PrevTerm != prev.Term || f.BaseOffset != prev.Next()) {
			return fmt.Errorf("entry %d: %+v after %+v", i, f, prev)
		}
		if !bytes.Equal(f.Payload, payload(f.Index, f.Term, len(f.Payload))) {
			return fmt.Errorf("entry %d holds another's payload", i)
		}
		prev, raw = f, raw[n:]
	}
	if len(raw) != 0 {
		return fmt.Errorf("%d bytes behind entry %d", len(raw), hi-1)
	}
	return nil
}

// readCommitted reads what can't change any more: it must succeed.
func readCommitted(l *segments.Log, r *rand.Rand, commit segments.Index) error {
	if commit == 0 {
		return nil
	}
	raw, err := l.ReadFrames(nil, commit, commit+1)
	if err != nil {
		return fmt.Errorf("committed entry %d: %w", commit, err)
	}
	f, _, err := segments.ParseFrame(testID, raw)
	if err != nil {
		return err
	}
	until := f.Next()
	from := record.Offset(r.Int64N(int64(until)))
	out, after, err := l.ReadBatches(nil, from, until, 2000)
	if err != nil || after <= from || after > until || len(out) == 0 {
		return fmt.Errorf("ReadBatches(%d, %d): %d bytes to %d, %w", from, until, len(out), after, err)
	}
	return nil
}
