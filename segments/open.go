package segments

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"

	"github.com/logq/logq/internal/vfs"
)

// Open opens the log in o.Dir, or makes an empty one where there is nothing. Of
// segments with a footer it reads that and the header; of the others it reads all
// frames, checks them, and cuts off what an unfinished group commit left (see the
// returned Recovery). Frames that it didn't read are checked by [Log.Verify] and by
// whoever reads them. All that it then holds is durable. What had been
// durable and is damaged stays part of the log as far as it is known which entries
// it was: see [Log.Damage].
//
// Errors: *CorruptionError (errors.Is ErrCorrupt) if that is not known,
// *IdentityError (ErrNotOurs) and *VersionError for files that this program must not
// touch. No entry is changed on disk then; the replica is out of service. Any other
// error is one of the file system.
func Open(o Options) (*Log, Recovery, error) {
	if err := o.setDefaults(); err != nil {
		return nil, Recovery{}, err
	}
	l := &Log{o: o, salt: o.Identity.salt(), first: 1, chunkSize: chunkBytesMin, tail: tail{memory: o.Memory}}
	l.chunkMax = min(max(o.TailBytes/4, chunkBytesMin), chunkBytesMax)
	op := &opening{l: l, feet: make(map[*segment]*footer)}
	if err := op.open(); err != nil {
		return nil, op.rec, err
	}
	o.Memory.add(l)
	return l, op.rec, nil
}

func (o *Options) setDefaults() error {
	if o.FS == nil || o.Dir == "" {
		return errors.New("segments: Options need FS and Dir")
	}
	o.SegmentBytes = cmp.Or(o.SegmentBytes, DefaultSegmentBytes)
	o.TailBytes = cmp.Or(o.TailBytes, DefaultTailBytes)
	o.IndexInterval = cmp.Or(o.IndexInterval, DefaultIndexInterval)
	if o.SegmentBytes < 0 || o.SegmentBytes > MaxSegmentBytes || o.TailBytes < 0 || o.IndexInterval < 0 {
		return fmt.Errorf("segments: SegmentBytes %d must be in [1,%d], TailBytes %d and IndexInterval %d positive",
			o.SegmentBytes, int64(MaxSegmentBytes), o.TailBytes, o.IndexInterval)
	}
	if o.Memory == nil {
		o.Memory = NewMemory(int64(o.TailBytes))
	}
	return nil
}

// opening is the state of one Open.
type opening struct {
	l     *Log
	rec   Recovery
	at    position
	write Term
	// An unfinished new file, to be removed: the entries before it were durable.
	unfinished string
	mark       Index
	leftovers  []string // of a log that was begun anew, to be removed
	headless   map[*segment]error
	feet       map[*segment]*footer // those that decode
}

// found is a segment file in the directory.
type found struct {
	name   string
	base   Index
	id     ID
	header FileHeader
	err    error   // of the header
	foot   *footer // nil: none
}

func (op *opening) open() error {
	l := op.l
	files, err := op.list()
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(files) == 0 {
		// A directory with segments is durable: it was before the first was made.
		err = vfs.MkdirAllSync(l.o.FS, l.o.Dir)
	}
	if err != nil {
		return fmt.Errorf("segments: open %s: %w", l.o.Dir, err)
	}
	if err := op.freshen(files); err != nil {
		return err
	}
	if files, err = op.begun(files); err != nil {
		return fmt.Errorf("segments: open %s: %w", l.o.Dir, err)
	}
	op.mark = l.o.DurableMark
	if err := op.headers(files); err != nil {
		return err
	}
	if len(files) > 0 {
		if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
			return fmt.Errorf("segments: sync directory %s: %w", l.o.Dir, err)
		}
	}
	for i := 0; i < len(l.segs); i++ {
		if err := op.bridge(i); err != nil {
			return err
		}
		if err := op.segment(l.segs[i], i); err != nil {
			return err
		}
		if err := op.restoreHeader(l.segs[i]); err != nil {
			return err
		}
	}
	if op.at.index < op.mark {
		// Only an empty directory, or one with nothing but an unfinished file, gets
		// here: the scan of a segment has looked at the mark.
		return &CorruptionError{Path: l.o.Dir, Index: op.at.index + 1, Err: fmt.Errorf("no segments, but entries up to %d were durable", op.mark)}
	}
	if op.unfinished != "" {
		if err := op.remove(); err != nil {
			return err
		}
	}
	if err := op.removeLeftovers(); err != nil {
		return err
	}
	op.finish()
	return nil
}

// finish fills the log's fields from what was scanned.
func (op *opening) finish() {
	l := op.l
	for _, s := range l.segs {
		s.taken, s.synced = s.end, s.end
	}
	l.last, l.lastTerm, l.next = op.at.index, op.at.term, op.at.next
	l.write = op.write
	l.taken, l.durable, l.commit = l.last, l.last, op.rec.Commit
	l.loose = append([]place(nil), l.loose...)
	op.rec.WriteTerm = op.write
}
