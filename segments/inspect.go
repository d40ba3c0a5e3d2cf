package segments

import (
	"errors"
	"fmt"
	"path"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
)

// FileInfo is what Inspect learned of a segment file.
type FileInfo struct {
	Header FileHeader
	Size   int64 // of the file, bytes
	End    int64 // position after the last frame that belongs to the log
	Frames int   // up to End
	// Last and Next are the index of the last frame, or the one before the base,
	// and the offset after its records.
	Last Index
	Next record.Offset
	// Ending says why the log ends there; Detail tells more.
	Ending Ending
	Detail string
}

// Ending is why a segment's log ends.
type Ending string

// The ways a segment can end; docs/internals/format.md defines them. Whether the
// end of a segment that others follow is right needs those others: Open judges that.
const (
	EndClean   Ending = "clean"   // nothing but preallocated zeros follow
	EndStale   Ending = "stale"   // the remains of an overwritten log follow
	EndTorn    Ending = "torn"    // an unfinished write follows
	EndCorrupt Ending = "corrupt" // damaged: later frames prove that more was durable
)

// FrameInfo is one frame of a file.
type FrameInfo struct {
	Pos   int64 // in the file, bytes
	Frame Frame // its payload is valid during the call only
	Local Local
	// Fault says what is wrong with a frame behind the end, "" for a frame of the log.
	Fault string
}

// Inspect reads a segment file and calls fn for each frame of the log, and then
// for what can still be recognized as frames of this segment behind its end,
// with the reason why they don't belong to it. It changes nothing and needs no
// other file. A file whose header block can't be used gives *CorruptionError or
// *VersionError. An error of fn ends the reading and is returned.
func Inspect(fsys vfs.FS, name string, fn func(FrameInfo) error) (info FileInfo, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info.Size, err = f.Size(); err != nil {
		return info, err
	}
	w := openWindow(f, info.Size)
	defer w.close()
	block, err := w.bytes(0, FileHeaderSize)
	if err != nil {
		return info, fmt.Errorf("segments: read header of %s: %w", name, err)
	}
	if info.Header, err = decodeHeader(block); err != nil {
		var newer *VersionError
		if errors.As(err, &newer) {
			newer.Path = name
			return info, newer
		}
		return info, &CorruptionError{Path: name, Err: err}
	}
	in := &inspection{w: w, info: &info, fn: fn, name: name}
	in.salt = info.Header.Identity.salt()
	in.local = in.salt.forSegment(info.Header.ID)
	return info, in.run()
}

type inspection struct {
	w           *window
	info        *FileInfo
	fn          func(FrameInfo) error
	name        string
	salt, local salt
	write       Term
}

func (in *inspection) run() error {
	h := &in.info.Header
	at := position{h.BaseIndex - 1, h.BasePrevTerm, h.BaseOffset}
	pos := int64(FileHeaderSize)
	var end ending
	for {
		b, reason, err := in.w.frame(pos, in.salt, in.local)
		if err != nil {
			return fmt.Errorf("segments: read %s: %w", in.name, err)
		}
		if end.reason = reason; reason != "" {
			break
		}
		f, _ := view(b)
		loc := getLocal(b)
		if end = fits(&f, &loc, at, in.write); end.reason != "" {
			break
		}
		if err := in.fn(FrameInfo{Pos: pos, Frame: f, Local: loc}); err != nil {
			return err
		}
		at, in.write = position{f.Index, f.Term, f.Next()}, loc.WriteTerm
		in.info.Frames++
		pos += int64(len(b))
	}
	in.info.End, in.info.Last, in.info.Next = pos, at.index, at.next
	if err := in.judge(at.index+1, end); err != nil {
		return err
	}
	if in.info.Ending == EndClean {
		return nil
	}
	return in.remains(pos, end)
}

// judge names the ending as Open would if the segment were the last.
func (in *inspection) judge(x Index, end ending) error {
	r, err := in.w.search(in.info.End, in.salt, in.local, x, in.write)
	if err != nil {
		return fmt.Errorf("segments: read %s: %w", in.name, err)
	}
	switch {
	case r.durable >= x:
		in.info.Ending = EndCorrupt
		in.info.Detail = fmt.Sprintf("%s, but entries up to %d were durable when later frames were written", end.reason, r.durable)
	case r.garbage == 0:
		in.info.Ending = EndClean
	case end.stale:
		in.info.Ending = EndStale
		in.info.Detail = fmt.Sprintf("%s; %d bytes follow", end.reason, r.garbage)
	default:
		in.info.Ending = EndTorn
		in.info.Detail = fmt.Sprintf("%s; %d bytes follow", end.reason, r.garbage)
	}
	return nil
}

// remains reports the frames behind the end: first the place where the log
// ends, then every header that is still good.
func (in *inspection) remains(pos int64, end ending) error {
	for pos+FrameHeaderSize <= in.info.Size {
		b, err := in.w.bytes(pos, FrameHeaderSize)
		if err != nil {
			return fmt.Errorf("segments: read %s: %w", in.name, err)
		}
		if len(b) < FrameHeaderSize {
			return nil
		}
		if shape(b) != "" || checkHeader(b, in.salt) != "" {
			if pos, err = in.nextMagic(pos + 1); err != nil {
				return err
			}
			continue
		}
		if err := in.remain(pos, end); err != nil {
			return err
		}
		if pos, err = in.nextMagic(pos + FrameHeaderSize); err != nil {
			return err
		}
	}
	return nil
}

func (in *inspection) remain(pos int64, end ending) error {
	b, reason, err := in.w.frame(pos, in.salt, in.local)
	if err != nil {
		return fmt.Errorf("segments: read %s: %w", in.name, err)
	}
	if reason == "" && pos == in.info.End {
		reason = end.reason
	}
	if reason == "" {
		reason = "behind the end of the log"
	}
	if b == nil { // a header alone
		if b, err = in.w.bytes(pos, FrameHeaderSize); err != nil {
			return fmt.Errorf("segments: read %s: %w", in.name, err)
		}
		return in.fn(FrameInfo{Pos: pos, Frame: getFrame(b), Local: getLocal(b), Fault: reason})
	}
	f, _ := view(b)
	return in.fn(FrameInfo{Pos: pos, Frame: f, Local: getLocal(b), Fault: reason})
}

// nextMagic finds the next place at or after pos where a frame may begin, or
// the end of the file.
func (in *inspection) nextMagic(pos int64) (int64, error) {
	for pos+FrameHeaderSize <= in.info.Size {
		b, err := in.w.bytes(pos, scanBytes)
		if err != nil {
			return 0, fmt.Errorf("segments: read %s: %w", in.name, err)
		}
		if n := indexMagic(b); n >= 0 {
			return pos + int64(n), nil
		}
		if len(b) < FrameHeaderSize {
			break
		}
		pos += int64(len(b) - len(magicBytes) + 1)
	}
	return in.info.Size, nil
}

// IsSegment says whether a path has the form of a segment file's name.
func IsSegment(name string) bool {
	_, _, ok := parseName(path.Base(name))
	return ok
}
