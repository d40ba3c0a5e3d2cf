package segments_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

// model is what a log should hold: a slice of frames, entry i at i-1.
type model struct {
	frames []segments.Frame
}

func (m model) clone() model { return model{slices.Clone(m.frames)} }

func (m model) last() segments.Index { return segments.Index(len(m.frames)) }

func (m model) lastTerm() segments.Term {
	if len(m.frames) == 0 {
		return 0
	}
	return m.frames[len(m.frames)-1].Term
}

func (m model) nextOffset() record.Offset {
	if len(m.frames) == 0 {
		return 0
	}
	return m.frames[len(m.frames)-1].Next()
}

// common returns how many entries two logs share from the first on.
func (m model) common(o model) int {
	n := 0
	for n < min(len(m.frames), len(o.frames)) && sameFrame(m.frames[n], o.frames[n]) {
		n++
	}
	return n
}

// driver drives a log with random operations and keeps the model beside it.
type driver struct {
	t      testing.TB
	r      *rand.Rand
	o      segments.Options
	log    *segments.Log
	now    model // what the log holds
	acked  model // what the last successful Flush covered
	cut    int   // entries of acked that no Truncate has touched since
	term   segments.Term
	commit segments.Index
	batch  bool // payloads are real batches
	faults *vfs.Faults
	mem    *vfs.Mem // below the faults, where a test needs it
}

func newDriver(t testing.TB, seed uint64, o segments.Options) *driver {
	d := &driver{t: t, r: rand.New(rand.NewPCG(seed, 99)), o: o, term: 1, faults: &vfs.Faults{}}
	d.log, _ = open(t, o)
	return d
}

func (d *driver) frame() segments.Frame {
	f := segments.Frame{
		Kind: segments.KindData, Index: d.now.last() + 1, Term: d.entryTerm(), PrevTerm: d.now.lastTerm(), BaseOffset: d.now.nextOffset(),
	}
	switch d.r.IntN(10) {
	case 0:
		f.Kind = segments.KindNoOp
	case 1:
		f.Kind, f.Payload = segments.KindConfig, payload(f.Index, f.Term, 1+d.r.IntN(40))
	default:
		f.Records = uint32(1 + d.r.IntN(3))
		size := d.r.IntN(200)
		if d.r.IntN(8) == 0 {
			size = d.r.IntN(6000)
		}
		d.fill(&f, size)
	}
	return f
}

// entryTerm is the term of the next entry: at most the leader's, and never falling.
func (d *driver) entryTerm() segments.Term {
	low := max(d.now.lastTerm(), 1)
	return low + segments.Term(d.r.Uint64N(uint64(d.term-low+1)))
}

func (d *driver) fill(f *segments.Frame, size int) {
	if !d.batch {
		f.MaxTimestamp = int64(d.r.IntN(1000))
		f.Payload = payload(f.Index, f.Term, size+1)
		return
	}
	ts := make([]int64, f.Records)
	for i := range ts {
		ts[i] = 1000 + int64(f.Index)*7 + int64(d.r.IntN(60))
	}
	f.MaxTimestamp = slices.Max(ts)
	f.Payload = batch(d.t, f.BaseOffset, ts...)
}

func (d *driver) local() segments.Local {
	return segments.Local{WriteTerm: d.term, Commit: d.commit, DurableThrough: d.log.Durable()}
}

func (d *driver) append(n int) {
	d.t.Helper()
	for range n {
		f := d.frame()
		must(d.t, d.log.Append(f, d.local()))
		d.now.frames = append(d.now.frames, f)
	}
}

// appendRaw appends frames as they come from a leader: with a foreign local part.
func (d *driver) appendRaw(n int) {
	d.t.Helper()
	leader, _ := open(d.t, options(vfs.NewMem()))
	before := d.now.clone()
	for _, f := range before.frames {
		must(d.t, leader.Append(f, segments.Local{WriteTerm: max(f.Term, 1)}))
	}
	term := d.entryTerm() // a message has entries of one term
	for range n {
		f := d.frame()
		f.Term = term
		if f.Kind == segments.KindConfig || f.Kind == segments.KindData && !d.batch {
			f.Payload = payload(f.Index, f.Term, len(f.Payload))
		}
		must(d.t, leader.Append(f, segments.Local{WriteTerm: term}))
		d.now.frames = append(d.now.frames, f)
	}
	lo, hi := before.last()+1, d.now.last()+1
	raw, err := leader.ReadFrames(nil, lo, hi)
	must(d.t, err)
	must(d.t, segments.CheckFrames(testID, raw, lo, hi, term))
	must(d.t, d.log.AppendRaw(raw, d.local()))
}

func (d *driver) truncate() {
	d.t.Helper()
	if d.now.last() <= d.commit {
		return
	}
	from := d.commit + 1 + segments.Index(d.r.Uint64N(uint64(d.now.last()-d.commit)))
	must(d.t, d.log.Truncate(from))
	d.now.frames = slices.Clone(d.now.frames[:from-1])
	d.cut = min(d.cut, int(from)-1)
	d.term++
}

func (d *driver) flush() {
	d.t.Helper()
	must(d.t, d.log.Flush())
	d.ack()
	if d.log.Durable() != d.now.last() || d.log.Unflushed() || d.log.UnflushedBytes() != 0 {
		d.t.Fatalf("after a flush %d of %d entries are durable, %d bytes left", d.log.Durable(), d.now.last(), d.log.UnflushedBytes())
	}
}

// ack notes that all of the log is acknowledged.
func (d *driver) ack() { d.acked, d.cut = d.now.clone(), len(d.now.frames) }

// moveCommit commits some of what is durable.
func (d *driver) moveCommit() {
	if top := d.log.Durable(); top > d.commit {
		d.commit += segments.Index(d.r.Uint64N(uint64(top-d.commit) + 1))
		d.log.SetCommit(d.commit)
	}
}

// reopen closes the log, which drops what was not flushed, and opens it on fsys.
func (d *driver) reopen(fsys vfs.FS) {
	d.t.Helper()
	must(d.t, d.log.Close())
	d.o.FS = vfs.WithFaults(fsys, d.faults)
	d.log, _ = open(d.t, d.o)
	d.now = model{entries(d.t, d.log)}
	d.log.SetCommit(d.commit)
}

// checkRecovered holds what a log came back with after a crash against what it
// may be: acked is what a Flush had covered, staged what the next one was
// writing, keep how many entries of acked no Truncate had touched.
func checkRecovered(acked, staged, got model, keep int) error {
	if n := got.common(acked); n < keep {
		return fmt.Errorf("entry %d was acknowledged and not truncated; %d entries came back", n+1, len(got.frames))
	}
	if n := got.common(acked); n == len(got.frames) {
		return nil // the truncation isn't there yet, or partly
	}
	if n := got.common(staged); n != len(got.frames) {
		return fmt.Errorf("entry %d was never at its place in one log with those before", n+1)
	}
	return nil
}

// check compares all that can be asked with the model.
func (d *driver) check() {
	d.t.Helper()
	l, m := d.log, d.now
	if l.Last() != m.last() || l.NextOffset() != m.nextOffset() || l.LastTerm() != m.lastTerm() {
		d.t.Fatalf("log ends at %d, term %d, offset %d; want %d, %d, %d", l.Last(), l.LastTerm(), l.NextOffset(), m.last(), m.lastTerm(), m.nextOffset())
	}
	if l.Durable() > l.Last() || l.Durable() < d.commit {
		d.t.Fatalf("durable %d, last %d, commit %d", l.Durable(), l.Last(), d.commit)
	}
	d.checkTerms()
	d.checkConfigs()
	if m.last() == 0 {
		return
	}
	lo := 1 + segments.Index(d.r.Uint64N(uint64(m.last())))
	hi := lo + segments.Index(d.r.Uint64N(uint64(m.last()-lo)+2))
	d.checkRange(lo, min(hi, m.last()+1))
	d.checkBatches()
	if d.batch {
		d.checkTime()
	}
}

func (d *driver) checkTerms() {
	d.t.Helper()
	var want []segments.TermStart
	for _, f := range d.now.frames {
		if len(want) == 0 || want[len(want)-1].Term != f.Term {
			want = append(want, segments.TermStart{Term: f.Term, First: f.Index})
		}
		if got, ok := d.log.Term(f.Index); got != f.Term || !ok {
			d.t.Fatalf("term of %d is %d, %v, want %d", f.Index, got, ok, f.Term)
		}
	}
	if got := d.log.Terms(); !slices.Equal(got, want) {
		d.t.Fatalf("terms %v, want %v", got, want)
	}
	if term, ok := d.log.Term(0); term != 0 || !ok {
		d.t.Fatalf("term before the first entry: %d, %v", term, ok)
	}
	if _, ok := d.log.Term(d.now.last() + 1); ok {
		d.t.Fatal("an entry behind the end has a term")
	}
}

func (d *driver) checkConfigs() {
	d.t.Helper()
	var want []segments.ConfigAt
	for _, f := range d.now.frames {
		if f.Kind == segments.KindConfig {
			want = append(want, segments.ConfigAt{Index: f.Index, Payload: f.Payload})
		}
	}
	if got := d.log.Configs(); fmt.Sprint(got) != fmt.Sprint(want) {
		d.t.Fatalf("configurations %v, want %v", got, want)
	}
}

func (d *driver) checkRange(lo, hi segments.Index) {
	d.t.Helper()
	raw, err := d.log.ReadFrames([]byte("before"), lo, hi)
	must(d.t, err)
	if string(raw[:6]) != "before" {
		d.t.Fatal("ReadFrames changed what was in the buffer")
	}
	raw = raw[6:]
	got := parse(d.t, raw)
	if len(got) != int(hi-lo) {
		d.t.Fatalf("read %d entries of [%d,%d)", len(got), lo, hi)
	}
	for i, f := range got {
		if !sameFrame(f, d.now.frames[int(lo)-1+i]) {
			d.t.Fatalf("entry %d reads as %+v, want %+v", int(lo)+i, f, d.now.frames[int(lo)-1+i])
		}
	}
	if pieces, ok := d.log.TailFrames(lo, hi); ok {
		if joined := slices.Concat(pieces...); string(joined) != string(raw) {
			d.t.Fatalf("the tail differs from ReadFrames in [%d,%d)", lo, hi)
		}
	}
	if lo < hi {
		d.checkFit(lo, hi)
	}
}

func (d *driver) checkFit(lo, hi segments.Index) {
	d.t.Helper()
	most := d.r.IntN(20000)
	end, n := d.log.Fit(lo, hi, most)
	if end <= lo || end > hi {
		d.t.Fatalf("Fit [%d,%d) in %d bytes ends at %d", lo, hi, most, end)
	}
	size := 0
	for _, f := range d.now.frames[lo-1 : end-1] {
		size += f.Size()
	}
	if size > n || n > most && end > lo+1 {
		d.t.Fatalf("Fit [%d,%d) in %d bytes: [%d,%d) has %d bytes, said %d", lo, hi, most, lo, end, size, n)
	}
	if _, inTail := d.log.TailFrames(lo, hi); inTail {
		if end < hi && n+d.now.frames[end-1].Size() <= most || n != size {
			d.t.Fatalf("Fit in the tail is not exact: [%d,%d) of [%d,%d), %d bytes for %d of %d", lo, end, lo, hi, n, size, most)
		}
	}
}

func (d *driver) checkBatches() {
	d.t.Helper()
	next := d.now.nextOffset()
	if next == 0 {
		return
	}
	from := record.Offset(d.r.Int64N(int64(next) + 1))
	// The high watermark is always the end of some entry.
	until := d.now.frames[d.r.IntN(len(d.now.frames))].Next()
	most := d.r.IntN(8000)
	out, after, err := d.log.ReadBatches(nil, from, until, most)
	must(d.t, err)
	var want []byte
	wantNext := from
	for _, f := range d.now.frames {
		if f.Kind != segments.KindData || f.Next() <= from {
			continue
		}
		if f.Next() > until || len(want) > 0 && len(want)+len(f.Payload) > most {
			break
		}
		want, wantNext = append(want, f.Payload...), f.Next()
		if len(want) >= most {
			break
		}
	}
	if string(out) != string(want) || after != wantNext {
		d.t.Fatalf("ReadBatches(%d, %d, %d) gave %d bytes up to %d, want %d up to %d", from, until, most, len(out), after, len(want), wantNext)
	}
}

func (d *driver) checkTime() {
	d.t.Helper()
	ts := 1000 + int64(d.r.IntN(int(d.now.last()+2)*7+60))
	until := d.now.frames[d.r.IntN(len(d.now.frames))].Next()
	o, at, ok, err := d.log.OffsetForTime(ts, until)
	must(d.t, err)
	dec := record.NewDecoder(record.DecoderOptions{})
	for _, f := range d.now.frames {
		if f.Kind != segments.KindData || f.Next() > until {
			continue
		}
		must(d.t, dec.Reset(f.Payload))
		for dec.Next() {
			if r := dec.Record(); r.Timestamp >= ts {
				if !ok || o != r.Offset || at != r.Timestamp {
					d.t.Fatalf("OffsetForTime(%d, %d) = %d, %d, %v; want %d, %d", ts, until, o, at, ok, r.Offset, r.Timestamp)
				}
				return
			}
		}
	}
	if ok {
		d.t.Fatalf("OffsetForTime(%d, %d) = %d, %d; want none", ts, until, o, at)
	}
}
