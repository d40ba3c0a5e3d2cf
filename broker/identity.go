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

const (
	identityFile   = "broker.json"
	identityFormat = 1
	maxIdentity    = 64 << 10
)

// identity says whose data directory this is.
type identity struct {
	Format  int    `json:"format"`
	Broker  int    `json:"broker"`
	Cluster string `json:"cluster"` // "" until the broker has joined one
	CRC     uint32 `json:"crc32c"`  // over the fields above
}

func (id identity) sum() uint32 {
	return crc32.Checksum(fmt.Appendf(nil, "%d %d %s", id.Format, id.Broker, id.Cluster), crc32.MakeTable(crc32.Castagnoli))
}

// readIdentity returns the directory's identity; ok is false for a new one.
func readIdentity(fsys vfs.FS, dir string) (id identity, ok bool, err error) {
	name := filepath.Join(dir, identityFile)
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return id, false, nil
	}
	if err != nil {
		return id, false, fmt.Errorf("data directory: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err == nil && size > maxIdentity {
		err = fmt.Errorf("it has %d bytes", size)
	}
	var text []byte
	if err == nil {
		text = make([]byte, size)
		_, err = f.ReadAt(text, 0)
	}
	if err == nil {
		err = json.Unmarshal(text, &id)
	}
	switch {
	case err != nil:
		return id, false, fmt.Errorf("%s is damaged: %w; restore it from a copy, nothing was changed", name, err)
	case id.Format > identityFormat:
		return id, false, fmt.Errorf("%s has format %d, this release reads up to %d; run the release that wrote it, or a later one", name, id.Format, identityFormat)
	case id.CRC != id.sum():
		return id, false, fmt.Errorf("%s is damaged: the checksum doesn't match; restore it from a copy, nothing was changed", name)
	}
	return id, true, nil
}

// writeIdentity replaces the identity as a whole: the old one stays until the
// new one is durable.
func writeIdentity(fsys vfs.FS, dir string, id identity) error {
	id.Format = identityFormat
	id.CRC = id.sum()
	text, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(dir, identityFile)
	if err := fsys.Remove(name + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %s: %w", name, err)
	}
	f, err := fsys.Create(name + ".new")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.WriteAt(append(text, '\n'), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := errors.Join(fsys.Rename(name+".new", name), fsys.SyncDir(dir)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
