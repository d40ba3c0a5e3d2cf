package segments_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// benchLog opens a log on the disk of the working directory, since figures from
// a tmpfs say nothing, and removes it in the end.
func benchLog(b *testing.B) (*segments.Log, segments.Options) {
	b.Helper()
	dir, err := os.MkdirTemp(".", "bench-data-")
	must(b, err)
	b.Cleanup(func() { must(b, os.RemoveAll(dir)) })
	o := options(vfs.OS())
	o.Dir = filepath.ToSlash(filepath.Join(dir, "p"))
	l, _, err := segments.Open(o)
	must(b, err)
	b.Cleanup(func() { must(b, l.Close()) })
	return l, o
}

// appender appends entries of one size and commits what is durable.
type appender struct {
	b      *testing.B
	l      *segments.Log
	p      []byte
	index  segments.Index
	offset record.Offset
}

func (a *appender) append() {
	a.index++
	must(a.b, a.l.Append(segments.Frame{
		Kind: segments.KindData, Index: a.index, Term: 1, PrevTerm: min(segments.Term(a.index-1), 1),
		BaseOffset: a.offset, Records: 1, Payload: a.p,
	}, segments.Local{WriteTerm: 1}))
	a.offset++
}

func (a *appender) flush() {
	must(a.b, a.l.Flush())
	a.l.SetCommit(a.l.Durable())
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("entry=%dKiB", size>>10), func(b *testing.B) {
			l, _, err := segments.Open(options(vfs.NewMem()))
			must(b, err)
			a := &appender{b: b, l: l, p: make([]byte, size)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if a.append(); a.index%(16<<20/segments.Index(size)) == 0 {
					b.StopTimer()
					must(b, l.Close()) // staged bytes are not what is measured
					l, _, err = segments.Open(options(vfs.NewMem()))
					must(b, err)
					a.l, a.index, a.offset = l, 0, 0
					b.StartTimer()
				}
			}
		})
	}
}

func BenchmarkAppendFlush(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, group := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("entry=%dKiB/group=%d", size>>10, group), func(b *testing.B) {
				l, _ := benchLog(b)
				a := &appender{b: b, l: l, p: make([]byte, size)}
				b.SetBytes(int64(size * group))
				b.ReportAllocs()
				for b.Loop() {
					for range group {
						a.append()
					}
					a.flush()
				}
			})
		}
	}
}

// readLog fills a log of 64 MiB; the last 8 are in memory.
func readLog(b *testing.B, size int) (*segments.Log, segments.Options) {
	l, o := benchLog(b)
	a := &appender{b: b, l: l, p: make([]byte, size)}
	for range 64 << 20 / size {
		if a.append(); a.index%1024 == 0 {
			a.flush()
		}
	}
	a.flush()
	return l, o
}

func BenchmarkTailRead(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("entry=%dKiB/read=1MiB", size>>10), func(b *testing.B) {
			l, _ := readLog(b, size)
			buf := make([]byte, 0, 2<<20)
			next := l.NextOffset()
			from := next - record.Offset(4<<20/size)
			b.ReportAllocs()
			for b.Loop() {
				out, _, err := l.ReadBatches(buf, from, next, 1<<20)
				must(b, err)
				b.SetBytes(int64(len(out)))
			}
		})
	}
}

func BenchmarkTailFrames(b *testing.B) {
	l, _ := readLog(b, 1<<10)
	last := l.Last()
	b.ReportAllocs()
	for b.Loop() {
		end, _ := l.Fit(last-2000, last, 1<<20)
		if _, ok := l.TailFrames(last-2000, end); !ok {
			b.Fatal("not in the tail")
		}
	}
}

// BenchmarkColdRead reads what has left the tail, from the page cache.
func BenchmarkColdRead(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("entry=%dKiB/read=1MiB", size>>10), func(b *testing.B) {
			l, _ := readLog(b, size)
			buf := make([]byte, 0, 2<<20)
			from, n := record.Offset(0), record.Offset(32<<20/size)
			b.ReportAllocs()
			for b.Loop() {
				out, next, err := l.ReadBatches(buf, from, n, 1<<20)
				must(b, err)
				b.SetBytes(int64(len(out)))
				if from = next; from >= n {
					from = 0
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	l, o := readLog(b, 1<<10)
	must(b, l.Close())
	b.SetBytes(64 << 20)
	b.ReportAllocs()
	for b.Loop() {
		l, _, err := segments.Open(o)
		must(b, err)
		must(b, l.Close())
	}
}

// BenchmarkOpenEmpty is what a simulated restart costs at least.
func BenchmarkOpenEmpty(b *testing.B) {
	mem := vfs.NewMem()
	o := options(mem)
	l, _, err := segments.Open(o)
	must(b, err)
	appendN(b, l, 1, 5, 100)
	must(b, l.Flush())
	must(b, l.Close())
	b.ReportAllocs()
	for b.Loop() {
		l, _, err := segments.Open(o)
		must(b, err)
		must(b, l.Close())
	}
}
