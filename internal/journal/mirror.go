package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/tidwall/wal"

	"github.com/logq/logq/internal/vfs"
)

// engine is what the journal uses of the library's log. Tests put failures in
// front of it.
type engine interface {
	WriteBatch(*wal.Batch) error
	Sync() error
	TruncateFront(index uint64) error
	FirstIndex() (uint64, error)
	LastIndex() (uint64, error)
	Close() error
}

type openEngine func(dir string, segmentBytes int) (engine, error)

// openWAL opens the library's log. It must get nothing but whole records: it
// checks none of them.
func openWAL(dir string, segmentBytes int) (engine, error) {
	return wal.Open(dir, &wal.Options{NoSync: true, SegmentSize: segmentBytes, SegmentCacheSize: 1, AllowEmpty: true})
}

// mirror is one copy of the journal, open for writing.
type mirror struct {
	fs    vfs.FS
	dir   string
	log   engine
	last  uint64 // index of the newest record, in the library's counting
	batch wal.Batch
}

// openMirror opens the copy that s describes: it finishes a front truncation
// that a crash interrupted and cuts a torn tail. The copy must be healthy.
func openMirror(fsys vfs.FS, s *scan, dir string, segmentBytes int, open openEngine) (*mirror, error) {
	m := &mirror{fs: fsys, dir: dir}
	if err := m.finishTruncation(s); err != nil {
		return nil, fmt.Errorf("journal: finish the truncation of %s: %w", dir, err)
	}
	tail := s.segments[len(s.segments)-1]
	if s.tail() != nil {
		name := filepath.Join(dir, strings.TrimSuffix(tail.name, startMark))
		if err := cut(fsys, name, tail.size); err != nil {
			return nil, fmt.Errorf("journal: cut the torn tail of %s: %w", name, err)
		}
	}
	if err := m.open(segmentBytes, open); err != nil {
		return nil, err
	}
	first, err1 := m.log.FirstIndex()
	last, err2 := m.log.LastIndex()
	if err := errors.Join(err1, err2); err != nil {
		return nil, errors.Join(fmt.Errorf("journal: open %s: %w", dir, err), m.log.Close())
	}
	if want := tail.index + uint64(tail.records) - 1; first != s.segments[0].index || last != want {
		err := fmt.Errorf("journal: open %s: the library sees records %d to %d, the check saw %d to %d", dir, first, last, s.segments[0].index, want)
		return nil, errors.Join(err, m.log.Close())
	}
	m.last = last
	return m, nil
}

func (m *mirror) open(segmentBytes int, open openEngine) error {
	log, err := open(m.dir, segmentBytes)
	if err != nil {
		return fmt.Errorf("journal: open %s: %w", m.dir, err)
	}
	m.log = log
	return nil
}

// finishTruncation does the rest of a TruncateFront in the order that the
// library neglects: what is older is gone for good before the new segment takes
// its name.
func (m *mirror) finishTruncation(s *scan) error {
	if s.start == "" && len(s.temps) == 0 {
		return nil
	}
	for _, name := range append(s.temps, s.older...) {
		if err := m.fs.Remove(filepath.Join(m.dir, name)); err != nil {
			return err
		}
	}
	if err := m.fs.SyncDir(m.dir); err != nil || s.start == "" {
		return err
	}
	from := filepath.Join(m.dir, s.start)
	if err := m.fs.Rename(from, strings.TrimSuffix(from, startMark)); err != nil {
		return err
	}
	return m.fs.SyncDir(m.dir)
}

func cut(fsys vfs.FS, name string, size int64) error {
	f, err := fsys.OpenReadWrite(name)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// append makes one record durable. An error leaves the copy in an unknown
// state: it must not be written again.
func (m *mirror) append(rec []byte) error {
	index := m.last + 1
	m.batch.Clear()
	m.batch.Write(index, rec)
	if err := m.log.WriteBatch(&m.batch); err != nil {
		return fmt.Errorf("write to %s: %w", m.dir, err)
	}
	if err := m.log.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", m.dir, err)
	}
	m.last = index
	if cap(rec) > keepBytes {
		m.batch = wal.Batch{} // a checkpoint's worth of memory is not kept
	}
	// The library rolls to a new file before the record or after it, and syncs no
	// directory. A new file is named after the record it begins with.
	rolled := false
	for _, first := range [...]uint64{index, index + 1} {
		_, err := m.fs.Stat(filepath.Join(m.dir, segmentName(first)))
		switch {
		case err == nil:
			rolled = true
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("look for a new segment in %s: %w", m.dir, err)
		}
	}
	if rolled {
		return m.syncDir()
	}
	return nil
}

// dropBefore removes all records before index, which must be a checkpoint that
// is durable in both copies.
func (m *mirror) dropBefore(index uint64) error {
	if err := m.log.TruncateFront(index); err != nil {
		return fmt.Errorf("drop old records of %s: %w", m.dir, err)
	}
	return m.syncDir()
}

func (m *mirror) syncDir() error {
	if err := m.fs.SyncDir(m.dir); err != nil {
		return fmt.Errorf("sync directory %s: %w", m.dir, err)
	}
	return nil
}

func (m *mirror) close() error { return m.log.Close() }

func segmentName(index uint64) string { return fmt.Sprintf("%0*d", nameDigits, index) }
