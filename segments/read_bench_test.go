package segments_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// BenchmarkReadBeside reads a log from its beginning to its end by 1 MiB, in turns with
// a bare loop that reads its files by as much: from the page cache, and from the disk.
func BenchmarkReadBeside(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, cold := range []bool{false, true} {
			b.Run(fmt.Sprintf("entry=%dKiB/cold=%v", size>>10, cold), func(b *testing.B) {
				readBeside(b, size, cold)
			})
		}
	}
}

func readBeside(b *testing.B, size int, cold bool) {
	dir, err := os.MkdirTemp(".", "bench-data-")
	must(b, err)
	defer func() { must(b, os.RemoveAll(dir)) }()
	o := options(vfs.OS())
	o.Dir, o.TailBytes, o.SegmentBytes = filepath.ToSlash(filepath.Join(dir, "p")), 1<<20, 64<<20
	l, _, err := segments.Open(o)
	must(b, err)
	a := &appender{b: b, l: l, p: make([]byte, size)}
	for range 160 << 20 / size {
		if a.append(); int(a.index)%(1<<20/size) == 0 {
			a.flush()
		}
	}
	a.flush()
	files, err := filepath.Glob(filepath.Join(o.Dir, "*.seg"))
	must(b, err)
	var floor, logq spent
	buf := make([]byte, 0, 2<<20)
	end := l.NextOffset() - record.Offset(8<<20/size)
	for b.Loop() {
		for range 3 {
			floor.turn(b, files, cold, func() (n int) { return bareRead(b, files, buf[:1<<20]) })
			logq.turn(b, files, cold, func() (n int) {
				for at := record.Offset(0); at < end; {
					out, next, err := l.ReadBatches(buf, at, end, 1<<20)
					must(b, err)
					at, n = next, n+len(out)
				}
				return n
			})
		}
	}
	must(b, l.Close())
	rate := func(s *spent) float64 { return float64(s.bytes) / 1e6 / s.wall.Seconds() }
	b.ReportMetric(rate(&floor), "floor-MB/s")
	b.ReportMetric(rate(&logq), "logq-MB/s")
	b.ReportMetric(rate(&logq)/rate(&floor), "of-the-floor")
	b.ReportMetric(logq.cpu.Seconds()/(float64(logq.bytes)/1e9), "cpu-s/GB")
}

func (s *spent) turn(b *testing.B, files []string, cold bool, read func() int) {
	for _, name := range files {
		if !cold {
			continue
		}
		f, err := os.Open(name)
		must(b, err)
		must(b, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		must(b, f.Close())
	}
	cpu, begin := cpuTime(), time.Now()
	s.bytes += read()
	s.wall += time.Since(begin)
	s.cpu += cpuTime() - cpu
}

func bareRead(b *testing.B, files []string, buf []byte) (n int) {
	for _, name := range files {
		f, err := os.Open(name)
		must(b, err)
		for {
			k, err := f.Read(buf)
			if n += k; err != nil {
				break
			}
		}
		must(b, f.Close())
	}
	return n
}
