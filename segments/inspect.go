package segments

import (
	"cmp"
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
	// Footer is what stands behind the frames; nil if nothing that can be used does.
	Footer *FooterInfo
	// FooterFault says what is wrong with a footer; "" if there is none or nothing is.
	// It is no damage of the log: the frames are read instead.
	FooterFault string
}

// FooterInfo is a decoded footer.
type FooterInfo struct {
	Pos        int64 // where it begins in the file, bytes
	Last       Index
	LastTerm   Term
	NextOffset record.Offset
	WriteTerm  Term
	Commit     Index // known when it was written
	// MaxTimestamp bounds those of the batches, in milliseconds since the epoch; 0 if
	// there are none.
	MaxTimestamp int64
	Terms        []TermStart
	Configs      []ConfigAt
	IndexEntries int  // of the sparse index
	Open         bool // the log was closed here, and may go on in this file
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
	if err := in.footer(f); err != nil {
		return info, fmt.Errorf("segments: read footer of %s: %w", name, err)
	}
	return info, in.run()
}

// footer reads the footer; what lies in front of it are frames.
func (in *inspection) footer(f vfs.File) error {
	ft, err := readFooter(f, in.local)
	if err == nil {
		_, err = readSparse(f, ft, in.local)
	}
	var fault footFault
	switch {
	case errors.As(err, &fault):
		if fault != errNoFooter {
			in.info.FooterFault = string(fault)
		}
		return nil
	case err != nil:
		return err
	}
	in.foot, in.w.size = ft, ft.end
	return nil
}

func (ft *footer) public() *FooterInfo {
	p := &FooterInfo{
		Pos: footPos(ft.end), Last: ft.last, LastTerm: ft.lastTerm, NextOffset: ft.nextOffset, WriteTerm: ft.write, Commit: ft.commit,
		MaxTimestamp: max(ft.maxTime, 0), Terms: ft.terms, Configs: ft.configs, IndexEntries: ft.marks, Open: ft.open,
	}
	return p
}

type inspection struct {
	w           *window
	info        *FileInfo
	fn          func(FrameInfo) error
	name        string
	salt, local salt
	write       Term
	foot        *footer
	frames      uint32 // digest
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
		in.frames = digest(in.frames, b)
		pos += int64(len(b))
	}
	in.info.End, in.info.Last, in.info.Next = pos, at.index, at.next
	if err := in.judge(at.index+1, end); err != nil {
		return err
	}
	if err := in.judgeFooter(at, pos); err != nil {
		return err
	}
	if in.info.Ending == EndClean {
		return nil
	}
	return in.remains(pos, end)
}

// judgeFooter holds the footer against the frames.
func (in *inspection) judgeFooter(at position, pos int64) error {
	ft := in.foot
	switch {
	case ft == nil:
		there, err := in.w.footerBegins(pos)
		if err != nil {
			return fmt.Errorf("segments: read %s: %w", in.name, err)
		}
		if there && (in.info.Ending == EndTorn || in.info.Ending == EndStale) {
			in.info.Ending, in.info.Detail = EndClean, ""
			in.info.FooterFault = cmp.Or(in.info.FooterFault, "unfinished")
		}
	case at.index < ft.last && pos < ft.end:
		in.info.Ending = EndCorrupt
		in.info.Detail = fmt.Sprintf("the footer says that there were %s", ft)
	case pos != ft.end || at != (position{ft.last, ft.lastTerm, ft.nextOffset}) || in.frames != ft.frames:
		in.info.FooterFault = "of other frames"
	default:
		in.info.Footer = ft.public()
	}
	return nil
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
