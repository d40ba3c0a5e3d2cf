package segments_test

import (
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

// TestAppendAllocs: in steady state an append allocates nothing but, rarely, a
// chunk of the tail, and a Flush nothing at all.
func TestAppendAllocs(t *testing.T) {
	o := options(vfs.NewMem())
	o.TailBytes = 1 << 20
	l, _ := open(t, o)
	p := payload(1, 1, 1000)
	index, offset := segments.Index(0), l.NextOffset()
	one := func() {
		index++
		must(t, l.Append(segments.Frame{
			Kind: segments.KindData, Index: index, Term: 1, PrevTerm: min(segments.Term(index-1), 1),
			BaseOffset: offset, Records: 1, Payload: p,
		}, segments.Local{WriteTerm: 1}))
		offset++
		if index%50 == 0 {
			must(t, l.Flush())
			l.SetCommit(l.Durable())
		}
	}
	for range 3000 {
		one()
	}
	if n := testing.AllocsPerRun(2000, one); n != 0 {
		t.Errorf("%v allocations per append", n)
	}
	if got := l.Stats().TailBytes; got > 2<<20 {
		t.Errorf("the tail holds %d bytes, its budget is %d", got, o.TailBytes)
	}
}

func TestReadAllocs(t *testing.T) {
	l, _ := open(t, options(vfs.NewMem()))
	appendN(t, l, 1, 100, 500)
	must(t, l.Flush())
	buf := make([]byte, 0, 1<<20)
	from := l.NextOffset() / 2
	if n := testing.AllocsPerRun(200, func() {
		if _, _, err := l.ReadBatches(buf, from, l.NextOffset(), 10_000); err != nil {
			t.Fatal(err)
		}
	}); n > 8 {
		t.Errorf("%v allocations per ReadBatches of 20 batches in the tail", n)
	}
	if n := testing.AllocsPerRun(200, func() { l.Fit(10, 90, 10_000) }); n != 0 {
		t.Errorf("%v allocations per Fit", n)
	}
	if n := testing.AllocsPerRun(200, func() { l.TailFrames(10, 90) }); n > 1 {
		t.Errorf("%v allocations per TailFrames", n)
	}
}

// TestIdleMemory: a partition that has had one small append holds one small
// chunk, and one that was opened from disk none.
func TestIdleMemory(t *testing.T) {
	o := options(vfs.NewMem())
	l, _ := open(t, o)
	appendN(t, l, 1, 1, 100)
	must(t, l.Flush())
	if got := l.Stats().TailBytes; got > 4<<10 {
		t.Errorf("%d bytes of tail for one small entry", got)
	}
	must(t, l.Close())
	l, _ = open(t, o)
	if got := l.Stats().TailBytes; got != 0 {
		t.Errorf("%d bytes of tail after opening", got)
	}
}
