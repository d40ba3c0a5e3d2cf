package lint

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"strings"
)

// drawers are names that say nothing about what is inside.
var (
	drawerDir  = regexp.MustCompile(`^(utils?|commons?|misc|managers?)$`)
	drawerType = regexp.MustCompile(`(Manager|Utils?|Common)$`)
)

func checkNames(t *Tree) []Finding {
	var out []Finding
	seen := map[string]bool{}
	for _, f := range t.Files {
		stem := strings.TrimSuffix(strings.TrimSuffix(path.Base(f.Path), ".go"), "_test")
		for _, name := range []string{path.Base(f.Dir), stem} {
			if drawerDir.MatchString(name) && !seen[f.Dir+" "+name] {
				seen[f.Dir+" "+name] = true
				out = append(out, Finding{"names", f.Path, 1, fmt.Sprintf("%q says nothing about what is inside: name it after its one purpose", name)})
			}
		}
		if f.Test {
			continue
		}
		for _, d := range f.syntax.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range g.Specs {
				if ts, ok := s.(*ast.TypeSpec); ok && drawerType.MatchString(ts.Name.Name) {
					out = append(out, Finding{"names", f.Path, t.line(ts.Pos()), fmt.Sprintf("type %s says nothing about what it does: name it after its one purpose", ts.Name.Name)})
				}
			}
		}
	}
	return out
}
