package lint

import (
	"fmt"
	"sort"
)

// Config is what the rules are checked against.
type Config struct {
	// Packages is the table of allowed imports, by directory.
	Packages map[string]Package
	// Long lists the functions and files that may be longer than the limit, with
	// the length they may have at most: "path func" or "path" -> lines.
	Long map[string]int
	// FuncLinesMax and FileLinesMax are the limits in lines.
	FuncLinesMax, FileLinesMax int
}

// Default returns the rules of this repository, without exceptions to length.
func Default() Config {
	return Config{Packages: table, FuncLinesMax: 70, FileLinesMax: 800}
}

// Check returns what breaks the rules, sorted by place.
func Check(t *Tree, c Config) []Finding {
	var all []Finding
	all = append(all, checkLayers(t, c)...)
	all = append(all, checkCalls(t, c)...)
	all = append(all, checkDocs(t)...)
	all = append(all, checkLength(t, c)...)
	all = append(all, checkNames(t)...)
	all = append(all, checkText(t)...)
	all = applyAllows(t, all)
	sort.SliceStable(all, func(i, j int) bool {
		if all[i].Path != all[j].Path {
			return all[i].Path < all[j].Path
		}
		return all[i].Line < all[j].Line
	})
	return all
}

// applyAllows drops what a directive allows and reports directives that are
// incomplete or allow nothing.
func applyAllows(t *Tree, found []Finding) []Finding {
	byPath := map[string]*File{}
	for _, f := range t.Files {
		byPath[f.Path] = f
	}
	kept := found[:0]
	for _, f := range found {
		if file := byPath[f.Path]; file == nil || !file.allowed(f) {
			kept = append(kept, f)
		}
	}
	for _, f := range t.Files {
		for _, a := range f.allows {
			switch {
			case a.rule == "" || a.reason == "":
				kept = append(kept, Finding{"allow", f.Path, a.line, "write //logq:allow RULE REASON: an exception without its reason cannot be judged later"})
			case !a.used:
				kept = append(kept, Finding{"allow", f.Path, a.line, fmt.Sprintf("nothing here breaks the rule %q any more: remove the directive", a.rule)})
			}
		}
	}
	return kept
}

func (f *File) allowed(x Finding) bool {
	for _, a := range f.allows {
		if a.rule == x.Rule && a.reason != "" && (a.line == x.Line || a.line == x.Line-1) {
			a.used = true
			return true
		}
	}
	return false
}
