package segments_test

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

// image is the content of a log's files by name.
type image map[string][]byte

func imageOf(t testing.TB, fsys vfs.FS, dir string) image {
	t.Helper()
	names, err := fsys.List(dir)
	must(t, err)
	img := image{}
	for _, name := range names {
		img[name], err = vfs.ReadFile(fsys, path.Join(dir, name), 64<<20)
		must(t, err)
	}
	return img
}

// disk makes a file system that holds the image, all of it durable.
func (img image) disk(t testing.TB, dir string) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	must(t, mem.MkdirAll(dir))
	for name, content := range img {
		f, err := mem.Create(path.Join(dir, name))
		must(t, err)
		_, err = f.WriteAt(content, 0)
		must(t, errors.Join(err, f.Close()))
	}
	return mem.Crash(vfs.CrashOptions{Keep: 1})
}

func (img image) with(name string, content []byte) image {
	out := image{}
	for n, c := range img {
		out[n] = c
	}
	out[name] = content
	return out
}

// positions returns where each frame of a file begins, and where the last ends.
func positions(t testing.TB, mem *vfs.Mem, name string) (at []int64) {
	t.Helper()
	info, err := segments.Inspect(mem, name, func(f segments.FrameInfo) error {
		at = append(at, f.Pos)
		return nil
	})
	must(t, err)
	return append(at, info.End)
}

// only returns the name of the only file.
func (img image) only(t testing.TB) string {
	t.Helper()
	if len(img) != 1 {
		t.Fatalf("%d files, want one", len(img))
	}
	for name := range img {
		return name
	}
	return ""
}

// TestStaleSuffix: a follower has 5, 6, 7 of term 2, the leader of term 3 sends 5' of term 1 alone, of the same size; it is written in
// place, and the power goes. Indexes are dense, terms ascend and all checksums
// are good, but 5' 6 7 is a log that never existed: it must end at 5'.
//
// Our own Flush cuts the file before it writes, so the test lays the old suffix
// behind the new entry itself, as an in-place writer would leave it.
func TestStaleSuffix(t *testing.T) {
	tests := []struct {
		name         string
		old, new     segments.Term // of entry 5
		write, again segments.Term // write terms of 5..7 and of 5'
		sizes        [2]int        // payloads of 5 and 5'
	}{
		{"write term falls", 2, 1, 2, 3, [2]int{100, 100}},
		{"previous term differs", 2, 1, 3, 4, [2]int{100, 100}},
		{"same term, write term falls", 1, 1, 2, 3, [2]int{300, 300}},
		{"new entry shorter", 2, 1, 2, 3, [2]int{500, 20}},
		{"new entry longer, into the next", 2, 1, 2, 3, [2]int{50, 90}},
		{"new entry longer, over the next", 2, 1, 2, 3, [2]int{100, 250}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mem := vfs.NewMem()
			o := options(mem)
			l, _ := open(t, o)
			appendN(t, l, 1, 4, 100)
			must(t, l.Flush())
			for i := range 3 {
				must(t, l.Append(next(l, tt.old, tt.sizes[0]+i), segments.Local{WriteTerm: tt.write}))
				must(t, l.Flush()) // each durable before the next
			}
			old := imageOf(t, mem, o.Dir)
			must(t, l.Truncate(5))
			f := next(l, tt.new, tt.sizes[1])
			f.Payload[0] ^= 1 // another entry than the old 5
			must(t, l.Append(f, segments.Local{WriteTerm: tt.again}))
			must(t, l.Flush())
			want := entries(t, l)
			name := old.only(t)
			at := positions(t, mem, path.Join(o.Dir, name))
			must(t, l.Close())

			end := at[5]
			merged := slices.Concat(imageOf(t, mem, o.Dir)[name][:end], old[name][end:])
			o.FS = old.with(name, merged).disk(t, o.Dir)
			l, rec, err := segments.Open(o)
			must(t, err)
			wantEntries(t, l, want)
			if rec.StaleSuffix+rec.Truncated == 0 {
				t.Errorf("nothing was cut: %+v", rec)
			}
			if tt.sizes[0] == tt.sizes[1] && (rec.StaleSuffix == 0 || len(rec.Warnings) > 0) {
				t.Errorf("a stale suffix is no reason to warn: %+v", rec)
			}
			if term, ok := l.Term(7); ok {
				t.Errorf("entry 7 came back with term %d", term)
			}
			must(t, l.Append(next(l, tt.again, 100), segments.Local{WriteTerm: tt.again}))
			must(t, l.Flush())
			must(t, l.Close())
		})
	}
}

// TestTornTail tears the last group commit at every byte: cut to a length, zeroed
// from there, zeroed up to there, with a flipped byte there (S4).
func TestTornTail(t *testing.T) {
	mem := vfs.NewMem()
	o := options(mem)
	l, _ := open(t, o)
	appendN(t, l, 1, 3, 60)
	must(t, l.Flush())
	acked := l.Last()
	appendN(t, l, 1, 3, 80)
	must(t, l.Flush())
	want := entries(t, l)
	must(t, l.Close())
	img := imageOf(t, mem, o.Dir)
	name := img.only(t)
	at := positions(t, mem, path.Join(o.Dir, name))
	whole := img[name]
	begin, end := at[acked], at[len(want)]
	damage := map[string]func(b []byte, i int64) []byte{
		"cut":         func(b []byte, i int64) []byte { return b[:i] },
		"zero behind": func(b []byte, i int64) []byte { clear(b[i:end]); return b },
		"zero before": func(b []byte, i int64) []byte { clear(b[begin : i+1]); return b },
		"flip":        func(b []byte, i int64) []byte { b[i] ^= 0x10; return b },
	}
	for how, do := range damage {
		for i := begin; i < end; i++ {
			o.FS = img.with(name, do(slices.Clone(whole), i)).disk(t, o.Dir)
			l, rec, err := segments.Open(o)
			if err != nil {
				t.Fatalf("%s at %d: %v", how, i, err)
			}
			n := int(l.Last())
			if n < int(acked) || n > len(want) {
				t.Fatalf("%s at %d: %d entries came back, %d were durable before", how, i, n, acked)
			}
			wantEntries(t, l, want[:n])
			if at[n] < i && how == "cut" && rec.Truncated == 0 && slices.ContainsFunc(whole[at[n]:i], func(b byte) bool { return b != 0 }) {
				t.Fatalf("%s at %d: cut in silence: %+v", how, i, rec)
			}
			must(t, l.Append(next(l, 1, 50), segments.Local{WriteTerm: 1}))
			must(t, l.Flush())
			must(t, l.Close())
		}
	}
}

// TestBitFlips flips a bit in every byte of a log of two segments, each frame of
// which was durable before the next. Never is anything but the written entries read;
// what is missing can't be read, and is there again when the good bytes are offered.
// Only a flip in the last entry is taken for a torn write.
func TestBitFlips(t *testing.T) {
	good, o, img := sample(t, 7)
	verdicts := map[string]int{}
	for name, whole := range img {
		mem := img.disk(t, o.Dir)
		end := positions(t, mem, path.Join(o.Dir, name))
		for i := int64(0); i < end[len(end)-1]; i++ {
			b := slices.Clone(whole)
			b[i] ^= 1 << (i % 8)
			o.FS = img.with(name, b).disk(t, o.Dir)
			verdicts[repaired(t, fmt.Sprintf("%s, byte %d", name, i), o, good)]++
		}
	}
	t.Log(verdicts)
	for _, v := range []string{"repaired", "header", "cut"} {
		if verdicts[v] == 0 {
			t.Errorf("no flip came to the verdict %q", v)
		}
	}
}

// TestDamageAfterOpen damages a file under an open log that has to read it.
func TestDamageAfterOpen(t *testing.T) {
	mem := vfs.NewMem()
	o := options(mem)
	l, _ := open(t, o)
	appendN(t, l, 1, 10, 300)
	must(t, l.Flush())
	must(t, l.Close())
	l, _ = open(t, o)
	name := imageOf(t, mem, o.Dir).only(t)
	at := positions(t, mem, path.Join(o.Dir, name))
	f, err := mem.OpenReadWrite(path.Join(o.Dir, name))
	must(t, err)
	for _, pos := range []int64{at[4], at[4] + 30, at[4] + 70, at[5] - 1} {
		var b [1]byte
		_, err := f.ReadAt(b[:], pos)
		must(t, err)
		_, err = f.WriteAt([]byte{b[0] ^ 4}, pos)
		must(t, err)
		_, err = l.ReadFrames(nil, 3, 9)
		var corrupt *segments.CorruptionError
		if !errors.As(err, &corrupt) || corrupt.Offset != at[4] || corrupt.Index != 5 || corrupt.SegmentID != 1<<24 {
			t.Errorf("flip at %d: %v", pos, err)
		}
		if _, _, err := l.ReadBatches(nil, 9, 20, 100); !errors.Is(err, segments.ErrCorrupt) {
			t.Errorf("flip at %d: ReadBatches: %v", pos, err)
		}
		_, err = f.WriteAt(b[:], pos)
		must(t, err)
	}
	if _, err := l.ReadFrames(nil, 3, 9); err != nil {
		t.Errorf("repaired: %v", err)
	}
	must(t, f.Truncate(at[7]+10))
	if _, err := l.ReadFrames(nil, 3, 9); !errors.Is(err, segments.ErrCorrupt) {
		t.Errorf("cut short: %v", err)
	}
	must(t, f.Close())
}

// TestSwappedFiles: files of another partition, and of a newer format.
func TestSwappedFiles(t *testing.T) {
	mem := vfs.NewMem()
	o := options(mem)
	l, _ := open(t, o)
	appendN(t, l, 1, 3, 100)
	must(t, l.Flush())
	must(t, l.Close())
	other := o
	other.Identity.Partition++
	before := fmt.Sprint(imageOf(t, mem, o.Dir))
	_, _, err := segments.Open(other)
	var id *segments.IdentityError
	if !errors.As(err, &id) || !errors.Is(err, segments.ErrNotOurs) || id.Got != o.Identity || id.Want != other.Identity {
		t.Errorf("another partition: %v", err)
	}
	if errors.Is(err, segments.ErrCorrupt) {
		t.Error("a file of another partition is not damaged")
	}
	if fmt.Sprint(imageOf(t, mem, o.Dir)) != before {
		t.Error("Open changed files that are not ours")
	}
	// A frame of another partition in the place of one of ours, with its own header.
	img := imageOf(t, mem, o.Dir)
	mem2 := vfs.NewMem()
	other.FS = mem2
	l, _ = open(t, other)
	appendN(t, l, 1, 3, 100)
	must(t, l.Flush())
	must(t, l.Close())
	name := img.only(t)
	at := positions(t, mem, path.Join(o.Dir, name))
	mixed := slices.Clone(img[name])
	copy(mixed[at[1]:at[2]], imageOf(t, mem2, o.Dir)[name][at[1]:at[2]])
	o.FS = img.with(name, mixed).disk(t, o.Dir)
	l, rec, err := segments.Open(o)
	must(t, err)
	if l.Last() != 1 || rec.Truncated == 0 {
		t.Errorf("a frame of another partition was read: last %d, %+v", l.Last(), rec)
	}
	must(t, l.Close())
}
