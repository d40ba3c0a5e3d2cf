package journal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/logq/logq/internal/journal"
)

// BenchmarkSave writes hard states to the directory of the package, as the
// result depends on the disk. "one copy" is half of what a Save waits for: what
// would be left if both copies were written at the same time.
func BenchmarkSave(b *testing.B) {
	for _, keys := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			w, _, err := journal.Open(journal.Options{Dir: b.TempDir(), Owner: owner})
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			entries := make([]journal.Entry, keys)
			for i := range entries {
				entries[i] = journal.Entry{Key: key(i), Value: make([]byte, 24)}
				entries[i].Key.Group[19], entries[i].Key.Group[18] = byte(i), byte(i>>8)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := w.Save(entries); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "saves/s")
		})
	}
}

// BenchmarkSync is the first copy's share of a Save.
func BenchmarkSync(b *testing.B) {
	var inFirst time.Duration
	o := journal.WithEngine(journal.Options{Dir: b.TempDir(), Owner: owner}, func(dir string, e journal.Engine) journal.Engine {
		return timed{e, &inFirst}
	})
	w, _, err := journal.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	inFirst = 0
	entries := []journal.Entry{entry(1, "term 1, vote 2")}
	for b.Loop() {
		if err := w.Save(entries); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(inFirst.Nanoseconds())/float64(2*b.N), "ns/sync")
}

type timed struct {
	journal.Engine
	spent *time.Duration
}

func (e timed) Sync() error {
	start := time.Now()
	err := e.Engine.Sync()
	*e.spent += time.Since(start)
	return err
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	w, _, err := journal.Open(journal.Options{Dir: dir, Owner: owner})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		k := key(i)
		k.Group[18], k.Group[19] = byte(i>>8), byte(i)
		if err := w.Save([]journal.Entry{{Key: k, Value: make([]byte, 24)}}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		if w, _, err = journal.Open(journal.Options{Dir: dir, Owner: owner}); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}
