package lint

import (
	"fmt"
	"slices"
	"strings"
)

// checkLayers compares every import with the table. Tests may reach further
// down than their package (whatever it may reach through others) and may use
// the test support, but never what lies above them.
func checkLayers(t *Tree, c Config) []Finding {
	var out []Finding
	missing := map[string]bool{}
	for _, f := range t.Files {
		row, ok := c.Packages[f.Dir]
		if !ok {
			if !missing[f.Dir] {
				missing[f.Dir] = true
				out = append(out, Finding{"layers", f.Path, 1, fmt.Sprintf("package %q has no row in the import table: decide its layer in internal/lint/table.go", f.Dir)})
			}
			continue
		}
		for _, s := range f.syntax.Imports {
			ip := strings.Trim(s.Path.Value, `"`)
			line := t.line(s.Pos())
			if s.Name != nil && s.Name.Name == "." {
				out = append(out, Finding{"layers", f.Path, line, "dot import hides names from the rules: import it by name"})
			}
			if text := judgeImport(t, c, f, row, ip); text != "" {
				out = append(out, Finding{"layers", f.Path, line, text})
			}
		}
	}
	return append(out, checkTable(c)...)
}

func judgeImport(t *Tree, c Config, f *File, row Package, ip string) string {
	dir, own := strings.CutPrefix(ip, t.Module+"/")
	if !own {
		return judgeExternal(f, row, ip)
	}
	if (dir == "broker" || strings.HasPrefix(dir, "broker/")) && (row.Layer == C1 || row.Layer == C2) {
		return "a client must not import the broker, not even in a test: it would pull the server into every user's program. Use internal/fakebroker; tests against a real broker live in tests/"
	}
	if slices.Contains(row.Imports, dir) || row.Layer == T {
		return ""
	}
	if f.Test && (dir == f.Dir || slices.Contains(testSupport, dir) || reaches(c, f.Dir, dir)) {
		return ""
	}
	return fmt.Sprintf("%s must not import %s: imports point down, see the table in internal/lint/table.go (allowed: %s). Take an interface or a value from above instead",
		f.Dir, dir, strings.Join(row.Imports, ", "))
}

func judgeExternal(f *File, row Package, ip string) string {
	first, _, _ := strings.Cut(ip, "/")
	if !strings.Contains(first, ".") || f.Test || row.Layer == T {
		return ""
	}
	for _, e := range row.External {
		if ip == e || strings.HasPrefix(ip, e+"/") {
			return ""
		}
	}
	return fmt.Sprintf("%s must not import %s: outside libraries have one home each, see the table in internal/lint/table.go", f.Dir, ip)
}

// reaches says whether from may import to, directly or through others.
func reaches(c Config, from, to string) bool {
	seen := map[string]bool{}
	var walk func(string) bool
	walk = func(d string) bool {
		if seen[d] {
			return false
		}
		seen[d] = true
		return slices.ContainsFunc(c.Packages[d].Imports, func(n string) bool { return n == to || walk(n) })
	}
	return walk(from)
}

// checkTable proves the table itself: no import leads up, none leads in a circle.
func checkTable(c Config) []Finding {
	var out []Finding
	for dir, row := range c.Packages {
		for _, imp := range row.Imports {
			target, ok := c.Packages[imp]
			switch {
			case !ok:
				out = append(out, Finding{"layers", "internal/lint/table.go", 1, fmt.Sprintf("%s may import %s, which has no row", dir, imp)})
			case target.Layer > row.Layer:
				out = append(out, Finding{"layers", "internal/lint/table.go", 1, fmt.Sprintf("%s may import %s, which lies above it", dir, imp)})
			case reaches(c, imp, dir):
				out = append(out, Finding{"layers", "internal/lint/table.go", 1, fmt.Sprintf("%s and %s may import each other", dir, imp)})
			}
		}
	}
	return out
}
