package segments_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

func configEntry(l *segments.Log, term segments.Term, payload string) segments.Frame {
	f := noop(l, term)
	f.Kind, f.Payload = segments.KindConfig, []byte(payload)
	return f
}

func wantConfigs(t *testing.T, l *segments.Log, want string) {
	t.Helper()
	s := l.Start()
	got := fmt.Sprintf("%d:%s", s.ConfigIndex, s.Config)
	for _, c := range l.Configs() {
		got += fmt.Sprintf(" %d:%s", c.Index, c.Payload)
	}
	if got != want {
		t.Errorf("configurations %q, want %q", got, want)
	}
}

// Config entries are known after an append, a truncation, a trim and a restart.
func TestConfigs(t *testing.T) {
	o := options(vfs.NewMem())
	o.SegmentBytes = 8 << 10
	l, _ := open(t, o)
	wantConfigs(t, l, "0:")
	must(t, l.Append(configEntry(l, 1, "a"), segments.Local{WriteTerm: 1}))
	appendN(t, l, 1, 9, 1000) // three segments
	must(t, l.Append(configEntry(l, 1, "b"), segments.Local{WriteTerm: 1}))
	appendN(t, l, 1, 9, 1000)
	must(t, l.Append(configEntry(l, 1, "c"), segments.Local{WriteTerm: 1}))
	wantConfigs(t, l, "0: 1:a 11:b 21:c")
	must(t, l.Truncate(21))
	wantConfigs(t, l, "0: 1:a 11:b")
	must(t, l.Flush())
	l.SetCommit(20)
	must(t, l.TrimFront(10))
	if l.First() < 4 || l.First() > 10 {
		t.Fatalf("first is %d", l.First())
	}
	wantConfigs(t, l, "1:a 11:b")
	must(t, l.Flush())
	must(t, l.Close())
	l, _ = open(t, o)
	wantConfigs(t, l, "1:a 11:b")
	if i, ok := l.Term(l.First() - 1); !ok || i != 1 {
		t.Errorf("term before the first is %d, %v", i, ok)
	}
	l.SetCommit(20)
	must(t, l.TrimFront(100))
	wantConfigs(t, l, "11:b")
	must(t, l.Flush())
	if got := entries(t, l); got[0].Index != l.First() || got[len(got)-1].Index != 20 {
		t.Errorf("%d to %d are left, first is %d", got[0].Index, got[len(got)-1].Index, l.First())
	}
	must(t, l.Append(next(l, 2, 10), segments.Local{WriteTerm: 2, Commit: 20}))
	must(t, l.Flush())

	long := configEntry(l, 2, strings.Repeat("x", segments.MaxConfigBytes+1))
	var bad *segments.FrameError
	if err := l.Append(long, segments.Local{WriteTerm: 2}); !errors.As(err, &bad) {
		t.Errorf("a configuration that no header can hold: %v", err)
	}
}

// Retention never takes what is not committed or not durable, nor the last segment.
func TestTrimFrontKeeps(t *testing.T) {
	o := options(vfs.NewMem())
	o.SegmentBytes = 8 << 10
	l, _ := open(t, o)
	appendN(t, l, 1, 20, 1000)
	must(t, l.TrimFront(21))
	if l.First() != 1 {
		t.Errorf("entries went that are not durable: first is %d", l.First())
	}
	must(t, l.Flush())
	l.SetCommit(4)
	must(t, l.TrimFront(21))
	if l.First() > 5 {
		t.Errorf("entries went that are not committed: first is %d", l.First())
	}
	l.SetCommit(20)
	must(t, l.TrimFront(21))
	first := l.First()
	if first > 20 || l.Stats().Segments != 1 {
		t.Errorf("first is %d, %d segments", first, l.Stats().Segments)
	}
	var entries *segments.EntriesError
	if _, err := l.ReadFrames(nil, 1, 2); !errors.As(err, &entries) {
		t.Errorf("reading what is gone: %v", err)
	}
	var gone *segments.OutOfRangeError
	if _, _, err := l.ReadBatches(nil, 0, l.NextOffset(), 100); !errors.As(err, &gone) || gone.Start != l.StartOffset() {
		t.Errorf("reading offset 0: %v", err)
	}
	must(t, l.Flush())
	names, err := o.FS.List(o.Dir)
	must(t, err)
	if len(names) != 1 {
		t.Errorf("files: %v", names)
	}
}

func TestStartCodec(t *testing.T) {
	for _, s := range []segments.Start{{}, {PrevIndex: 7, PrevTerm: 2, NextOffset: 90, ConfigIndex: 7, Config: []byte("abc")}} {
		b := s.AppendTo(nil)
		got, err := segments.DecodeStart(b)
		if err != nil || !bytes.Equal(got.AppendTo(nil), b) {
			t.Errorf("%+v comes back as %+v, %v", s, got, err)
		}
		if _, err := segments.DecodeStart(b[:20]); err == nil {
			t.Error("a part decodes")
		}
	}
	bad := segments.Start{PrevIndex: 7}
	if _, err := segments.DecodeStart(bad.AppendTo(nil)); err == nil {
		t.Error("an index without a term decodes")
	}
}

func FuzzDecodeStart(f *testing.F) {
	s := segments.Start{PrevIndex: 7, PrevTerm: 2, NextOffset: 90, ConfigIndex: 7, Config: []byte("abc")}
	f.Add(s.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := segments.DecodeStart(b); err == nil && !bytes.Equal(s.AppendTo(nil), b) {
			t.Errorf("%x comes back as %x", b, s.AppendTo(nil))
		}
	})
}

// jumpTo is where the logs of the tests begin anew: in the middle of the old log,
// behind it, and where its first file begins.
var jumpTo = []segments.Index{2, 5, 40}

// A log that is begun anew holds what is appended then, before and after a
// restart, and refuses to go back behind its commit index.
func TestReset(t *testing.T) {
	for _, prev := range jumpTo {
		o := options(vfs.NewMem())
		o.SegmentBytes = 4 << 10
		l, _ := open(t, o)
		appendN(t, l, 1, 12, 1000)
		must(t, l.Flush())
		l.SetCommit(1)
		var order *segments.OrderError
		if err := l.Reset(segments.Start{PrevIndex: 1, PrevTerm: 1}, 3); !errors.As(err, &order) {
			t.Errorf("a start at the commit index: %v", err)
		}
		start := segments.Start{PrevIndex: prev, PrevTerm: 2, NextOffset: 100, ConfigIndex: 2, Config: []byte("cfg")}
		must(t, l.Reset(start, 3))
		if !l.Unflushed() || l.First() != prev+1 || l.Last() != 0 || l.LastTerm() != 2 || l.NextOffset() != 100 {
			t.Errorf("jump to %d: first %d, last %d of term %d, next %d", prev, l.First(), l.Last(), l.LastTerm(), l.NextOffset())
		}
		f := next(l, 3, 500)
		must(t, l.Append(f, segments.Local{WriteTerm: 3, Commit: prev}))
		must(t, l.Truncate(prev+1))
		must(t, l.Append(f, segments.Local{WriteTerm: 4, Commit: prev}))
		must(t, l.Flush())
		wantEntries(t, l, []segments.Frame{f})
		must(t, l.Close())
		l, rec := open(t, o)
		if len(rec.Warnings) > 0 {
			t.Errorf("warnings: %v", rec.Warnings)
		}
		wantEntries(t, l, []segments.Frame{f})
		wantConfigs(t, l, "2:cfg")
		if s := l.Start(); s.PrevIndex != prev || s.PrevTerm != 2 || s.NextOffset != 100 {
			t.Errorf("start %+v", s)
		}
		names, err := o.FS.List(o.Dir)
		must(t, err)
		if len(names) != 1 {
			t.Errorf("files: %v", names)
		}
	}
}

// TestResetCrashAnywhere cuts the power before each call of the Flush behind a
// Reset, with all that the disk may keep: what Open finds is the old log whole or
// the new one, the new one once Flush has returned, and it takes appends.
func TestResetCrashAnywhere(t *testing.T) {
	states := 0
	for _, prev := range jumpTo {
		for _, appended := range []bool{false, true} {
			mem, faults := vfs.NewMem(), &vfs.Faults{}
			o := options(vfs.WithFaults(mem, faults))
			o.SegmentBytes = 4 << 10
			l, _ := open(t, o)
			appendN(t, l, 1, 12, 1000)
			must(t, l.Flush())
			old := entries(t, l)
			must(t, l.Reset(segments.Start{PrevIndex: prev, PrevTerm: 2, NextOffset: 100, ConfigIndex: 1, Config: []byte("cfg")}, 3))
			var fresh []segments.Frame
			if appended {
				fresh = append(fresh, next(l, 3, 3000))
				must(t, l.Append(fresh[0], segments.Local{WriteTerm: 3, Commit: prev}))
			}
			calls, done := 0, false
			judge := func(c vfs.Call) error {
				if !changes(c.Op) {
					return nil
				}
				calls++
				for i, dial := range dials {
					dial.Rand = rand.New(rand.NewPCG(uint64(calls), uint64(i)))
					states++
					again := options(mem.Clone(dial))
					got, _, err := segments.Open(again)
					where := fmt.Sprintf("jump to %d, call %d (%v), %+v", prev, calls, c.Op, dial)
					if err != nil {
						t.Fatalf("%s: %v", where, err)
					}
					switch {
					case got.First() == 1 && !done:
						wantEntries(t, got, old)
					case got.First() != prev+1:
						t.Errorf("%s: the log begins at %d", where, got.First())
					case got.Last() != 0:
						wantEntries(t, got, fresh)
					case done && appended:
						t.Errorf("%s: the entry is missing", where)
					}
					must(t, got.Append(next(got, 9, 10), segments.Local{WriteTerm: 9}))
					must(t, got.Flush())
					must(t, got.Close())
					reopened, _, err := segments.Open(again)
					must(t, err)
					must(t, reopened.Close())
				}
				return nil
			}
			faults.SetHook(judge)
			must(t, l.Flush())
			done = true
			_ = judge(vfs.Call{Op: vfs.OpSync})
			faults.SetHook(nil)
		}
	}
	t.Logf("%d states", states)
}

// TestTrimCrashAnywhere does so for a TrimFront: the log has a beginning between
// the old one and the new one, and everything from there on.
func TestTrimCrashAnywhere(t *testing.T) {
	mem, faults := vfs.NewMem(), &vfs.Faults{}
	o := options(vfs.WithFaults(mem, faults))
	o.SegmentBytes = 4 << 10
	l, _ := open(t, o)
	must(t, l.Append(configEntry(l, 1, "cfg"), segments.Local{WriteTerm: 1}))
	appendN(t, l, 1, 20, 1000)
	must(t, l.Flush())
	all := entries(t, l)
	l.SetCommit(21)
	must(t, l.TrimFront(16))
	trimmed := l.First()
	faults.SetHook(func(c vfs.Call) error {
		for i, dial := range dials {
			dial.Rand = rand.New(rand.NewPCG(3, uint64(i)))
			got, _, err := segments.Open(options(mem.Clone(dial)))
			if err != nil {
				t.Fatalf("%v, %+v: %v", c.Op, dial, err)
			}
			if got.First() > trimmed {
				t.Errorf("%v, %+v: the log begins at %d, trimmed was to %d", c.Op, dial, got.First(), trimmed)
			}
			wantEntries(t, got, all[got.First()-1:])
			if s := got.Start(); got.First() > 1 && string(s.Config) != "cfg" {
				t.Errorf("the configuration is lost: %+v", s)
			}
			must(t, got.Close())
		}
		return nil
	})
	must(t, l.Flush())
	faults.SetHook(nil)
}

// A header block whose sync failed, and whose pages the kernel then took for
// clean, is not on the disk. It must not be believed from the page cache: frames
// behind it would be lost with it.
func TestHeaderThatNeverReachedTheDisk(t *testing.T) {
	mem, faults := vfs.NewMem(), &vfs.Faults{}
	o := options(vfs.WithFaults(mem, faults))
	rule, err := vfs.ParseRule("sync *.seg #1 lost EIO")
	must(t, err)
	faults.Add(rule)
	l, _ := open(t, o)
	appendN(t, l, 1, 1, 100)
	if err := l.Flush(); err == nil {
		t.Fatal("the sync did not fail")
	}
	_ = l.Close()
	faults.Clear() // the process restarts, the page cache stays
	l, _ = open(t, o)
	appendN(t, l, 2, 3, 100)
	must(t, l.Flush())
	want := entries(t, l)
	must(t, l.Close())
	again, _ := open(t, options(mem.Clone(vfs.CrashOptions{})))
	wantEntries(t, again, want)
}
