package lint_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/logq/logq/internal/lint"
)

// doc is a package comment for the small trees below.
func doc(name string) string {
	return "// Package " + name + " is made for a test.\npackage " + name + "\n"
}

// small is a table with one package of each kind.
func small() lint.Config {
	c := lint.Default()
	c.Packages = map[string]lint.Package{
		"low":         {Layer: lint.L0, External: []string{"example.org/codec"}},
		"mid":         {Layer: lint.L1, Imports: []string{"low"}},
		"host":        {Layer: lint.L3, Imports: []string{"mid"}},
		"client":      {Layer: lint.C2},
		"broker":      {Layer: lint.L6, Imports: []string{"host"}},
		"cmd/logq":    {Layer: lint.L8, Imports: []string{"broker"}},
		"fake":        {Layer: lint.T},
		"tests/whole": {Layer: lint.T},
	}
	return c
}

func check(t *testing.T, c lint.Config, files map[string]string) []lint.Finding {
	t.Helper()
	fsys := fstest.MapFS{"go.mod": {Data: []byte("module x.org/m\n\ngo 1.26\n")}}
	for name, src := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(src)}
	}
	tree, err := lint.Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return lint.Check(tree, c)
}

func TestRules(t *testing.T) {
	long := "package mid\n\nfunc f() {\n" + strings.Repeat("\t_ = 1\n", 80) + "}\n"
	tests := []struct {
		name  string
		files map[string]string
		want  []string // "path:line: rule" and a piece of the text, split by " | "
	}{
		{"clean", map[string]string{"low/doc.go": doc("low"), "low/a.go": "package low\n\n// A is documented.\nfunc A() {}\n"}, nil},
		{"import up", map[string]string{"low/doc.go": doc("low"), "low/a.go": "package low\n\nimport _ \"x.org/m/mid\"\n"},
			[]string{"low/a.go:3: layers | imports point down"}},
		{"import skips a layer", map[string]string{"host/doc.go": doc("host"), "host/a.go": "package host\n\nimport _ \"x.org/m/low\"\n"},
			[]string{"host/a.go:3: layers | allowed: mid"}},
		{"test may reach down", map[string]string{"host/doc.go": doc("host"), "host/a_test.go": "package host\n\nimport _ \"x.org/m/low\"\n"}, nil},
		{"test may not reach up", map[string]string{"low/doc.go": doc("low"), "low/a_test.go": "package low\n\nimport _ \"x.org/m/mid\"\n"},
			[]string{"low/a_test.go:3: layers | must not import mid"}},
		{"client imports broker", map[string]string{"client/doc.go": doc("client"), "client/a_test.go": "package client\n\nimport _ \"x.org/m/broker\"\n"},
			[]string{"client/a_test.go:3: layers | internal/fakebroker"}},
		{"outside library", map[string]string{"mid/doc.go": doc("mid"), "mid/a.go": "package mid\n\nimport (\n\t_ \"example.org/codec/v2\"\n\t_ \"strings\"\n)\n"},
			[]string{"mid/a.go:4: layers | one home"}},
		{"outside library at home", map[string]string{"low/doc.go": doc("low"), "low/a.go": "package low\n\nimport _ \"example.org/codec/zstd\"\n"}, nil},
		{"package without a row", map[string]string{"new/doc.go": doc("new"), "new/a.go": "package new\n"},
			[]string{"new/a.go:1: layers | decide its layer"}},
		{"dot import", map[string]string{"low/doc.go": doc("low"), "low/a.go": "package low\n\nimport . \"strings\"\n"},
			[]string{"low/a.go:3: layers | dot import"}},

		{"goroutine and clock below L2", map[string]string{"mid/doc.go": doc("mid"), "mid/a.go": "package mid\n\nimport \"time\"\n\nfunc f() {\n\tgo f()\n\t_ = time.Now()\n}\n"},
			[]string{"mid/a.go:6: calls | let the host do it", "mid/a.go:7: calls | time.Now is not used here"}},
		{"clock passed as a value", map[string]string{"mid/doc.go": doc("mid"), "mid/a.go": "package mid\n\nimport clock \"time\"\n\nvar now = clock.Now\n"},
			[]string{"mid/a.go:5: calls | Tick()"}},
		{"host may do both", map[string]string{"host/doc.go": doc("host"), "host/a.go": "package host\n\nimport \"time\"\n\nfunc f() {\n\tgo f()\n\t_ = time.Now()\n}\n"}, nil},
		{"files, sockets and chance", map[string]string{"mid/doc.go": doc("mid"), "mid/a.go": "package mid\n\nimport (\n\t\"math/rand/v2\"\n\t_ \"net\"\n\t_ \"os\"\n)\n\nvar n = rand.IntN(3)\n\nfunc f(r *rand.Rand) int { return r.IntN(3) }\n"},
			[]string{"mid/a.go:5: calls | sockets start at L3", "mid/a.go:6: calls | use vfs.FS", "mid/a.go:9: calls | cannot be replayed"}},
		{"local name hides the package", map[string]string{"mid/doc.go": doc("mid"), "mid/a.go": "package mid\n\nimport \"time\"\n\ntype c struct{}\n\nfunc (c) Now() time.Time { return time.Time{} }\n\nfunc f(time c) { _ = time.Now() }\n"}, nil},
		{"sleep in a test", map[string]string{"host/doc.go": doc("host"), "host/a_test.go": "package host\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n"},
			[]string{"host/a_test.go:5: calls | synctest"}},
		{"sleep in production", map[string]string{"host/doc.go": doc("host"), "host/a.go": "package host\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n"},
			[]string{"host/a.go:5: calls | ctx.Done()"}},
		{"library prints", map[string]string{"host/doc.go": doc("host"), "host/a.go": "package host\n\nimport \"fmt\"\n\nfunc f() {\n\tfmt.Println()\n\tprintln()\n}\n"},
			[]string{"host/a.go:6: calls | fmt.Println", "host/a.go:7: calls | leftover"}},
		{"panic", map[string]string{"host/doc.go": doc("host"), "host/a.go": "package host\n\nfunc f() { panic(1) }\n"},
			[]string{"host/a.go:3: calls | invariants.Assertf"}},
		{"atomic function", map[string]string{"host/doc.go": doc("host"), "host/a.go": "package host\n\nimport \"sync/atomic\"\n\nvar n int64\n\nfunc f() { atomic.AddInt64(&n, 1) }\n"},
			[]string{"host/a.go:7: calls | atomic.Int64"}},

		{"no package comment", map[string]string{"low/a.go": "package low\n"}, []string{"low/doc.go:1: docs | without a package comment"}},
		{"detached package comment", map[string]string{"low/doc.go": "// Package low is lost.\n\npackage low\n"}, []string{"low/doc.go:1: docs | remove the line"}},
		{"comment in the wrong file", map[string]string{"low/a.go": doc("low")}, []string{"low/a.go:1: docs | belongs in doc.go"}},
		{"two comments", map[string]string{"low/doc.go": doc("low"), "low/z.go": doc("low")}, []string{"low/z.go:1: docs | second"}},
		{"wrong first words", map[string]string{"low/doc.go": "// This is low.\npackage low\n"}, []string{"low/doc.go:1: docs | begins"}},
		{"program", map[string]string{"cmd/logq/main.go": "// Command logq is a program.\npackage main\n\nfunc main() {}\n"}, nil},
		{"exported names", map[string]string{"low/doc.go": doc("low"), "low/a.go": "package low\n\ntype A struct{}\n\nfunc (A) Do() {}\n\nfunc (*A) Error() string { return \"\" }\n\nconst (\n\tB = 1\n\tC = 2 // C is two.\n)\n\n// The numbers.\nvar (\n\tD = 1\n)\n\ntype e struct{}\n\nfunc (e) Do() {}\n"},
			[]string{"low/a.go:3: docs | A is exported", "low/a.go:5: docs | Do is exported", "low/a.go:10: docs | B is exported"}},

		{"long function", map[string]string{"mid/doc.go": doc("mid"), "mid/a.go": long}, []string{"mid/a.go:3: length | function f has 82 lines"}},
		{"long test", map[string]string{"mid/doc.go": doc("mid"), "mid/a_test.go": long}, nil},
		{"long file", map[string]string{"mid/doc.go": doc("mid"), "mid/a_test.go": "package mid\n" + strings.Repeat("\n", 900)}, []string{"mid/a_test.go:1: length | the file has 901 lines"}},

		{"drawer", map[string]string{"low/doc.go": doc("low"), "low/util.go": "package low\n\ntype thingManager struct{}\n"},
			[]string{"low/util.go:1: names | \"util\"", "low/util.go:3: names | thingManager"}},

		{"work mark", map[string]string{"low/doc.go": doc("low"), "low/a.go": "package low\n\n// " + "TO" + "DO: later\n", "a.md": "# A\n" + "FIX" + "ME\n"},
			[]string{"a.md:2: text | leftover", "low/a.go:3: text | leftover"}},
		{"machine path", map[string]string{"low/doc.go": doc("low"), "low/a.go": "package low\n\nconst p = \"/ho" + "me/me/x\"\n", ".ci/run": "cd /wo" + "rk/main\ncurl https://host/work/x\n"},
			[]string{".ci/run:1: text | path of one machine", "low/a.go:3: text | path of one machine"}},
		{"markdown", map[string]string{"a.md": "# A\n# B\n[x](b.md#part) [y](c.md) [z](https://x.org/)\n", "b.md": "# B\n```\n# no title\n[n](gone.md)\n```\n"},
			[]string{"a.md:1: text | 2 lines", "a.md:3: text | there is no c.md"}},
		{"long readme", map[string]string{"README.md": "# A\n" + strings.Repeat("\n", 200)}, []string{"README.md:201: text | limit is 200"}},

		{"allowed", map[string]string{"host/doc.go": doc("host"), "host/a.go": "package host\n\nfunc f() {\n\t//logq:allow calls goes on with a panic of its caller\n\tpanic(1)\n}\n"}, nil},
		{"allowed without reason", map[string]string{"host/doc.go": doc("host"), "host/a.go": "package host\n\nfunc f() {\n\tpanic(1) //logq:allow calls\n}\n"},
			[]string{"host/a.go:4: calls | Assertf", "host/a.go:4: allow | reason"}},
		{"allows nothing", map[string]string{"host/doc.go": doc("host"), "host/a.go": "package host\n\n//logq:allow calls there was a panic once\nfunc f() {}\n"},
			[]string{"host/a.go:3: allow | any more"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			compare(t, check(t, small(), tt.files), tt.want)
		})
	}
}

func compare(t *testing.T, got []lint.Finding, want []string) {
	t.Helper()
	for i, f := range got {
		if i >= len(want) {
			t.Errorf("unexpected: %s", f)
			continue
		}
		place, piece, _ := strings.Cut(want[i], " | ")
		if gotPlace := fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Rule); gotPlace != place || !strings.Contains(f.Text, piece) {
			t.Errorf("got  %s\nwant %s … %s", f, place, piece)
		}
	}
	for _, w := range want[min(len(got), len(want)):] {
		t.Errorf("not found: %s", w)
	}
}

func TestRatchet(t *testing.T) {
	src := func(n int) map[string]string {
		return map[string]string{"mid/doc.go": doc("mid"), "mid/a.go": "package mid\n\ntype t struct{}\n\nfunc (*t) f() {\n" + strings.Repeat("\t_ = 1\n", n-2) + "}\n"}
	}
	tests := []struct {
		name  string
		lines int
		want  string
	}{
		{"as listed", 90, ""},
		{"grew", 91, "mid/a.go:5: length | grew from 90 to 91"},
		{"shrank", 80, "mid/a.go:5: length | shrank from 90 to 80"},
		{"short now", 70, "mid/a.go:5: length | remove it from"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := small()
			var err error
			if c.Long, err = lint.ParseLong("# comment\nmid/a.go t.f 90\n"); err != nil {
				t.Fatal(err)
			}
			var want []string
			if tt.want != "" {
				want = []string{tt.want}
			}
			compare(t, check(t, c, src(tt.lines)), want)
		})
	}
	t.Run("gone", func(t *testing.T) {
		c := small()
		c.Long = map[string]int{"mid/a.go t.g": 90}
		compare(t, check(t, c, src(10)), []string{"internal/lint/testdata/long.txt:1: length | is gone"})
	})
	t.Run("bad list", func(t *testing.T) {
		for _, bad := range []string{"word", "path func many"} {
			if _, err := lint.ParseLong(bad); err == nil {
				t.Errorf("%q was read as a list", bad)
			}
		}
	})
}

// TestTableIsAcyclic proves that the checker sees faults of the table itself;
// TestTree proves that the real table has none.
func TestTableIsAcyclic(t *testing.T) {
	c := small()
	c.Packages["low"] = lint.Package{Layer: lint.L1, Imports: []string{"mid", "nowhere", "host"}}
	var texts []string
	for _, f := range check(t, c, nil) {
		texts = append(texts, f.Text)
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{"low and mid may import each other", "nowhere, which has no row", "low may import host, which lies above it"} {
		if !strings.Contains(all, want) {
			t.Errorf("no finding %q in:\n%s", want, all)
		}
	}
}

func TestLoadRefusesWhatIsNoModule(t *testing.T) {
	if _, err := lint.Load(fstest.MapFS{"a.go": {Data: []byte("package a\n")}}); err == nil {
		t.Error("a tree without go.mod was loaded")
	}
	if _, err := lint.Load(fstest.MapFS{"go.mod": {Data: []byte("module m\n")}, "a.go": {Data: []byte("no Go")}}); err == nil {
		t.Error("a file with a syntax error was loaded")
	}
}
