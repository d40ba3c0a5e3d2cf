package segments_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

// TestBlocks: whatever the sizes of entries and group commits, and wherever the log was
// closed, opened, cut and rolled in between, the files hold the frames one behind the
// other and then zeros. On the disk that the test has, where direct writes demand what
// Mem doesn't check: where buffers lie in memory.
func TestBlocks(t *testing.T) {
	for _, direct := range []bool{true, false} {
		for _, fsys := range map[string]vfs.FS{"mem": vfs.NewMem(), "disk": vfs.OS()} {
			for seed := range uint64(6) {
				t.Run(fmt.Sprintf("direct=%t/%T/seed=%d", direct, fsys, seed), func(t *testing.T) {
					o := options(fsys)
					o.Dir, o.Direct, o.SegmentBytes = filepath.ToSlash(filepath.Join(t.TempDir(), "p")), direct, 1<<20
					writeBlocks(t, o, rand.New(rand.NewPCG(seed, 1)))
				})
			}
		}
	}
}

func writeBlocks(t *testing.T, o segments.Options, r *rand.Rand) {
	l, _ := open(t, o)
	var want []segments.Frame
	term := segments.Term(1)
	for range 60 {
		switch k := r.IntN(20); {
		case k == 0:
			must(t, l.Flush())
			must(t, l.Close())
			l, _ = open(t, o)
		case k == 1 && len(want) > 0:
			from := segments.Index(1 + r.IntN(len(want)))
			if l.Truncate(from) == nil {
				want, term = want[:from-1], term+1
			}
		default:
			for range 1 + r.IntN(5) {
				f := next(l, term, []int{0, 90, 3900, 4000, 64 << 10, 200 << 10}[r.IntN(6)]+r.IntN(200))
				must(t, l.Append(f, segments.Local{WriteTerm: term}))
				want = append(want, f)
			}
			must(t, l.Flush())
		}
	}
	must(t, l.Flush())
	wantEntries(t, l, want)
	must(t, l.Close())
	l, rec := open(t, o)
	if rec.Truncated != 0 || rec.StaleSuffix != 0 || len(rec.Warnings) > 0 {
		t.Errorf("recovery after an orderly end: %+v", rec)
	}
	wantEntries(t, l, want)
}

// TestSmallWritesTakeZerosAlong: the blocks behind a small append are written once, so
// that the next ones need no change of metadata. What is there afterwards are zeros.
func TestSmallWritesTakeZerosAlong(t *testing.T) {
	mem := vfs.NewMem()
	l, _ := open(t, options(mem))
	for range 100 {
		appendN(t, l, 1, 1, 300)
		must(t, l.Flush())
	}
	st := l.Stats()
	if st.Writes != 100 || st.Syncs != 101 { // the header's sync
		t.Errorf("%d writes and %d syncs for 100 group commits", st.Writes, st.Syncs)
	}
	names, err := mem.List("data/p")
	must(t, err)
	data, err := vfs.ReadFile(mem, "data/p/"+names[0], 1<<20)
	must(t, err)
	if rest := bytes.TrimRight(data, "\x00"); len(rest) > int(st.Bytes) {
		t.Errorf("something is written at %d, the log ends at %d", len(rest), st.Bytes)
	}
}

// TestNoDirect: a file system that can't write directly is written through the cache.
func TestNoDirect(t *testing.T) {
	mem := vfs.NewMem()
	for _, no := range []bool{true, false} {
		mem.SetNoDirect(no)
		l, _ := open(t, options(mem))
		appendN(t, l, 1, 3, 100)
		must(t, l.Flush())
		if l.Stats().Direct == no {
			t.Errorf("refused: %t; direct: %t", no, l.Stats().Direct)
		}
		must(t, l.Close())
	}
}

// TestRepairInTheLastBlock: a repair writes into the block that the next append writes
// once more; what it brought must stay.
func TestRepairInTheLastBlock(t *testing.T) {
	mem := vfs.NewMem()
	l, _ := open(t, options(mem))
	for range 3 {
		appendN(t, l, 1, 1, 100)
		must(t, l.Flush())
	}
	good, err := l.ReadFrames(nil, 2, 3)
	must(t, err)
	want := entries(t, l)
	must(t, l.Close())
	names, err := mem.List("data/p")
	must(t, err)
	f, err := mem.OpenReadWrite("data/p/" + names[0])
	must(t, err)
	if _, err := f.WriteAt([]byte{0xff}, segments.FileHeaderSize+196+150); err != nil {
		t.Fatal(err)
	}
	must(t, f.Sync())

	l, _ = open(t, options(mem))
	if d := l.Damage(); len(d) != 1 || d[0].Lo != 2 {
		t.Fatalf("damage: %v", d)
	}
	appendN(t, l, 1, 1, 100)
	must(t, l.Flush()) // it has read the last block by now
	must(t, l.Repair(good))
	appendN(t, l, 1, 1, 100)
	must(t, l.Flush())
	must(t, l.Close())
	l, _ = open(t, options(mem))
	if d := l.Damage(); len(d) != 0 {
		t.Fatalf("damage after the repair: %v", d)
	}
	if got := entries(t, l); !sameFrame(got[1], want[1]) || len(got) != 5 {
		t.Errorf("%d entries, the second is %+v", len(got), got[1])
	}
}
