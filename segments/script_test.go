package segments_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

// TestScripts runs testdata/script/*.txt: what each command does to the files,
// call by call, and what the log then holds. -rewrite writes the results anew.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/script", func(t *testing.T, file string) {
		s := &script{t: t, mem: vfs.NewMem(), faults: &vfs.Faults{}}
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			if err := s.run(d); err != nil {
				fmt.Fprintf(&s.out, "error: %v\n", err)
			}
			return s.out.String()
		})
		if s.log != nil {
			must(t, s.log.Close())
		}
	})
}

// script is the state of one scripted scenario.
type script struct {
	t      *testing.T
	mem    *vfs.Mem
	faults *vfs.Faults
	o      segments.Options
	log    *segments.Log
	hidden string
	out    strings.Builder
}

func (s *script) fs() vfs.FS {
	return vfs.WithTrace(vfs.WithFaults(s.mem, s.faults), func(line string) { s.out.WriteString(line + "\n") })
}

func (s *script) run(d *datadriven.TestData) error {
	switch d.Cmd {
	case "open":
		return s.open(d)
	case "append":
		return s.append(d)
	case "noop":
		term := arg(d, "term", 1)
		return s.log.Append(noop(s.log, segments.Term(term)), segments.Local{WriteTerm: segments.Term(arg(d, "write", term))})
	case "truncate":
		return s.log.Truncate(segments.Index(arg(d, "from", 0)))
	case "commit":
		s.log.SetCommit(segments.Index(arg(d, "index", 0)))
	case "flush":
		return s.log.Flush()
	case "close":
		return s.log.Close()
	case "remove":
		return s.log.Remove()
	case "fault":
		r, err := vfs.ParseRule(d.Input)
		if err == nil {
			s.faults.Add(r)
		}
		return err
	case "crash":
		s.mem = s.mem.Crash(vfs.CrashOptions{Keep: float64(arg(d, "keep", 0))})
		s.faults.Clear()
	case "flip":
		return s.flip(arg(d, "file", 0), int64(arg(d, "at", 0)), arg(d, "bytes", 1))
	case "zero":
		return s.zero(arg(d, "file", 0), int64(arg(d, "at", 0)), arg(d, "bytes", 1))
	case "unlink":
		return s.mem.Remove(s.file(arg(d, "file", 0)))
	case "hide": // until "back"
		s.hidden = s.file(arg(d, "file", 0))
		return s.mem.Rename(s.hidden, "hidden")
	case "back":
		return s.mem.Rename("hidden", s.hidden)
	case "rename":
		return s.mem.Rename(s.file(arg(d, "file", 0)), path.Join(s.o.Dir, d.Input))
	case "touch":
		f, err := s.mem.Create(path.Join(s.o.Dir, d.Input))
		if err != nil {
			return err
		}
		return f.Close()
	case "status":
		s.status()
	case "files":
		return s.files()
	case "inspect":
		return s.inspect(s.file(arg(d, "file", 0)))
	default:
		d.Fatalf(s.t, "unknown command %s", d.Cmd)
	}
	return nil
}

func arg(d *datadriven.TestData, name string, value int) int {
	for _, a := range d.CmdArgs {
		if n, err := strconv.Atoi(strings.Join(a.Vals, "")); a.Key == name && err == nil {
			return n
		}
	}
	return value
}

func (s *script) open(d *datadriven.TestData) error {
	s.o = options(s.fs())
	s.o.SegmentBytes = int64(arg(d, "segment", 64<<10))
	s.o.TailBytes = arg(d, "tail", 0)
	s.o.DurableMark = segments.Index(arg(d, "mark", 0))
	l, rec, err := segments.Open(s.o)
	if err != nil {
		return err
	}
	s.log = l
	fmt.Fprintf(&s.out, "cut %d torn, %d stale bytes; evidence %d, commit %d, write term %d\n", rec.Truncated, rec.StaleSuffix, rec.Evidence, rec.Commit, rec.WriteTerm)
	for _, w := range rec.Warnings {
		fmt.Fprintf(&s.out, "warning: %s\n", w)
	}
	s.status()
	return nil
}

func (s *script) append(d *datadriven.TestData) error {
	term := arg(d, "term", 1)
	for range arg(d, "n", 1) {
		f := next(s.log, segments.Term(term), arg(d, "size", 100))
		if i := arg(d, "index", 0); i > 0 {
			f.Index = segments.Index(i)
		}
		if p := arg(d, "prev", -1); p >= 0 {
			f.PrevTerm = segments.Term(p)
		}
		err := s.log.Append(f, segments.Local{WriteTerm: segments.Term(arg(d, "write", term)), Commit: segments.Index(arg(d, "commit", 0))})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *script) status() {
	fmt.Fprintf(&s.out, "entries %d-%d, next offset %d, last term %d, durable %d, terms %v\n",
		s.log.First(), s.log.Last(), s.log.NextOffset(), s.log.LastTerm(), s.log.Durable(), s.log.Terms())
}

// file returns the path of segment file number n, from 0.
func (s *script) file(n int) string {
	names, err := s.mem.List(s.o.Dir)
	must(s.t, err)
	return path.Join(s.o.Dir, names[n])
}

func (s *script) files() error {
	names, err := s.mem.List(s.o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(&s.out, "no directory")
		return nil
	}
	for _, name := range names {
		info, err := s.mem.Stat(path.Join(s.o.Dir, name))
		must(s.t, err)
		fmt.Fprintf(&s.out, "%s %d\n", name, info.Size)
	}
	return err
}

// flip inverts bytes on the disk, behind everyone's back.
func (s *script) flip(file int, at int64, n int) error {
	return s.change(file, at, n, func(b []byte) {
		for i := range b {
			b[i] ^= 0xff
		}
	})
}

func (s *script) zero(file int, at int64, n int) error {
	return s.change(file, at, n, func(b []byte) { clear(b) })
}

func (s *script) change(file int, at int64, n int, do func([]byte)) error {
	f, err := s.mem.OpenReadWrite(s.file(file))
	if err != nil {
		return err
	}
	b := make([]byte, n)
	_, err = f.ReadAt(b, at)
	must(s.t, err)
	do(b)
	_, err = f.WriteAt(b, at)
	return errors.Join(err, f.Sync(), f.Close())
}

func (s *script) inspect(name string) error {
	info, err := segments.Inspect(s.mem, name, func(f segments.FrameInfo) error {
		fault := ""
		if f.Fault != "" {
			fault = " FAULT: " + f.Fault
		}
		fmt.Fprintf(&s.out, "%d: %s %d/%d after %d, offset %d+%d, written %d durable %d commit %d, %d bytes%s\n",
			f.Pos, f.Frame.Kind, f.Frame.Term, f.Frame.Index, f.Frame.PrevTerm, f.Frame.BaseOffset, f.Frame.Records,
			f.Local.WriteTerm, f.Local.DurableThrough, f.Local.Commit, len(f.Frame.Payload), fault)
		return nil
	})
	if err != nil {
		return err
	}
	h := info.Header
	fmt.Fprintf(&s.out, "segment %s from entry %d, offset %d, after term %d: %d frames to byte %d, last %d, next offset %d\nending: %s %s\n",
		h.ID, h.BaseIndex, h.BaseOffset, h.BasePrevTerm, info.Frames, info.End, info.Last, info.Next, info.Ending, info.Detail)
	return nil
}
