package sim

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// Many plays histories histories from the seed first on, on all processors, and
// returns what they did. The failure is that of the lowest seed that fails, as if
// they had been played one after the other, and the number tells how many that
// would have been.
func Many(ctx context.Context, first uint64, histories int, o Options) (total Report, played int, fail *Failure) {
	m := &many{first: first, o: o}
	m.end.Store(int64(histories))
	workers := runtime.GOMAXPROCS(0)
	covers := make([]Coverage, workers)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { m.work(ctx, &covers[i]) })
	}
	wg.Wait()
	for i := range covers {
		if o.Coverage != nil {
			o.Coverage.Add(&covers[i])
		}
	}
	return m.total, int(min(m.next.Load(), m.end.Load())), m.fail
}

// many hands out seeds.
type many struct {
	first uint64
	o     Options
	next  atomic.Int64 // the number of the next history
	end   atomic.Int64 // histories from here on need not be played

	mu    sync.Mutex
	total Report   // guarded by mu
	fail  *Failure // guarded by mu
}

func (m *many) work(ctx context.Context, cover *Coverage) {
	var sum Report
	o := m.o
	if o.Coverage != nil {
		o.Coverage = cover
	}
	for ctx.Err() == nil {
		i := m.next.Add(1) - 1
		if i >= m.end.Load() {
			break
		}
		rep, fail := Run(m.first+uint64(i), o)
		sum.Add(&rep)
		if fail != nil {
			m.failed(i, fail)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total.Add(&sum)
}

// failed keeps the failure of the lowest seed.
func (m *many) failed(i int64, f *Failure) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail == nil || f.Seed < m.fail.Seed {
		m.fail = f
		m.end.Store(min(m.end.Load(), i+1))
	}
}
