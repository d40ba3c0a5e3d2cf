package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"strings"
)

// checkDocs asks for a package comment in doc.go and a comment on every
// exported name of production code.
func checkDocs(t *Tree) []Finding {
	var out []Finding
	names, files := t.dirs()
	for _, dir := range names {
		out = append(out, checkPackageDoc(t, dir, files[dir])...)
	}
	for _, f := range t.Files {
		if f.Test || f.syntax.Name.Name == "main" {
			continue
		}
		out = append(out, checkExported(t, f)...)
	}
	return out
}

func checkPackageDoc(t *Tree, dir string, files []*File) []Finding {
	var with []*File
	main := false
	for _, f := range files {
		main = main || f.syntax.Name.Name == "main"
		if !f.Test && f.syntax.Doc.Text() != "" {
			with = append(with, f)
		}
		if !f.Test && f.syntax.Doc == nil {
			if line := detached(t, f); line > 0 {
				return []Finding{{"docs", f.Path, line, "an empty line separates this comment from the package clause, so that go doc shows none of it: remove the line"}}
			}
		}
	}
	home := path.Join(dir, "doc.go")
	switch {
	case len(with) == 0:
		return []Finding{{"docs", home, 1, "package without a package comment: say in doc.go what it is, its smallest use, the caller's duties, and its limits"}}
	case len(with) > 1:
		return []Finding{{"docs", with[1].Path, 1, "a second package comment: keep one, in doc.go"}}
	case !main && path.Base(with[0].Path) != "doc.go":
		return []Finding{{"docs", with[0].Path, 1, "the package comment belongs in doc.go"}}
	}
	first := "Package " + with[0].syntax.Name.Name + " "
	if main {
		first = "Command "
	}
	if !strings.HasPrefix(with[0].syntax.Doc.Text(), first) {
		return []Finding{{"docs", with[0].Path, 1, fmt.Sprintf("the package comment begins %q", first)}}
	}
	return nil
}

// detached returns the line of a prose comment before the package clause that
// is not attached to it, 0 if there is none. Build constraints and licence
// headers in doc-less files are no prose about the package.
func detached(t *Tree, f *File) int {
	for _, g := range f.syntax.Comments {
		if g.Pos() > f.syntax.Package {
			break
		}
		text := g.Text()
		if strings.HasPrefix(text, "Package ") || strings.HasPrefix(text, "Command ") {
			return t.line(g.Pos())
		}
	}
	return 0
}

// plain are method names whose meaning an interface of the standard library
// fixes; a comment would only repeat it.
var plain = map[string]bool{
	"Error": true, "Unwrap": true, "Is": true, "As": true, "String": true, "Timeout": true,
	"MarshalJSON": true, "UnmarshalJSON": true, "MarshalText": true, "UnmarshalText": true,
	"Len": true, "Less": true, "Swap": true,
}

func checkExported(t *Tree, f *File) []Finding {
	var out []Finding
	add := func(p token.Pos, name string) {
		out = append(out, Finding{"docs", f.Path, t.line(p), fmt.Sprintf("%s is exported and has no comment: say what it is for, with units, bounds and errors", name)})
	}
	for _, d := range f.syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc.Text() == "" && ofExportedType(d) && (d.Recv == nil || !plain[d.Name.Name]) {
				add(d.Pos(), d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if name, pos := undocumented(d, s); name != "" {
					add(pos, name)
				}
			}
		}
	}
	return out
}

func ofExportedType(d *ast.FuncDecl) bool {
	recv := receiver(d)
	return d.Recv == nil || recv != nil && recv.IsExported()
}

// receiver returns the name of the type that fn is a method of, nil if there is none.
func receiver(fn *ast.FuncDecl) *ast.Ident {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return nil
	}
	typ := fn.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x
		default:
			return nil
		}
	}
}

// undocumented returns the first exported name of s that neither its own
// comment, nor one behind it, nor the one of its group describes.
func undocumented(d *ast.GenDecl, s ast.Spec) (string, token.Pos) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc.Text() == "" && s.Comment.Text() == "" && d.Doc.Text() == "" {
			return s.Name.Name, s.Pos()
		}
	case *ast.ValueSpec:
		if s.Doc.Text() != "" || s.Comment.Text() != "" || d.Doc.Text() != "" {
			return "", 0
		}
		for _, n := range s.Names {
			if n.IsExported() {
				return n.Name, n.Pos()
			}
		}
	}
	return "", 0
}
