package lint

import (
	"fmt"
	"go/ast"
	"strconv"
	"strings"
)

// ParseLong reads the list of exceptions to length: one "path[ func] lines" a
// line, # for comments.
func ParseLong(s string) (map[string]int, error) {
	long := map[string]int{}
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		if i < 0 {
			return nil, fmt.Errorf("lint: %q: want \"path[ func] lines\"", line)
		}
		n, err := strconv.Atoi(line[i+1:])
		if err != nil {
			return nil, fmt.Errorf("lint: %q: want \"path[ func] lines\": %w", line, err)
		}
		long[strings.TrimSpace(line[:i])] = n
	}
	return long, nil
}

// checkLength holds functions of production code and all files to their limits.
// An exception is a ceiling that follows the code down.
func checkLength(t *Tree, c Config) []Finding {
	var out []Finding
	seen := map[string]bool{}
	judge := func(f *File, line int, key, what string, lines, limit int) {
		allowed, listed := c.Long[key]
		seen[key] = seen[key] || listed
		switch {
		case !listed && lines > limit:
			out = append(out, Finding{"length", f.Path, line, fmt.Sprintf("%s has %d lines, the limit is %d: cut it where its purpose changes", what, lines, limit)})
		case listed && lines > allowed:
			out = append(out, Finding{"length", f.Path, line, fmt.Sprintf("%s grew from %d to %d lines: the list of long functions only shrinks", what, allowed, lines)})
		case listed && lines <= limit:
			out = append(out, Finding{"length", f.Path, line, fmt.Sprintf("%s has only %d lines now: remove it from internal/lint/testdata/long.txt", what, lines)})
		case listed && lines < allowed:
			out = append(out, Finding{"length", f.Path, line, fmt.Sprintf("%s shrank from %d to %d lines: write that in internal/lint/testdata/long.txt, so that it stays so", what, allowed, lines)})
		}
	}
	for _, f := range t.Files {
		judge(f, 1, f.Path, "the file", f.Lines, c.FileLinesMax)
		if f.Test {
			continue
		}
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				lines := t.line(fn.End()) - t.line(fn.Pos()) + 1
				judge(f, t.line(fn.Pos()), f.Path+" "+funcName(fn), "function "+funcName(fn), lines, c.FuncLinesMax)
			}
		}
	}
	for key := range c.Long {
		if !seen[key] {
			out = append(out, Finding{"length", "internal/lint/testdata/long.txt", 1, fmt.Sprintf("%q is gone: remove it from the list", key)})
		}
	}
	return out
}

// funcName returns Type.Method or Func.
func funcName(fn *ast.FuncDecl) string {
	if recv := receiver(fn); recv != nil {
		return recv.Name + "." + fn.Name.Name
	}
	return fn.Name.Name
}
