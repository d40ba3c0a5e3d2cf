package broker

import (
	"crypto/rand"
	"encoding/hex"
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
	identityFormat   = 2
	maxIdentityBytes = 1 << 20
)

// identity says whose data directory this is. Format 1 had no more than broker and
// cluster.
type identity struct {
	Format  int    `json:"format"`
	Broker  int    `json:"broker"`
	Cluster string `json:"cluster"` // "" until the broker has joined one; never changed then
	// Directory is a random id, made with the directory and never changed: the cluster
	// knows by it whether this is the directory that it has trusted.
	Directory string `json:"directory,omitempty"`
	// Incarnation is what the cluster gave a broker that joined it; 0: the cluster began
	// with this one.
	Incarnation uint64 `json:"incarnation,omitempty"`
	// Generation rises with each write, so that the newer copy is known, and an old image
	// of the directory too.
	Generation uint64 `json:"generation,omitempty"`
	// Making is set until the journal exists, Joining from then on until the cluster has
	// taken the broker in, if it is to join one.
	Making  bool `json:"making,omitempty"`
	Joining bool `json:"joining,omitempty"`
	// Brokers are those of the cluster as they were known last: until the metadata is,
	// they say who is let in, and where to find the others if no configuration does.
	Brokers []member `json:"brokers,omitempty"`
	CRC     uint32   `json:"crc32c"` // over the fields above
}

// member is a broker of the cluster, this one or another.
type member struct {
	ID          int    `json:"id"`
	Addr        string `json:"addr"` // for other brokers
	Directory   string `json:"directory,omitempty"`
	Incarnation uint64 `json:"incarnation,omitempty"`
	Generation  uint64 `json:"generation,omitempty"` // the last one heard of, see service.Intro
}

func (id identity) sum() uint32 {
	covered := fmt.Appendf(nil, "%d %d %s", id.Format, id.Broker, id.Cluster)
	if id.Format > 1 {
		covered = fmt.Appendf(covered, " %s %d %d %t %t %v", id.Directory, id.Incarnation, id.Generation, id.Making, id.Joining, id.Brokers)
	}
	return crc32.Checksum(covered, crc32.MakeTable(crc32.Castagnoli))
}

// joined says that the broker came to a cluster that was there already.
func (id *identity) joined() bool { return id.Incarnation > 0 }

// newDirectory returns an id of 128 random bits.
func newDirectory() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b[:])
}

// found is what the directory says about itself.
type found struct {
	identity
	fresh    bool     // nothing: a new directory
	warnings []string // for the log
}

// readIdentity reads both copies and changes nothing. Of two good ones the newer
// counts.
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
	}
	f := found{identity: good[0]}
	if len(good) == 2 {
		older, newer := good[0], good[1]
		if older.newerThan(&newer) {
			older, newer = newer, older
		}
		if older.CRC != newer.CRC && !older.becomes(&newer) {
			return damaged(fmt.Sprintf("its two copies of %s disagree: %+v and %+v; restore the right one", identityFiles[0], good[0], good[1]))
		}
		f.identity = newer
	}
	for _, err := range faults {
		f.warnings = append(f.warnings, err.Error()+"; it is written again from the other copy")
	}
	return f, nil
}

// newerThan compares two copies. Those of format 1 have no generation: there the one
// that names a cluster is newer.
func (id *identity) newerThan(other *identity) bool {
	if id.Generation != other.Generation {
		return id.Generation > other.Generation
	}
	return id.Cluster != "" && other.Cluster == ""
}

// becomes reports whether the directory that id describes may be the one that newer
// describes later.
func (id *identity) becomes(newer *identity) bool {
	return id.Broker == newer.Broker && (id.Cluster == "" || id.Cluster == newer.Cluster) &&
		(id.Directory == "" || id.Directory == newer.Directory) && (id.Incarnation == 0 || id.Incarnation == newer.Incarnation) &&
		newer.newerThan(id)
}

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
