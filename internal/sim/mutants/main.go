package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	histories := flag.Int("histories", 20000, "histories that a mutant must not survive")
	steps := flag.Int("steps", 2000, "events of a history")
	only := flag.String("only", "", "run the mutants whose name holds this text")
	by := flag.String("by", "", "run the mutants of this judge: simulation, histories or tests")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *histories, *steps, func(m *mutant) bool {
		return strings.Contains(m.name, *only) && (*by == "" || judges[m.by].name == *by)
	}); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, histories, steps int, wanted func(*mutant) bool) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "logq-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "mutant\tfile\tcaught after\ttime\tby")
	survivors := 0
	for _, m := range list {
		if !wanted(&m) {
			continue
		}
		start := time.Now()
		after, by, err := m.try(ctx, root, dir, histories, steps)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if after == "" {
			survivors++
			after = fmt.Sprintf("SURVIVES %d", histories)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%v\t%s\n", m.name, m.edits[0].file, after, time.Since(start).Round(100*time.Millisecond), by)
		table.Flush()
	}
	if survivors > 0 {
		return fmt.Errorf("%d mutants survive: the simulation misses a fault or a check", survivors)
	}
	return nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// try builds the judge's tests with the mutant laid over its file and runs them.
// An empty after means that the mutant survived.
func (m mutant) try(ctx context.Context, root, dir string, histories, steps int) (after, by string, err error) {
	overlayFile, err := m.overlay(root, dir)
	if err != nil {
		return "", "", err
	}
	j := &judges[m.by]
	bin := filepath.Join(dir, "judge.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-tags", j.tags, "-overlay", overlayFile, "-o", bin, "./"+j.pkg)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("build: %w\n%s", err, out)
	}
	args := []string{"-test.run=" + j.run, "-test.timeout=" + cmp.Or(j.timeout, "30m")}
	if j.skip != "" {
		args = append(args, "-test.skip="+j.skip)
	}
	if j.histories {
		args = append(args, fmt.Sprintf("-histories=%d", histories), fmt.Sprintf("-steps=%d", steps))
	}
	test := exec.CommandContext(ctx, bin, args...)
	test.Dir = filepath.Join(root, j.pkg) // for testdata
	out, err := test.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case err == nil:
		return "", "", nil
	case !errors.As(err, &failed) || ctx.Err() != nil:
		return "", "", err
	}
	if g := j.caught.FindStringSubmatch(string(out)); g != nil {
		return fmt.Sprintf(j.after, g[1]), g[2], nil
	}
	return "", "", fmt.Errorf("the run ended in a way that names no invariant:\n%s", out)
}

// overlay writes the changed files and the list of them that go build reads.
func (m mutant) overlay(root, dir string) (string, error) {
	texts := make(map[string]string)
	for _, e := range m.edits {
		src := filepath.Join(root, e.file)
		if _, seen := texts[src]; !seen {
			b, err := os.ReadFile(src)
			if err != nil {
				return "", err
			}
			texts[src] = string(b)
		}
		if n := strings.Count(texts[src], e.old); n != max(e.count, 1) {
			return "", fmt.Errorf("the text %q stands %d times in %s, not %d: bring list.go up to date", e.old, n, e.file, max(e.count, 1))
		}
		texts[src] = strings.ReplaceAll(texts[src], e.old, e.new)
	}
	replace := make(map[string]string)
	for src, text := range texts {
		replace[src] = filepath.Join(dir, fmt.Sprintf("mutant%d.go", len(replace)))
		if err := os.WriteFile(replace[src], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}
