package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/logq/logq/internal/vfs"
)

// Names beside the copies' directories.
const (
	newSuffix     = ".new"      // being built, or waiting for its name
	damagedSuffix = ".damaged-" // with the generation of the copy that replaced it

	// damagedMax is how many damaged states of one copy are kept for analysis.
	damagedMax = 4
)

// scanPair reads one copy, or what was built to replace it: a replacement that
// is whole means that a recovery had decided, and was interrupted before its
// end, so that nothing was saved since.
func scanPair(fsys vfs.FS, dir string, owner uint64) (*scan, error) {
	built, err := scanCopy(fsys, dir+newSuffix, owner)
	if err != nil {
		return nil, err
	}
	if built.unhealthy() == "" && built.tail() == nil {
		built.pending = true
		return built, nil
	}
	return scanCopy(fsys, dir, owner)
}

// buildCopy makes a replacement from one checkpoint record, durable but for its
// name.
func buildCopy(fsys vfs.FS, dir string, checkpoint []byte, segmentBytes int, open openEngine) error {
	built := dir + newSuffix
	m := &mirror{fs: fsys, dir: built}
	err := fsys.RemoveAll(built)
	if err == nil {
		err = m.open(segmentBytes, open)
	}
	if err == nil {
		err = errors.Join(m.append(checkpoint), m.close())
	}
	if err != nil {
		return fmt.Errorf("journal: build %s: %w", built, err)
	}
	return nil
}

// swapIn puts the replacement in the place of the copy and keeps the old one
// under another name.
func swapIn(fsys vfs.FS, dir string, generation uint64) error {
	if _, err := fsys.Stat(dir); err == nil {
		if err := fsys.Rename(dir, fmt.Sprintf("%s%s%020d", dir, damagedSuffix, generation)); err != nil {
			return fmt.Errorf("journal: put %s aside: %w", dir, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: look at %s: %w", dir, err)
	}
	if err := fsys.Rename(dir+newSuffix, dir); err != nil {
		return fmt.Errorf("journal: put %s in place: %w", dir+newSuffix, err)
	}
	return syncParent(fsys, dir)
}

// tidy removes a replacement that was never finished, and all but the newest
// damagedMax damaged states of the copy in dir.
func tidy(fsys vfs.FS, dir string) error {
	names, err := fsys.List(filepath.Dir(dir))
	if err != nil {
		return fmt.Errorf("journal: list %s: %w", filepath.Dir(dir), err)
	}
	var drop, damaged []string
	for _, name := range names {
		switch {
		case name == filepath.Base(dir)+newSuffix:
			drop = append(drop, name)
		case strings.HasPrefix(name, filepath.Base(dir)+damagedSuffix):
			damaged = append(damaged, name)
		}
	}
	drop = append(drop, damaged[:max(0, len(damaged)-damagedMax)]...)
	for _, name := range drop {
		if err := fsys.RemoveAll(filepath.Join(filepath.Dir(dir), name)); err != nil {
			return fmt.Errorf("journal: remove %s: %w", name, err)
		}
	}
	if len(drop) == 0 {
		return nil
	}
	return syncParent(fsys, dir)
}

func syncParent(fsys vfs.FS, dir string) error {
	parent := filepath.Dir(dir)
	if err := fsys.SyncDir(parent); err != nil {
		return fmt.Errorf("journal: sync directory %s: %w", parent, err)
	}
	return nil
}
