package segments_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

// flipBit inverts a bit of a file that a log has open, as a disk does.
func flipBit(t *testing.T, fsys vfs.FS, name string, at int64) {
	t.Helper()
	f, err := fsys.OpenReadWrite(name)
	must(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	must(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b, at)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}

// TestCutKeepsTheEvidence: a truncation that would make unnoticed damage the end of the
// log, where it passes for a torn write, isn't carried out. The next start finds the
// damage, with what proves it.
func TestCutKeepsTheEvidence(t *testing.T) {
	for _, tc := range []struct {
		name       string
		perSegment int
		commits    []int          // entries of each group commit
		damage     segments.Index // of which entry
		from       segments.Index // the truncation
		finish     bool           // closed in order before
		refused    bool
	}{
		{"the last entry that stays", 100, []int{1, 1, 1, 1}, 3, 4, false, true},
		{"an earlier one, which the last proves", 100, []int{1, 1, 1, 1}, 2, 4, false, false},
		{"one of the last group commit", 100, []int{1, 3, 1}, 2, 5, false, true},
		{"one of a group commit that is cut", 100, []int{1, 3, 1}, 2, 4, false, true},
		{"none", 100, []int{1, 1, 1}, 0, 3, false, false},
		{"in a file before the one that goes", 2, []int{1, 1, 1}, 2, 3, false, true},
		{"in a file before two that go", 2, []int{1, 1, 1, 1, 1, 1}, 2, 3, false, true},
		{"all goes", 100, []int{1, 1}, 1, 1, false, false},
		{"the last entry that stays, by a footer", 100, []int{1, 1, 1, 1}, 3, 4, true, true},
		{"one of the last group commit, by a footer", 100, []int{1, 3, 1}, 2, 5, true, true},
		{"in a file before the one that goes, by a footer", 2, []int{1, 1, 1}, 2, 3, true, true},
		{"none, by a footer", 100, []int{1, 1, 1}, 0, 3, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := vfs.NewMem()
			o := options(mem)
			o.SegmentBytes, o.IndexInterval = 4096+int64(tc.perSegment)*(96+80), 1
			l, _ := open(t, o)
			places := map[segments.Index]func(){}
			pos, name, n, files := int64(4096), "", segments.Index(0), 0
			for _, k := range tc.commits {
				for range k {
					f := next(l, 1, 60)
					if name == "" || pos+int64(f.Size()) > o.SegmentBytes {
						pos, name = 4096, fmt.Sprintf("%s/%020d-%016x.seg", o.Dir, f.Index, 1<<24+files)
						files++
					}
					at, file := pos+100, name
					n++
					places[n] = func() { flipBit(t, mem, file, at) }
					must(t, l.Append(f, segments.Local{WriteTerm: 1}))
					pos += int64(f.Size())
				}
				must(t, l.Flush())
			}
			if tc.finish {
				must(t, l.Finish())
				must(t, l.Close())
				l, _ = open(t, o)
			}
			if tc.damage != 0 {
				places[tc.damage]()
			}
			last := l.Last()
			must(t, l.Truncate(tc.from))
			must(t, l.Append(next(l, 2, 60), segments.Local{WriteTerm: 2}))
			err := l.Flush()
			if !tc.refused {
				must(t, err)
				return
			}
			var poisoned *segments.PoisonedError
			if !errors.As(err, &poisoned) || !errors.Is(err, segments.ErrCorrupt) {
				t.Fatalf("the cut: %v", err)
			}
			_ = l.Close()
			l, _ = open(t, o)
			if d := l.Damage(); len(d) != 1 || d[0].Lo != tc.damage || l.Last() != last {
				t.Errorf("opened again: damage %v, last entry %d, want entry %d of %d", d, l.Last(), tc.damage, last)
			}
		})
	}
}
