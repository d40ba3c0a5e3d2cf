package segments_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

// dials are the power losses tried at each call.
var dials = []vfs.CrashOptions{
	{Keep: 0}, {Keep: 0.2}, {Keep: 0.5, Torn: true}, {Keep: 0.8}, {Keep: 0.95, Torn: true}, {Keep: 1}, {Keep: 1, Torn: true},
}

// action is one step of a scripted workload.
type action struct {
	name string
	do   func(d *driver)
}

func add(n, size int) action {
	return action{fmt.Sprintf("append %d of %d bytes", n, size), func(d *driver) {
		for range n {
			f := d.frame()
			f.Kind, f.Records, f.Payload = segments.KindData, 1, payload(f.Index, f.Term, size)
			must(d.t, d.log.Append(f, d.local()))
			d.now.frames = append(d.now.frames, f)
		}
	}}
}

// cutTo drops what is behind the first n entries; a negative n counts from the end.
func cutTo(n int) action {
	return action{fmt.Sprintf("truncate to %d", n), func(d *driver) {
		if n < 0 {
			n += len(d.now.frames)
		}
		must(d.t, d.log.Truncate(segments.Index(n)+1))
		d.now.frames = append([]segments.Frame(nil), d.now.frames[:n]...)
		d.cut = min(d.cut, n)
		d.term++
	}}
}

var flush = action{"flush", func(d *driver) { d.flush() }}

var reopened = action{"reopen", func(d *driver) {
	must(d.t, d.log.Close())
	l, _, err := segments.Open(d.o)
	must(d.t, err)
	d.log = l
}}

// commitTo commits the first n entries.
func commitTo(n int) action {
	return action{fmt.Sprintf("commit %d", n), func(d *driver) { d.log.SetCommit(segments.Index(n)) }}
}

var seal = action{"seal", func(d *driver) {
	_, err := d.log.Seal()
	must(d.t, err)
}}

var finish = action{"finish", func(d *driver) { must(d.t, d.log.Finish()) }}

// workloads with segments of 8 KiB: three entries of 1 KiB fill one.
var workloads = []struct {
	name    string
	actions []action
}{
	{"append", []action{add(1, 100), flush, add(5, 300), flush, add(2, 1), flush}},
	{"large entry", []action{add(1, 9000), flush, add(1, 20000), add(1, 10), flush}},
	{"roll", []action{add(3, 1000), flush, add(8, 1000), flush, add(1, 1000), flush}},
	{"reopen", []action{add(4, 900), flush, reopened, add(4, 900), flush, reopened, add(1, 50), flush}},
	{"truncate in a segment", []action{add(3, 500), flush, cutTo(1), add(2, 700), flush, cutTo(-1), add(1, 200), flush}},
	{"same size rewrite", []action{add(6, 400), flush, cutTo(2), add(1, 400), flush, add(1, 400), flush}},
	{"truncate alone", []action{add(3, 500), flush, cutTo(1), flush, add(1, 500), flush}},
	{"truncate what is staged", []action{add(2, 100), flush, add(3, 2000), cutTo(3), add(1, 50), flush}},
	{"truncate across segments", []action{add(12, 1000), flush, cutTo(4), add(2, 900), flush, add(6, 900), flush}},
	{"truncate to a border", []action{add(9, 1000), flush, cutTo(3), add(5, 800), flush}},
	{"truncate twice", []action{add(12, 1000), flush, cutTo(10), add(6, 900), cutTo(4), add(2, 800), flush, add(1, 1), flush}},
	{"truncate all", []action{add(7, 1000), flush, cutTo(0), add(2, 300), flush, cutTo(0), flush, add(1, 9), flush}},
	{"seal", []action{add(10, 1000), flush, commitTo(7), seal, add(3, 1000), flush, commitTo(12), seal, add(1, 10), flush}},
	{"finish", []action{add(2, 1000), flush, finish, reopened, add(3, 900), flush, finish, add(1, 500), flush, commitTo(2), finish, reopened, add(1, 100), flush}},
	{"truncate behind a footer", []action{add(8, 1000), flush, commitTo(2), finish, reopened, cutTo(4), add(3, 700), flush, finish, reopened, cutTo(-1), flush, add(1, 50), flush}},
	{"truncate to a sealed end", []action{add(8, 1000), flush, commitTo(3), seal, cutTo(3), flush, finish, reopened, add(2, 800), flush}},
	{"truncate after reopen", []action{add(12, 1000), flush, reopened, cutTo(5), add(3, 1000), flush}},
}

// changes says whether a call can change what a power loss leaves: before any
// other call it leaves the same as before the next that does.
func changes(op vfs.Op) bool {
	switch op {
	case vfs.OpOpen, vfs.OpList, vfs.OpStat, vfs.OpLock, vfs.OpUsage, vfs.OpRead, vfs.OpClose:
		return false
	}
	return true
}

// TestCrashAnywhere cuts the power before each call that changes the disk, and
// after the last, with every dial; what Open then finds must hold all that was
// acknowledged, nothing that never was, and take appends.
func TestCrashAnywhere(t *testing.T) {
	for _, w := range workloads {
		t.Run(w.name, func(t *testing.T) {
			calls := 0
			states := 0
			mem := vfs.NewMem()
			faults := &vfs.Faults{}
			o := options(vfs.WithFaults(mem, faults))
			o.SegmentBytes = 8 << 10
			d := &driver{t: t, r: rand.New(rand.NewPCG(7, 7)), o: o, term: 1}
			judge := func(c vfs.Call) error {
				if !changes(c.Op) {
					return nil
				}
				calls++
				for i, dial := range dials {
					dial.Rand = rand.New(rand.NewPCG(uint64(calls), uint64(i)))
					states++
					crashed(t, d, mem.Clone(dial), fmt.Sprintf("call %d, %+v", calls, dial))
				}
				return nil
			}
			faults.SetHook(judge)
			l, _, err := segments.Open(o)
			must(t, err)
			d.log = l
			for _, a := range w.actions {
				a.do(d)
			}
			_ = judge(vfs.Call{Op: vfs.OpSync})
			faults.SetHook(nil)
			must(t, d.log.Close())
			t.Logf("%d calls, %d states", calls, states)
		})
	}
}

// crashed judges one state of the disk, and again after a crash at each call of
// its recovery.
func crashed(t testing.TB, d *driver, mem *vfs.Mem, where string) {
	t.Helper()
	faults := &vfs.Faults{}
	calls := 0
	faults.SetHook(func(c vfs.Call) error {
		if !changes(c.Op) {
			return nil
		}
		calls++
		for i, keep := range []float64{0, 0.5, 1} {
			again := mem.Clone(vfs.CrashOptions{Keep: keep, Rand: rand.New(rand.NewPCG(uint64(calls), uint64(i)))})
			recovered(t, d, again, fmt.Sprintf("%s, and at call %d of recovery, keep %v", where, calls, keep))
		}
		return nil
	})
	o := d.o
	o.FS = vfs.WithFaults(mem, faults)
	l, _, err := segments.Open(o)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	faults.SetHook(nil)
	must(t, l.Close())
	recovered(t, d, mem, where)
}

// recovered opens a disk after a power loss and checks what it holds.
func recovered(t testing.TB, d *driver, mem *vfs.Mem, where string) {
	t.Helper()
	o := d.o
	o.FS = mem
	l, rec, err := segments.Open(o)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	got := model{entries(t, l)}
	if err := checkRecovered(d.acked, d.now, got, d.cut); err != nil {
		t.Fatalf("%s: %v (%+v)", where, err, rec)
	}
	// It goes on from here.
	for range 2 {
		f := next(l, d.term+1, 700)
		must(t, l.Append(f, segments.Local{WriteTerm: d.term + 1}))
		got.frames = append(got.frames, f)
	}
	must(t, l.Flush())
	must(t, l.Close())
	o.FS = mem.Crash(vfs.CrashOptions{})
	l, rec, err = segments.Open(o)
	if err != nil {
		t.Fatalf("%s, after two more entries: %v", where, err)
	}
	defer l.Close()
	if again := (model{entries(t, l)}); again.common(got) != len(got.frames) || len(again.frames) != len(got.frames) {
		t.Fatalf("%s: %d entries after two more, want %d (%+v)", where, len(again.frames), len(got.frames), rec)
	}
}
