package vfs

import (
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Faults is a set of rules by which a file system misbehaves; see WithFaults.
// The zero value has none. It is safe for concurrent use, and rules may be
// changed while the file system is in use.
type Faults struct {
	mu    sync.Mutex
	rules []counted           // guarded by mu
	fired int                 // guarded by mu
	hook  func(Call) error    // guarded by mu
	sleep func(time.Duration) // guarded by mu
}

type counted struct {
	Rule
	calls int // that matched operation and pattern so far
}

// Call describes one call to a hook.
type Call struct {
	Op   Op
	Path string
	Off  int64 // of a read, write, truncate (the new size) or preallocate
	Len  int64 // of a read, write or preallocate, in bytes
}

// InjectedError wraps the error that a rule asked for.
type InjectedError struct {
	Rule string
	Err  error
}

// Error names the rule, so that no injected fault is taken for a real one.
func (e *InjectedError) Error() string { return fmt.Sprintf("%v (injected by %q)", e.Err, e.Rule) }

// Unwrap returns the error that the rule names.
func (e *InjectedError) Unwrap() error { return e.Err }

// ParseFaults reads rules separated by newlines or semicolons; see Rule.
func ParseFaults(text string) (*Faults, error) {
	f := &Faults{}
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ';' }) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		r, err := ParseRule(line)
		if err != nil {
			return nil, err
		}
		f.Add(r)
	}
	return f, nil
}

// String prints the rules one a line, in the form that ParseFaults reads.
func (f *Faults) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, r := range f.rules {
		b.WriteString(r.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Add adds a rule, whose count starts at this moment.
func (f *Faults) Add(r Rule) {
	f.mu.Lock()
	f.rules = append(f.rules, counted{Rule: r})
	f.mu.Unlock()
}

// Clear removes all rules: the file system works again.
func (f *Faults) Clear() {
	f.mu.Lock()
	f.rules = nil
	f.mu.Unlock()
}

// Fired returns how many calls were failed or delayed so far.
func (f *Faults) Fired() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// SetHook lets fn see each call before it is made; an error from fn is returned
// in place of the call. fn must not use the file system it watches, except that
// it may Clone or Crash the Mem below.
func (f *Faults) SetHook(fn func(Call) error) {
	f.mu.Lock()
	f.hook = fn
	f.mu.Unlock()
}

// SetSleep gives rules with a delay the means to wait; without it they don't.
func (f *Faults) SetSleep(fn func(time.Duration)) {
	f.mu.Lock()
	f.sleep = fn
	f.mu.Unlock()
}

// verdict is what happens to one call.
type verdict struct {
	err   error
	short int64
	lost  bool
}

// judge counts the call and finds the first rule that hits it.
func (f *Faults) judge(c Call) verdict {
	f.mu.Lock()
	hook := f.hook
	var hit *Rule
	for i := range f.rules {
		r := &f.rules[i]
		if !r.matches(c) {
			continue
		}
		r.calls++
		if hit == nil && r.due(r.calls) {
			rule := r.Rule
			hit = &rule
			f.fired++
		}
	}
	sleep := f.sleep
	f.mu.Unlock()
	if hook != nil {
		if err := hook(c); err != nil {
			return verdict{err: err}
		}
	}
	if hit == nil {
		return verdict{}
	}
	if hit.Delay > 0 && sleep != nil {
		sleep(hit.Delay)
	}
	if hit.Err == 0 {
		return verdict{}
	}
	return verdict{
		err:   pathErr(c.Op.String(), c.Path, &InjectedError{Rule: hit.String(), Err: hit.Err}),
		short: min(int64(hit.Short), c.Len), lost: hit.Lost,
	}
}

func (r *Rule) matches(c Call) bool {
	if r.Op != OpAny && r.Op != c.Op {
		return false
	}
	name := filepath.ToSlash(c.Path)
	if !strings.Contains(r.Pattern, "/") {
		name = path.Base(name)
	}
	ok, err := path.Match(r.Pattern, name)
	return ok && err == nil
}

func (r *Rule) due(n int) bool {
	return n >= r.From && (r.To == 0 || n <= r.To)
}

// WithFaults returns fsys with the faults of f.
func WithFaults(fsys FS, f *Faults) FS { return &faultyFS{fs: fsys, f: f} }

type faultyFS struct {
	fs FS
	f  *Faults
}

func (s *faultyFS) open(op Op, name string, open func(string) (File, error)) (File, error) {
	if v := s.f.judge(Call{Op: op, Path: name}); v.err != nil {
		return nil, v.err
	}
	file, err := open(name)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, f: s.f}, nil
}

func (s *faultyFS) Create(name string) (File, error) { return s.open(OpCreate, name, s.fs.Create) }
func (s *faultyFS) Open(name string) (File, error)   { return s.open(OpOpen, name, s.fs.Open) }

func (s *faultyFS) OpenReadWrite(name string) (File, error) {
	return s.open(OpOpen, name, s.fs.OpenReadWrite)
}

func (s *faultyFS) OpenDirect(name string) (File, error) {
	return s.open(OpOpen, name, s.fs.OpenDirect)
}

func (s *faultyFS) named(op Op, name string, do func(string) error) error {
	if v := s.f.judge(Call{Op: op, Path: name}); v.err != nil {
		return v.err
	}
	return do(name)
}

func (s *faultyFS) MkdirAll(dir string) error   { return s.named(OpMkdir, dir, s.fs.MkdirAll) }
func (s *faultyFS) Remove(name string) error    { return s.named(OpRemove, name, s.fs.Remove) }
func (s *faultyFS) RemoveAll(name string) error { return s.named(OpRemove, name, s.fs.RemoveAll) }
func (s *faultyFS) SyncDir(dir string) error    { return s.named(OpSyncDir, dir, s.fs.SyncDir) }

func (s *faultyFS) Rename(oldName, newName string) error {
	return s.named(OpRename, oldName, func(string) error { return s.fs.Rename(oldName, newName) })
}

func (s *faultyFS) List(dir string) (names []string, err error) {
	err = s.named(OpList, dir, func(string) error { names, err = s.fs.List(dir); return err })
	return names, err
}

func (s *faultyFS) Stat(name string) (info Info, err error) {
	err = s.named(OpStat, name, func(string) error { info, err = s.fs.Stat(name); return err })
	return info, err
}

func (s *faultyFS) Lock(name string) (c io.Closer, err error) {
	err = s.named(OpLock, name, func(string) error { c, err = s.fs.Lock(name); return err })
	return c, err
}

func (s *faultyFS) Usage(dir string) (free, total int64, err error) {
	err = s.named(OpUsage, dir, func(string) error { free, total, err = s.fs.Usage(dir); return err })
	return free, total, err
}

type faultyFile struct {
	File
	f *Faults
}

func (s *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	v := s.f.judge(Call{Op: OpRead, Path: s.Name(), Off: off, Len: int64(len(p))})
	if v.err == nil {
		return s.File.ReadAt(p, off)
	}
	n, _ := s.File.ReadAt(p[:v.short], off) // the injected error is the one to report
	return n, v.err
}

func (s *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	v := s.f.judge(Call{Op: OpWrite, Path: s.Name(), Off: off, Len: int64(len(p))})
	if v.err == nil {
		return s.File.WriteAt(p, off)
	}
	n := 0
	if v.short > 0 {
		n, _ = s.File.WriteAt(p[:v.short], off) // the injected error is the one to report
	}
	return n, v.err
}

// WriteSync counts as a write and a sync, each of which may fail.
func (s *faultyFile) WriteSync(bufs [][]byte, off int64) error {
	v := s.f.judge(Call{Op: OpWrite, Path: s.Name(), Off: off, Len: total(bufs)})
	if v.err != nil {
		bufs = firstBytes(bufs, v.short)
	}
	pos := off
	for _, b := range bufs {
		if _, err := s.File.WriteAt(b, pos); err != nil && v.err == nil {
			return err
		}
		pos += int64(len(b))
	}
	if v.err != nil {
		return v.err
	}
	return s.Sync()
}

// firstBytes returns what n bytes hold of bufs.
func firstBytes(bufs [][]byte, n int64) (out [][]byte) {
	for _, b := range bufs {
		k := min(int64(len(b)), n)
		if k == 0 {
			break
		}
		out, n = append(out, b[:k]), n-k
	}
	return out
}

func (s *faultyFile) Truncate(size int64) error {
	if v := s.f.judge(Call{Op: OpTruncate, Path: s.Name(), Off: size}); v.err != nil {
		return v.err
	}
	return s.File.Truncate(size)
}

func (s *faultyFile) Preallocate(off, n int64) error {
	if v := s.f.judge(Call{Op: OpPreallocate, Path: s.Name(), Off: off, Len: n}); v.err != nil {
		return v.err
	}
	return s.File.Preallocate(off, n)
}

func (s *faultyFile) Sync() error {
	v := s.f.judge(Call{Op: OpSync, Path: s.Name()})
	if v.err == nil {
		return s.File.Sync()
	}
	if l, ok := s.File.(interface{ loseSync() }); ok && v.lost {
		l.loseSync()
	}
	return v.err
}

func (s *faultyFile) Close() error {
	if v := s.f.judge(Call{Op: OpClose, Path: s.Name()}); v.err != nil {
		_ = s.File.Close() // closed all the same, as on Linux
		return v.err
	}
	return s.File.Close()
}

func (s *faultyFile) Uncache() error { return uncacheInner(s.File) }
