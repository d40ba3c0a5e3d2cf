package vfs

import (
	"errors"
	"io/fs"
	"os"
	"slices"
)

const (
	filePerm = 0o640
	dirPerm  = 0o750
)

// OS returns the file system of the operating system. Files get mode 0640,
// directories 0750, less the process's umask.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) Create(name string) (File, error) {
	return openOS(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}
func (osFS) Open(name string) (File, error)          { return openOS(name, os.O_RDONLY) }
func (osFS) OpenReadWrite(name string) (File, error) { return openOS(name, os.O_RDWR) }
func (osFS) OpenDirect(name string) (File, error)    { return openDirect(name) }
func (osFS) MkdirAll(dir string) error               { return os.MkdirAll(dir, dirPerm) }
func (osFS) Remove(name string) error                { return os.Remove(name) }
func (osFS) RemoveAll(dir string) error              { return os.RemoveAll(dir) }
func (osFS) Rename(oldName, newName string) error    { return os.Rename(oldName, newName) }

func (osFS) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

func (osFS) Stat(name string) (Info, error) {
	st, err := os.Stat(name)
	if err != nil {
		return Info{}, err
	}
	if st.IsDir() {
		return Info{Dir: true}, nil
	}
	return Info{Size: st.Size()}, nil
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(d), d.Close())
}

type osFile struct{ *os.File }

func openOS(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, filePerm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (f osFile) Preallocate(off, n int64) error {
	if off < 0 || n < 0 {
		return &fs.PathError{Op: "preallocate", Path: f.Name(), Err: fs.ErrInvalid}
	}
	if n == 0 {
		return nil
	}
	if err := preallocate(f.File, off, n); err != nil {
		return &fs.PathError{Op: "preallocate", Path: f.Name(), Err: err}
	}
	return nil
}

func (f osFile) Sync() error {
	if err := syncData(f.File); err != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

func (f osFile) WriteSync(bufs [][]byte, off int64) error {
	if err := writeSync(f.File, bufs, off); err != nil {
		return &fs.PathError{Op: "write and fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f osFile) Uncache() error {
	if err := uncache(f.File); err != nil {
		return &fs.PathError{Op: "fadvise", Path: f.Name(), Err: err}
	}
	return nil
}

// extend is the fallback where space cannot be reserved: the file grows sparse.
func extend(f *os.File, off, n int64) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() >= off+n {
		return nil
	}
	return f.Truncate(off + n)
}
