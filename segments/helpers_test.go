package segments_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

var testID = segments.Identity{Topic: [16]byte{0xde, 0xad, 15: 0x01}, Partition: 7}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func options(fsys vfs.FS) segments.Options {
	return segments.Options{FS: fsys, Dir: "data/p", Identity: testID, Direct: true}
}

func open(t testing.TB, o segments.Options) (*segments.Log, segments.Recovery) {
	t.Helper()
	l, rec, err := segments.Open(o)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l, rec
}

// payload is recognizable by its entry and as long as asked for.
func payload(i segments.Index, term segments.Term, size int) []byte {
	p := fmt.Appendf(nil, "entry %d of term %d.", i, term)
	for len(p) < size {
		p = append(p, p...)
	}
	return p[:max(size, 1)]
}

// next makes the data frame that continues l.
func next(l *segments.Log, term segments.Term, size int) segments.Frame {
	prev, _ := l.PrevOfFirst()
	i := max(l.Last(), prev) + 1
	return segments.Frame{
		Kind: segments.KindData, Index: i, Term: term, PrevTerm: l.LastTerm(),
		BaseOffset: l.NextOffset(), Records: uint32(i%3 + 1), MaxTimestamp: int64(i) * 10,
		Payload: payload(i, term, size),
	}
}

func noop(l *segments.Log, term segments.Term) segments.Frame {
	f := next(l, term, 0)
	f.Kind, f.Records, f.MaxTimestamp, f.Payload = segments.KindNoOp, 0, 0, nil
	return f
}

func appendN(t testing.TB, l *segments.Log, term segments.Term, n, size int) {
	t.Helper()
	for range n {
		must(t, l.Append(next(l, term, size), segments.Local{WriteTerm: term, Commit: 0}))
	}
}

// entries reads the whole log and parses it.
func entries(t testing.TB, l *segments.Log) []segments.Frame {
	t.Helper()
	if l.Last() == 0 {
		return nil
	}
	raw, err := l.ReadFrames(nil, l.First(), l.Last()+1)
	must(t, err)
	return parse(t, raw)
}

func parse(t testing.TB, raw []byte) (out []segments.Frame) {
	t.Helper()
	for len(raw) > 0 {
		f, n, err := segments.ParseFrame(testID, raw)
		must(t, err)
		out = append(out, f)
		raw = raw[n:]
	}
	return out
}

func sameFrame(a, b segments.Frame) bool {
	return a.Kind == b.Kind && a.Index == b.Index && a.Term == b.Term && a.PrevTerm == b.PrevTerm &&
		a.BaseOffset == b.BaseOffset && a.Records == b.Records && a.MaxTimestamp == b.MaxTimestamp &&
		bytes.Equal(a.Payload, b.Payload)
}

func wantEntries(t testing.TB, l *segments.Log, want []segments.Frame) {
	t.Helper()
	got := entries(t, l)
	if len(got) != len(want) {
		t.Fatalf("log holds %d entries, want %d", len(got), len(want))
	}
	for i := range want {
		if !sameFrame(got[i], want[i]) {
			t.Fatalf("entry %d is %+v, want %+v", want[i].Index, got[i], want[i])
		}
	}
}

// batch builds a real record batch.
func batch(t testing.TB, base record.Offset, timestamps ...int64) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	for _, ts := range timestamps {
		must(t, b.Append(record.Record{Timestamp: ts, Value: fmt.Appendf(nil, "at %d", ts)}))
	}
	out, err := b.Seal(nil)
	must(t, err)
	record.Batch(out).Assign(base, 1)
	return out
}
