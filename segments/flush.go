package segments

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/logq/logq/internal/invariants"
	"github.com/logq/logq/internal/vfs"
)

// flusher is the memory of the one Flush that runs, kept for the next.
type flusher struct {
	busy  bool // guarded by Log.mu
	gone  []*segment
	end   *cutEnd    // what will be the end of the log; nil if nothing is cut off
	after []*segment // files to be removed when the steps are done
	// Before these are removed, the header of the one in which the log begins says so.
	begins *segment
	steps  []step
	bufs   [][]byte
	stats  Stats // counted here, added under mu
	// What one write takes: whole blocks, and those of them that are copies.
	blocks   [][]byte
	edges    []*[blockBytes]byte
	buffered bool // the file system refused direct writes
}

// step is what a Flush does to one file.
type step struct {
	seg   *segment
	make  bool       // make the file first
	head  FileHeader // with this
	cut   bool       // then cut it at from
	from  int64      // write bufs from here
	bufs  [][]byte
	end   int64 // the file's data ends here afterwards
	close bool  // the log rolls to the next: cut what was preallocated too much
}

// Flush makes durable what was staged before the call: removals and cuts of
// truncations, then all frames with one write and one fdatasync for each file. It belongs to the disk
// side: one call at a time, which may block; Append, Truncate and readers go on
// meanwhile, and what they stage is for the next Flush.
//
// The first error poisons the log: it is returned by every later call as a
// *PoisonedError, and nothing is written any more.
func (l *Log) Flush() error {
	work, err := l.take()
	if err != nil || !work {
		return err
	}
	return l.done(l.execute())
}

// take moves what is staged to l.flush and reports whether there is anything.
func (l *Log) take() (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false, ErrClosed
	}
	if l.poison != nil {
		return false, l.poison
	}
	fl := &l.flush
	invariants.Assertf(!fl.busy, "two Flush calls at once in %s", l.o.Dir)
	fl.gone, l.gone = l.gone, fl.gone[:0]
	// Newest first: at each moment the files are a beginning of the old log.
	slices.SortFunc(fl.gone, func(a, b *segment) int { return cmp.Compare(b.base, a.base) })
	i := len(l.segs)
	for i > 0 && !(l.segs[i-1].idle() && (l.segs[i-1].trimmed || i == len(l.segs))) {
		i--
	}
	fl.steps = fl.steps[:0]
	fl.bufs = fl.bufs[:0]
	fl.end = l.cutEnd()
	for ; i < len(l.segs); i++ {
		l.takeSegment(l.segs[i], i == len(l.segs)-1)
	}
	l.taken = l.last
	fl.after, l.replaced = l.replaced, fl.after[:0]
	fl.begins = nil
	if len(l.segs) > 0 && l.segs[0].rehead {
		fl.begins, l.segs[0].rehead = l.segs[0], false
	}
	fl.busy = len(fl.gone) > 0 || len(fl.after) > 0 || len(fl.steps) > 0
	return fl.busy, nil
}

func (l *Log) takeSegment(s *segment, active bool) {
	fl := &l.flush
	st := step{seg: s, make: !s.made, cut: s.cut, from: s.taken, end: s.end, close: !active}
	if st.make {
		st.head = l.fileHeader(s)
	}
	n := len(fl.bufs)
	for _, c := range l.tail.chunks {
		if end := c.pos + int64(len(c.buf)); c.seg == s && end > s.taken {
			fl.bufs = append(fl.bufs, c.buf[max(s.taken-c.pos, 0):])
		}
	}
	st.bufs = fl.bufs[n:len(fl.bufs):len(fl.bufs)]
	s.made, s.cut, s.taken, s.trimmed = true, false, s.end, !active
	fl.steps = append(fl.steps, st)
}

// done reports the result to the log.
func (l *Log) done(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	fl := &l.flush
	fl.busy = false
	l.stats.Flushes++
	l.stats.Direct = l.o.Direct && !fl.buffered
	l.stats.Writes += fl.stats.Writes
	l.stats.Syncs += fl.stats.Syncs
	l.stats.WrittenBytes += fl.stats.WrittenBytes
	fl.stats = Stats{}
	clear(fl.gone)
	clear(fl.after)
	clear(fl.bufs)
	if err != nil {
		l.poison = &PoisonedError{Dir: l.o.Dir, Cause: err}
		return l.poison
	}
	// A Truncate that came meanwhile has lowered taken, of the log and of its
	// segment, so that nothing counts as durable that was replaced since: what is
	// appended after a Truncate lies above them.
	for _, st := range fl.steps {
		st.seg.synced = st.seg.taken
	}
	clear(fl.steps)
	l.durable = l.taken
	l.evict(1)
	return nil
}

// execute does the work. No lock is held; segments' file and allocated are ours.
func (l *Log) execute() error {
	if err := l.checkEnd(l.flush.end); err != nil {
		return err
	}
	if err := l.removeFiles(l.flush.gone); err != nil {
		return err
	}
	for i := range l.flush.steps {
		if err := l.executeStep(&l.flush.steps[i]); err != nil {
			return err
		}
	}
	if l.flush.begins != nil {
		if err := l.writeHeader(l.flush.begins); err != nil {
			return fmt.Errorf("begin the log later: %w", err)
		}
	}
	return l.removeFiles(l.flush.after)
}

// removeFiles removes one file after the other, so that at each moment the files
// that are left are a log.
func (l *Log) removeFiles(segs []*segment) error {
	for _, s := range segs {
		if err := errors.Join(s.closeFile(), l.o.FS.Remove(s.path)); err != nil {
			return fmt.Errorf("remove a segment: %w", err)
		}
		if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
			return fmt.Errorf("sync directory after removing a segment: %w", err)
		}
	}
	return nil
}

func (l *Log) executeStep(st *step) error {
	s := st.seg
	if err := l.openFile(st); err != nil {
		return err
	}
	if st.cut {
		l.settle(s)
		// Before anything is written over what was dropped: see format.md.
		if err := s.file.Truncate(st.from); err != nil {
			return fmt.Errorf("cut truncated entries: %w", err)
		}
		if err := l.sync(s); err != nil {
			return err
		}
		s.allocated, s.written = st.from, min(s.written, blockCeil(st.from))
		if s.edgePos != blockFloor(st.from) {
			s.dropEdge()
		}
	}
	if len(st.bufs) > 0 {
		if err := l.writeFrames(st); err != nil {
			return err
		}
	}
	if st.close && s.allocated > st.end {
		// What is cut off are zeros: it need not be durable.
		if err := s.file.Truncate(st.end); err != nil {
			return fmt.Errorf("cut a full segment to its size: %w", err)
		}
	}
	if st.close {
		return s.closeFile()
	}
	return nil
}

// writeFrames writes the step's frames and syncs the file.
func (l *Log) writeFrames(st *step) error {
	s, fl := st.seg, &l.flush
	if err := l.grow(s, blockCeil(st.end)); err != nil {
		return err
	}
	defer fl.release()
	off, err := fl.layout(s, st.from, st.bufs)
	if err != nil {
		return err
	}
	if err := s.file.WriteSync(fl.blocks, off); err != nil {
		return fmt.Errorf("write frames: %w", err)
	}
	end := off
	for _, b := range fl.blocks {
		end += int64(len(b))
	}
	invariants.Assertf(end >= st.end, "blocks end at %d, the segment at %d", end, st.end)
	s.written = max(s.written, end)
	fl.stats.Writes++
	fl.stats.Syncs++
	fl.stats.WrittenBytes += uint64(end - off)
	return nil
}

// openFile opens the segment's file for writing, or makes it.
func (l *Log) openFile(st *step) (err error) {
	s := st.seg
	if st.make {
		return l.makeFile(s, &st.head, st.end)
	}
	if s.file != nil {
		return nil
	}
	if s.file, err = l.openWrite(s.path); err != nil {
		return fmt.Errorf("open segment for writing: %w", err)
	}
	if s.allocated, err = s.file.Size(); err != nil {
		return fmt.Errorf("open segment for writing: %w", err)
	}
	s.written = blockCeil(st.from)
	return nil
}

// openWrite opens a file that frames will be written to.
func (l *Log) openWrite(name string) (vfs.File, error) {
	if l.o.Direct && !l.flush.buffered {
		f, err := l.o.FS.OpenDirect(name)
		if !errors.Is(err, vfs.ErrNoDirect) {
			return f, err
		}
		l.flush.buffered = true
	}
	return l.o.FS.OpenReadWrite(name)
}

// makeFile makes the file with its header, durable with its name before the
// first frame is written.
func (l *Log) makeFile(s *segment, h *FileHeader, end int64) (err error) {
	name := s.path
	if h.Start {
		name += startSuffix
	}
	if s.file, err = l.o.FS.Create(name); err != nil {
		return fmt.Errorf("make segment: %w", err)
	}
	s.allocated = 0
	if err := l.grow(s, end); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(h.encode(), 0); err != nil {
		return fmt.Errorf("write segment header: %w", err)
	}
	if err := l.sync(s); err != nil {
		return err
	}
	if h.Start {
		// From this moment on the files of the old log are leftovers.
		if err := l.o.FS.Rename(name, s.path); err != nil {
			return fmt.Errorf("begin a new log: %w", err)
		}
	}
	if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
		return fmt.Errorf("sync directory of a new segment: %w", err)
	}
	s.written = FileHeaderSize
	if !l.o.Direct || l.flush.buffered {
		return nil
	}
	if err := s.closeFile(); err != nil {
		return fmt.Errorf("close new segment: %w", err)
	}
	if s.file, err = l.openWrite(s.path); err != nil {
		return fmt.Errorf("open new segment for writing: %w", err)
	}
	return nil
}

// grow preallocates the file up to end and a step beyond.
func (l *Log) grow(s *segment, end int64) error {
	if end <= s.allocated {
		return nil
	}
	ahead := min(max(allocFactor*s.allocated, allocBytesMin), allocBytesMax)
	size := blockCeil(max(end, min(s.allocated+ahead, l.o.SegmentBytes)))
	if err := s.file.Preallocate(s.allocated, size-s.allocated); err != nil {
		return fmt.Errorf("preallocate segment: %w", err)
	}
	s.allocated = size
	return nil
}

func (l *Log) sync(s *segment) error {
	l.flush.stats.Syncs++
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync segment: %w", err)
	}
	return nil
}

// removeDir removes a partition's directory so that a crash leaves all of it or
// nothing that Open would look at.
func removeDir(fsys vfs.FS, dir string) error {
	parent, doomed := path.Dir(dir), dir+".removed"
	if err := fsys.RemoveAll(doomed); err != nil {
		return fmt.Errorf("segments: remove %s: %w", doomed, err)
	}
	if err := fsys.Rename(dir, doomed); err != nil {
		return fmt.Errorf("segments: remove %s: %w", dir, err)
	}
	if err := fsys.SyncDir(parent); err != nil {
		return fmt.Errorf("segments: remove %s: %w", dir, err)
	}
	if err := fsys.RemoveAll(doomed); err != nil {
		return fmt.Errorf("segments: remove %s: %w", doomed, err)
	}
	return fsys.SyncDir(parent)
}
