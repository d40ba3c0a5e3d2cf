package segments

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/logq/logq/record"
)

// sealJob is one footer to be written.
type sealJob struct {
	s    *segment
	ft   *footer
	x    sparse
	poor bool // ft and x are to be made from the frames
	drop bool // the footer is to be cut off: damage was found before it
}

// Seal writes footers behind the segments that will never change: rolled, durable, and
// committed to their last entry. It reports how many. It belongs to the disk side and may
// block, but runs beside everything except Close; beside another Seal it returns at once.
// Call it after each Flush: it costs nothing when there is nothing to do.
//
// No entry depends on a footer: an error costs only that the segment is read when the log
// is opened next time. It is not tried again before.
func (l *Log) Seal() (n int, err error) { return l.seal(false) }

// Finish seals all that the log holds, the segment that is written to as well, so that
// the next Open need not read it. It belongs behind the last Flush before Close; an
// append after it costs a cut and a sync more. It does nothing if something is not
// durable.
func (l *Log) Finish() error {
	_, err := l.seal(true)
	return err
}

func (l *Log) seal(all bool) (n int, err error) {
	if !l.beginSeal(all) {
		return 0, nil
	}
	defer func() {
		l.mu.Lock()
		l.sealing = false
		l.mu.Unlock()
	}()
	var errs []error
	for at := Index(0); ; {
		j := l.nextSeal(at, all)
		if j == nil {
			return n, errors.Join(errs...)
		}
		at = j.s.base + 1
		write := l.writeFooter
		if j.drop {
			write = l.dropFooter
		}
		if all {
			if err := j.s.closeFile(); err != nil {
				return n, fmt.Errorf("segments: close %s: %w", j.s.path, err)
			}
		}
		if err := write(j); err != nil {
			errs = append(errs, fmt.Errorf("segments: seal %s: %w", j.s.path, err))
			l.mu.Lock()
			j.s.failed = true
			l.mu.Unlock()
			continue
		}
		if l.sealed(j); !j.drop {
			n++
		}
	}
}

// beginSeal says whether there is something to do and nobody else who does it.
func (l *Log) beginSeal(all bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.segs)
	if l.closed || l.poison != nil || l.sealing || l.flush.busy || n == 0 {
		return false
	}
	if all {
		if l.durable < l.last || len(l.gone) > 0 || len(l.replaced) > 0 {
			return false
		}
	} else if !l.reseal && (n < 2 || l.segs[n-2].foot != footNone) {
		return false
	}
	l.sealing = true
	return true
}

// nextSeal returns the first segment from entry at on that can get a footer; nil if none
// can.
func (l *Log) nextSeal(at Index, all bool) *sealJob {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.flush.busy {
		return nil
	}
	missing := false
	for i := sort.Search(len(l.segs), func(i int) bool { return l.segs[i].base >= at }); i < len(l.segs); i++ {
		s := l.segs[i]
		last := i == len(l.segs)-1
		if s.failed || last && !all {
			continue
		}
		if s.foot != footNone {
			// In the last segment it is what proves how far the log went.
			if !last && l.damaged(s) {
				return &sealJob{s: s, drop: true}
			}
			continue
		}
		final := !last && s.next <= min(l.commit, l.durable)+1
		if !s.idle() || s.synced < s.end || s.next == s.base || l.damaged(s) || !final && !all || !last && !s.trimmed {
			missing = true
			continue
		}
		j := &sealJob{s: s, ft: l.footerOf(s, !final), x: slices.Clone(s.marks), poor: s.poor}
		if !j.ft.bounded() {
			s.failed = true // it is read when the log is opened
			continue
		}
		// From here on nothing is appended to it, or not before all behind its end is cut
		// off: what is left of a footer must not stand behind other frames.
		if final {
			s.closed.Store(true)
		} else {
			s.foot = footOpen
		}
		return j
	}
	if at == 0 && !all {
		l.reseal = missing
	}
	return nil
}

// damaged says whether a gap lies in s.
func (l *Log) damaged(s *segment) bool {
	return slices.ContainsFunc(l.gaps, func(g *gap) bool { return g.seg == s })
}

// footerOf makes the footer of s from what is in memory.
func (l *Log) footerOf(s *segment, open bool) *footer {
	ft := &footer{
		first: s.base, last: s.next - 1, firstOffset: s.baseOffset, nextOffset: l.offsetBehind(s), prevTerm: s.basePrev,
		write: s.write, durable: s.next - 1, commit: min(l.commit, s.next-1), config: l.configBefore(s.next),
		maxTime: s.maxTime, end: s.end, frames: s.frames, open: open,
	}
	k := max(sort.Search(len(l.terms), func(k int) bool { return l.terms[k].First > s.base })-1, 0)
	for ; k < len(l.terms) && l.terms[k].First < s.next; k++ {
		ft.terms = append(ft.terms, TermStart{l.terms[k].Term, max(l.terms[k].First, s.base)})
	}
	if k > 0 {
		ft.lastTerm = l.terms[k-1].Term
	}
	for _, c := range l.configs {
		if c.Index >= s.base && c.Index < s.next {
			ft.configs = append(ft.configs, c)
		}
	}
	return ft
}

// offsetBehind returns the offset that follows on the entries of s.
func (l *Log) offsetBehind(s *segment) record.Offset {
	if k := slices.Index(l.segs, s); k+1 < len(l.segs) {
		return l.segs[k+1].baseOffset
	}
	return l.next
}

// writeFooter makes the footer durable behind the frames.
func (l *Log) writeFooter(j *sealJob) (err error) {
	s, ft := j.s, j.ft
	if j.poor {
		seen, x, err := l.survey(s, ft.last+1)
		if err != nil {
			return err
		}
		if seen == nil || seen.end != ft.end || seen.lastTerm != ft.lastTerm || seen.nextOffset != ft.nextOffset {
			err := fmt.Errorf("the log is said to hold %v, the file holds %v", ft, seen)
			return errors.Join(err, l.dropFooter(j)) // the frames count when the log is opened
		}
		ft.frames, ft.maxTime, ft.write, j.x = seen.frames, seen.maxTime, max(ft.write, seen.write), x
	}
	f, err := l.o.FS.OpenReadWrite(s.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	pos := footPos(s.end)
	if size > pos {
		// Zeros that were preallocated, or a footer that was damaged.
		if err := f.Truncate(pos); err != nil {
			return err
		}
	}
	if err := f.WriteSync([][]byte{ft.encode(j.x.thinned(footMarksMax), s.salt)}, pos); err != nil {
		return errors.Join(err, uncache(f))
	}
	return nil
}

// dropFooter cuts a footer off.
func (l *Log) dropFooter(j *sealJob) (err error) {
	f, err := l.o.FS.OpenReadWrite(j.s.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if size, err := f.Size(); err != nil || size <= footPos(j.s.end) {
		return err
	}
	if err := f.Truncate(footPos(j.s.end)); err != nil {
		return err
	}
	return f.Sync()
}

// sealed notes that the footer is durable: the sparse index may leave the memory.
func (l *Log) sealed(j *sealJob) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := j.s
	if j.drop {
		s.foot = footNone
		return
	}
	if s.cut || s.end != j.ft.end || !slices.Contains(l.segs, s) {
		return // dropped or damaged meanwhile
	}
	l.stats.Seals++
	s.frames, s.poor, s.maxTime, s.write = j.ft.frames, false, j.ft.maxTime, j.ft.write
	if s.foot = footSealed; j.ft.open {
		s.foot = footOpen
	}
	s.trimmed = true
	if l.damaged(s) {
		l.reseal = true
		return
	}
	s.lazyEnd, s.marks = s.end, nil
	l.o.Memory.indexes.add(&lazyIndex{marks: j.x, seg: s})
}
