package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/logq/logq/internal/vfs"
)

const (
	// DefaultSegmentBytes is the size at which a segment file is followed by the
	// next. The library holds the newest one in memory.
	DefaultSegmentBytes = 256 << 10

	// Old records are dropped when they take this many segments, and this many
	// times what the live state takes: that bounds both the disk space and the
	// share of writes that only repeat state.
	compactSegments = 4
	compactFactor   = 4

	// keepBytes is the largest buffer that is kept from one Save to the next.
	keepBytes = 1 << 20
)

// copyNames are the directories of the two copies, in the order of writing.
var copyNames = [2]string{"a", "b"}

// Options say where a journal lies and whose it is. Dir is needed.
type Options struct {
	// Dir is the directory of the journal. It must lie on the operating system's
	// file system, and no other process may use it: the caller holds the lock of
	// the data directory.
	Dir string
	// Owner is the broker's id. A journal of another owner is refused.
	Owner uint64
	// SegmentBytes is the size of a segment file, default DefaultSegmentBytes.
	SegmentBytes int
	// MustExist refuses to create a journal, with a *MissingError: for a data
	// directory that was in use before.
	MustExist bool
	// FS is the operating system's file system, as it is or with faults or a
	// trace in front of it, default vfs.OS(). The library opens its files itself.
	FS vfs.FS

	open openEngine
}

// Report says what Open found.
type Report struct {
	// Created says that there was no journal.
	Created bool
	// Generation is the number of the newest Save.
	Generation uint64
	// Keys is how many keys have a value.
	Keys int
	// Warnings say, one a line, what was repaired and what was left alone. Log them.
	Warnings []string
}

// WAL is a journal on files. One goroutine calls its methods at a time.
type WAL struct {
	o       Options
	mirrors [2]*mirror

	mu         sync.Mutex // guards what follows; never held across I/O
	state      state
	generation uint64
	err        error // first failure
	closed     bool

	buf   []byte
	since int // bytes written to each copy since the last checkpoint
}

// Open checks both copies, repairs what one of them lacks from the other, and
// opens the journal, creating it if there is none. What it loads is durable when
// it returns: state that was only in the page cache is written again first. It
// fails with a *CorruptionError, *OwnerError, *VersionError or *MissingError
// without changing anything, and with other errors if the file system does; then
// it can be called again.
func Open(o Options) (*WAL, Report, error) {
	if o.Dir == "" {
		return nil, Report{}, errors.New("journal: Options.Dir is missing")
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.open == nil {
		o.open = openWAL
	}
	w := &WAL{o: o, state: newState()}
	var scans [2]*scan
	for i := range scans {
		s, err := scanPair(o.FS, w.dir(i), o.Owner)
		if err != nil {
			return nil, Report{}, err
		}
		scans[i] = s
	}
	var report Report
	var err error
	if scans[0].missing && scans[1].missing {
		report.Created = true
		err = w.create()
	} else {
		report.Warnings, err = w.recover(scans)
	}
	if err != nil {
		return nil, Report{}, errors.Join(err, w.closeMirrors())
	}
	report.Generation, report.Keys = w.generation, len(w.state.values)
	return w, report, nil
}

// Dir returns the directory of the journal.
func (w *WAL) Dir() string { return w.o.Dir }

func (w *WAL) dir(i int) string { return filepath.Join(w.o.Dir, copyNames[i]) }

// Save implements [Journal].
func (w *WAL) Save(entries []Entry) error {
	kind, err := w.encode(entries)
	if err != nil || len(entries) == 0 {
		return err
	}
	if err := w.write(kind); err != nil {
		return w.poison(err)
	}
	w.commit(entries)
	if cap(w.buf) > keepBytes {
		w.buf = nil
	}
	return nil
}

// encode puts the next record into buf: the entries, or all state with them
// once the records since the last checkpoint take too much.
func (w *WAL) encode(entries []Entry) (recordKind, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return 0, err
	}
	if err := checkSize(&w.state, entries); err != nil {
		return 0, err
	}
	kind := kindChanges
	if w.since > compactSegments*w.o.SegmentBytes && w.since > compactFactor*w.state.size {
		next := w.state.clone()
		next.apply(entries)
		kind, entries = kindCheckpoint, next.entries()
	}
	w.buf = appendRecord(w.buf[:0], kind, w.generation+1, w.o.Owner, entries)
	return kind, nil
}

// write makes the record in buf durable in the first copy, then in the second,
// and after a checkpoint drops what is older, in the same order.
func (w *WAL) write(kind recordKind) error {
	for _, m := range w.mirrors {
		if err := m.append(w.buf); err != nil {
			return err
		}
	}
	w.since += framedSize(len(w.buf))
	if kind != kindCheckpoint {
		return nil
	}
	for _, m := range w.mirrors {
		if err := m.dropBefore(m.last); err != nil {
			return err
		}
	}
	w.since = framedSize(len(w.buf))
	return nil
}

func (w *WAL) commit(entries []Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.generation++
	w.state.apply(entries)
}

func (w *WAL) poison(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	return &PoisonedError{Err: w.err}
}

// usable must be called with mu held.
func (w *WAL) usable() error {
	if w.err != nil {
		return &PoisonedError{Err: w.err}
	}
	if w.closed {
		return ErrClosed
	}
	return nil
}

// Load implements [Journal]. It reads memory only: the library's readers race.
func (w *WAL) Load(f func(Entry) error) error {
	entries, err := w.live()
	if err != nil {
		return err
	}
	return each(entries, f)
}

func (w *WAL) live() ([]Entry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return nil, err
	}
	return w.state.entries(), nil
}

// Close implements [Journal].
func (w *WAL) Close() error {
	err := w.shut()
	if errors.Is(err, ErrClosed) {
		return err
	}
	return errors.Join(err, w.closeMirrors())
}

func (w *WAL) shut() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	w.closed = true
	if w.err != nil {
		return &PoisonedError{Err: w.err}
	}
	return nil
}

func (w *WAL) closeMirrors() error {
	var errs []error
	for i, m := range w.mirrors {
		if m == nil || m.log == nil {
			continue
		}
		if err := m.close(); err != nil {
			errs = append(errs, fmt.Errorf("journal: close %s: %w", m.dir, err))
		}
		w.mirrors[i] = nil
	}
	return errors.Join(errs...)
}
