package broker

import (
	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/vfs"
)

// NewOn makes a broker on another file system than the operating system's as it
// is: faults in front of it come in here.
func NewOn(c Config, fsys vfs.FS) (*Broker, error) { return newBroker(c, fsys) }

// WriteIdentity writes both copies of a data directory's identity, with another broker
// and cluster than it has.
func WriteIdentity(dir string, broker int, cluster string) error {
	id, err := readIdentity(vfs.OS(), dir)
	if err != nil {
		return err
	}
	id.Broker, id.Cluster = broker, cluster
	return writeIdentity(vfs.OS(), dir, id.identity)
}

// WrapJournal puts something in front of the journal that Start opens.
func WrapJournal(b *Broker, wrap func(journal.Journal) journal.Journal) { b.wrapJournal = wrap }
