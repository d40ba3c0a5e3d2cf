package vfs

import (
	"fmt"
)

// WithTrace returns fsys with a line of text for each call that changes
// something, after it: golden traces show a missing directory sync as a
// missing line. Failed calls are marked with their error. fn must be safe for
// concurrent use if the file system is used so.
//
//	create: DIR/FILE               write: DIR/FILE [OFF,+BYTES)
//	sync: DIR/FILE                 truncate: DIR/FILE SIZE
//	preallocate: FILE [OFF,+BYTES) syncdir: DIR
//	rename: OLD -> NEW             remove: NAME
//	mkdir: DIR                     removeall: NAME
func WithTrace(fsys FS, fn func(line string)) FS { return &tracedFS{FS: fsys, fn: fn} }

type tracedFS struct {
	FS
	fn func(string)
}

func (t *tracedFS) line(err error, format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if err != nil {
		s += " = " + err.Error()
	}
	t.fn(s)
}

func (t *tracedFS) Create(name string) (File, error) {
	f, err := t.FS.Create(name)
	t.line(err, "create: %s", name)
	return t.file(f, err)
}

func (t *tracedFS) Open(name string) (File, error) { return t.file(t.FS.Open(name)) }

func (t *tracedFS) OpenReadWrite(name string) (File, error) {
	return t.file(t.FS.OpenReadWrite(name))
}

func (t *tracedFS) OpenDirect(name string) (File, error) { return t.file(t.FS.OpenDirect(name)) }

func (t *tracedFS) file(f File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &tracedFile{File: f, t: t}, nil
}

func (t *tracedFS) MkdirAll(dir string) error {
	err := t.FS.MkdirAll(dir)
	t.line(err, "mkdir: %s", dir)
	return err
}

func (t *tracedFS) Remove(name string) error {
	err := t.FS.Remove(name)
	t.line(err, "remove: %s", name)
	return err
}

func (t *tracedFS) RemoveAll(name string) error {
	err := t.FS.RemoveAll(name)
	t.line(err, "removeall: %s", name)
	return err
}

func (t *tracedFS) Rename(oldName, newName string) error {
	err := t.FS.Rename(oldName, newName)
	t.line(err, "rename: %s -> %s", oldName, newName)
	return err
}

func (t *tracedFS) SyncDir(dir string) error {
	err := t.FS.SyncDir(dir)
	t.line(err, "syncdir: %s", dir)
	return err
}

// tracedFile passes reads through and reports the rest.
type tracedFile struct {
	File
	t *tracedFS
}

func (f *tracedFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	f.t.line(err, "write: %s [%d,+%d)", f.Name(), off, len(p))
	return n, err
}

// WriteSync is shown as a write and a sync; the error, if any, stands at the second.
func (f *tracedFile) WriteSync(bufs [][]byte, off int64) error {
	err := f.File.WriteSync(bufs, off)
	f.t.line(nil, "write: %s [%d,+%d)", f.Name(), off, total(bufs))
	f.t.line(err, "sync: %s", f.Name())
	return err
}

func total(bufs [][]byte) (n int64) {
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}

func (f *tracedFile) Truncate(size int64) error {
	err := f.File.Truncate(size)
	f.t.line(err, "truncate: %s %d", f.Name(), size)
	return err
}

func (f *tracedFile) Preallocate(off, n int64) error {
	err := f.File.Preallocate(off, n)
	f.t.line(err, "preallocate: %s [%d,+%d)", f.Name(), off, n)
	return err
}

func (f *tracedFile) Sync() error {
	err := f.File.Sync()
	f.t.line(err, "sync: %s", f.Name())
	return err
}

func (f *tracedFile) Uncache() error { return uncacheInner(f.File) }

// uncacheInner passes Uncache through a wrapper.
func uncacheInner(f File) error {
	if u, ok := f.(Uncacher); ok {
		return u.Uncache()
	}
	return nil
}
