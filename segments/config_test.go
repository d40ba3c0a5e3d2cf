package segments_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

// inForce returns the index of the last configuration among the entries before i.
func inForce(want []segments.Frame, i segments.Index) segments.Index {
	for k := len(want) - 1; k >= 0; k-- {
		if want[k].Index < i && want[k].Kind == segments.KindConfig {
			return want[k].Index
		}
	}
	return 0
}

// lastKnown returns the index of the last configuration that l can name.
func lastKnown(l *segments.Log) segments.Index {
	if c := l.Configs(); len(c) > 0 {
		return c[len(c)-1].Index
	}
	return l.Start().ConfigIndex
}

// wantConfiguration checks that l knows who belongs to the group, or that it doesn't
// know; also after each trim.
func wantConfiguration(t *testing.T, what string, l *segments.Log, want []segments.Frame) (lost bool) {
	t.Helper()
	check := func(what string) bool {
		t.Helper()
		truth, known, lost := inForce(want, l.Last()+1), lastKnown(l), l.LostConfig()
		if lost == 0 && known != truth || lost != 0 && (lost != truth || known >= lost) {
			t.Fatalf("%s: the configuration of entry %d is in force; entry %d is known, %d lost", what, truth, known, lost)
		}
		return lost != 0
	}
	lost = check(what)
	l.SetCommit(l.Last())
	for i := l.First(); i <= l.Last(); i++ {
		must(t, l.TrimFront(i))
		if s := l.Start(); s.ConfigIndex != inForce(want, s.PrevIndex+1) {
			t.Fatalf("%s: trimmed to %d: the log begins at %d with the configuration of entry %d, that of %d is in force", what, i, s.PrevIndex+1, s.ConfigIndex, inForce(want, s.PrevIndex+1))
		}
		check(fmt.Sprintf("%s, trimmed to %d", what, i))
	}
	return lost
}

// TestConfigurationBehindDamage: a configuration among damaged entries is never taken
// for the one before it (seed 267339 of the simulation, 5,000 steps).
func TestConfigurationBehindDamage(t *testing.T) {
	for _, perSegment := range []int{3, 100} {
		good, o, img := sampleOf(t, 14, perSegment)
		want := entries(t, good)
		verdicts := map[string]int{}
		try := func(what string, damaged image) {
			o.FS = damaged.disk(t, o.Dir)
			l, _, err := segments.Open(o)
			if errors.Is(err, segments.ErrCorrupt) {
				verdicts["refused"]++
				return
			}
			must(t, err)
			verdict := "known"
			if wantConfiguration(t, what, l, want) {
				verdict = "lost"
			}
			verdicts[verdict]++
			must(t, l.Flush())
			must(t, l.Close())
			l, _, err = segments.Open(o)
			if err != nil && !errors.Is(err, segments.ErrCorrupt) {
				t.Fatal(err)
			}
			if err == nil {
				wantConfiguration(t, what+", opened again", l, want)
				must(t, l.Close())
			}
		}
		for name, b := range img {
			for at := 4096; at < len(b); at += 40 {
				c := slices.Clone(b)
				c[at] ^= 4
				try(fmt.Sprintf("%s, byte %d", name, at), img.with(name, c))
				c = slices.Clone(b)
				clear(c[at:min(at+200, len(c))])
				try(fmt.Sprintf("%s, 200 bytes from %d", name, at), img.with(name, c))
				try(fmt.Sprintf("%s, cut to %d", name, at), img.with(name, b[:at]))
			}
		}
		t.Log(perSegment, verdicts)
		if verdicts["known"] == 0 || perSegment == 100 && verdicts["lost"] == 0 {
			t.Errorf("%d entries a segment: %v", perSegment, verdicts)
		}
	}
}

// withoutConfiguration opens a log of five entries in which the third, a configuration,
// is damaged, with small segments from there on.
func withoutConfiguration(t *testing.T) (good, l *segments.Log, o segments.Options) {
	t.Helper()
	good, o, img := sampleOf(t, 5, 100)
	name, want := img.only(t), entries(t, good)
	b := slices.Clone(img[name])
	b[4096+want[0].Size()+want[1].Size()+8] ^= 1
	o.FS, o.SegmentBytes = img.with(name, b).disk(t, o.Dir), 4096+2*(96+80)
	l, _ = open(t, o)
	if l.LostConfig() != 3 || len(l.Damage()) != 1 {
		t.Fatalf("entry %d is lost, damage %v", l.LostConfig(), l.Damage())
	}
	return good, l, o
}

// TestConfigurationLostGoesOn: what is appended behind a lost configuration, and what
// begins a new segment, doesn't pass for its absence after the next start.
func TestConfigurationLostGoesOn(t *testing.T) {
	good, l, o := withoutConfiguration(t)
	lost := l.LostConfig()
	for range 5 {
		must(t, l.Append(next(l, 9, 80), segments.Local{WriteTerm: 9}))
		must(t, l.Flush())
	}
	must(t, l.Close())
	l, _ = open(t, o)
	if l.LostConfig() != lost {
		t.Fatalf("opened again, entry %d is lost, want %d", l.LostConfig(), lost)
	}
	l.SetCommit(l.Last())
	must(t, l.TrimFront(l.Last()))
	if l.First() != 1 {
		t.Errorf("what hides the configuration was dropped: the log begins at %d", l.First())
	}
	mend(t, "goes on", l, good)
	if l.LostConfig() != 0 || lastKnown(l) != lost {
		t.Errorf("repaired: entry %d lost, %d known", l.LostConfig(), lastKnown(l))
	}
	must(t, l.TrimFront(l.Last()))
	if s := l.Start(); l.First() == 1 || s.ConfigIndex != lost {
		t.Errorf("trimmed: the log begins at %d with the configuration of entry %d", l.First(), s.ConfigIndex)
	}
	must(t, l.Flush())
	must(t, l.Close())
	l, _ = open(t, o)
	if s := l.Start(); s.ConfigIndex != lost {
		t.Errorf("opened again: the log begins with the configuration of entry %d", s.ConfigIndex)
	}
}

// TestStaleHeader: a repair that is stopped before it writes the headers behind it again
// leaves them with an older configuration, which the next start mends.
func TestStaleHeader(t *testing.T) {
	good, l, o := withoutConfiguration(t)
	lost := l.LostConfig()
	for range 4 {
		must(t, l.Append(next(l, 9, 80), segments.Local{WriteTerm: 9}))
		must(t, l.Flush())
	}
	faults := &vfs.Faults{}
	o.FS = vfs.WithFaults(o.FS, faults)
	must(t, l.Close())
	l, _ = open(t, o)
	writes := 0
	faults.SetHook(func(c vfs.Call) error {
		if c.Op != vfs.OpWrite {
			return nil
		}
		if writes++; writes == 1 {
			return nil // the entry
		}
		return errors.New("stopped")
	})
	d := l.Damage()
	raw, err := good.ReadFrames(nil, d[0].Lo, d[0].Hi)
	must(t, err)
	if err := l.Repair(raw); err == nil || writes < 2 {
		t.Fatalf("the headers were written: %v", err)
	}
	faults.SetHook(nil)
	_ = l.Close()
	l, _ = open(t, o)
	if len(l.Damage()) > 0 || l.LostConfig() != 0 || lastKnown(l) != lost {
		t.Fatalf("damage %v, entry %d is lost, %d known", l.Damage(), l.LostConfig(), lastKnown(l))
	}
	l.SetCommit(l.Last())
	must(t, l.TrimFront(l.Last()))
	if s := l.Start(); s.PrevIndex == 0 || s.ConfigIndex != lost {
		t.Errorf("the log begins after %d with the configuration of entry %d, want %d", s.PrevIndex, s.ConfigIndex, lost)
	}
}
