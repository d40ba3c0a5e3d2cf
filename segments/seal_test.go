package segments_test

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

// ends returns where the frames of a segment file end and its footer begins.
func ends(t testing.TB, fsys vfs.FS, name string) (end, foot int64) {
	t.Helper()
	info, err := segments.Inspect(fsys, name, func(segments.FrameInfo) error { return nil })
	must(t, err)
	return info.End, (info.End + 4095) &^ 4095
}

// unsealed returns the image without footers.
func (img image) unsealed(t testing.TB, o segments.Options) image {
	t.Helper()
	disk, out := img.disk(t, o.Dir), image{}
	for name, b := range img {
		_, foot := ends(t, disk, path.Join(o.Dir, name))
		out[name] = b[:min(foot, int64(len(b)))]
	}
	return out
}

// sealedSample is sampleOf, committed but for the last entries, sealed, and closed in order.
func sealedSample(t testing.TB, n, uncommitted int) (good *segments.Log, o segments.Options, img image) {
	t.Helper()
	good, o, plain := sampleOf(t, n, 3)
	mem := plain.disk(t, o.Dir)
	o.FS = mem
	l, _ := open(t, o)
	l.SetCommit(max(l.Last(), segments.Index(uncommitted)) - segments.Index(uncommitted))
	sealed, err := l.Seal()
	must(t, err)
	must(t, l.Finish())
	if got := l.Stats(); (sealed > 0) != (n-uncommitted > 3) || got.Seals != uint64(got.Segments) {
		t.Fatalf("%d sealed, then %+v", sealed, got)
	}
	must(t, l.Close())
	return good, o, imageOf(t, mem, o.Dir)
}

// told is what a log says of itself without reading entries.
type told struct {
	first, last, durable, prev segments.Index
	lastTerm, prevTerm         segments.Term
	start, next                int64
	terms                      []segments.TermStart
	configs                    []segments.ConfigAt
	begin                      segments.Start
	damage                     string
	bytes                      int64
}

func tell(l *segments.Log) told {
	prev, prevTerm := l.PrevOfFirst()
	return told{
		l.First(), l.Last(), l.Durable(), prev, l.LastTerm(), prevTerm, int64(l.StartOffset()), int64(l.NextOffset()),
		l.Terms(), l.Configs(), l.Start(), fmt.Sprint(l.Damage()), l.Stats().Bytes,
	}
}

// TestSealedOpen: a log that is opened by its footers is the one that a scan finds.
func TestSealedOpen(t *testing.T) {
	for k, n := range []int{1, 3, 4, 14, 40, 1, 3, 4, 14, 40} {
		uncommitted := 2 * (k / 5)
		good, o, img := sealedSample(t, n, uncommitted)
		want := entries(t, good)
		faults := &vfs.Faults{}
		mem := img.disk(t, o.Dir)
		o.FS = vfs.WithFaults(mem, faults)
		frames := 0
		faults.SetHook(func(c vfs.Call) error {
			if c.Op == vfs.OpRead && c.Off > 0 && c.Off+c.Len <= 4096+3*(96+80) {
				frames++
			}
			return nil
		})
		l, rec, err := segments.Open(o)
		must(t, err)
		faults.SetHook(nil)
		if frames > uncommitted || rec.Commit != segments.Index(max(n, uncommitted)-uncommitted) || rec.Evidence != segments.Index(n) || len(rec.Warnings) > 0 {
			t.Errorf("%d entries: %d reads of frames, %+v", n, frames, rec)
		}
		o.FS = img.unsealed(t, o).disk(t, o.Dir)
		scanned, scan := open(t, o)
		if got, want := tell(l), tell(scanned); !reflect.DeepEqual(got, want) || rec.WriteTerm != scan.WriteTerm {
			t.Errorf("%d entries: by the footers\n%+v, %+v\nby the frames\n%+v, %+v", n, got, rec, want, scan)
		}
		wantEntries(t, l, want)
		for i := range want {
			b, next, err := l.ReadBatches(nil, want[i].BaseOffset, want[i].Next(), 1)
			if err != nil || want[i].Kind == segments.KindData && (next != want[i].Next() || string(b) != string(want[i].Payload)) {
				t.Errorf("entry %d: next offset %d, %v", i+1, next, err)
			}
		}
		// It goes on where it was, and what isn't committed can still be cut off.
		last := l.Last()
		must(t, l.Append(next(l, 50, 80), segments.Local{WriteTerm: 50}))
		must(t, l.Flush())
		if last > 1 && uncommitted > 0 {
			must(t, l.Truncate(last-1))
			must(t, l.Append(next(l, 51, 80), segments.Local{WriteTerm: 51}))
			must(t, l.Flush())
		}
		now := entries(t, l)
		must(t, l.Close())
		o.FS = mem.Crash(vfs.CrashOptions{})
		l, _ = open(t, o)
		wantEntries(t, l, now)
	}
}

// TestFooterDamageAnywhere flips every byte behind the frames of a sealed log, cuts every
// file at every length there, and swaps footers: the log is always the one that was
// closed, and no footer is needed for that.
func TestFooterDamageAnywhere(t *testing.T) {
	good, o, img := sealedSample(t, 10, 2)
	want := entries(t, good)
	o.FS = img.disk(t, o.Dir)
	l, _ := open(t, o)
	whole := tell(l)
	must(t, l.Close())
	tried := 0
	try := func(what string, damaged image) {
		tried++
		o.FS = damaged.disk(t, o.Dir)
		l, rec, err := segments.Open(o)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := tell(l); !reflect.DeepEqual(got, whole) {
			t.Fatalf("%s: %+v, want %+v", what, got, whole)
		}
		wantEntries(t, l, want)
		if rec.Commit != l.Last()-2 && rec.Commit != 0 {
			t.Fatalf("%s: commit %d", what, rec.Commit)
		}
		if tried%97 > 0 {
			must(t, l.Close())
			return
		}
		// It is sealed again.
		l.SetCommit(l.Last())
		_, err = l.Seal()
		must(t, errors.Join(err, l.Finish(), l.Close()))
		checkSealed(t, what, o)
	}
	names := []string{}
	for name := range img {
		names = append(names, name)
	}
	slices.Sort(names)
	disk := img.disk(t, o.Dir)
	for k, name := range names {
		b := img[name]
		end, foot := ends(t, disk, path.Join(o.Dir, name))
		for at := foot; at < int64(len(b)); at++ {
			c := slices.Clone(b)
			c[at] ^= 0x40
			try(fmt.Sprintf("%s, byte %d", name, at), img.with(name, c))
		}
		for n := end; n < int64(len(b)); n++ {
			if n < foot && n > end && n%500 > 0 {
				continue
			}
			try(fmt.Sprintf("%s, cut to %d", name, n), img.with(name, b[:n]))
		}
		try(name+", zeros behind", img.with(name, append(slices.Clone(b), make([]byte, 5000)...)))
		other := names[(k+1)%len(names)]
		_, from := ends(t, disk, path.Join(o.Dir, other))
		try(name+", the footer of another segment", img.with(name, append(slices.Clone(b[:foot]), img[other][from:]...)))
		try(name+", two footers", img.with(name, append(slices.Clone(b), b[foot:]...)))
	}
	t.Logf("%d states", tried)
}

// checkSealed checks that all files have footers.
func checkSealed(t testing.TB, what string, o segments.Options) {
	t.Helper()
	names, err := o.FS.List(o.Dir)
	must(t, err)
	for _, name := range names {
		info, err := segments.Inspect(o.FS, path.Join(o.Dir, name), func(segments.FrameInfo) error { return nil })
		must(t, err)
		if info.Footer == nil || info.Footer.Last != info.Last || info.Ending != segments.EndClean || info.FooterFault != "" {
			t.Fatalf("%s: %s: footer %+v, %s, %s %s", what, name, info.Footer, info.FooterFault, info.Ending, info.Detail)
		}
	}
}

// TestFooterOfAnotherTime: a file as it was at an earlier close, or with the footer of
// then, is not taken for what it was later.
func TestFooterOfAnotherTime(t *testing.T) {
	mem := vfs.NewMem()
	o := options(mem)
	l, _ := open(t, o)
	appendN(t, l, 1, 2, 1000)
	appendN(t, l, 2, 1, 1000)
	must(t, l.Flush())
	o.FS = imageOf(t, mem, o.Dir).disk(t, o.Dir)
	l.SetCommit(3)
	must(t, errors.Join(l.Finish(), l.Close()))
	old := imageOf(t, mem, o.Dir)
	l, _ = open(t, o)
	must(t, l.Truncate(3))
	must(t, l.Append(next(l, 3, 1000), segments.Local{WriteTerm: 3}))
	must(t, errors.Join(l.Flush(), l.Finish()))
	want := entries(t, l)
	must(t, l.Close())
	img := imageOf(t, o.FS, o.Dir)
	name := img.only(t)
	if len(old[name]) != len(img[name]) {
		t.Fatalf("%d and %d bytes", len(old[name]), len(img[name]))
	}
	// The old file: nothing but a mark from elsewhere can tell.
	o.FS = old.disk(t, o.Dir)
	if l, _, err := segments.Open(o); err != nil || l.LastTerm() != 2 {
		t.Fatal(err)
	}
	// The old footer behind the new frames, as a disk leaves it that lies about what it
	// has written: Verify finds out, the footer goes, and the next open reads the frames.
	_, foot := ends(t, img.disk(t, o.Dir), path.Join(o.Dir, name))
	o.FS = img.with(name, append(slices.Clone(img[name][:foot]), old[name][foot:]...)).disk(t, o.Dir)
	l, _, err := segments.Open(o)
	must(t, err)
	if l.Last() == 3 && l.LastTerm() == 3 {
		t.Fatal("the footer wasn't believed: this shows nothing")
	}
	if _, found, err := l.Verify(1, func(int) error { return nil }); err != nil || found != nil {
		t.Fatal(found, err)
	}
	must(t, l.Flush())
	if err := l.Finish(); err == nil {
		t.Error("nobody was told")
	}
	must(t, l.Close())
	l, _ = open(t, o)
	wantEntries(t, l, want)
	// Cut off at its footer it is read.
	o.FS = img.with(name, img[name][:foot]).disk(t, o.Dir)
	l, _ = open(t, o)
	wantEntries(t, l, want)
}
