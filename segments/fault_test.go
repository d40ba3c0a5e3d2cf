package segments_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

// TestFaultAnywhere fails one call of each workload, each call in turn, in
// several ways. The Flush that meets it must not acknowledge, the log must be
// poisoned and touch the disk no more, and what had been acknowledged must come
// back, after a restart as after a power loss.
func TestFaultAnywhere(t *testing.T) {
	for _, rule := range []string{"* * #%d EIO", "write * #%d short=100 ENOSPC", "sync * #%d lost EIO", "syncdir * #%d EIO", "preallocate * #%d ENOSPC", "truncate * #%d EIO"} {
		for _, w := range workloads {
			t.Run(rule+"/"+w.name, func(t *testing.T) {
				for n := 1; ; n++ {
					rule, err := vfs.ParseRule(fmt.Sprintf(rule, n))
					must(t, err)
					if !faulted(t, w.actions, rule) {
						return
					}
				}
			})
		}
	}
}

// faulted runs a workload with one fault and reports whether the fault came up.
func faulted(t *testing.T, actions []action, rule vfs.Rule) bool {
	t.Helper()
	mem := vfs.NewMem()
	faults := &vfs.Faults{}
	faults.Add(rule)
	o := options(vfs.WithFaults(mem, faults))
	o.SegmentBytes = 8 << 10
	d := &driver{t: t, r: rand.New(rand.NewPCG(7, 7)), o: o, term: 1, faults: faults, mem: mem}
	l, _, err := segments.Open(o)
	if err != nil {
		if !errors.Is(err, rule.Err) {
			t.Fatalf("%s: Open: %v", rule, err)
		}
		faults.Clear()
		l, _, err = segments.Open(o)
		must(t, err)
		must(t, l.Close())
		return true
	}
	d.log = l
	var sealErr error
	for _, a := range actions {
		switch a.name {
		case flush.name:
			if err = d.log.Flush(); err == nil {
				d.ack()
			}
		case reopened.name:
			err = d.tryReopen()
		case seal.name, finish.name:
			sealErr = errors.Join(sealErr, d.trySeal(a.name))
		default:
			a.do(d)
		}
		if err != nil {
			break
		}
	}
	if faults.Fired() == 0 {
		faults.Clear()
		must(t, d.log.Close())
		return false
	}
	if err != nil && !errors.Is(err, rule.Err) {
		t.Fatalf("%s: got %v", rule, err)
	}
	if sealErr != nil && !errors.Is(sealErr, rule.Err) {
		t.Fatalf("%s: got %v", rule, sealErr)
	}
	if err == nil && sealErr != nil {
		d.goesOn()
		return true
	}
	if err == nil && rule.Op != vfs.OpAny { // a failed read or close in a reopen may do no harm
		t.Fatalf("%s: nobody noticed", rule)
	}
	d.checkPoisoned(err, rule)
	return true
}

func (d *driver) trySeal(name string) error {
	if name == finish.name {
		return d.log.Finish()
	}
	_, err := d.log.Seal()
	return err
}

// goesOn checks that a footer that couldn't be written costs nothing: the log isn't
// poisoned, and all that was acknowledged is there after a restart and a power loss.
func (d *driver) goesOn() {
	d.t.Helper()
	must(d.t, d.log.Err())
	for i, keep := range []float64{0, 0.3, 0.7, 1} {
		o := d.o
		o.FS = d.mem.Clone(vfs.CrashOptions{Keep: keep, Rand: rand.New(rand.NewPCG(uint64(i), 5))})
		l, rec, err := segments.Open(o)
		must(d.t, err)
		if got := (model{entries(d.t, l)}); got.common(d.acked) != len(d.acked.frames) || len(got.frames) != len(d.acked.frames) {
			d.t.Fatalf("keep %v: %d entries, %d were acknowledged: %+v", keep, len(got.frames), len(d.acked.frames), rec)
		}
		must(d.t, l.Close())
	}
	d.append(1)
	d.flush()
	must(d.t, d.log.Close())
	l, _, err := segments.Open(d.o)
	must(d.t, err)
	wantEntries(d.t, l, d.now.frames)
	must(d.t, l.Close())
}

func (d *driver) tryReopen() error {
	if err := d.log.Close(); err != nil {
		return err
	}
	l, _, err := segments.Open(d.o)
	if err == nil {
		d.log = l
	}
	return err
}

// checkPoisoned checks a log whose Flush, or reopening, has failed with err.
func (d *driver) checkPoisoned(err error, rule vfs.Rule) {
	d.t.Helper()
	var poison *segments.PoisonedError
	if errors.As(err, &poison) {
		touched := 0
		d.faults.SetHook(func(c vfs.Call) error {
			if changes(c.Op) {
				touched++
			}
			return nil
		})
		durable := d.log.Durable()
		must(d.t, d.log.Append(next(d.log, d.term, 10), segments.Local{WriteTerm: d.term}))
		if again := d.log.Flush(); again != err || d.log.Err() != err || touched != 0 || d.log.Durable() != durable {
			d.t.Fatalf("%s: after the failure Flush gave %v and touched the disk %d times, durable %d then %d", rule, again, touched, durable, d.log.Durable())
		}
		d.faults.SetHook(nil)
	}
	_ = d.log.Close() // may fail by the rule
	d.faults.Clear()
	for _, keep := range []float64{0, 0.5, 1} {
		recovered(d.t, d, d.mem.Clone(vfs.CrashOptions{Keep: keep, Rand: rand.New(rand.NewPCG(3, 3))}), fmt.Sprintf("%s, keep %v", rule, keep))
	}
	// A restart of the process alone: what a failed sync left in the page cache
	// must not be taken for durable.
	l, _, err := segments.Open(d.o)
	must(d.t, err)
	got := model{entries(d.t, l)}
	if err := checkRecovered(d.acked, d.now, got, d.cut); err != nil {
		d.t.Fatalf("%s, restart: %v", rule, err)
	}
	must(d.t, l.Close())
	d.o.FS = d.mem.Crash(vfs.CrashOptions{})
	l, _, err = segments.Open(d.o)
	must(d.t, err)
	if after := (model{entries(d.t, l)}); len(after.frames) != len(got.frames) {
		d.t.Fatalf("%s: Open reported %d entries as durable, %d survive a power loss", rule, len(got.frames), len(after.frames))
	}
	must(d.t, l.Close())
}

// TestReadFaults: an error of the disk is passed on as it is, and a bad byte is
// ErrCorrupt; neither changes anything or gives wrong data (S8).
func TestReadFaults(t *testing.T) {
	mem := vfs.NewMem()
	faults := &vfs.Faults{}
	o := options(vfs.WithFaults(mem, faults))
	l, _ := open(t, o)
	appendN(t, l, 1, 20, 500)
	must(t, l.Flush())
	want := entries(t, l)
	must(t, l.Close())
	l, _ = open(t, o) // nothing in memory now
	for _, rule := range []string{"read *.seg EIO", "read *.seg short=50 EIO", "open *.seg EIO"} {
		r, err := vfs.ParseRule(rule)
		must(t, err)
		faults.Add(r)
		if _, err := l.ReadFrames(nil, 3, 9); !errors.Is(err, syscall.EIO) || errors.Is(err, segments.ErrCorrupt) {
			t.Errorf("%s: ReadFrames: %v", rule, err)
		}
		if _, _, err := l.ReadBatches(nil, 3, 9, 1000); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: ReadBatches: %v", rule, err)
		}
		if _, _, _, err := l.OffsetForTime(50, 20); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: OffsetForTime: %v", rule, err)
		}
		if _, _, err := segments.Open(o); !errors.Is(err, syscall.EIO) || errors.Is(err, segments.ErrCorrupt) {
			t.Errorf("%s: Open: %v", rule, err)
		}
		faults.Clear()
	}
	wantEntries(t, l, want)
}

// TestLostSync is the ATC'20 case by name: a sync fails and loses its data, the
// page cache shows it, the process starts again. Nobody may believe the cache.
func TestLostSync(t *testing.T) {
	mem := vfs.NewMem()
	faults := &vfs.Faults{}
	o := options(vfs.WithFaults(mem, faults))
	l, _ := open(t, o)
	appendN(t, l, 1, 3, 100)
	must(t, l.Flush())
	appendN(t, l, 1, 2, 100)
	r, err := vfs.ParseRule("sync *.seg #1 lost EIO")
	must(t, err)
	faults.Add(r)
	var poison *segments.PoisonedError
	if err := l.Flush(); !errors.As(err, &poison) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("Flush: %v", err)
	}
	if err := l.Flush(); err != error(poison) || l.Durable() != 3 {
		t.Fatalf("the second Flush: %v, durable %d", err, l.Durable())
	}
	must(t, l.Close())
	l, _ = open(t, o)
	if l.Last() != 3 || l.Durable() != 3 {
		t.Errorf("after the restart the log holds %d entries, %d durable; the disk has 3", l.Last(), l.Durable())
	}
}
