// Package lint is the house rules of this repository as a test: which package
// may import which, which calls a layer must not make and what to use in their
// place, that every package and exported name is documented, and that files and
// functions stay short. `go test ./internal/lint` runs it on the whole tree in
// well under a second; nothing is built and no tool is started.
//
// The smallest use is the one in lint_test.go:
//
//	tree, err := lint.Load(os.DirFS("../.."))
//	for _, f := range lint.Check(tree, lint.Default()) { t.Error(f) }
//
// # Rules
//
// Each finding names its rule, the place and the remedy:
//
//	layers     the table in table.go: imports point down only
//	calls      banned calls, per layer, with their replacement
//	docs       package comment attached and in doc.go, exported names documented
//	length     functions up to 70 lines, files up to 800; a list of older
//	           exceptions in testdata/long.txt may only shrink
//	names      no package or type named after a drawer (util, common, manager)
//	text       no leftover work marks, no paths of one machine, Markdown files
//	           with one title and links that lead somewhere
//
// # Exceptions
//
// A line that must break a rule says so, with the reason, on the same line or
// on the line above:
//
//	//logq:allow calls the pages are handed out again by the pool below
//
// A directive without a reason, or one that allows nothing, is itself a finding,
// so that exceptions do not outlive their cause.
//
// # Limits
//
// The rules read syntax, not types: a package is known by the path it is
// imported under, and a banned function is found wherever it is named, called
// or not. Dot imports are refused because they would hide names from the rules.
// Packages that do not exist yet are simply not seen: a row of the table without
// a directory is no finding.
//
// Load and Check keep no state; a Tree must not be changed while it is checked.
package lint
