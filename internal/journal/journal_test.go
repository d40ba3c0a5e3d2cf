package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/logq/logq/internal/journal"
)

func key(n int) journal.Key {
	k := journal.Key{Kind: uint8(1 + n%2)}
	for i := range k.Group {
		k.Group[i] = byte(n*7 + i + 1)
	}
	return k
}

func entry(n int, value string) journal.Entry {
	return journal.Entry{Key: key(n), Value: []byte(value)}
}

func dump(t *testing.T, j journal.Journal) map[journal.Key]string {
	t.Helper()
	out := map[journal.Key]string{}
	if err := j.Load(func(e journal.Entry) error {
		out[e.Key] = string(e.Value)
		return nil
	}); err != nil {
		t.Fatalf("Load: %v", err)
	}
	return out
}

// implementations are tested against one contract. reopen is what a crash of
// the process and a new start do.
var implementations = map[string]struct {
	open   func(t *testing.T) journal.Journal
	reopen func(t *testing.T, j journal.Journal) journal.Journal
}{
	"mem": {
		open:   func(*testing.T) journal.Journal { return journal.NewMem() },
		reopen: func(_ *testing.T, j journal.Journal) journal.Journal { return j.(*journal.Mem).Crash() },
	},
	"wal": {
		open: func(t *testing.T) journal.Journal { return &onDir{WAL: openDir(t, t.TempDir())} },
		reopen: func(t *testing.T, j journal.Journal) journal.Journal {
			d := j.(*onDir)
			_ = d.Close()
			return &onDir{WAL: openDir(t, d.dir())}
		},
	},
}

func TestContract(t *testing.T) {
	for name, impl := range implementations {
		t.Run(name, func(t *testing.T) {
			j := impl.open(t)
			save := func(entries ...journal.Entry) {
				t.Helper()
				if err := j.Save(entries); err != nil {
					t.Fatalf("Save: %v", err)
				}
			}
			save()
			value := []byte("one")
			save(journal.Entry{Key: key(1), Value: value}, entry(2, ""), entry(3, "gone"))
			value[0] = 'X' // Save copies
			save(journal.Entry{Key: key(3)}, entry(4, "a"), entry(4, "b"), journal.Entry{Key: key(9)})
			want := map[journal.Key]string{key(1): "one", key(2): "", key(4): "b"}
			for round := range 3 {
				got := dump(t, j)
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("round %d: loaded %v, want %v", round, got, want)
				}
				j = impl.reopen(t, j)
			}
			testLoadOrder(t, j)
			testLimits(t, j)
			if err := j.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			if err := j.Save([]journal.Entry{entry(1, "x")}); !errors.Is(err, journal.ErrClosed) {
				t.Fatalf("Save after Close: %v", err)
			}
			if err := j.Load(nil); !errors.Is(err, journal.ErrClosed) {
				t.Fatalf("Load after Close: %v", err)
			}
			if err := j.Close(); !errors.Is(err, journal.ErrClosed) {
				t.Fatalf("second Close: %v", err)
			}
		})
	}
}

func testLoadOrder(t *testing.T, j journal.Journal) {
	t.Helper()
	var keys []journal.Key
	stop := errors.New("stop")
	err := j.Load(func(e journal.Entry) error {
		keys = append(keys, e.Key)
		if len(keys) == 2 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || len(keys) != 2 {
		t.Fatalf("Load stopped with %v after %d", err, len(keys))
	}
	if bytes.Compare(keys[0].Group[:], keys[1].Group[:]) >= 0 {
		t.Fatalf("keys are not in order: %v", keys)
	}
}

func testLimits(t *testing.T, j journal.Journal) {
	t.Helper()
	before := fmt.Sprint(dump(t, j))
	var tooLarge *journal.TooLargeError
	big := make([]byte, journal.MaxValueBytes)
	if err := j.Save([]journal.Entry{{Key: key(5), Value: append(big, 0)}}); !errors.As(err, &tooLarge) {
		t.Fatalf("value over the limit: %v", err)
	}
	var many []journal.Entry
	for range journal.MaxStateBytes / journal.MaxValueBytes {
		many = append(many, journal.Entry{Key: key(5), Value: big})
	}
	if err := j.Save(many); !errors.As(err, &tooLarge) || tooLarge.What != "save" {
		t.Fatalf("save over the limit: %v", err)
	}
	if after := fmt.Sprint(dump(t, j)); after != before {
		t.Fatal("a refused Save changed the state")
	}
	if err := j.Save([]journal.Entry{entry(1, "one")}); err != nil {
		t.Fatalf("Save after a refused one: %v", err)
	}
}

func TestMemStateLimit(t *testing.T) {
	j := journal.NewMem()
	big := make([]byte, journal.MaxValueBytes)
	for n := range 63 {
		if err := j.Save([]journal.Entry{{Key: key(n), Value: big}}); err != nil {
			t.Fatal(err)
		}
	}
	var tooLarge *journal.TooLargeError
	if err := j.Save([]journal.Entry{{Key: journal.Key{Kind: 7}, Value: big}}); !errors.As(err, &tooLarge) || tooLarge.What != "state" {
		t.Fatalf("state over the limit: %v", err)
	}
	if err := j.Save([]journal.Entry{{Key: key(1)}, {Key: journal.Key{Kind: 7}, Value: big}}); err != nil {
		t.Fatalf("a delete makes room in the same Save: %v", err)
	}
}

// TestModel drives both implementations with random saves and restarts and
// compares them with a map.
func TestModel(t *testing.T) {
	for name, impl := range implementations {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			j := impl.open(t)
			model := map[journal.Key]string{}
			for step := range 300 {
				var entries []journal.Entry
				for range r.IntN(4) {
					e := journal.Entry{Key: key(r.IntN(12))}
					if r.IntN(4) > 0 {
						e.Value = fmt.Appendf(nil, "%d-%d", step, r.Uint64())
					}
					entries = append(entries, e)
				}
				if err := j.Save(entries); err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					delete(model, e.Key)
					if e.Value != nil {
						model[e.Key] = string(e.Value)
					}
				}
				if r.IntN(20) == 0 {
					j = impl.reopen(t, j)
				}
				if got := dump(t, j); fmt.Sprint(got) != fmt.Sprint(model) {
					t.Fatalf("step %d: %v, want %v", step, got, model)
				}
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestMemFaults(t *testing.T) {
	disk := errors.New("disk is gone")
	for _, c := range []struct {
		name   string
		fault  journal.Fault
		fails  bool
		before string // what the running process sees
		after  string // what a crash leaves
	}{
		{"failed and lost", journal.Fault{Err: disk}, true, "", "old"},
		{"failed and kept", journal.Fault{Err: disk, Keep: true}, true, "", "new"},
		{"acknowledged and lost", journal.Fault{}, false, "new", "old"},
		{"no fault", journal.Fault{Keep: true}, false, "new", "new"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := journal.NewMem()
			if err := j.Save([]journal.Entry{entry(1, "old")}); err != nil {
				t.Fatal(err)
			}
			j.Inject(c.fault)
			err := j.Save([]journal.Entry{entry(1, "new")})
			if c.fails {
				wantPoisoned(t, err, disk)
				wantPoisoned(t, j.Save([]journal.Entry{entry(1, "newer")}), disk)
				wantPoisoned(t, j.Load(func(journal.Entry) error { return nil }), disk)
			} else if got := dump(t, j)[key(1)]; err != nil || got != c.before {
				t.Fatalf("Save: %v, loaded %q", err, got)
			}
			next := j.Crash()
			if err := j.Save(nil); !errors.Is(err, journal.ErrClosed) {
				t.Fatalf("Save on a crashed journal: %v", err)
			}
			if got := dump(t, next)[key(1)]; got != c.after {
				t.Fatalf("after the crash %q, want %q", got, c.after)
			}
			if err := next.Save([]journal.Entry{entry(2, "x")}); err != nil || next.Saves() != 1 {
				t.Fatalf("Save after the crash: %v, %d saves", err, next.Saves())
			}
		})
	}
}

func wantPoisoned(t *testing.T, err, cause error) {
	t.Helper()
	var p *journal.PoisonedError
	if !errors.As(err, &p) || !errors.Is(err, cause) {
		t.Fatalf("got %v, want a PoisonedError with %v", err, cause)
	}
}
