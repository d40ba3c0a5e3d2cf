package segments

import (
	"errors"
	"fmt"
	"path"

	"github.com/logq/logq/internal/vfs"
)

// readEnds reads header block and footer of a file.
func (op *opening) readEnds(f *found) (err error) {
	name := path.Join(op.l.o.Dir, f.name)
	file, err := op.l.o.FS.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if f.header, err = readHeader(file); err != nil {
		return err
	}
	if foot, err := readFooter(file, op.l.salt.forSegment(f.id)); err == nil {
		f.foot = foot // else the frames are read, also if the disk can't read it
	}
	return nil
}

// readHeader reads and decodes the header block of a file.
func readHeader(f vfs.File) (FileHeader, error) {
	size, err := f.Size()
	if err != nil {
		return FileHeader{}, err
	}
	block := vfs.NewBlock()
	defer vfs.FreeBlock(block)
	b := block[:min(size, FileHeaderSize)]
	if err := readFull(f, b, 0); err != nil {
		return FileHeader{}, err
	}
	return decodeHeader(b)
}

// footed takes the segment number i by its footer alone, if that fits what is around
// it; ok is false if the frames must be read.
func (op *opening) footed(s *segment, i int) (ok bool, err error) {
	l := op.l
	ft := op.feet[s]
	if ft == nil || !op.continues(s, ft) {
		return false, nil
	}
	if i < len(l.segs)-1 {
		n := l.segs[i+1]
		if n.base != ft.last+1 || op.headless[n] == nil && (n.basePrev != ft.lastTerm || n.baseOffset != ft.nextOffset) {
			return false, nil
		}
	} else if ft.last < op.mark {
		return false, nil
	}
	from := max(op.rec.Commit, ft.commit) + 1
	places, ok, err := op.uncommitted(s, ft, max(from, s.base))
	if err != nil || !ok {
		return false, err
	}
	return true, op.takeFooter(s, ft, places)
}

// continues says whether the footer is that of s, and s goes on where the log is.
func (op *opening) continues(s *segment, ft *footer) bool {
	return position{s.base - 1, s.basePrev, s.baseOffset} == op.at && ft.write >= op.write &&
		position{ft.first - 1, ft.prevTerm, ft.firstOffset} == op.at && op.headless[s] == nil
}

// uncommitted returns where the entries from index from on lie, which a Truncate may
// need: it reads their frames. ok is false if they are not what the footer says.
func (op *opening) uncommitted(s *segment, ft *footer, from Index) (places []place, ok bool, err error) {
	if from > ft.last {
		return nil, true, nil
	}
	f, err := op.l.o.FS.Open(s.path)
	if err != nil {
		return nil, false, fmt.Errorf("segments: open %s: %w", s.path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	x, err := readSparse(f, ft, s.salt)
	if err != nil {
		return nil, false, nil // the frames are read
	}
	w := openWindow(f, ft.end)
	defer w.close()
	m := x.floor(from)
	at, pos, write := position{m.index - 1, ft.term(m.index - 1), m.offset}, m.pos, Term(0)
	for at.index < ft.last {
		b, reason, err := w.frame(pos, op.l.salt, s.salt)
		if err != nil {
			return nil, false, fmt.Errorf("segments: read %s: %w", s.path, err)
		}
		if reason != "" {
			return nil, false, nil
		}
		fr, loc := getFrame(b), getLocal(b)
		if fits(&fr, &loc, at, write).reason != "" {
			return nil, false, nil
		}
		if fr.Index >= from {
			places = append(places, place{pos: pos, offset: fr.BaseOffset})
		}
		at, pos, write = position{fr.Index, fr.Term, fr.Next()}, pos+int64(len(b)), loc.WriteTerm
	}
	return places, at == position{ft.last, ft.lastTerm, ft.nextOffset} && pos == ft.end, nil
}

// takeFooter adds the entries of a footer to the log.
func (op *opening) takeFooter(s *segment, ft *footer, places []place) error {
	l := op.l
	for _, t := range ft.terms {
		if n := len(l.terms); n == 0 || l.terms[n-1].Term != t.Term {
			l.terms = append(l.terms, t)
		}
	}
	l.configs = append(l.configs, ft.configs...)
	op.rec.Evidence = max(op.rec.Evidence, ft.durable)
	op.committed(ft.commit)
	if len(l.loose) == 0 {
		l.looseFirst = ft.last + 1 - Index(len(places))
	}
	l.loose = append(l.loose, places...)
	s.next, s.end, s.maxTime, s.write = ft.last+1, ft.end, ft.maxTime, ft.write
	s.frames, s.lazyEnd = ft.frames, ft.end
	if s.foot = footSealed; ft.open {
		s.foot = footOpen
	}
	s.closed.Store(!ft.open)
	op.at, op.write = position{ft.last, ft.lastTerm, ft.nextOffset}, ft.write
	return op.inForce(s, ft.config)
}

// committed takes in a commit mark: what it covers is never truncated.
func (op *opening) committed(mark Index) {
	l := op.l
	if mark <= op.rec.Commit {
		return
	}
	op.rec.Commit = mark
	n := min(int(max(mark+1, l.looseFirst)-l.looseFirst), len(l.loose))
	l.loose, l.looseFirst = l.loose[n:], l.looseFirst+Index(n)
}
