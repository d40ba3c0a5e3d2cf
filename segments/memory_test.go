package segments_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

func fill(t testing.TB, l *segments.Log, n, size int) {
	t.Helper()
	for range n {
		appendN(t, l, 1, 1, size)
		must(t, l.Flush())
		l.SetCommit(l.Durable())
	}
}

// TestMemoryIsShared: many logs stay within one budget, a busy one gets what the idle
// ones don't need, and idle ones give up what is more than their share.
func TestMemoryIsShared(t *testing.T) {
	const limit, n = 1 << 20, 20
	m := segments.NewMemory(limit)
	fsys := vfs.NewMem()
	var logs []*segments.Log
	for i := range n {
		o := options(fsys)
		o.Dir, o.Memory, o.TailBytes = fmt.Sprintf("data/%d", i), m, limit
		l, _ := open(t, o)
		logs = append(logs, l)
	}
	fill(t, logs[0], 300, 10_000)
	if got := logs[0].Stats().TailBytes; got < limit/2 {
		t.Errorf("one busy log holds %d of %d bytes", got, limit)
	}
	for _, l := range logs[1:] {
		fill(t, l, 100, 1000)
	}
	fill(t, logs[1], 100, 1000)
	if st := m.Stats(); st.Used > limit*5/4 || st.Used < limit/4 {
		t.Errorf("after all have written: %+v", st)
	}
	if got := logs[0].Stats().TailBytes; got > limit/4 {
		t.Errorf("the log that is idle now holds %d bytes", got)
	}
	for i, l := range logs {
		want := 100
		switch i {
		case 0:
			want = 300
		case 1:
			want = 200
		}
		if got := len(entries(t, l)); got != want {
			t.Errorf("log %d holds %d entries, want %d", i, got, want)
		}
		must(t, l.Close())
	}
	if st := m.Stats(); st.Used != 0 {
		t.Errorf("after all are closed: %+v", st)
	}
}

// TestBuffersAreUsedAgain, but never while somebody may read them.
func TestBuffersAreUsedAgain(t *testing.T) {
	o := options(vfs.NewMem())
	o.TailBytes = 256 << 10
	o.Memory = segments.NewMemory(256 << 10)
	l, _ := open(t, o)
	fill(t, l, 2000, 1000)
	before := o.Memory.Stats().Reused
	if before == 0 {
		t.Fatal("no buffer was used again")
	}
	type lent struct{ bytes, copy []byte }
	var kept []lent
	for range 200 {
		appendN(t, l, 1, 1, 3000)
		runs, ok := l.TailFrames(l.Last(), l.Last()+1)
		if !ok {
			t.Fatal("the last entry isn't in the tail")
		}
		kept = append(kept, lent{runs[0], bytes.Clone(runs[0])})
		must(t, l.Flush())
		l.SetCommit(l.Durable())
	}
	fill(t, l, 2000, 1000)
	for i, k := range kept {
		if !bytes.Equal(k.bytes, k.copy) {
			t.Fatalf("the bytes of slice %d have changed", i)
		}
	}
	if o.Memory.Stats().Reused == before {
		t.Error("no buffer was used again after some had been lent")
	}
}

// TestMemoryConcurrent: owners, flushes and readers of several logs take chunks from
// each other; the race detector and every read's checksums look on.
func TestMemoryConcurrent(t *testing.T) {
	const n = 4
	m := segments.NewMemory(128 << 10)
	fsys := vfs.NewMem()
	var wg sync.WaitGroup
	for i := range n {
		o := options(fsys)
		o.Dir, o.Memory, o.TailBytes = fmt.Sprintf("data/%d", i), m, 96<<10
		l, _ := open(t, o)
		stop := make(chan struct{})
		wg.Go(func() {
			defer close(stop)
			for k := range 1500 {
				if err := l.Append(next(l, 1, 700), segments.Local{WriteTerm: 1}); err != nil {
					t.Error(err)
					return
				}
				if k%(3+i) == 0 {
					if err := l.Flush(); err != nil {
						t.Error(err)
						return
					}
					l.SetCommit(l.Durable())
				}
			}
		})
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if lo, hi := l.First(), l.Durable()+1; hi > lo {
					raw, err := l.ReadFrames(nil, max(lo, hi-min(hi, 60)), hi)
					if err != nil {
						t.Error(err)
						return
					}
					parse(t, raw)
				}
			}
		})
	}
	wg.Wait()
	if st := m.Stats(); st.Used > 512<<10 {
		t.Errorf("memory: %+v", st)
	}
}
