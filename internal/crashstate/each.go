package crashstate

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math/rand/v2"

	"github.com/logq/logq/internal/vfs"
)

// Options say how many states are tried.
type Options struct {
	// Leaves is up to how many states all are tried; where there are more, about so many
	// of the package's list. Default 64.
	Leaves int
	// Samples is how many random states are tried beyond that list. Default 4.
	Samples int
	// Seed is where random states begin.
	Seed uint64
	// Garbage has files that grew without their data hold garbage, too.
	Garbage bool
}

// Each calls f with the states that a power loss may leave of m now, m itself
// unchanged, and with words that name the state among those of m. Equal states may
// come more than once; see Hash. It returns how many there were.
func Each(m *vfs.Mem, o Options, f func(state *vfs.Mem, how string)) (states int) {
	if o.Leaves == 0 {
		o.Leaves = 64
	}
	if o.Samples == 0 {
		o.Samples = 4
	}
	e := &each{m: m, o: o, f: f, rng: rand.New(rand.NewPCG(o.Seed, 5))}
	if o.Garbage {
		e.none = m.Clone(vfs.CrashOptions{})
	}
	// A torn sector is chosen, and cut, by draws as well: at the ends of its range, and
	// in between.
	if e.grain("blocks", false, 0, 15) == 0 {
		return e.states // all is durable
	}
	e.grain("sectors", true, 0, 15)
	e.grain("torn sectors", true, 3, 11)
	return e.states
}

type each struct {
	m      *vfs.Mem
	o      Options
	f      func(*vfs.Mem, string)
	rng    *rand.Rand
	none   *vfs.Mem // what is left if nothing is kept, for garbage
	states int
}

// script decides: the units in order, true to keep, and rest for those beyond.
type script struct {
	keep, lose uint64 // sixteenths of the range of those draws that are numbers
	decided    []bool
	rest       bool
	used       int
}

// Uint64 makes the next draw. rand makes floats, which decide, of the low 53 bits, and
// numbers of the high ones; it draws again where a number would not be fair, so no two
// draws are quite the same.
func (s *script) Uint64() uint64 {
	keep := s.rest
	if s.used < len(s.decided) {
		keep = s.decided[s.used]
	}
	s.used++
	other := uint64(s.used) << 33
	if keep {
		return s.keep<<60 + other
	}
	return s.lose<<60 | (1<<60 - 1 - other)
}

// grain tries the states of one size of units and returns how many of these there are.
func (e *each) grain(name string, torn bool, keep, lose uint64) (units int) {
	try := func(decided []bool, rest bool) int {
		s := &script{keep: keep, lose: lose, decided: decided, rest: rest}
		state := e.m.Clone(vfs.CrashOptions{Keep: 0.5, Torn: torn, Rand: rand.New(s)})
		e.give(state, fmt.Sprintf("%s %s", name, words(decided, rest)))
		return s.used
	}
	if units = try(nil, false); units == 0 {
		return 0
	}
	units = max(units, try(nil, true))
	if units < 30 && 1<<units <= e.o.Leaves {
		e.all(try)
		return units
	}
	e.list(units, try)
	line := make([]bool, units)
	for i := range e.o.Samples {
		share := e.rng.Float64()
		for j := range line {
			line[j] = e.rng.Float64() < share
		}
		try(line, i%2 == 0)
	}
	return units
}

// list tries each unit alone, kept or lost, and the first and the last so many, at no more
// places than Leaves allows, spread evenly.
func (e *each) list(units int, try func([]bool, bool) int) {
	step := (4*units + e.o.Leaves - 1) / e.o.Leaves
	one, all := make([]bool, units), make([]bool, units)
	for i := range all {
		all[i] = true
	}
	for i := e.rng.IntN(step); i < units; i += step {
		one[i], all[i] = true, false
		try(one, false)      // it alone is kept
		try(all[:i+1], true) // it alone is lost
		one[i], all[i] = false, true
		try(all[:i], false) // all before it are kept
		try(one[:i], true)  // all from it on are kept
	}
}

// all goes through the tree of decisions: how many there are may depend on earlier ones.
func (e *each) all(try func([]bool, bool) int) {
	var decided []bool
	for {
		used := try(decided, false)
		for len(decided) < used {
			decided = append(decided, false)
		}
		decided = decided[:used]
		last := len(decided) - 1
		for last >= 0 && decided[last] {
			last--
		}
		if last < 0 {
			return
		}
		decided = append(decided[:last:last], true)
	}
}

func words(decided []bool, rest bool) string {
	b := make([]byte, 0, len(decided)+2)
	for _, d := range append(decided[:len(decided):len(decided)], rest) {
		b = append(b, "-+"[bit(d)])
	}
	return string(b) + "…"
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (e *each) give(state *vfs.Mem, how string) {
	e.states++
	var rubbish *vfs.Mem
	if e.o.Garbage {
		rubbish = state.Clone(vfs.CrashOptions{}) // before f changes it
	}
	e.f(state, how)
	if rubbish == nil {
		return
	}
	for _, kind := range []string{"random", "stale"} {
		with := rubbish.Clone(vfs.CrashOptions{})
		if e.spoil(with, kind) {
			e.states++
			e.f(with, how+", "+kind+" garbage")
		}
	}
}

var hashSeed = maphash.MakeSeed()

// Hash returns a number that is the same for equal disks, and only there, but for
// chance. It is good within one process.
func Hash(m *vfs.Mem) uint64 {
	var h maphash.Hash
	h.SetSeed(hashSeed)
	walk(m, "/", func(name string, content []byte) {
		maphash.WriteComparable(&h, name)
		maphash.WriteComparable(&h, len(content))
		_, _ = h.Write(bytes.TrimRight(content, "\x00")) // never fails
	})
	return h.Sum64()
}
