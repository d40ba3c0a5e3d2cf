package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/vfs"
)

// What lies in the data directory, beside the identity.
const (
	lockFile      = "LOCK"
	journalDir    = "journal"
	partitionsDir = "partitions"
	metadataDir   = "metadata"
)

func (b *Broker) dir(name string) string { return filepath.Join(b.c.DataDir, name) }

// openData takes the data directory and the journal in it. A directory that is not
// this broker's is left as it was.
func (b *Broker) openData() error {
	if err := vfs.MkdirAllSync(b.fs, b.c.DataDir); err != nil {
		return fmt.Errorf("data directory %s: %w", b.c.DataDir, err)
	}
	lock, err := b.fs.Lock(b.dir(lockFile))
	if err != nil {
		var locked *vfs.LockedError
		if errors.As(err, &locked) {
			return &DirectoryError{Path: b.c.DataDir, Kind: ErrDirectoryInUse, Reason: "stop it, or use another directory", Err: err}
		}
		return fmt.Errorf("data directory %s: %w", b.c.DataDir, err)
	}
	b.lock = lock
	id, err := readIdentity(b.fs, b.c.DataDir)
	if err != nil {
		return err
	}
	if err := b.checkOwner(id); err != nil {
		return err
	}
	for _, w := range id.warnings {
		b.log.Warn("data directory", "broker", b.c.ID, "warning", w)
	}
	b.own = id.identity
	if id.fresh {
		b.own = identity{Broker: b.c.ID, Making: true, Joining: len(b.c.Join) > 0}
	}
	if b.own.Directory == "" { // new, or of format 1
		b.own.Directory = newDirectory()
	}
	if b.own.Making {
		// First of all the id: what is made from here on belongs to it.
		if err := b.writeOwn(); err != nil {
			return err
		}
	}
	// Once it is made, a directory without a journal is one that has lost its votes.
	if err := b.openJournal(!b.own.Making); err != nil {
		return err
	}
	if err := vfs.MkdirAllSync(b.fs, b.dir(partitionsDir)); err != nil {
		return fmt.Errorf("data directory %s: %w", b.c.DataDir, err)
	}
	b.own.Making = false
	if err := b.writeOwn(); err != nil {
		return err
	}
	b.run = newRun()
	b.introduce()
	cluster := b.own.Cluster
	b.cluster.Store(&cluster)
	return nil
}

// writeOwn makes what is known of the directory durable, as a new generation. It is
// called by Start, and then by watch alone.
func (b *Broker) writeOwn() error {
	b.own.Generation++
	if err := writeIdentity(b.fs, b.c.DataDir, b.own); err != nil {
		return fmt.Errorf("data directory %s: %w", b.c.DataDir, err)
	}
	return nil
}

// checkOwner refuses a directory that is another broker's, and one that has data
// but doesn't say whose.
func (b *Broker) checkOwner(id found) error {
	if !id.fresh {
		if id.Broker != b.c.ID {
			return &DirectoryError{Path: b.c.DataDir, Kind: ErrWrongBroker,
				Reason: fmt.Sprintf("it belongs to broker %d, this is broker %d; use this broker's own directory, or an empty one", id.Broker, b.c.ID)}
		}
		return b.checkJoining(&id.identity)
	}
	names, err := b.fs.List(b.dir(partitionsDir))
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(names) == 0:
		return nil
	case err != nil:
		return fmt.Errorf("data directory %s: %w", b.c.DataDir, err)
	}
	return &DirectoryError{Path: b.c.DataDir, Kind: ErrDamagedDirectory,
		Reason: fmt.Sprintf("it holds %d replicas, but no %s says whose; restore that file from a backup", len(names), identityFiles[0])}
}

func (b *Broker) openJournal(mustExist bool) error {
	j, report, err := journal.Open(journal.Options{Dir: b.dir(journalDir), Owner: uint64(b.id), MustExist: mustExist, FS: b.fs})
	if err != nil {
		return err
	}
	b.journal = j
	if b.wrapJournal != nil {
		b.journal = b.wrapJournal(j)
	}
	for _, w := range report.Warnings {
		b.log.Warn("journal", "broker", b.c.ID, "warning", w)
	}
	return nil
}

// learnCluster notes the cluster's id in the data directory once it is known, and
// from then on stays with that cluster.
func (b *Broker) learnCluster() error {
	now, mine := b.service.ClusterID(), b.clusterID()
	switch {
	case now == "" || now == mine:
		return nil
	case mine != "":
		return &DirectoryError{Path: b.c.DataDir, Kind: ErrWrongCluster,
			Reason: fmt.Sprintf("it belongs to cluster %s, but the metadata is that of cluster %s; use the directory of the right cluster, or an empty one", mine, now)}
	}
	b.own.Cluster = now
	if err := b.writeOwn(); err != nil {
		return err
	}
	b.cluster.Store(&now)
	b.log.Info("the broker belongs to a cluster", "broker", b.c.ID, "cluster", now)
	return nil
}

func (b *Broker) clusterID() string {
	if id := b.cluster.Load(); id != nil {
		return *id
	}
	return ""
}
