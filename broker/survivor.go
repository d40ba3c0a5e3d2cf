package broker

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/quorumloss"
	"github.com/logq/logq/internal/vfs"
)

// Survivor is the data directory of a stopped broker, for the last resort when
// partitions have lost the majority of their replicas for good; see
// internal/quorumloss for what it means to use it.
type Survivor struct {
	// Broker and Cluster say whose directory it is; Cluster is "" before it has
	// joined one.
	Broker  int
	Cluster string

	fs      vfs.FS
	dir     string
	lock    io.Closer
	journal journal.Journal
}

// OpenSurvivor takes the directory, which no broker may use meanwhile. Errors:
// *DirectoryError if it is in use, damaged or none of a broker. Close it.
func OpenSurvivor(dataDir string) (*Survivor, error) { return openSurvivor(vfs.OS(), dataDir) }

func openSurvivor(fsys vfs.FS, dataDir string) (_ *Survivor, err error) {
	if _, err := fsys.Stat(filepath.Join(dataDir, lockFile)); err != nil {
		return nil, &DirectoryError{Path: dataDir, Kind: ErrDamagedDirectory, Reason: "it isn't the data directory of a broker", Err: err}
	}
	lock, err := fsys.Lock(filepath.Join(dataDir, lockFile))
	var locked *vfs.LockedError
	switch {
	case errors.As(err, &locked):
		return nil, &DirectoryError{Path: dataDir, Kind: ErrDirectoryInUse, Reason: "stop the broker first", Err: err}
	case err != nil:
		return nil, fmt.Errorf("data directory %s: %w", dataDir, err)
	}
	s := &Survivor{fs: fsys, dir: dataDir, lock: lock}
	defer func() {
		if err != nil {
			_ = s.Close() // the first error is the one that tells
		}
	}()
	id, err := readIdentity(fsys, dataDir)
	switch {
	case err != nil:
		return nil, err
	case id.fresh:
		return nil, &DirectoryError{Path: dataDir, Kind: ErrDamagedDirectory, Reason: "no file in it says whose it is; restore " + identityFiles[0] + " from a backup"}
	}
	s.Broker, s.Cluster = id.Broker, id.Cluster
	j, _, err := journal.Open(journal.Options{Dir: filepath.Join(dataDir, journalDir), Owner: uint64(id.Broker), MustExist: true, FS: fsys})
	if err != nil {
		return nil, err
	}
	s.journal = j
	return s, nil
}

// Close gives the directory back.
func (s *Survivor) Close() error {
	var errs []error
	if s.journal != nil {
		errs = append(errs, s.journal.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// Survey says what the broker holds of each partition, and of the cluster's
// metadata (Name begins with protocol.MetaTopic). It changes nothing but torn ends
// of the journal.
func (s *Survivor) Survey() ([]quorumloss.Replica, error) {
	return quorumloss.Survey(s.fs, filepath.Join(s.dir, partitionsDir), s.journal)
}

// AcceptDataLoss makes the replica the sole voter of its partition: what it holds is
// what there is, and what only the others held is lost. They must never run again
// on their old data.
func (s *Survivor) AcceptDataLoss(r quorumloss.Replica) error {
	return quorumloss.Accept(s.fs, filepath.Join(s.dir, partitionsDir), s.journal, r)
}

// IsMetadata reports whether a surveyed replica is that of the cluster's metadata.
func IsMetadata(r *quorumloss.Replica) bool { return r.Topic == protocol.MetaTopicID }
