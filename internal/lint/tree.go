package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"sort"
	"strings"
)

// textBytesMax bounds the text files that are read: what is larger is data.
const textBytesMax = 1 << 20

// Tree is a parsed source tree.
type Tree struct {
	// Module is the module path of go.mod.
	Module string
	// Files are the Go files, sorted by path.
	Files []*File
	// Texts are the other text files that a person reads or runs, by path.
	Texts map[string]string

	fset  *token.FileSet
	paths map[string]bool // every file and directory, for links
}

// File is one Go file of the tree.
type File struct {
	// Path is relative to the root, with slashes.
	Path string
	// Dir is the directory of Path, "" for the root: the package as the table names it.
	Dir string
	// Test says that the name ends in _test.go.
	Test bool
	// Lines is the number of lines.
	Lines int

	syntax  *ast.File
	source  string
	imports map[string]string // local name -> import path
	allows  []*allow
}

// allow is one //logq:allow directive.
type allow struct {
	line   int
	rule   string
	reason string
	used   bool
}

// Finding is one broken rule.
type Finding struct {
	// Rule is the name of the rule, as a //logq:allow directive takes it.
	Rule string
	// Path and Line are the place; Line is 0 for a whole file.
	Path string
	Line int
	// Text says what is wrong and what to do instead.
	Text string
}

// String returns the finding as one line that an editor can follow.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", f.Path, max(f.Line, 1), f.Rule, f.Text)
}

// Load parses the Go files under root and reads the texts beside them. Hidden
// directories are skipped except .ci and .github; so is anything below a
// directory named testdata as far as Go code goes, as the go tool does.
func Load(root fs.FS) (*Tree, error) {
	t := &Tree{Texts: map[string]string{}, fset: token.NewFileSet(), paths: map[string]bool{}}
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		t.paths[p] = true
		if d.IsDir() {
			return skipDir(p)
		}
		return t.read(root, p, d)
	})
	if err != nil {
		return nil, fmt.Errorf("lint: reading the tree: %w", err)
	}
	if t.Module == "" {
		return nil, fmt.Errorf("lint: no module line in go.mod at the root")
	}
	sort.Slice(t.Files, func(i, j int) bool { return t.Files[i].Path < t.Files[j].Path })
	return t, nil
}

func skipDir(p string) error {
	base := path.Base(p)
	if p == "." || base == ".ci" || base == ".github" {
		return nil
	}
	if strings.HasPrefix(base, ".") {
		return fs.SkipDir
	}
	return nil
}

func (t *Tree) read(root fs.FS, p string, d fs.DirEntry) error {
	goFile := strings.HasSuffix(p, ".go") && !strings.Contains("/"+p, "/testdata/")
	if !goFile && !isText(p) {
		return nil
	}
	if info, err := d.Info(); err != nil || info.Size() > textBytesMax {
		return err
	}
	b, err := fs.ReadFile(root, p)
	if err != nil {
		return err
	}
	if p == "go.mod" {
		t.Module = moduleOf(string(b))
	}
	if !goFile {
		t.Texts[p] = string(b)
		return nil
	}
	f, err := t.parse(p, string(b))
	if err != nil {
		return err
	}
	t.Files = append(t.Files, f)
	return nil
}

func isText(p string) bool {
	if strings.HasPrefix(p, ".ci/") {
		return true
	}
	switch path.Ext(p) {
	case ".md", ".sh", ".yml", ".yaml", ".txt", ".mod", ".conf", ".json":
		return true
	}
	base := path.Base(p)
	return base == "Makefile" || base == "LICENSE"
}

func moduleOf(gomod string) string {
	for line := range strings.Lines(gomod) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func (t *Tree) parse(p, src string) (*File, error) {
	syntax, err := parser.ParseFile(t.fset, p, src, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	dir := path.Dir(p)
	if dir == "." {
		dir = ""
	}
	f := &File{
		Path: p, Dir: dir, Test: strings.HasSuffix(p, "_test.go"),
		Lines: strings.Count(src, "\n"), syntax: syntax, source: src,
		imports: map[string]string{},
	}
	for _, s := range syntax.Imports {
		ip := strings.Trim(s.Path.Value, `"`)
		f.imports[importName(s, ip)] = ip
	}
	for _, g := range syntax.Comments {
		for _, c := range g.List {
			if rest, ok := strings.CutPrefix(c.Text, "//logq:allow"); ok {
				rule, reason, _ := strings.Cut(strings.TrimSpace(rest), " ")
				f.allows = append(f.allows, &allow{line: t.line(c.Pos()), rule: rule, reason: strings.TrimSpace(reason)})
			}
		}
	}
	return f, nil
}

// importName guesses the name a package is used under: the given one, else the
// last path element without a major version or a ".go" ending.
func importName(s *ast.ImportSpec, ip string) string {
	if s.Name != nil {
		return s.Name.Name
	}
	elems := strings.Split(ip, "/")
	last := elems[len(elems)-1]
	if len(elems) > 1 && len(last) > 1 && last[0] == 'v' && strings.Trim(last[1:], "0123456789") == "" {
		last = elems[len(elems)-2]
	}
	return strings.TrimSuffix(last, ".go")
}

func (t *Tree) line(p token.Pos) int { return t.fset.Position(p).Line }

// dirs groups the files by directory, in order.
func (t *Tree) dirs() (names []string, files map[string][]*File) {
	files = map[string][]*File{}
	for _, f := range t.Files {
		if files[f.Dir] == nil {
			names = append(names, f.Dir)
		}
		files[f.Dir] = append(files[f.Dir], f)
	}
	return names, files
}
