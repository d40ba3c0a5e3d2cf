package raft

// White-box: the term list is private, and a naive model can be compared with it
// only from inside.

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/logq/logq/internal/invariants"
)

// model is a log as a slice of terms: entry prev.Index+1 has terms[0].
type model struct {
	prev  EntryID
	terms []Term
}

func (m *model) last() Index { return m.prev.Index + Index(len(m.terms)) }

func (m *model) term(i Index) (Term, bool) {
	switch {
	case i == m.prev.Index:
		return m.prev.Term, true
	case i > m.prev.Index && i <= m.last():
		return m.terms[i-m.prev.Index-1], true
	}
	return 0, false
}

func (m *model) view() logView {
	v := logView{prev: m.prev, last: m.prev.Index}
	for i, t := range m.terms {
		if len(v.terms) == 0 || v.terms[len(v.terms)-1].Term != t {
			v.terms = append(v.terms, TermStart{Term: t, First: m.prev.Index + 1 + Index(i)})
		}
		v.last++
	}
	v.durable = v.last
	return v
}

func randomModel(r *rand.Rand) *model {
	m := &model{}
	if r.IntN(3) == 0 {
		m.prev = EntryID{Term: Term(1 + r.IntN(3)), Index: Index(1 + r.IntN(5))}
	}
	m.extend(r)
	return m
}

func (m *model) extend(r *rand.Rand) {
	t := max(1, m.prev.Term)
	if n := len(m.terms); n > 0 {
		t = m.terms[n-1]
	}
	for range r.IntN(12) {
		if r.IntN(3) == 0 {
			t += Term(1 + r.IntN(3))
		}
		m.terms = append(m.terms, t)
	}
}

// TestLogViewEqualsModel changes a log at random and compares every answer with
// the model's.
func TestLogViewEqualsModel(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 300 {
		m := randomModel(r)
		v := m.view()
		for range 20 {
			if n := len(m.terms); n > 0 && r.IntN(2) == 0 {
				keep := r.IntN(n)
				v.durable = m.prev.Index + Index(r.IntN(n+1))
				durable := min(v.durable, m.prev.Index+Index(keep))
				v.truncate(m.prev.Index + 1 + Index(keep))
				m.terms = m.terms[:keep]
				if v.durable != durable {
					t.Fatalf("durable %d after a truncation, want %d", v.durable, durable)
				}
			} else {
				from := len(m.terms)
				m.extend(r)
				for i := from; i < len(m.terms); {
					k := i
					for k < len(m.terms) && m.terms[k] == m.terms[i] {
						k++
					}
					v.append(m.prev.Index+1+Index(k), m.terms[i])
					i = k
				}
			}
			compareViews(t, m, &v, r)
		}
	}
}

func compareViews(t *testing.T, m *model, v *logView, r *rand.Rand) {
	t.Helper()
	if want := m.view(); v.last != want.last || !slices.Equal(v.terms, want.terms) {
		t.Fatalf("log %+v, want %+v", v, want)
	}
	for i := range m.last() + 3 {
		got, ok := v.term(i)
		want, wantOK := m.term(i)
		if got != want || ok != wantOK {
			t.Fatalf("term(%d) = %d, %v; want %d, %v of %+v", i, got, ok, want, wantOK, m)
		}
		for term := range m.lastTerm() + 2 {
			if has := v.has(EntryID{Term: term, Index: i}); has != (wantOK && want == term) {
				t.Fatalf("has(%d/%d) = %v of %+v", term, i, has, m)
			}
			checkFloor(t, m, v, i, term)
			e := EntryID{Term: term, Index: i}
			last := EntryID{Term: m.lastTerm(), Index: m.last()}
			newer := term > last.Term || term == last.Term && i >= last.Index
			if v.behind(e) != newer {
				t.Fatalf("behind(%v) = %v of %+v", e, v.behind(e), m)
			}
		}
	}
	// conflict, for a range that starts in the log or right after it.
	lo := m.prev.Index + 1 + Index(r.IntN(len(m.terms)+1))
	hi := lo + 1 + Index(r.IntN(5))
	term := Term(1 + r.IntN(int(m.lastTerm())+2))
	want := lo
	for ; want < hi; want++ {
		if got, ok := m.term(want); !ok || got != term {
			break
		}
	}
	if got := v.conflict(lo, hi, term); got != want {
		t.Fatalf("conflict(%d, %d, %d) = %d, want %d of %+v", lo, hi, term, got, want, m)
	}
}

func (m *model) lastTerm() Term {
	t, _ := m.term(m.last())
	return t
}

func checkFloor(t *testing.T, m *model, v *logView, i Index, term Term) {
	t.Helper()
	want, first := m.prev, m.prev.Index
	for k := min(i, m.last()); k > m.prev.Index; k-- {
		if at, _ := m.term(k); at <= term {
			want = EntryID{Term: at, Index: k}
			for first = k; first > m.prev.Index+1; first-- {
				if before, _ := m.term(first - 1); before != at {
					break
				}
			}
			break
		}
	}
	if got, gotFirst := v.floor(i, term); got != want || gotFirst != first {
		t.Fatalf("floor(%d, %d) = %v from %d, want %v from %d of %+v", i, term, got, gotFirst, want, first, m)
	}
}

// histories returns two logs as Raft can bring them about: runs of one term start
// at the same index behind the same prefix in both or are in one only.
func histories(r *rand.Rand) (leader, follower *model) {
	leader = &model{}
	for t := Term(1); t < Term(2+r.IntN(4)); t++ {
		for range r.IntN(4) {
			leader.terms = append(leader.terms, t)
		}
	}
	follower = &model{terms: slices.Clone(leader.terms)}
	// From here on they share at most the front of one run.
	top := leader.lastTerm()
	if n := len(leader.terms); n > 0 && r.IntN(2) == 0 {
		follower.terms = follower.terms[:r.IntN(n+1)]
	}
	for term := top + 1; term < top+9; term++ {
		to := leader
		if r.IntN(2) == 0 {
			to = follower
		}
		for range r.IntN(4) {
			to.terms = append(to.terms, term)
		}
	}
	return leader, follower
}

// commonPrefix is the naive answer.
func commonPrefix(a, b *model) Index {
	n := Index(0)
	for int(n) < len(a.terms) && int(n) < len(b.terms) && a.terms[n] == b.terms[n] {
		n++
	}
	return n
}

// TestConflictSearchFindsTheCommonPrefix plays leader and follower with their
// term lists alone. It ends at the longest common prefix, never beyond, with at
// most one refusal for each term that is in one log only, and a sure answer is
// right.
func TestConflictSearchFindsTheCommonPrefix(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 3))
	refusals, one := 0, 0
	const runs = 50_000
	for range runs {
		lm, fm := histories(r)
		lead, follow := lm.view(), fm.view()
		common := commonPrefix(lm, fm)
		differing := 0
		for _, m := range []*model{lm, fm} {
			for i, term := range m.terms {
				if Index(i) >= common && (i == 0 || m.terms[i-1] != term || Index(i) == common) {
					differing++
				}
			}
		}
		prev, rounds := lead.last, 0
		for {
			term, ok := lead.term(prev)
			if !ok {
				t.Fatalf("the leader probes at %d of %+v", prev, lm)
			}
			if follow.has(EntryID{Term: term, Index: prev}) {
				break
			}
			rounds++
			hint, first := follow.hint(EntryID{Term: term, Index: prev})
			i, sure := lead.resolve(hint, first)
			if i >= prev {
				t.Fatalf("the search stays at %d: leader %v, follower %v", prev, lm.terms, fm.terms)
			}
			if i < common {
				t.Fatalf("the search goes to %d, %d are common: leader %v, follower %v", i, common, lm.terms, fm.terms)
			}
			if sure && i != common {
				t.Fatalf("sure of %d, %d are common: leader %v, follower %v", i, common, lm.terms, fm.terms)
			}
			prev = i
		}
		if prev != common {
			t.Fatalf("found %d, want %d: leader %v, follower %v", prev, common, lm.terms, fm.terms)
		}
		if rounds > max(1, differing) {
			t.Fatalf("%d refusals for %d differing terms: leader %v, follower %v", rounds, differing, lm.terms, fm.terms)
		}
		refusals += rounds
		if rounds <= 1 {
			one++
		}
	}
	t.Logf("%.2f refusals on average, at most one in %.0f%%", float64(refusals)/runs, 100*float64(one)/runs)
}

// What the first index of the hinted term is for: the leader holds nothing of that
// term, and skips all of the follower's run at once.
func TestFirstIndexSavesAProbe(t *testing.T) {
	lead := (&model{terms: []Term{1, 1, 1, 1, 1, 5}}).view()
	follow := (&model{terms: []Term{1, 3, 3, 3, 3, 3, 3}}).view()
	hint, first := follow.hint(EntryID{Term: 5, Index: 6})
	if want := (EntryID{Term: 3, Index: 6}); hint != want || first != 2 {
		t.Fatalf("hint %v from %d, want %v from 2", hint, first, want)
	}
	if i, _ := lead.resolve(hint, first); i != 1 {
		t.Errorf("the leader goes on at %d, want 1, which is the common prefix", i)
	}
}

// The leader's log may start later than the hint: it stays in its own log.
func TestResolveStaysInTheLog(t *testing.T) {
	v := (&model{prev: EntryID{Term: 3, Index: 10}, terms: []Term{3, 4, 4}}).view()
	for _, tc := range []struct {
		hint  EntryID
		first Index
		want  Index
		sure  bool
	}{
		{EntryID{Term: 3, Index: 5}, 5, 10, false},
		{EntryID{Term: 3, Index: 10}, 8, 10, true},
		{EntryID{Term: 3, Index: 12}, 8, 11, true},
		{EntryID{Term: 4, Index: 12}, 12, 12, true},
		{EntryID{Term: 2, Index: 12}, 2, 10, false},
		{EntryID{}, 0, 10, false},
		{EntryID{Term: 9, Index: 99}, 14, 13, false},
	} {
		if i, sure := v.resolve(tc.hint, tc.first); i != tc.want || sure != tc.sure {
			t.Errorf("resolve(%v, %d) = %d, %v; want %d, %v", tc.hint, tc.first, i, sure, tc.want, tc.sure)
		}
	}
}

func TestLogViewRefusesWhatBreaksIt(t *testing.T) {
	for name, f := range map[string]func(v *logView){
		"append of an earlier term":      func(v *logView) { v.append(6, 1) },
		"append of term 0":               func(v *logView) { v.append(6, 0) },
		"append of nothing":              func(v *logView) { v.append(5, 3) },
		"truncation beyond the end":      func(v *logView) { v.truncate(5) },
		"truncation of the entry before": func(v *logView) { v.truncate(0) },
	} {
		v := (&model{terms: []Term{1, 1, 2, 2}}).view()
		err := func() (err error) {
			defer invariants.Recover(&err)
			f(&v)
			return nil
		}()
		var violation *invariants.Violation
		if !errors.As(err, &violation) {
			t.Errorf("%s gives %v, want a violation", name, err)
		}
	}
}

func TestRing(t *testing.T) {
	var q ring[int]
	var want []int
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 10_000 {
		switch {
		case len(want) == 0 || r.IntN(5) < 2:
			q.push(i)
			want = append(want, i)
		case r.IntN(2) == 0:
			if got := q.popFront(); got != want[0] {
				t.Fatalf("popFront gives %d, want %d", got, want[0])
			}
			want = want[1:]
		case r.IntN(100) == 0:
			q.clear()
			want = nil
		default:
			if got := q.popBack(); got != want[len(want)-1] {
				t.Fatalf("popBack gives %d, want %d", got, want[len(want)-1])
			}
			want = want[:len(want)-1]
		}
		if q.len() != len(want) {
			t.Fatalf("length %d, want %d", q.len(), len(want))
		}
		for k, v := range want {
			if *q.at(k) != v {
				t.Fatalf("at(%d) = %d, want %d", k, *q.at(k), v)
			}
		}
	}
}
