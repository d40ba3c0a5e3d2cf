package segments_test

import (
	"flag"
	"fmt"
	"testing"

	"github.com/logq/logq/internal/vfs"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run the property test with this seed only")
	seedsFlag = flag.Int("seeds", 150, "number of seeds of the property test")
)

// TestModel runs random operations on a log and on a slice of frames, with
// reopens and power losses, and compares all that a reader can see.
func TestModel(t *testing.T) {
	run := func(seed uint64) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { runModel(t, seed) })
	}
	if *seedFlag != 0 {
		run(*seedFlag)
		return
	}
	for seed := range uint64(*seedsFlag) {
		run(seed + 1)
	}
}

func runModel(t *testing.T, seed uint64) {
	mem := vfs.NewMem()
	o := options(mem)
	d := newDriver(t, seed, o)
	// Small sizes, so that rolls, evictions and long index walks are common.
	d.o.SegmentBytes = int64(4200 + d.r.IntN(40000))
	d.o.TailBytes = 1 + d.r.IntN(30000)
	d.o.IndexInterval = 1 + d.r.IntN(4000)
	d.batch = d.r.IntN(2) == 0
	d.reopen(mem)
	for range 120 {
		switch d.r.IntN(14) {
		case 0, 1, 2:
			d.append(1 + d.r.IntN(4))
		case 3:
			d.appendRaw(1 + d.r.IntN(4))
		case 4, 5, 6:
			d.flush()
		case 7:
			d.truncate()
		case 8, 9:
			d.moveCommit()
		case 10:
			if d.r.IntN(4) > 0 {
				continue
			}
			d.reopen(mem)
			if n := d.now.common(d.acked); n != len(d.now.frames) || n != len(d.acked.frames) {
				t.Fatalf("reopened with %d entries, %d were flushed, the first %d are the same", len(d.now.frames), len(d.acked.frames), n)
			}
			d.ack()
		case 12:
			_, err := d.log.Seal()
			must(t, err)
		case 13:
			must(t, d.log.Finish())
		case 11:
			if d.r.IntN(4) > 0 {
				continue
			}
			staged := d.now
			mem = d.crashInFlush(mem)
			d.crashReopen(mem)
			if err := checkRecovered(d.acked, staged, d.now, d.cut); err != nil {
				t.Fatal(err)
			}
			d.ack()
		}
		d.check()
	}
}

// crashInFlush cuts the power before a random call of a Flush, of the sealing that
// follows it, or after it.
func (d *driver) crashInFlush(mem *vfs.Mem) (after *vfs.Mem) {
	d.t.Helper()
	cut := vfs.CrashOptions{Keep: d.r.Float64(), Torn: d.r.IntN(2) == 0, Rand: d.r}
	call := d.r.IntN(20)
	d.faults.SetHook(func(vfs.Call) error {
		if call--; call == 0 {
			after = mem.Clone(cut)
		}
		return nil
	})
	defer d.faults.SetHook(nil)
	must(d.t, d.log.Flush())
	if after != nil {
		return after
	}
	d.ack()
	seal := d.log.Finish
	if d.r.IntN(2) == 0 {
		seal = func() error { _, err := d.log.Seal(); return err }
	}
	if must(d.t, seal()); after != nil {
		return after
	}
	return mem.Crash(cut)
}

// crashReopen opens the log again after the file system died under it.
func (d *driver) crashReopen(mem *vfs.Mem) {
	d.t.Helper()
	_ = d.log.Close() // its files may be dead
	d.o.FS = vfs.WithFaults(mem, d.faults)
	d.log, _ = open(d.t, d.o)
	d.now = model{entries(d.t, d.log)}
	d.log.SetCommit(d.commit)
}
