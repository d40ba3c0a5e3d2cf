package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"

	"github.com/logq/logq/internal/vfs"
)

// identityFiles are the two copies. They are written one after the other, each as
// a whole, so that one is good at any time.
var identityFiles = [2]string{"broker.json", "broker.json.copy"}

const (
	identityFormat   = 1
	maxIdentityBytes = 64 << 10
)

// identity says whose data directory this is.
type identity struct {
	Format  int    `json:"format"`
	Broker  int    `json:"broker"`
	Cluster string `json:"cluster"` // "" until the broker has joined one; never changed then
	CRC     uint32 `json:"crc32c"`  // over the fields above
}

func (id identity) sum() uint32 {
	return crc32.Checksum(fmt.Appendf(nil, "%d %d %s", id.Format, id.Broker, id.Cluster), crc32.MakeTable(crc32.Castagnoli))
}

// found is what the directory says about itself.
type found struct {
	identity
	fresh    bool     // nothing: a new directory
	stale    bool     // a copy is missing, damaged or older
	warnings []string // for the log
}

// readIdentity reads both copies and changes nothing. A copy that names a cluster
// is newer than one that doesn't.
func readIdentity(fsys vfs.FS, dir string) (found, error) {
	var (
		good    []identity
		missing int
		faults  []error
	)
	for _, name := range identityFiles {
		id, err := readCopy(fsys, filepath.Join(dir, name))
		var newer *newerError
		switch {
		case err == nil:
			good = append(good, id)
		case errors.As(err, &newer):
			return found{}, &DirectoryError{Path: dir, Kind: ErrNewerFormat, Reason: fmt.Sprintf("%s has format %d, this release reads up to %d; run the release that wrote it, or a later one", name, newer.format, identityFormat)}
		case errors.Is(err, fs.ErrNotExist):
			missing++
		default:
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	}
	damaged := func(why string) (found, error) {
		return found{}, &DirectoryError{Path: dir, Kind: ErrDamagedDirectory, Reason: why, Err: errors.Join(faults...)}
	}
	switch {
	case len(good) == 0 && missing == len(identityFiles):
		return found{fresh: true}, nil
	case len(good) == 0:
		return damaged("no good copy of " + identityFiles[0] + " is left; restore it from a backup")
	case len(good) == 2 && good[0] != good[1] && !follows(good[0], good[1]) && !follows(good[1], good[0]):
		return damaged(fmt.Sprintf("its two copies of %s disagree: %+v and %+v; restore the right one", identityFiles[0], good[0], good[1]))
	}
	f := found{identity: good[0], stale: len(good) < 2 || good[0] != good[1]}
	if len(good) == 2 && follows(good[0], good[1]) {
		f.identity = good[1]
	}
	for _, err := range faults {
		f.warnings = append(f.warnings, err.Error()+"; it is written again from the other copy")
	}
	return f, nil
}

// follows reports whether b is what a became when the broker joined a cluster.
func follows(a, b identity) bool { return a.Broker == b.Broker && a.Cluster == "" && b.Cluster != "" }

type newerError struct{ format int }

func (e *newerError) Error() string { return fmt.Sprintf("format %d", e.format) }

func readCopy(fsys vfs.FS, name string) (id identity, err error) {
	text, err := vfs.ReadFile(fsys, name, maxIdentityBytes)
	if err != nil {
		return id, err
	}
	if err := json.Unmarshal(text, &id); err != nil {
		return id, fmt.Errorf("it is not readable: %w", err)
	}
	if id.Format > identityFormat {
		return id, &newerError{id.Format}
	}
	if id.CRC != id.sum() {
		return id, errors.New("its checksum doesn't match")
	}
	return id, nil
}

// writeIdentity replaces both copies, the second when the first is durable.
func writeIdentity(fsys vfs.FS, dir string, id identity) error {
	id.Format = identityFormat
	id.CRC = id.sum()
	text, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	for _, name := range identityFiles {
		if err := replaceFile(fsys, filepath.Join(dir, name), append(text, '\n')); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// replaceFile makes data the content of name: the old one stays until the new one
// is durable.
func replaceFile(fsys vfs.FS, name string, data []byte) error {
	temporary := name + ".new"
	if err := fsys.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(temporary)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return errors.Join(fsys.Rename(temporary, name), fsys.SyncDir(filepath.Dir(name)))
}
