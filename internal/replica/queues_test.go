package replica

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/record"
)

func TestFifoAgainstSlice(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q fifo[int]
	var model []int
	for i := range 20_000 {
		switch x := r.IntN(10); {
		case x < 6:
			q.push(i)
			model = append(model, i)
		case x < 9:
			n := r.IntN(len(model) + 1)
			q.drop(n)
			model = model[n:]
		default:
			n := r.IntN(len(model) + 1)
			q.keep(n)
			model = model[:n]
		}
		if q.len() != len(model) {
			t.Fatalf("step %d: %d items, want %d", i, q.len(), len(model))
		}
		if len(model) > 0 {
			k := r.IntN(len(model))
			if *q.at(k) != model[k] {
				t.Fatalf("step %d: item %d is %d, want %d", i, k, *q.at(k), model[k])
			}
		}
	}
}

func TestFifoSteadyStateDoesNotAllocate(t *testing.T) {
	var q fifo[int]
	for i := range 200 {
		q.push(i)
	}
	if n := testing.AllocsPerRun(1000, func() { q.push(1); q.drop(1) }); n != 0 {
		t.Errorf("%v allocations per push and drop", n)
	}
}

func TestOffsetMarks(t *testing.T) {
	var m offsetMarks
	for i, next := range []record.Offset{0, 3, 3, 10} { // a no-op, 3 records, a no-op, 7 records
		m.push(raft.Index(5+i), next)
	}
	if hw := m.commit(6); hw != 3 {
		t.Errorf("commit 6 gives %d, want 3", hw)
	}
	m.truncate(8)
	m.push(8, 4)
	if hw := m.commit(8); hw != 4 {
		t.Errorf("commit 8 gives %d, want the rewritten entry's 4", hw)
	}
	m.push(9, 6)
	m.truncate(10) // nothing there
	for what, f := range map[string]func(){
		"truncation below the commit index": func() { m.truncate(8) },
		"a gap":                             func() { m.push(12, 9) },
		"a commit past the end":             func() { m.commit(10) },
	} {
		if violation(f) == nil {
			t.Errorf("%s is not an invariant violation", what)
		}
	}
}

func violation(f func()) (err error) {
	defer invariants.Recover(&err)
	f()
	return nil
}

// TestProposalOutcomes: a truncation decides nothing. What was truncated may come
// back, from another replica or from this one's disk; only another entry
// committed in its place makes it definitely not written (found by the
// simulation, seed 4738).
func TestProposalOutcomes(t *testing.T) {
	var p proposals
	for i := range 6 {
		p.push(proposal{index: raft.Index(10 + i), term: 3, base: record.Offset(i), last: record.Offset(i), token: uint64(i)})
	}
	terms := map[raft.Index]raft.Term{10: 3, 11: 3, 12: 3, 13: 5}
	term := func(i raft.Index) raft.Term { return terms[i] }
	var out Output
	p.commit(10, term, &out)
	p.truncate(12) // 12 to 15 are gone here
	if len(out.Appends) != 1 {
		t.Fatalf("a truncation decided %+v", out.Appends)
	}
	p.push(proposal{index: 12, term: 6, token: 99}) // leading again, at the same place
	p.truncate(12)
	p.commit(13, term, &out) // 12 of term 3 came back, another entry is at 13
	p.fail(errors.New("stopped"), &out)
	var done, lost, unknown []uint64
	for _, r := range out.Appends {
		var l *LostError
		var u *UnknownError
		switch {
		case r.Err == nil:
			done = append(done, r.Token)
		case errors.As(r.Err, &l):
			lost = append(lost, r.Token)
			if !IsNotWritten(r.Err) {
				t.Error("an overwritten batch isn't reported as definitely not written")
			}
		case errors.As(r.Err, &u):
			unknown = append(unknown, r.Token)
			if IsNotWritten(r.Err) {
				t.Error("an unknown batch is reported as not written")
			}
		}
	}
	slices.Sort(done)
	slices.Sort(lost)
	slices.Sort(unknown)
	if !slices.Equal(done, []uint64{0, 1, 2}) || !slices.Equal(lost, []uint64{3, 99}) || !slices.Equal(unknown, []uint64{4, 5}) {
		t.Errorf("done %v, lost %v, unknown %v", done, lost, unknown)
	}
}

func TestHardStateRoundTrip(t *testing.T) {
	want := raft.HardState{Term: 1 << 40, Vote: 7<<16 | 3}
	id, got, err := DecodeHardState(EncodeHardState(9, want))
	if err != nil || id != 9 || got != want {
		t.Errorf("got %d %+v, %v", id, got, err)
	}
	for name, b := range map[string][]byte{
		"empty": {}, "short": make([]byte, stateBytes-1), "long": make([]byte, stateBytes+1),
		"version": append([]byte{9}, make([]byte, stateBytes-1)...),
	} {
		if _, _, err := DecodeHardState(b); err == nil {
			t.Errorf("%s value decodes", name)
		}
	}
}

func FuzzDecodeHardState(f *testing.F) {
	f.Add(EncodeHardState(1, raft.HardState{Term: 5, Vote: 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, hs, err := DecodeHardState(b)
		if err == nil && !slices.Equal(EncodeHardState(id, hs), b) {
			t.Errorf("%x decodes to something else", b)
		}
	})
}
