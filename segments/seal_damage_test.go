package segments_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// verifyAll reads the whole log as the scrubber does, and notes what it finds.
func verifyAll(t testing.TB, l *segments.Log) (places int) {
	t.Helper()
	for i := segments.Index(1); i != 0; {
		next, found, err := l.Verify(i, func(int) error { return nil })
		must(t, err)
		if found != nil {
			places += l.Note(found)
		}
		i = next
	}
	return places
}

// TestDamageBehindFooter: what is damaged in front of a good footer isn't seen when the
// log is opened, is never read as data, is found by the scrubber, keeps the footer from
// hiding it after that, and is repaired.
func TestDamageBehindFooter(t *testing.T) {
	good, o, img := sealedSample(t, 14, 0)
	want := entries(t, good)
	verdicts := map[string]int{}
	newest := ""
	for name := range img {
		newest = max(newest, name)
	}
	for name, b := range img {
		end, foot := ends(t, img.disk(t, o.Dir), path.Join(o.Dir, name))
		for at := 4096; at < int(end); at += 23 {
			what := fmt.Sprintf("%s, byte %d", name, at)
			c := append([]byte(nil), b...)
			c[at] ^= 4
			mem := img.with(name, c).disk(t, o.Dir)
			o.FS = mem
			l, rec, err := segments.Open(o)
			if err != nil || len(l.Damage()) > 0 || len(rec.Warnings) > 0 {
				t.Fatalf("%s: %v, %v, %+v", what, err, l.Damage(), rec)
			}
			for i, f := range want {
				raw, err := l.ReadFrames(nil, f.Index, f.Index+1)
				if err != nil && !errors.Is(err, segments.ErrCorrupt) || err == nil && !sameFrame(parse(t, raw)[0], want[i]) {
					t.Fatalf("%s: entry %d reads as %x, %v", what, f.Index, raw, err)
				}
			}
			if n := verifyAll(t, l); n != 1 || len(l.Damage()) != 1 {
				t.Fatalf("%s: %d places, %v", what, n, l.Damage())
			}
			wantSound(t, what, l, want)
			active := name == newest
			_, err = l.Seal()
			must(t, errors.Join(err, l.Finish(), l.Close()))
			info, err := mem.Stat(path.Join(o.Dir, name))
			must(t, err)
			if info.Size > foot != active {
				t.Fatalf("%s: the footer hides the damage", what)
			}
			l, _, err = segments.Open(o)
			if errors.Is(err, segments.ErrCorrupt) && strings.Contains(err.Error(), "is not known") {
				verdicts["hopeless"]++ // as a scan found it before there were footers
				continue
			}
			must(t, err)
			if len(l.Damage()) == 0 && !active {
				t.Fatalf("%s: forgotten", what)
			}
			verifyAll(t, l)
			mend(t, what, l, good)
			wantEntries(t, l, want)
			l.SetCommit(l.Last())
			_, err = l.Seal()
			must(t, errors.Join(err, l.Finish(), l.Close()))
			checkSealed(t, what, o)
			verdicts["repaired"]++
		}
	}
	t.Log(verdicts)
	if verdicts["repaired"] == 0 {
		t.Error("nothing was repaired")
	}
}

// TestVerifyFooter: the scrubber finds a footer that is damaged, and a Seal writes it again.
func TestVerifyFooter(t *testing.T) {
	good, o, img := sealedSample(t, 14, 0)
	want := entries(t, good)
	for name, b := range img {
		_, foot := ends(t, img.disk(t, o.Dir), path.Join(o.Dir, name))
		for at := foot; at < int64(len(b)); at += 11 {
			what := fmt.Sprintf("%s, byte %d", name, at)
			o.FS = img.disk(t, o.Dir)
			l, _ := open(t, o)
			f, err := o.FS.OpenReadWrite(path.Join(o.Dir, name))
			must(t, err)
			_, err = f.WriteAt([]byte{b[at] ^ 1}, at)
			must(t, errors.Join(err, f.Sync(), f.Close()))
			if at%2 == 0 { // a read comes first
				wantEntries(t, l, want)
			}
			if n := verifyAll(t, l); n != 0 {
				t.Fatalf("%s: %d places of damage", what, n)
			}
			wantEntries(t, l, want)
			_, err = l.Seal()
			must(t, errors.Join(err, l.Flush(), l.Finish(), l.Close()))
			checkSealed(t, what, o)
			l, rec := open(t, o)
			if len(rec.Warnings) > 0 {
				t.Fatalf("%s: %+v", what, rec)
			}
			wantEntries(t, l, want)
			must(t, l.Close())
		}
	}
}

// TestFirstFileMissing: a log whose first file is gone is damaged; one that was trimmed is not.
func TestFirstFileMissing(t *testing.T) {
	good, o, img := sampleOf(t, 14, 3)
	var names []string
	for name := range img {
		names = append(names, name)
	}
	first := names[0]
	for _, name := range names {
		first = min(first, name)
	}
	for _, img := range []image{img, sealedOf(t, o, img)} {
		lost := image{}
		for name, b := range img {
			if name != first {
				lost[name] = b
			}
		}
		o.FS = lost.disk(t, o.Dir)
		if _, _, err := segments.Open(o); !errors.Is(err, segments.ErrCorrupt) || !strings.Contains(err.Error(), "missing") {
			t.Errorf("without its first file: %v", err)
		}
		mem := img.disk(t, o.Dir)
		o.FS = mem
		l, _ := open(t, o)
		l.SetCommit(l.Last())
		must(t, errors.Join(l.TrimFront(5), l.Flush(), l.Close()))
		o.FS = mem.Crash(vfs.CrashOptions{})
		l, _ = open(t, o)
		if l.First() != 4 || l.Last() != good.Last() {
			t.Errorf("trimmed it holds %d to %d", l.First(), l.Last())
		}
	}
}

func sealedOf(t testing.TB, o segments.Options, img image) image {
	t.Helper()
	o.FS = img.disk(t, o.Dir)
	l, _ := open(t, o)
	must(t, errors.Join(l.Finish(), l.Close()))
	return imageOf(t, o.FS, o.Dir)
}

// TestTrimCrash cuts the power at each call of a trim: the log begins where it did, or
// where it was to begin.
func TestTrimCrash(t *testing.T) {
	good, o, img := sampleOf(t, 14, 3)
	want := entries(t, good)
	seen := map[segments.Index]int{}
	for _, img := range []image{img, sealedOf(t, o, img)} {
		for i := segments.Index(2); i <= good.Last(); i++ {
			mem := img.disk(t, o.Dir)
			faults := &vfs.Faults{}
			o.FS = vfs.WithFaults(mem, faults)
			l, _ := open(t, o)
			l.SetCommit(l.Last())
			must(t, l.TrimFront(i))
			first := l.First()
			calls := uint64(0)
			faults.SetHook(func(c vfs.Call) error {
				if !changes(c.Op) {
					return nil
				}
				calls++
				for k, dial := range dials {
					dial.Rand = rand.New(rand.NewPCG(calls, uint64(k)))
					again := o
					again.FS = mem.Clone(dial)
					l, _, err := segments.Open(again)
					must(t, err)
					if l.First() != 1 && l.First() != first || l.Last() != good.Last() {
						t.Fatalf("trimmed to %d, call %d, %+v: %d to %d", first, calls, dial, l.First(), l.Last())
					}
					wantEntries(t, l, want[l.First()-1:])
					seen[l.First()]++
					must(t, l.Close())
				}
				return nil
			})
			must(t, l.Flush())
			faults.SetHook(nil)
			must(t, l.Close())
		}
	}
	t.Log(seen)
	if len(seen) < 4 {
		t.Errorf("the log began at %v", seen)
	}
}

// TestReadWhileSealing reads from a log whose indexes hardly fit the memory while it is
// appended to, sealed and truncated.
func TestReadWhileSealing(t *testing.T) {
	mem := vfs.NewMem()
	o := options(mem)
	o.SegmentBytes, o.TailBytes, o.IndexInterval = 40<<10, 1, 1
	l, _ := open(t, o)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for r := range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rnd := rand.New(rand.NewPCG(uint64(r), 3))
			for {
				select {
				case <-stop:
					return
				default:
				}
				last := l.Durable()
				if last == 0 {
					continue
				}
				i := 1 + segments.Index(rnd.Uint64N(uint64(last)))
				raw, err := l.ReadFrames(nil, i, i+1)
				if err == nil {
					if f, _, err := segments.ParseFrame(testID, raw); err != nil || f.Index != i {
						t.Errorf("entry %d reads as %+v, %v", i, f, err)
					}
				}
				if _, _, err := l.ReadBatches(nil, record.Offset(i), l.NextOffset(), 100); err != nil && !errors.Is(err, segments.ErrTruncated) && !isRange(err) {
					t.Error(err)
				}
				l.Fit(i, last+1, 500)
			}
		}()
	}
	for term := segments.Term(1); term < 60; term++ {
		for range 20 {
			must(t, l.Append(next(l, term, 300), segments.Local{WriteTerm: term}))
		}
		must(t, l.Flush())
		if term%3 == 0 {
			must(t, l.Truncate(l.Last()-5))
		} else {
			l.SetCommit(l.Durable())
		}
		_, err := l.Seal()
		must(t, err)
		if term%20 == 0 {
			must(t, errors.Join(l.Flush(), l.Finish()))
		}
	}
	close(stop)
	wg.Wait()
	if l.Stats().Seals == 0 {
		t.Error("nothing was sealed")
	}
	want := entries(t, l)
	must(t, errors.Join(l.Flush(), l.Finish(), l.Close()))
	l, _ = open(t, o)
	if got := entries(t, l); !reflect.DeepEqual(got, want) {
		t.Errorf("%d entries, want %d", len(got), len(want))
	}
}

func isRange(err error) bool {
	var r *segments.OutOfRangeError
	return errors.As(err, &r)
}
