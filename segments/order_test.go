package segments_test

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// TestAppendRefuses: what doesn't continue the log leaves it as it was.
func TestAppendRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(f *segments.Frame, loc *segments.Local)
		what   string // in the *OrderError, or a word of another error
	}{
		{"index too high", func(f *segments.Frame, _ *segments.Local) { f.Index++ }, "index"},
		{"index again", func(f *segments.Frame, _ *segments.Local) { f.Index-- }, "index"},
		{"index 0", func(f *segments.Frame, _ *segments.Local) { f.Index = 0 }, "index or term 0"},
		{"previous term", func(f *segments.Frame, _ *segments.Local) { f.PrevTerm = 1 }, "previous term"},
		{"term falls", func(f *segments.Frame, _ *segments.Local) { f.Term = 1 }, "previous term above"},
		{"term 0", func(f *segments.Frame, _ *segments.Local) { f.Term, f.PrevTerm = 0, 0 }, "index or term 0"},
		{"offset gap", func(f *segments.Frame, _ *segments.Local) { f.BaseOffset++ }, "base offset"},
		{"offset again", func(f *segments.Frame, _ *segments.Local) { f.BaseOffset-- }, "base offset"},
		{"kind 0", func(f *segments.Frame, _ *segments.Local) { f.Kind = 0 }, "unknown kind"},
		{"kind 9", func(f *segments.Frame, _ *segments.Local) { f.Kind = 9 }, "unknown kind"},
		{"data without records", func(f *segments.Frame, _ *segments.Local) { f.Records = 0 }, "without records"},
		{"data without payload", func(f *segments.Frame, _ *segments.Local) { f.Payload = nil }, "without records"},
		{"no-op with payload", func(f *segments.Frame, _ *segments.Local) { f.Kind, f.Records = segments.KindNoOp, 0 }, "payload in a no-op"},
		{"config with records", func(f *segments.Frame, _ *segments.Local) { f.Kind = segments.KindConfig }, "records in a frame"},
		{"too large", func(f *segments.Frame, _ *segments.Local) { f.Payload = make([]byte, segments.MaxPayloadBytes+1) }, "at most"},
		{"write term falls", func(f *segments.Frame, l *segments.Local) { l.WriteTerm = 2 }, "write term falls"},
		{"write term below the entry's", func(f *segments.Frame, l *segments.Local) { f.Term = 4 }, "below the entry's term"},
		{"write term stays after a truncation", func(f *segments.Frame, l *segments.Local) {}, "doesn't rise"},
		{"commit too high", func(f *segments.Frame, l *segments.Local) { l.WriteTerm, l.Commit = 4, f.Index }, "commit mark"},
		{"durable too high", func(f *segments.Frame, l *segments.Local) { l.WriteTerm, l.DurableThrough = 4, f.Index }, "durable mark"},
	}
	l, _ := open(t, options(vfs.NewMem()))
	appendN(t, l, 1, 1, 10)
	must(t, l.Append(next(l, 2, 10), segments.Local{WriteTerm: 3}))
	must(t, l.Append(next(l, 2, 10), segments.Local{WriteTerm: 3}))
	must(t, l.Truncate(3))
	want := entries(t, l)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, loc := next(l, 2, 10), segments.Local{WriteTerm: 3}
			if tt.what == "write term falls" {
				f.Term = 2
			}
			tt.change(&f, &loc)
			err := l.Append(f, loc)
			if err == nil || !strings.Contains(err.Error(), tt.what) {
				t.Fatalf("got %v, want %q", err, tt.what)
			}
			wantEntries(t, l, want)
		})
	}
	must(t, l.Append(next(l, 2, 10), segments.Local{WriteTerm: 4}))
	must(t, l.Append(next(l, 2, 10), segments.Local{WriteTerm: 4}))
}

func TestAppendRawRefuses(t *testing.T) {
	leader, _ := open(t, options(vfs.NewMem()))
	appendN(t, leader, 1, 4, 10)
	raw, err := leader.ReadFrames(nil, 1, 5)
	must(t, err)
	l, _ := open(t, options(vfs.NewMem()))
	var order *segments.OrderError
	var frame *segments.FrameError
	if err := l.AppendRaw(raw[106:], segments.Local{WriteTerm: 1}); !errors.As(err, &order) {
		t.Errorf("frames with a gap before them: %v", err)
	}
	if err := l.AppendRaw(append(slices.Clone(raw[:212]), raw[318:]...), segments.Local{WriteTerm: 1}); !errors.As(err, &order) {
		t.Errorf("frames with a gap in them: %v", err)
	}
	if err := l.AppendRaw(raw[:200], segments.Local{WriteTerm: 1}); !errors.As(err, &frame) {
		t.Errorf("half a frame: %v", err)
	}
	if err := l.AppendRaw(raw, segments.Local{}); !errors.As(err, &order) {
		t.Errorf("no write term: %v", err)
	}
	if l.Last() != 0 || l.Unflushed() {
		t.Errorf("refused frames are in the log: last %d", l.Last())
	}
	must(t, l.AppendRaw(raw, segments.Local{WriteTerm: 1}))
	wantEntries(t, l, entries(t, leader))
}

func TestTruncateRefuses(t *testing.T) {
	l, _ := open(t, options(vfs.NewMem()))
	appendN(t, l, 1, 10, 10)
	must(t, l.Flush())
	l.SetCommit(6)
	l.SetCommit(4)  // never falls
	l.SetCommit(99) // no further than the log
	appendN(t, l, 1, 3, 10)
	want := entries(t, l)
	for _, from := range []segments.Index{0, 1, 6, 10} {
		var order *segments.OrderError
		if err := l.Truncate(from); !errors.As(err, &order) || order.Want != 11 {
			t.Errorf("truncation at %d, committed to 10: %v", from, err)
		}
	}
	must(t, l.Truncate(14)) // nothing there
	wantEntries(t, l, want)
	must(t, l.Truncate(11))
	wantEntries(t, l, want[:10])
	// A commit mark in a frame is as good as SetCommit.
	must(t, l.Append(next(l, 1, 10), segments.Local{WriteTerm: 2, Commit: 10}))
	must(t, l.Flush())
	must(t, l.Close())
}

func TestReopenKnowsCommit(t *testing.T) {
	o := options(vfs.NewMem())
	l, _ := open(t, o)
	appendN(t, l, 1, 5, 10)
	must(t, l.Append(next(l, 1, 10), segments.Local{WriteTerm: 7, Commit: 4}))
	must(t, l.Flush())
	must(t, l.Close())
	l, rec := open(t, o)
	if rec.Commit != 4 || rec.WriteTerm != 7 || rec.Evidence != 0 {
		t.Errorf("recovered %+v", rec)
	}
	if err := l.Truncate(4); err == nil {
		t.Error("a committed entry was truncated")
	}
	if err := l.Append(next(l, 1, 10), segments.Local{WriteTerm: 6}); err == nil {
		t.Error("a write term below the recovered one was taken")
	}
	must(t, l.Truncate(5))
	if l.Last() != 4 {
		t.Errorf("last %d", l.Last())
	}
}

// TestDurableMark: the mark in a frame is exactly what is durable before the
// frame can reach the disk: also while a Flush runs whose end is not known yet.
func TestDurableMark(t *testing.T) {
	mem := vfs.NewMem()
	faults := &vfs.Faults{}
	o := options(vfs.WithFaults(mem, faults))
	l, _ := open(t, o)
	appendN(t, l, 1, 3, 10) // marks 0
	var inFlush, truncated bool
	faults.SetHook(func(c vfs.Call) error {
		if c.Op != vfs.OpWrite || c.Off == 0 {
			return nil
		}
		switch {
		case !inFlush: // entries 1 to 3 are being written
			inFlush = true
			appendN(t, l, 1, 2, 10) // marks 3
			if l.Durable() != 0 {
				t.Errorf("durable %d before the sync", l.Durable())
			}
		case !truncated: // 4 and 5 are being written
			truncated = true
			must(t, l.Truncate(5))
			appendN(t, l, 2, 2, 10) // marks 4
		}
		return nil
	})
	must(t, l.Flush())
	if l.Durable() != 3 || !l.Unflushed() {
		t.Errorf("after the first Flush: durable %d, unflushed %v", l.Durable(), l.Unflushed())
	}
	must(t, l.Flush())
	if l.Durable() != 4 || l.Last() != 6 {
		t.Errorf("after the second Flush, with a truncation in it: durable %d of %d", l.Durable(), l.Last())
	}
	must(t, l.Flush())
	if l.Durable() != 6 || l.UnflushedBytes() != 0 {
		t.Errorf("after the third Flush: durable %d", l.Durable())
	}
	var marks []segments.Index
	_, err := segments.Inspect(mem, path.Join(o.Dir, imageOf(t, mem, o.Dir).only(t)), func(f segments.FrameInfo) error {
		marks = append(marks, f.Local.DurableThrough)
		return nil
	})
	must(t, err)
	if want := []segments.Index{0, 0, 0, 3, 4, 4}; !slices.Equal(marks, want) {
		t.Errorf("marks %v, want %v", marks, want)
	}
}

func TestSealable(t *testing.T) {
	o := options(vfs.NewMem())
	o.SegmentBytes = 5 << 10
	l, _ := open(t, o)
	appendN(t, l, 1, 6, 500) // one entry a segment, but for the first
	if ids := l.Sealable(); len(ids) != 0 {
		t.Errorf("sealable before anything is durable: %v", ids)
	}
	must(t, l.Flush())
	if ids := l.Sealable(); len(ids) != 0 {
		t.Errorf("sealable before anything is committed: %v", ids)
	}
	l.SetCommit(3)
	n := len(l.Sealable())
	if l.SetCommit(6); n == 0 || len(l.Sealable()) <= n || len(l.Sealable()) != l.Stats().Segments-1 {
		t.Errorf("sealable %d with commit 3, then %v of %d", n, l.Sealable(), l.Stats().Segments)
	}
}

func TestRanges(t *testing.T) {
	l, _ := open(t, options(vfs.NewMem()))
	if out, next, err := l.ReadBatches(nil, 0, 0, 100); len(out) != 0 || next != 0 || err != nil {
		t.Errorf("read of an empty log: %d bytes, %d, %v", len(out), next, err)
	}
	appendN(t, l, 1, 5, 10)
	end := l.NextOffset()
	for _, from := range []record.Offset{-1, end + 1} {
		var oor *segments.OutOfRangeError
		if _, _, err := l.ReadBatches(nil, from, end, 100); !errors.As(err, &oor) || oor.Start != 0 || oor.Next != end {
			t.Errorf("read at %d: %v", from, err)
		}
	}
	if out, next, err := l.ReadBatches(nil, end, end, 100); len(out) != 0 || next != end || err != nil {
		t.Errorf("read at the end: %d bytes, %d, %v", len(out), next, err)
	}
	for _, r := range [][2]segments.Index{{0, 2}, {3, 7}, {6, 7}} {
		var gone *segments.EntriesError
		if _, err := l.ReadFrames(nil, r[0], r[1]); !errors.As(err, &gone) || gone.First != 1 || gone.Last != 5 {
			t.Errorf("read of %v: %v", r, err)
		}
		if _, ok := l.TailFrames(r[0], r[1]); ok {
			t.Errorf("%v is in the tail", r)
		}
	}
	if end, n := l.Fit(6, 9, 100); end != 6 || n != 0 {
		t.Errorf("Fit behind the end: %d, %d", end, n)
	}
	if _, _, ok, err := l.OffsetForTime(1<<60, end); ok || err != nil {
		t.Errorf("a time after all records: %v, %v", ok, err)
	}
}

func TestClose(t *testing.T) {
	mem := vfs.NewMem()
	o := options(mem)
	l, _ := open(t, o)
	appendN(t, l, 1, 2, 10)
	must(t, l.Flush())
	if err := l.Remove(); err == nil {
		t.Error("an open log was removed")
	}
	f := next(l, 1, 10)
	must(t, l.Close())
	must(t, l.Close())
	for what, err := range map[string]error{
		"Append": l.Append(f, segments.Local{WriteTerm: 1}), "Flush": l.Flush(), "Truncate": l.Truncate(2),
		"ReadFrames":  func() error { _, err := l.ReadFrames(nil, 1, 2); return err }(),
		"ReadBatches": func() error { _, _, err := l.ReadBatches(nil, 0, 1, 1); return err }(),
	} {
		if !errors.Is(err, segments.ErrClosed) {
			t.Errorf("%s of a closed log: %v", what, err)
		}
	}
	if _, ok := l.TailFrames(1, 2); ok {
		t.Error("a closed log gives out its tail")
	}
	must(t, l.Remove())
	if names, err := mem.List("data"); err != nil || len(names) != 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
	for _, bad := range []segments.Options{{Dir: "x"}, {FS: mem}, {FS: mem, Dir: "x", SegmentBytes: -1}, {FS: mem, Dir: "x", SegmentBytes: segments.MaxSegmentBytes + 1}} {
		if _, _, err := segments.Open(bad); err == nil {
			t.Errorf("Open took %+v", bad)
		}
	}
}

// TestTailIsImmutable: slices handed out stay what they were.
func TestTailIsImmutable(t *testing.T) {
	l, _ := open(t, options(vfs.NewMem()))
	appendN(t, l, 1, 20, 200)
	pieces, ok := l.TailFrames(5, 15)
	if !ok {
		t.Fatal("not in the tail")
	}
	before := slices.Concat(pieces...)
	must(t, l.Truncate(8))
	appendN(t, l, 2, 30, 200)
	must(t, l.Flush())
	if string(slices.Concat(pieces...)) != string(before) {
		t.Error("bytes that were handed out have changed")
	}
	for _, p := range pieces {
		if cap(p) != len(p) {
			t.Error("an append to a slice would write into the log")
		}
	}
}
