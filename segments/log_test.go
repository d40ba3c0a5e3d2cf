package segments_test

import (
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

func TestAppendFlushReopen(t *testing.T) {
	mem := vfs.NewMem()
	o := options(mem)
	o.SegmentBytes = 8 << 10
	l, rec := open(t, o)
	if l.Last() != 0 || l.First() != 1 || l.NextOffset() != 0 || rec.Truncated != 0 {
		t.Fatalf("empty log: last %d, first %d, next %d, %+v", l.Last(), l.First(), l.NextOffset(), rec)
	}
	for i := range 40 {
		appendN(t, l, 1, 1, 300)
		if i%7 == 0 {
			must(t, l.Append(noop(l, 1), segments.Local{WriteTerm: 1}))
		}
		if i%3 == 0 {
			must(t, l.Flush())
		}
	}
	must(t, l.Flush())
	if l.Durable() != l.Last() || l.Unflushed() {
		t.Errorf("durable %d, last %d", l.Durable(), l.Last())
	}
	want := entries(t, l)
	if s := l.Stats(); s.Segments < 3 || len(want) != 46 {
		t.Errorf("%d entries in %+v", len(want), s)
	}
	last, nextOff, terms := l.Last(), l.NextOffset(), l.Terms()
	l, rec = open(t, func() segments.Options { o.FS = mem.Crash(vfs.CrashOptions{}); return o }())
	if l.Last() != last || l.NextOffset() != nextOff || len(l.Terms()) != len(terms) || rec.WriteTerm != 1 {
		t.Errorf("reopened: last %d, next %d, terms %v, %+v", l.Last(), l.NextOffset(), l.Terms(), rec)
	}
	wantEntries(t, l, want)
	appendN(t, l, 2, 5, 100)
	must(t, l.Truncate(last))
	appendN(t, l, 3, 1, 5000)
	must(t, l.Flush())
	want = append(want[:last-1], entries(t, l)[last-1:]...)
	l, _ = open(t, o)
	wantEntries(t, l, want)
}
