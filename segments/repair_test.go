package segments_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

// sample makes a log of n entries in small segments, each durable before the next,
// with configurations and new terms among them. It returns the log, open.
func sample(t testing.TB, n int) (*segments.Log, segments.Options, image) {
	return sampleOf(t, n, 3)
}

func sampleOf(t testing.TB, n, perSegment int) (*segments.Log, segments.Options, image) {
	t.Helper()
	mem := vfs.NewMem()
	o := options(mem)
	o.SegmentBytes = 4096 + int64(perSegment)*(96+80)
	l, _ := open(t, o)
	for i := range n {
		f := next(l, segments.Term(1+i/4), 80)
		if i%3 == 2 {
			f = config(l, f.Term, fmt.Sprintf("members %d", i))
		}
		must(t, l.Append(f, segments.Local{WriteTerm: f.Term}))
		must(t, l.Flush())
	}
	return l, o, imageOf(t, mem, o.Dir)
}

// config makes a configuration that continues the log.
func config(l *segments.Log, term segments.Term, text string) segments.Frame {
	f := noop(l, term)
	f.Kind, f.Payload = segments.KindConfig, []byte(text)
	return f
}

// repaired opens a damaged copy of good, and mends it. It checks that no wrong entry
// is ever read, and returns what became of it.
func repaired(t *testing.T, what string, o segments.Options, good *segments.Log) string {
	t.Helper()
	want := entries(t, good)
	l, rec, err := segments.Open(o)
	if errors.Is(err, segments.ErrCorrupt) && strings.Contains(err.Error(), "is not known") {
		return "hopeless" // the end of one term and the beginning of another are lost
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	damage := l.Damage()
	wantSound(t, what, l, want)
	if len(damage) == 0 {
		wantEntries(t, l, want[:l.Last()])
		must(t, l.Close())
		switch n := int(l.Last()); {
		case n == len(want)-1 && rec.Truncated > 0:
			return "cut"
		case n == len(want) && len(rec.Warnings) > 0 && strings.Contains(rec.Warnings[0], "header block"):
			return "header"
		}
		t.Fatalf("%s: %d of %d entries, %+v", what, l.Last(), len(want), rec)
	}
	if int(l.Last()) != len(want) || !slices.Equal(l.Terms(), good.Terms()) || len(rec.Warnings) < len(damage) {
		t.Fatalf("%s: the log ends at %d, terms %v, warnings %q", what, l.Last(), l.Terms(), rec.Warnings)
	}
	mend(t, what, l, good)
	wantEntries(t, l, want)
	if got, want := fmt.Sprint(l.Configs()), fmt.Sprint(good.Configs()); got != want {
		t.Fatalf("%s: the configurations are %s, want %s", what, got, want)
	}
	must(t, l.Append(next(l, 9, 80), segments.Local{WriteTerm: 9}))
	must(t, l.Flush())
	must(t, l.Close())
	l, rec, err = segments.Open(o)
	if err != nil || len(rec.Warnings) > 0 || len(l.Damage()) > 0 {
		t.Fatalf("%s: after the repair: %v, %+v", what, err, rec)
	}
	wantEntries(t, l, append(slices.Clone(want), entries(t, l)[len(want):]...))
	if got, want := fmt.Sprint(l.Configs()), fmt.Sprint(good.Configs()); got != want {
		t.Fatalf("%s: opened again the configurations are %s, want %s", what, got, want)
	}
	must(t, l.Close())
	return "repaired"
}

// mend fills all gaps of l from good, one term at a time.
func mend(t testing.TB, what string, l, good *segments.Log) {
	t.Helper()
	for range 100 {
		damage := l.Damage()
		if len(damage) == 0 {
			return
		}
		lo, hi := damage[0].Lo, damage[0].Hi
		for _, ts := range l.Terms() {
			if ts.First > lo {
				hi = min(hi, ts.First)
			}
		}
		raw, err := good.ReadFrames(nil, lo, hi)
		must(t, err)
		if err := l.Repair(raw); err != nil {
			t.Fatalf("%s: repair of [%d,%d): %v", what, lo, hi, err)
		}
	}
	t.Fatalf("%s: still damaged: %v", what, l.Damage())
}

// wantSound reads every entry by itself: it is the one that was written, or damage.
func wantSound(t testing.TB, what string, l *segments.Log, want []segments.Frame) {
	t.Helper()
	damage := l.Damage()
	for i := l.First(); i <= l.Last(); i++ {
		bad := slices.ContainsFunc(damage, func(g segments.Gap) bool { return g.Lo <= i && i < g.Hi })
		raw, err := l.ReadFrames(nil, i, i+1)
		switch {
		case bad && errors.Is(err, segments.ErrCorrupt):
		case bad || err != nil:
			t.Fatalf("%s: entry %d, damaged %v: %v", what, i, bad, err)
		case !sameFrame(parse(t, raw)[0], want[i-1]):
			t.Fatalf("%s: entry %d is another", what, i)
		}
	}
}

// TestTruncatedFiles cuts every file but the last at every length, and removes it.
func TestTruncatedFiles(t *testing.T) {
	good, o, img := sample(t, 7)
	names := img.names()
	verdicts := map[string]int{}
	for _, name := range names[:len(names)-1] {
		for n := range img[name] {
			o.FS = img.with(name, img[name][:n]).disk(t, o.Dir)
			verdicts[repaired(t, fmt.Sprintf("%s cut to %d", name, n), o, good)]++
		}
		o.FS = img.with(name, append(slices.Clone(img[name]), "something behind the end"...)).disk(t, o.Dir)
		l, _ := open(t, o)
		wantEntries(t, l, entries(t, good))
		must(t, l.Close())
	}
	for _, name := range names[:len(names)-1] {
		gone := img.with(name, nil)
		delete(gone, name)
		o.FS = gone.disk(t, o.Dir)
		if name == names[0] {
			continue // it looks like a log that was trimmed
		}
		verdicts[repaired(t, name+" is missing", o, good)]++
	}
	t.Log(verdicts)
	if verdicts["repaired"] == 0 || verdicts["hopeless"] == 0 || len(verdicts) != 2 {
		t.Error("a verdict never came up, or one that shouldn't")
	}
}

// names returns the files in order.
func (img image) names() (names []string) {
	for name := range img {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// damagedSample is a sample whose entry 2 has a bad header: a gap of one entry.
func damagedSample(t testing.TB) (l, good *segments.Log, o segments.Options, faults *vfs.Faults, mem *vfs.Mem) {
	t.Helper()
	good, o, img := sampleOf(t, 7, 100)
	name := img.only(t)
	b := slices.Clone(img[name])
	clear(b[4096+96+80 : 4096+2*96+80])
	mem = img.with(name, b).disk(t, o.Dir)
	faults = &vfs.Faults{}
	o.FS = vfs.WithFaults(mem, faults)
	l, _ = open(t, o)
	return l, good, o, faults, mem
}

// TestRepairRefuses: only what was lost is taken.
func TestRepairRefuses(t *testing.T) {
	l, good, o, _, mem := damagedSample(t)
	right, err := good.ReadFrames(nil, 2, 3)
	must(t, err)
	before := fmt.Sprint(imageOf(t, mem, o.Dir))
	flipped := slices.Clone(right)
	flipped[100] ^= 1
	other := func(change func(f *segments.Frame)) []byte {
		f := parse(t, right)[0]
		change(&f)
		return frameOf(t, f)
	}
	both, err := good.ReadFrames(nil, 2, 4)
	must(t, err)
	for name, raw := range map[string][]byte{
		"nothing":              nil,
		"half a frame":         right[:50],
		"a flipped bit":        flipped,
		"another term":         other(func(f *segments.Frame) { f.Term, f.PrevTerm = 9, 9 }),
		"another offset":       other(func(f *segments.Frame) { f.BaseOffset++ }),
		"other records":        other(func(f *segments.Frame) { f.Records++ }),
		"another length":       other(func(f *segments.Frame) { f.Payload = f.Payload[1:] }),
		"more than is missing": both,
	} {
		var bad *segments.FrameError
		if err := l.Repair(raw); !errors.As(err, &bad) {
			t.Errorf("%s: %v, want a *FrameError", name, err)
		}
	}
	if third, err := good.ReadFrames(nil, 3, 4); err != nil || l.Repair(third) != nil {
		t.Errorf("an entry that is not damaged: %v", err)
	}
	if fmt.Sprint(imageOf(t, mem, o.Dir)) != before || len(l.Damage()) != 1 {
		t.Error("something was changed")
	}
	must(t, l.Repair(right))
	must(t, l.Repair(right)) // again: nothing to do
	wantEntries(t, l, entries(t, good))
}

// TestRepairFails: an error leaves the gap, and the log in service.
func TestRepairFails(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpOpen, vfs.OpWrite, vfs.OpSync} {
		l, good, o, faults, _ := damagedSample(t)
		right, err := good.ReadFrames(nil, 2, 3)
		must(t, err)
		faults.Add(vfs.Rule{Op: op, Pattern: "*", From: 1, Err: syscall.EIO})
		if err := l.Repair(right); !errors.Is(err, syscall.EIO) || errors.Is(err, segments.ErrCorrupt) {
			t.Errorf("%v: %v", op, err)
		}
		faults.Clear()
		if d := l.Damage(); len(d) != 1 || l.Err() != nil {
			t.Errorf("%v: damage %v, %v", op, d, l.Err())
		}
		must(t, l.Repair(right))
		wantEntries(t, l, entries(t, good))
		must(t, l.Close())
		must(t, l.Close())
		if err := l.Repair(right); !errors.Is(err, segments.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		l, _ = open(t, o)
		wantEntries(t, l, entries(t, good))
	}
}

// TestRepairCrashAnywhere cuts the power at each step of a repair.
func TestRepairCrashAnywhere(t *testing.T) {
	good, o, img := sample(t, 9)
	names := img.names()
	second := slices.Clone(img[names[1]])
	second[4096+100] ^= 1
	damaged := img.with(names[0], img[names[0]][:4096+30]).with(names[1], second)
	if len(names) < 3 {
		t.Fatal("too few files")
	}
	states := 0
	for i, dial := range dials {
		mem := damaged.disk(t, o.Dir)
		faults := &vfs.Faults{}
		o.FS = vfs.WithFaults(mem, faults)
		calls := 0
		faults.SetHook(func(c vfs.Call) error {
			if !changes(c.Op) {
				return nil
			}
			calls++
			states++
			dial.Rand = rand.New(rand.NewPCG(uint64(calls), uint64(i)))
			crashed := o
			crashed.FS = mem.Clone(dial)
			if v := mendedAgain(t, fmt.Sprintf("dial %d, call %d", i, calls), crashed, good); v != "" {
				t.Error(v)
			}
			return nil
		})
		l, _, err := segments.Open(o)
		must(t, err)
		mend(t, "in peace", l, good)
		must(t, l.Close())
		faults.SetHook(nil)
	}
	t.Logf("%d states", states)
	if states < 40 {
		t.Errorf("only %d states", states)
	}
}

func mendedAgain(t *testing.T, what string, o segments.Options, good *segments.Log) string {
	t.Helper()
	l, _, err := segments.Open(o)
	if err != nil {
		return fmt.Sprintf("%s: %v", what, err)
	}
	wantSound(t, what, l, entries(t, good))
	mend(t, what, l, good)
	wantEntries(t, l, entries(t, good))
	must(t, l.Close())
	return ""
}

// TestTruncateAtDamage: a truncation drops gaps, but never what proves that there is
// one: only whole gaps go.
func TestTruncateAtDamage(t *testing.T) {
	l, _, _, _, _ := damagedSample(t)
	if err := l.Truncate(5); !errors.Is(err, segments.ErrCorrupt) || len(l.Damage()) != 1 || l.Last() != 7 {
		t.Errorf("a cut behind damage: %v", err)
	}
	must(t, l.Truncate(2))
	if len(l.Damage()) != 0 || l.Last() != 1 {
		t.Errorf("damage %v behind the cut, last %d", l.Damage(), l.Last())
	}
	must(t, l.Append(next(l, 9, 10), segments.Local{WriteTerm: 9}))
	must(t, l.Flush())
	if _, err := l.ReadFrames(nil, 1, 3); err != nil {
		t.Error(err)
	}
	// Two entries of one term in one gap.
	mem := vfs.NewMem()
	o := options(mem)
	l, _ = open(t, o)
	for range 4 {
		appendN(t, l, 1, 1, 80)
		must(t, l.Flush())
	}
	want := entries(t, l)
	must(t, l.Close())
	img := imageOf(t, mem, o.Dir)
	b := slices.Clone(img[img.only(t)])
	clear(b[4096+176 : 4096+3*176])
	o.FS = img.with(img.only(t), b).disk(t, o.Dir)
	l, _ = open(t, o)
	if d := l.Damage(); len(d) != 1 || d[0].Lo != 2 || d[0].Hi != 4 || d[0].Pos != 4096+176 {
		t.Fatalf("damage %v", d)
	}
	if err := l.Truncate(3); !errors.Is(err, segments.ErrCorrupt) {
		t.Errorf("a cut within a gap: %v", err)
	}
	wantSound(t, "after a refused cut", l, want)
}

// TestReadsStopAtDamage: what is before it is given out.
func TestReadsStopAtDamage(t *testing.T) {
	l, good, _, _, _ := damagedSample(t)
	out, end, err := l.ReadBatches(nil, 0, l.NextOffset(), 1<<20)
	if err != nil || end != 2 || len(out) == 0 {
		t.Errorf("read before the damage: %d bytes to offset %d, %v", len(out), end, err)
	}
	if _, _, err := l.ReadBatches(nil, end, l.NextOffset(), 1<<20); !errors.Is(err, segments.ErrCorrupt) {
		t.Errorf("read of the damage: %v", err)
	}
	after := entries(t, good)[3].BaseOffset
	if _, end, err := l.ReadBatches(nil, after, l.NextOffset(), 1<<20); err != nil || end != good.NextOffset() {
		t.Errorf("read behind the damage: to offset %d, %v", end, err)
	}
}

// TestVerify finds what rots while the log is open, and leaves alone what doesn't.
func TestVerify(t *testing.T) {
	good, o, img := sample(t, 9)
	free := func(int) error { return nil }
	all := func(l *segments.Log) (found int) {
		for i, again := segments.Index(1), true; again; {
			next, f, err := l.Verify(i, free)
			must(t, err)
			if f != nil {
				found += l.Note(f)
			}
			i, again = next, next != 0
		}
		return found
	}
	verdicts := map[string]int{}
	for _, name := range img.names() {
		for i := 0; i < len(img[name]); i += 3 { // a prime to the layout: every field is hit
			mem := img.disk(t, o.Dir)
			o.FS = mem
			l, _ := open(t, o)
			if n := all(l); n != 0 {
				t.Fatalf("%d damaged places in a sound log", n)
			}
			flip(t, mem, path.Join(o.Dir, name), int64(i))
			n := all(l)
			verdicts[fmt.Sprint("found ", n)]++
			if n == 0 != (i < 4096) && img[name][i] != 0 {
				t.Fatalf("%s, byte %d: %d places found", name, i, n)
			}
			wantSound(t, name, l, entries(t, good))
			if i%2 == 0 {
				if all(l) != 0 {
					t.Fatal("found again")
				}
				mend(t, name, l, good)
				wantEntries(t, l, entries(t, good))
			}
			must(t, l.Close())
		}
	}
	t.Log(verdicts)
	// A place that can't be read at all.
	faults := &vfs.Faults{}
	o.FS = vfs.WithFaults(img.disk(t, o.Dir), faults)
	l, _ := open(t, o)
	faults.Add(vfs.Rule{Op: vfs.OpRead, Pattern: img.names()[1], From: 1, Err: syscall.EIO})
	if n := all(l); n != 1 || l.Damage()[0].Lo != 4 || l.Damage()[0].Hi != 7 {
		t.Errorf("a file that can't be read: %d places, %v", n, l.Damage())
	}
	faults.Clear()
	mend(t, "EIO", l, good)
	wantEntries(t, l, entries(t, good))
	stop := errors.New("stop")
	if _, _, err := l.Verify(1, func(int) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a pace that ends: %v", err)
	}
	must(t, l.Close())
	if next, _, err := l.Verify(1, free); next != 0 || err != nil {
		t.Errorf("closed: %d, %v", next, err)
	}
}

// frameOf encodes a frame that continues nothing, by way of a log of its own.
func frameOf(t testing.TB, f segments.Frame) []byte {
	t.Helper()
	o := options(vfs.NewMem())
	l, _ := open(t, o)
	must(t, l.Reset(segments.Start{PrevIndex: f.Index - 1, PrevTerm: f.PrevTerm, NextOffset: f.BaseOffset}, f.Term))
	must(t, l.Append(f, segments.Local{WriteTerm: f.Term}))
	raw, err := l.ReadFrames(nil, f.Index, f.Index+1)
	must(t, err)
	return raw
}

func flip(t testing.TB, fsys vfs.FS, name string, pos int64) {
	t.Helper()
	f, err := fsys.OpenReadWrite(name)
	must(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], pos)
	must(t, err)
	b[0] ^= 1 << (pos % 8)
	_, err = f.WriteAt(b[:], pos)
	must(t, errors.Join(err, f.Sync(), f.Close()))
}
