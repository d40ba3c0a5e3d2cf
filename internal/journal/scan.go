package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/logq/logq/internal/vfs"
)

// segmentMaxBytes bounds what is read of one segment file: the library rolls
// only after a record, so a file holds at most one record beyond its size.
const segmentMaxBytes = 4 * (MaxStateBytes + recordMinSize)

// Names in the directory of one copy. They are the library's.
const (
	nameDigits = 20
	startMark  = ".START" // result of a front truncation that was not finished
	endMark    = ".END"   // of a back truncation, which the journal never does
	tempMark   = ".TEMP"  // half-written
)

// damage is a range of a copy that holds no valid record, or a file that should
// be there and is not.
type damage struct {
	path   string
	offset int64
	length int64  // bytes up to the last one that is not zero
	after  uint64 // newest generation before it in this copy
	tail   bool   // nothing valid follows, in the last segment
	torn   bool   // tail, and looks like a write that a crash cut off
	reason string
}

func (d *damage) String() string {
	return fmt.Sprintf("%s, byte %d: %s", d.path, d.offset, d.reason)
}

type segmentFile struct {
	name    string
	index   uint64 // of its first record, in the library's counting
	records int
	size    int64 // bytes of whole records from the front on
}

// scan is what the directory of one copy holds, read without changing it.
type scan struct {
	dir      string // where the bytes lie now
	missing  bool
	pending  bool          // a whole replacement that waits for its name
	segments []segmentFile // in force, in order
	start    string        // name of the START file that replaces what is older, or ""
	older    []string      // files that start replaces
	temps    []string      // half-written files of the library
	records  []record      // valid ones in order, of the segments in force
	spare    []record      // valid ones of older files
	damages  []damage
	newest   uint64 // newest generation of a valid record
	warnings []string
}

// unhealthy says why the library must not be given this copy, or "". A torn
// tail is not a reason: it is cut.
func (s *scan) unhealthy() string {
	if s.missing {
		return "the copy is missing"
	}
	for i := range s.damages {
		if d := &s.damages[i]; !d.torn {
			return d.String()
		}
	}
	if len(s.records) == 0 {
		return s.dir + " holds no record"
	}
	prev := uint64(0)
	for i := range s.records {
		r := &s.records[i]
		if r.generation != prev+1 && r.kind != kindCheckpoint || r.generation <= prev || i == 0 && r.kind != kindCheckpoint {
			return fmt.Sprintf("%s: generation %d follows %d: a segment is missing or misplaced", s.dir, r.generation, prev)
		}
		prev = r.generation
	}
	return ""
}

// tail returns the damage at the end of the copy, or nil.
func (s *scan) tail() *damage {
	for i := range s.damages {
		if s.damages[i].tail {
			return &s.damages[i]
		}
	}
	return nil
}

// scanCopy reads one copy. It fails only if nothing can be said about it, or
// with an *OwnerError or *VersionError.
func scanCopy(fsys vfs.FS, dir string, owner uint64) (*scan, error) {
	s := &scan{dir: dir}
	names, err := fsys.List(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.missing = true
		return s, nil
	case errors.Is(err, syscall.ENOTDIR):
		s.damages = append(s.damages, damage{path: dir, reason: "is not a directory"})
		return s, nil
	case isMediaError(err):
		s.damages = append(s.damages, damage{path: dir, reason: err.Error()})
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("journal: list %s: %w", dir, err)
	}
	s.sort(names)
	for _, name := range s.older {
		data, err := s.read(fsys, name, false)
		if err != nil {
			return nil, err
		}
		records, _, err := parseSegment(data, owner)
		if err != nil {
			return nil, s.named(name, err)
		}
		s.spare = append(s.spare, records...)
	}
	for i := range s.segments {
		if err := s.segment(fsys, i, owner); err != nil {
			return nil, err
		}
	}
	s.checkOrder()
	for _, list := range [][]record{s.records, s.spare} {
		for i := range list {
			s.newest = max(s.newest, list[i].generation)
		}
	}
	return s, nil
}

// sort tells what the files of the directory are, by their names.
func (s *scan) sort(names []string) {
	for _, name := range names {
		index, ok := segmentIndex(name)
		switch {
		case ok && (name[nameDigits:] == startMark+tempMark || name[nameDigits:] == endMark+tempMark):
			s.temps = append(s.temps, name)
		case !ok:
			s.warnings = append(s.warnings, fmt.Sprintf("%s is not a file of the journal; it is left alone", filepath.Join(s.dir, name)))
		case len(name) == nameDigits:
			s.segments = append(s.segments, segmentFile{name: name, index: index})
		case name[nameDigits:] == startMark && s.start == "":
			// By name it sorts after the segment of the same index, which it replaces.
			for _, old := range s.segments {
				s.older = append(s.older, old.name)
			}
			s.start = name
			s.segments = []segmentFile{{name: name, index: index}}
		case name[nameDigits:] == startMark || name[nameDigits:] == endMark:
			s.damages = append(s.damages, damage{path: filepath.Join(s.dir, name), reason: "a file that the journal does not write"})
		default:
			s.warnings = append(s.warnings, fmt.Sprintf("%s is not a file of the journal; it is left alone", filepath.Join(s.dir, name)))
		}
	}
}

func segmentIndex(name string) (uint64, bool) {
	if len(name) < nameDigits {
		return 0, false
	}
	index, err := strconv.ParseUint(name[:nameDigits], 10, 64)
	return index, err == nil && index > 0
}

// segment parses segment i and appends its records and damages.
func (s *scan) segment(fsys vfs.FS, i int, owner uint64) error {
	seg := &s.segments[i]
	last := i == len(s.segments)-1
	data, err := s.read(fsys, seg.name, last)
	if err != nil {
		return err
	}
	records, holes, err := parseSegment(data, owner)
	if err != nil {
		return s.named(seg.name, err)
	}
	seg.records, seg.size = len(records), int64(len(data))
	for _, h := range holes {
		left := len(bytes.TrimRight(data[h.from:h.to], "\x00"))
		d := damage{path: filepath.Join(s.dir, seg.name), offset: int64(h.from), length: int64(left), reason: "damaged record"}
		d.after = newestOf(s.records, records[:h.records])
		if last && h.to == len(data) {
			d.tail, d.torn = true, looksTorn(data[h.from:])
			if d.torn {
				d.reason = fmt.Sprintf("torn tail of %d bytes", h.to-h.from)
			}
			seg.size = int64(h.from)
		}
		s.damages = append(s.damages, d)
	}
	s.records = append(s.records, records...)
	return nil
}

// checkOrder finds missing, shortened and added segments: each begins with the
// index after the last record of the one before.
func (s *scan) checkOrder() {
	for i := 1; i < len(s.segments); i++ {
		prev, seg := &s.segments[i-1], &s.segments[i]
		if want := prev.index + uint64(prev.records); seg.index != want {
			s.damages = append(s.damages, damage{
				path: filepath.Join(s.dir, seg.name), reason: fmt.Sprintf("segment begins at %d, the one before ends at %d", seg.index, want-1),
			})
		}
	}
}

// unreadable notes a file of which nothing is known but its size.
func (s *scan) unreadable(path string, size int64, tail bool, reason string) {
	s.damages = append(s.damages, damage{path: path, length: size, after: newestOf(s.records), tail: tail, reason: reason})
}

// read returns the content of a file, none if the medium cannot be read. tail
// says that it is the last one.
func (s *scan) read(fsys vfs.FS, name string, tail bool) ([]byte, error) {
	path := filepath.Join(s.dir, name)
	info, err := fsys.Stat(path)
	if err == nil && (info.Dir || info.Size > segmentMaxBytes) {
		s.unreadable(path, info.Size, tail, fmt.Sprintf("is no segment file (directory: %v, %d bytes)", info.Dir, info.Size))
		return nil, nil
	}
	var data []byte
	if err == nil {
		data, err = vfs.ReadFile(fsys, path, segmentMaxBytes)
	}
	if isMediaError(err) {
		s.unreadable(path, info.Size, tail, err.Error())
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: read %s: %w", path, err)
	}
	return data, nil
}

// isMediaError tells a disk that cannot read what it holds from a mistake in
// permissions or the like, which must not look like damage.
func isMediaError(err error) bool { return errors.Is(err, syscall.EIO) }

// named adds the path to an *OwnerError or *VersionError.
func (s *scan) named(name string, err error) error {
	path := filepath.Join(s.dir, name)
	var owner *OwnerError
	var version *VersionError
	switch {
	case errors.As(err, &owner):
		owner.Path = path
	case errors.As(err, &version):
		version.Path = path
	}
	return err
}

// hole is a range of a segment without a valid record.
type hole struct {
	from, to int
	records  int // valid records before it
}

// parseSegment finds all valid records of a segment, also those after damage.
func parseSegment(data []byte, owner uint64) (records []record, holes []hole, err error) {
	for pos := 0; pos < len(data); {
		r, n, err := decodeFramed(data[pos:])
		if err == nil {
			records, pos = append(records, r), pos+n
			continue
		}
		h := hole{from: pos, to: len(data), records: len(records)}
		next, at, ok := nextRecord(data[pos:])
		if ok {
			h.to = pos + at
			pos = h.to + len(next.raw)
		}
		if err := newerVersion(data[h.from:h.to]); err != nil {
			return nil, nil, err
		}
		holes = append(holes, h)
		if !ok {
			break
		}
		records = append(records, next)
	}
	for i := range records {
		if records[i].owner != owner {
			return nil, nil, &OwnerError{Owner: records[i].owner, Want: owner}
		}
	}
	return records, holes, nil
}

// newerVersion returns a *VersionError if data holds a whole record of a
// version that is not known: no damage, but nothing to touch either.
func newerVersion(data []byte) error {
	for {
		i := bytes.Index(data, []byte(recordMagic))
		if i < 0 {
			return nil
		}
		data = data[i:]
		var version *VersionError
		if _, err := decodeRecord(data); errors.As(err, &version) {
			return version
		}
		data = data[1:]
	}
}

// looksTorn tells a write that a crash cut off from a whole record that was
// damaged later. A cut-off one ends early, or blocks of it were never written
// and read as zeros; a whole one has its end mark, of which damage of one byte
// leaves three.
func looksTorn(data []byte) bool {
	const holeBytes = 24
	n := len(data)
	if n < recordMinSize || data[0] == 0 || data[n-1] == 0 || bytes.Contains(data, make([]byte, holeBytes)) {
		return true
	}
	same := 0
	for i, c := range data[n-len(recordEnd):] {
		if c == recordEnd[i] {
			same++
		}
	}
	return same < len(recordEnd)-1
}

func newestOf(lists ...[]record) uint64 {
	newest := uint64(0)
	for _, list := range lists {
		for i := range list {
			newest = max(newest, list[i].generation)
		}
	}
	return newest
}
