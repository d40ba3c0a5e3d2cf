package lint

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The patterns are put together from pieces so that this file passes its own rules.
var (
	workMark    = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)
	machinePath = regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])(/wo` + `rk/|/home` + `/|/ro` + `ot/|/Us` + `ers/|/tmp/lo` + `gq/)`)
	registry    = regexp.MustCompile(`(proxy|sum)\.gol` + `ang\.org|GOPRO` + `XY=http`)

	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// readmeLinesMax keeps the README to what a newcomer reads in one go.
const readmeLinesMax = 200

func checkText(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		out = append(out, checkLines(f.Path, f.source)...)
	}
	for _, p := range slices.Sorted(maps.Keys(t.Texts)) {
		if p == "LICENSE" {
			continue
		}
		out = append(out, checkLines(p, t.Texts[p])...)
		if path.Ext(p) == ".md" {
			out = append(out, t.checkMarkdown(p, t.Texts[p])...)
		}
	}
	return out
}

func checkLines(p, text string) []Finding {
	var out []Finding
	n := 0
	for line := range strings.Lines(text) {
		n++
		if m := workMark.FindString(line); m != "" {
			out = append(out, Finding{"text", p, n, fmt.Sprintf("leftover %s: do it now, or write an issue and leave no mark in the code", m)})
		}
		if m := machinePath.FindStringSubmatch(line); m != nil {
			out = append(out, Finding{"text", p, n, fmt.Sprintf("%s… is a path of one machine: use a relative path, a temporary directory or a flag", m[2])})
		}
		if registry.MatchString(line) {
			out = append(out, Finding{"text", p, n, "a registry host is the user's choice: leave it to the go command's own settings"})
		}
	}
	return out
}

func (t *Tree) checkMarkdown(p, text string) []Finding {
	var out []Finding
	titles, n, fenced := 0, 0, false
	for line := range strings.Lines(text) {
		n++
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if fenced {
			continue
		}
		if strings.HasPrefix(line, "# ") {
			titles++
		}
		for _, m := range markdownLink.FindAllStringSubmatch(line, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if full := path.Join(path.Dir(p), target); !t.paths[full] {
				out = append(out, Finding{"text", p, n, fmt.Sprintf("the link to %s leads nowhere: there is no %s", m[1], full)})
			}
		}
	}
	if titles != 1 {
		out = append(out, Finding{"text", p, 1, fmt.Sprintf("%d lines begin with \"# \": a document has one title", titles)})
	}
	if p == "README.md" && n > readmeLinesMax {
		out = append(out, Finding{"text", p, n, fmt.Sprintf("the README has %d lines, the limit is %d: move the rest to docs/", n, readmeLinesMax)})
	}
	return out
}
