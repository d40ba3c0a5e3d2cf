package journal_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/vfs"
)

// nosync leaves out the syncs that cannot matter here: these tests look at the
// bytes only, and open a journal thousands of times.
type nosync struct{ journal.Engine }

func (nosync) Sync() error { return nil }

type nosyncFS struct{ vfs.FS }

func (nosyncFS) SyncDir(string) error { return nil }

func fastOptions(dir string) journal.Options {
	return journal.WithEngine(journal.Options{Dir: dir, Owner: owner, SegmentBytes: 512, FS: nosyncFS{vfs.OS()}},
		func(_ string, e journal.Engine) journal.Engine { return nosync{e} })
}

// series is a journal after a few saves: its files, and the states that the
// last saves left.
type series struct {
	files  map[string]string
	states []string // by save; the last one is acknowledged
	// lastBytes is how long the last record is in its file, tailName the file that
	// ends with it.
	lastBytes int
	tailName  string
}

func newSeries(t *testing.T, saves int) *series {
	t.Helper()
	dir := t.TempDir()
	w, _, err := journal.Open(fastOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s := &series{states: []string{fmt.Sprint(dump(t, w))}}
	before := map[string]string{}
	for n := range saves {
		before = files(t, dir)
		if err := w.Save([]journal.Entry{entry(n%5, fmt.Sprintf("term %d, vote %d", n+1, n%3+1))}); err != nil {
			t.Fatal(err)
		}
		s.states = append(s.states, fmt.Sprint(dump(t, w)))
	}
	s.files = files(t, dir)
	if saves == 0 {
		before = s.files
	}
	for name, data := range s.files {
		if strings.HasPrefix(name, "a/") && len(data) > len(before[name]) {
			s.tailName = path.Base(name)
			s.lastBytes = len(data) - len(before[name])
		}
	}
	return s
}

func (s *series) newest() string { return s.states[len(s.states)-1] }

func (s *series) names(prefix string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

// decided returns the state that recovery finds in files.
func decided(t *testing.T, from map[string]string) (string, []string, error) {
	t.Helper()
	m := vfs.NewMem()
	for name, data := range from {
		if err := m.MkdirAll(path.Dir(name)); err != nil {
			t.Fatal(err)
		}
		f, err := m.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(data), 0); err != nil {
			t.Fatal(err)
		}
	}
	entries, warnings, err := journal.Decide(m, ".")
	state := map[journal.Key]string{}
	for _, e := range entries {
		state[e.Key] = string(e.Value)
	}
	return fmt.Sprint(state), warnings, err
}

// openFiles restores files into dir, opens the journal and returns its state. The
// journal must then hold the state in both copies, whole.
func openFiles(t *testing.T, dir string, from map[string]string) (string, journal.Report, error) {
	t.Helper()
	restore(t, dir, from)
	w, report, err := journal.Open(fastOptions(dir))
	if err != nil {
		if now := files(t, dir); !maps.Equal(now, from) {
			t.Fatalf("a failed Open changed the files: %v", err)
		}
		return "", report, err
	}
	state := fmt.Sprint(dump(t, w))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return state, report, nil
}

// TestOneCopyDamaged flips every byte, and cuts at every length, every file of
// one copy: the other one has the newest state, and the damaged one is rebuilt.
func TestOneCopyDamaged(t *testing.T) {
	for _, saves := range []int{0, 1, 9, 26} { // the 25th drops what is old
		t.Run(fmt.Sprint(saves), func(t *testing.T) { testOneCopyDamaged(t, newSeries(t, saves), saves) })
	}
}

func testOneCopyDamaged(t *testing.T, s *series, saves int) {
	dir := t.TempDir()
	cases := 0
	check := func(what string, damaged map[string]string) {
		t.Helper()
		state, warnings, err := decided(t, damaged)
		// A second copy without the last record is what a crash leaves: no warning.
		last := s.files["b/"+s.tailName]
		if saves > 0 && damaged["b/"+s.tailName] == last[:len(last)-s.lastBytes] && err == nil && state == s.newest() {
			return
		}
		if err != nil || state != s.newest() || len(warnings) == 0 {
			t.Fatalf("%s: %v, state %s, want %s, warnings %q", what, err, state, s.newest(), warnings)
		}
		// The bytes decide; that the repair works is tried on real files, on some.
		if cases++; cases%97 != 0 {
			return
		}
		state, report, err := openFiles(t, dir, damaged)
		if err != nil || state != s.newest() {
			t.Fatalf("%s: %v, state %s, want %s", what, err, state, s.newest())
		}
		if len(report.Warnings) == 0 {
			t.Fatalf("%s: no warning", what)
		}
		again, report, err := openFiles(t, dir, files(t, dir))
		if err != nil || again != state || len(report.Warnings) != 0 {
			t.Fatalf("%s: second open: %v, %s, warnings %q", what, err, again, report.Warnings)
		}
	}
	for _, cp := range []string{"a/", "b/"} {
		for _, name := range s.names(cp) {
			data := s.files[name]
			for i := range len(data) {
				bit := byte(1) << (i % 8)
				check(fmt.Sprintf("flip %s[%d]", name, i), with(s.files, name, flipAt(data, i, bit)))
			}
			for i := range len(data) {
				check(fmt.Sprintf("cut %s at %d", name, i), with(s.files, name, data[:i]))
			}
			if data != "" {
				gone := maps.Clone(s.files)
				delete(gone, name)
				check("remove "+name, gone)
			}
			check("grow "+name, with(s.files, name, data+"\x00\x00\x00"))
		}
		gone := maps.Clone(s.files)
		maps.DeleteFunc(gone, func(name, _ string) bool { return strings.HasPrefix(name, cp) })
		check("remove copy "+cp, gone)
	}
}

func flipAt(data string, i int, bits byte) string {
	b := []byte(data)
	b[i] ^= bits
	return string(b)
}

func with(files map[string]string, name, data string) map[string]string {
	out := maps.Clone(files)
	out[name] = data
	return out
}

// TestPowerLossDuringSave makes every picture that a power loss leaves of the
// last Save: nothing of it can have been promised, so the journal must open, with
// the state before or the new one.
func TestPowerLossDuringSave(t *testing.T) {
	s := newSeries(t, 9)
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(3, 4))
	old, newest := s.states[len(s.states)-2], s.newest()
	for _, cp := range []string{"a", "b"} {
		name := path.Join(cp, s.tailName)
		data := s.files[name]
		start := len(data) - s.lastBytes
		for what, tails := range tornForms(data[start:], r) {
			for i, tail := range tails {
				torn := with(s.files, name, data[:start]+tail)
				want := newest
				if cp == "a" {
					other := path.Join("b", s.tailName)
					torn[other] = s.files[other][:start]
					want = old
				}
				state, warnings, err := decided(t, torn)
				if err != nil || state != want {
					t.Fatalf("%s, %s %d: %v, state %s, want %s (%q)", cp, what, i, err, state, want, tail)
				}
				if i%17 == 0 {
					if state, _, err := openFiles(t, dir, torn); err != nil || state != want {
						t.Fatalf("%s, %s %d: %v, state %s, want %s (%q)", cp, what, i, err, state, want, tail)
					}
				}
				for _, warning := range warnings {
					if strings.Contains(warning, "rebuilt") {
						t.Fatalf("%s, %s %d: an ordinary crash is taken for damage: %s", cp, what, i, warning)
					}
				}
			}
		}
	}
}

// tornForms returns what may be left of an unsynced write.
func tornForms(rec string, r *rand.Rand) map[string][]string {
	forms := map[string][]string{}
	for i := range len(rec) {
		forms["cut"] = append(forms["cut"], rec[:i])
		forms["cut, size kept, zeros"] = append(forms["cut, size kept, zeros"], rec[:i]+strings.Repeat("\x00", len(rec)-i))
		if len(rec)-i > 4 {
			garbage := make([]byte, len(rec)-i)
			for j := range garbage {
				garbage[j] = byte(r.Uint32())
			}
			forms["cut, garbage"] = append(forms["cut, garbage"], rec[:i]+string(garbage))
		}
		if i > 0 && i+24 < len(rec) {
			forms["hole"] = append(forms["hole"], rec[:i]+strings.Repeat("\x00", 24)+rec[i+24:])
		}
		if i > 1 { // with only its length lost the record is whole: accepted as well
			forms["start lost"] = append(forms["start lost"], strings.Repeat("\x00", i)+rec[i:])
		}
	}
	forms["zeros beyond"] = append(forms["zeros beyond"], strings.Repeat("\x00", 4096))
	return forms
}

// TestBothCopiesDamaged damages both copies in many ways: the newest state comes
// out, or a typed error and no change, never an older one.
func TestBothCopiesDamaged(t *testing.T) {
	s := newSeries(t, 9)
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(5, 6))
	const rounds = 8000
	opened := 0
	for round := range rounds {
		damaged := maps.Clone(s.files)
		flip(damaged, pick(r, s.names("a/")), r)
		what := ""
		switch name := pick(r, s.names("b/")); r.IntN(4) {
		case 0:
			what = "flip " + name
			flip(damaged, name, r)
		case 1:
			if n := len(damaged[name]); n > 0 {
				n = r.IntN(n)
				what = fmt.Sprintf("cut %s at %d", name, n)
				damaged[name] = damaged[name][:n]
			}
		case 2:
			what = "remove " + name
			delete(damaged, name)
		case 3:
			what = "grow " + name
			damaged[name] += strings.Repeat("\x00", 1+r.IntN(50))
		}
		state, _, err := decided(t, damaged)
		if round%100 == 0 {
			state, _, err = openFiles(t, dir, damaged)
		}
		var corrupt *journal.CorruptionError
		switch {
		case err == nil && state != s.newest():
			t.Fatalf("round %d, %s: state %s, want %s", round, what, state, s.newest())
		case err != nil && (!errors.As(err, &corrupt) || !errors.Is(err, journal.ErrCorrupt)):
			t.Fatalf("round %d, %s: %v", round, what, err)
		case err == nil:
			opened++
		case corrupt.Path == "" || !strings.Contains(err.Error(), "new id"):
			t.Fatalf("the error names no file or no remedy: %v", err)
		}
	}
	if opened < rounds/10 {
		t.Fatalf("only %d of %d opened: damage in different places can be healed", opened, rounds)
	}
	t.Logf("%d of %d healed", opened, rounds)
}

func pick(r *rand.Rand, names []string) string { return names[r.IntN(len(names))] }

func flip(files map[string]string, name string, r *rand.Rand) {
	b := []byte(files[name])
	if len(b) > 0 {
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		files[name] = string(b)
	}
}

// TestSameDamageInBoth flips the same byte of the last record in both copies,
// and of the last record of the first while the second lost its own: that is how
// an older vote could come back.
func TestSameDamageInBoth(t *testing.T) {
	s := newSeries(t, 9)
	a, b := path.Join("a", s.tailName), path.Join("b", s.tailName)
	data := s.files[a]
	start := len(data) - s.lastBytes
	for i := start + 1; i < len(data); i++ { // the record itself, without the library's length
		flipped := flipAt(data, i, 4)
		for what, second := range map[string]string{
			"flipped too": flipped, "cut at the record": data[:start], "cut in the record": data[:start+s.lastBytes/2],
		} {
			damaged := with(with(s.files, a, flipped), b, second)
			_, _, err := decided(t, damaged)
			var corrupt *journal.CorruptionError
			if !errors.As(err, &corrupt) {
				t.Fatalf("byte %d, second copy %s: %v", i, what, err)
			}
			if corrupt.Generation == 0 || corrupt.Path == "" {
				t.Fatalf("byte %d: %+v", i, corrupt)
			}
		}
	}
}

// TestPictures are pairs of tails, each with what it must mean. G is the newest
// whole record, G+1 the one after.
func TestPictures(t *testing.T) {
	s := newSeries(t, 9)
	a, b := path.Join("a", s.tailName), path.Join("b", s.tailName)
	data := s.files[a]
	before := data[:len(data)-s.lastBytes]
	torn := before + data[len(before):len(data)-9]
	flipped := flipAt(data, len(data)-20, 1)
	next := "\x50" + string(journal.AppendRecord(nil, 1, 11, owner, []journal.Entry{entry(1, "a vote, half writ")}))
	old, newest := s.states[8], s.newest()
	for _, c := range []struct {
		what, a, b string
		want       string // state, or "" for a *CorruptionError
		warn       string
	}{
		{"both whole", data, data, newest, ""},
		{"crash between the copies", data, before, newest, ""},
		{"crash in the first", torn, before, old, "torn tail"},
		{"crash in the second", data, torn, newest, "torn tail"},
		{"crash in the first, of the next", data + next[:30], data, newest, "torn tail"},
		{"first damaged", flipped, data, newest, "rebuilt"},
		{"first lost its last", before, data, newest, "rebuilt"},
		{"second damaged", data, flipped, newest, "rebuilt"},
		{"first damaged, second lost its last", flipped, before, "", ""},
		{"first damaged, second torn", flipped, torn, "", ""},
		{"first lost its last, second torn", before, torn, "", ""},
		{"first lost its last, second damaged", before, flipped, "", ""},
		{"both torn", torn, torn, "", ""},
		{"crash in the first, second lost what was acknowledged", data + next[:30], before, "", ""},
		{"the next damaged in the first, second without", data + flipAt(next, 50, 1), data, "", ""},
		{"the next in the second only, damaged", data, data + flipAt(next, 50, 1), "", ""},
		{"zeros at the end of both", data + "\x00\x00", data + "\x00\x00", newest, "torn tail"},
	} {
		t.Run(c.what, func(t *testing.T) {
			state, warnings, err := decided(t, with(with(s.files, a, c.a), b, c.b))
			var corrupt *journal.CorruptionError
			switch {
			case c.want == "" && !errors.As(err, &corrupt):
				t.Fatalf("state %s, %v", state, err)
			case c.want != "" && (err != nil || state != c.want):
				t.Fatalf("state %s, want %s, %v", state, c.want, err)
			case c.want != "" && (c.warn == "") != (len(warnings) == 0) || c.warn != "" && !strings.Contains(warnings[0], c.warn):
				t.Fatalf("warnings %q, want %q", warnings, c.warn)
			}
		})
	}
}
