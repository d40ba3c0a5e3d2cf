package segments_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftwal "github.com/hashicorp/raft-wal"
	tidwall "github.com/tidwall/wal"
	"golang.org/x/sys/unix"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

// contender is a way to make entries durable.
type contender struct {
	name  string
	open  func(b *testing.B, dir string, total int) (commit func(p []byte, group int), done func())
	spent spent
}

type spent struct {
	wall, cpu time.Duration
	bytes     int
	each      []time.Duration
}

func contenders() []*contender {
	return []*contender{
		{name: "floor", open: openFloor},
		{name: "logq", open: openLogq},
		{name: "logq-buffered", open: openBuffered},
		{name: "tidwall-wal", open: openTidwall},
		{name: "raft-wal", open: openRaftWAL},
	}
}

// openFloor is the least that must be done: the same bytes by aligned direct writes to
// a preallocated file, each with its fdatasync.
func openFloor(b *testing.B, dir string, total int) (func([]byte, int), func()) {
	fsys := vfs.OS()
	name := filepath.Join(dir, "floor")
	f, err := fsys.Create(name)
	must(b, err)
	must(b, f.Preallocate(0, int64(total)+vfs.BlockSize))
	must(b, f.Sync())
	must(b, f.Close())
	f, err = fsys.OpenDirect(name)
	must(b, err)
	var buf []byte
	pos := int64(0)
	return func(p []byte, group int) {
		end := pos + int64(len(p)*group)
		from, to := pos&^(vfs.BlockSize-1), (end+vfs.BlockSize-1)&^(vfs.BlockSize-1)
		if int64(len(buf)) < to-from {
			buf = vfs.AlignedBuffer(int(to-from), 0)
			for i := range buf {
				buf[i] = byte(i)
			}
		}
		must(b, f.WriteSync([][]byte{buf[:to-from]}, from))
		pos = end
	}, func() { must(b, f.Close()) }
}

func openLogq(b *testing.B, dir string, _ int) (func([]byte, int), func()) {
	return openSegments(b, dir, true)
}

func openBuffered(b *testing.B, dir string, _ int) (func([]byte, int), func()) {
	return openSegments(b, dir, false)
}

func openSegments(b *testing.B, dir string, direct bool) (func([]byte, int), func()) {
	o := options(vfs.OS())
	o.Dir, o.Direct = filepath.ToSlash(filepath.Join(dir, "p")), direct
	l, _, err := segments.Open(o)
	must(b, err)
	a := &appender{b: b, l: l}
	return func(p []byte, group int) {
		a.p = p
		for range group {
			a.append()
		}
		a.flush()
	}, func() { must(b, l.Close()) }
}

func openTidwall(b *testing.B, dir string, _ int) (func([]byte, int), func()) {
	l, err := tidwall.Open(filepath.Join(dir, "w"), &tidwall.Options{SegmentSize: segments.DefaultSegmentBytes, SegmentCacheSize: 2, NoCopy: true})
	must(b, err)
	var batch tidwall.Batch
	index := uint64(0)
	return func(p []byte, group int) {
		for range group {
			index++
			batch.Write(index, p)
		}
		must(b, l.WriteBatch(&batch)) // with an fsync
	}, func() { must(b, l.Close()) }
}

func openRaftWAL(b *testing.B, dir string, _ int) (func([]byte, int), func()) {
	must(b, os.MkdirAll(filepath.Join(dir, "r"), 0o755))
	l, err := raftwal.Open(filepath.Join(dir, "r"))
	must(b, err)
	index := uint64(0)
	logs := make([]*raft.Log, 0, 256)
	return func(p []byte, group int) {
		logs = logs[:0]
		for range group {
			index++
			logs = append(logs, &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: p})
		}
		must(b, l.StoreLogs(logs)) // with an fsync
	}, func() { must(b, l.Close()) }
}

func cpuTime() time.Duration {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkBeside makes all contenders commit the same entries in turns, a few
// commits each, so that what the machine does meanwhile hits all alike.
func BenchmarkBeside(b *testing.B) {
	for _, w := range []struct{ size, group, commits int }{{1 << 10, 1, 400}, {1 << 10, 64, 100}, {64 << 10, 1, 100}, {64 << 10, 16, 30}} {
		b.Run(fmt.Sprintf("entry=%dKiB/group=%d", w.size>>10, w.group), func(b *testing.B) {
			besides(b, w.size, w.group, w.commits)
		})
	}
}

func besides(b *testing.B, size, group, commits int) {
	all := contenders()
	p := slices.Repeat([]byte("logq"), size/4)
	for b.Loop() {
		for range 10 {
			for _, c := range all {
				dir, err := os.MkdirTemp(".", "bench-data-")
				must(b, err)
				commit, done := c.open(b, dir, size*group*commits)
				for range 8 {
					commit(p, group)
				}
				cpu, begin := cpuTime(), time.Now()
				for range commits - 8 {
					t := time.Now()
					commit(p, group)
					c.spent.each = append(c.spent.each, time.Since(t))
				}
				c.spent.wall += time.Since(begin)
				c.spent.cpu += cpuTime() - cpu
				c.spent.bytes += (commits - 8) * group * size
				done()
				must(b, os.RemoveAll(dir))
			}
		}
	}
	floor := all[0].spent
	for _, c := range all {
		s := &c.spent
		slices.Sort(s.each)
		slices.Sort(floor.each)
		p50 := s.each[len(s.each)/2]
		b.ReportMetric(float64(s.bytes)/1e6/s.wall.Seconds(), c.name+"-MB/s")
		b.ReportMetric(float64(p50.Nanoseconds())/1e3, c.name+"-p50-µs")
		b.ReportMetric(s.cpu.Seconds()/(float64(s.bytes)/1e9), c.name+"-cpu-s/GB")
		b.Logf("%-14s %8.1f MB/s (%5.2f of the floor)  p50 %8v (%5.2f)  %7.2f CPU-s/GB (%5.2f)", c.name,
			float64(s.bytes)/1e6/s.wall.Seconds(), floor.wall.Seconds()/s.wall.Seconds(), p50,
			float64(p50)/float64(floor.each[len(floor.each)/2]),
			s.cpu.Seconds()/(float64(s.bytes)/1e9), s.cpu.Seconds()/floor.cpu.Seconds())
	}
}
