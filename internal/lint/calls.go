package lint

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// ban is one set of banned names of one package.
type ban struct {
	path  string   // import path
	names []string // selectors; nil = every use
	use   string   // what to use instead
}

// bannedPure holds for production code at and below L2.
var bannedPure = []ban{
	{"time", []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}, "take the time as an argument or as Tick(): the simulator drives this code"},
	{"math/rand", nil, "take a seeded *rand.Rand of math/rand/v2 from the caller"},
	{"math/rand/v2", []string{
		"Int", "IntN", "Int32", "Int32N", "Int64", "Int64N", "Uint32", "Uint32N", "Uint64", "Uint64N", "UintN", "Uint", "N",
		"Float32", "Float64", "ExpFloat64", "NormFloat64", "Perm", "Shuffle",
	}, "take a seeded *rand.Rand from the caller: a global source cannot be replayed"},
	{"crypto/rand", nil, "take random bytes from the caller: the simulator replays this code from a seed"},
	{"net", nil, "sockets start at L3: take messages as values"},
	{"net/http", nil, "sockets start at L3"},
	{"os", nil, "use vfs.FS: it comes in through the options, so that crashes and faults can be tested"},
	{"syscall", []string{"Open", "Close", "Read", "Write", "Pread", "Pwrite", "Fsync", "Fdatasync", "Ftruncate", "Rename", "Unlink", "Mkdir", "Socket"}, "use vfs.FS"},
	{"log/slog", []string{"Default", "Debug", "Info", "Warn", "Error", "Log", "SetDefault"}, "return what happened as a value; the host logs it"},
}

// bannedEverywhere holds for production code of every package.
var bannedEverywhere = []ban{
	{"time", []string{"Sleep"}, "wait in a select on a timer and ctx.Done(), so that the wait can be ended"},
	{"math/rand", nil, "use math/rand/v2 with a source of its own"},
	{"log", nil, "use the *slog.Logger that was injected"},
	{"log/slog", []string{"SetDefault"}, "inject the logger: a library must not change a global"},
	{"io/ioutil", nil, "use io and os"},
	{"compress/gzip", nil, "use klauspost/compress, in package record"},
	{"compress/flate", nil, "use klauspost/compress, in package record"},
	{"compress/zlib", nil, "use klauspost/compress, in package record"},
	{"sync/atomic", []string{
		"AddInt32", "AddInt64", "AddUint32", "AddUint64", "LoadInt32", "LoadInt64", "LoadUint32", "LoadUint64", "LoadPointer",
		"StoreInt32", "StoreInt64", "StoreUint32", "StoreUint64", "StorePointer", "SwapInt32", "SwapInt64", "SwapUint32", "SwapUint64",
		"CompareAndSwapInt32", "CompareAndSwapInt64", "CompareAndSwapUint32", "CompareAndSwapUint64",
	}, "use the types atomic.Int64, atomic.Uint64, atomic.Pointer: they cannot be read without it by mistake"},
}

// bannedLibrary holds for production code outside cmd/ and other programs.
var bannedLibrary = []ban{
	{"fmt", []string{"Print", "Println", "Printf"}, "a library does not write to the user's terminal: return a value or log through the injected *slog.Logger"},
	{"os", []string{"Exit", "Stdout", "Stderr", "Stdin", "Args"}, "only a program owns the process and its streams"},
	{"os/signal", nil, "only a program handles signals: take a context"},
}

// bannedTest holds for test code.
var bannedTest = []ban{
	{"time", []string{"Sleep"}, "wait for the condition itself (a channel, a ticker with a deadline), or run the test in a testing/synctest bubble: a sleep is either too short or too slow"},
	{"io/ioutil", nil, "use io and os"},
}

func checkCalls(t *Tree, c Config) []Finding {
	var out []Finding
	for _, f := range t.Files {
		pure := isPure(c, f)
		out = append(out, f.bans(t, bansFor(f, pure))...)
		if !f.Test {
			out = append(out, f.statements(t, pure)...)
		}
	}
	return out
}

func isPure(c Config, f *File) bool {
	row, ok := c.Packages[f.Dir]
	if !ok || row.Layer > L2 {
		return false
	}
	for _, prefix := range pureExceptions[f.Dir] {
		if strings.HasPrefix(f.Path, prefix) {
			return false
		}
	}
	return true
}

func bansFor(f *File, pure bool) []ban {
	if f.Test {
		return bannedTest
	}
	bans := bannedEverywhere
	if pure {
		bans = slices.Concat(bannedPure, bans)
	}
	if f.syntax.Name.Name != "main" && !strings.HasPrefix(f.Dir, "cmd/") {
		bans = slices.Concat(bans, bannedLibrary)
	}
	return bans
}

// bans reports each use of a banned name once, with the first rule that bans it.
func (f *File) bans(t *Tree, bans []ban) []Finding {
	var out []Finding
	for _, s := range f.syntax.Imports {
		ip := strings.Trim(s.Path.Value, `"`)
		for _, b := range bans {
			if b.names == nil && b.path == ip {
				out = append(out, Finding{"calls", f.Path, t.line(s.Pos()), fmt.Sprintf("package %s is not used here: %s", ip, b.use)})
				break
			}
		}
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		ident, ok := sel.X.(*ast.Ident)
		if !ok || isLocal(ident) {
			return true
		}
		if b := find(bans, f.imports[ident.Name], sel.Sel.Name); b != nil {
			out = append(out, Finding{"calls", f.Path, t.line(sel.Pos()), fmt.Sprintf("%s.%s is not used here: %s", ident.Name, sel.Sel.Name, b.use)})
		}
		return true
	})
	return out
}

func find(bans []ban, path, name string) *ban {
	for i, b := range bans {
		for _, n := range b.names {
			if b.path == path && n == name {
				return &bans[i]
			}
		}
	}
	return nil
}

// isLocal says that the name is declared in the file itself, so that it hides
// the package. The parser's own resolution is enough for that.
func isLocal(id *ast.Ident) bool {
	return id.Obj != nil
}

// statements finds what no import shows: go statements in pure code, panics.
func (f *File) statements(t *Tree, pure bool) []Finding {
	var out []Finding
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if pure {
				out = append(out, Finding{"calls", f.Path, t.line(n.Pos()), "no goroutine at or below L2: return what is to be done and let the host do it"})
			}
		case *ast.CallExpr:
			id, ok := n.Fun.(*ast.Ident)
			if !ok || isLocal(id) {
				return true
			}
			switch {
			case id.Name == "panic" && f.Dir != "internal/invariants":
				out = append(out, Finding{"calls", f.Path, t.line(n.Pos()), "no panic: return a typed error, or state the invariant with invariants.Assertf, which stops one partition and not the broker"})
			case id.Name == "print" || id.Name == "println":
				out = append(out, Finding{"calls", f.Path, t.line(n.Pos()), "leftover debugging output: remove it or log through the injected *slog.Logger"})
			}
		}
		return true
	})
	return out
}
