package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/logq/logq/internal/vfs"
)

const (
	prefix    = "state-"
	temporary = ".tmp" // of vfs.WriteFile
)

// Info describes a good file.
type Info struct {
	Generation uint64
	Index      uint64
	Next       int64
	Bytes      int64  // of the image
	Sum        uint32 // of the image
}

// Found is what Open has found.
type Found struct {
	State   *State  // the newest good one, nil if there is none
	Damaged []error // about files that are newer than that
}

// Store holds the files of one directory.
type Store struct {
	fs   vfs.FS
	dir  string
	next uint64 // generation of the next file; the writer's

	mu   sync.Mutex
	good []Info // guarded by mu; at most two, the newest first
}

// Open makes the directory if it is missing and reads the newest good file. Damaged
// files stay until newer ones replace them.
func Open(fsys vfs.FS, dir string) (*Store, Found, error) {
	s, f, err := open(fsys, dir)
	if err != nil {
		return nil, Found{}, fmt.Errorf("state files in %s: %w", dir, err)
	}
	return s, f, nil
}

func open(fsys vfs.FS, dir string) (*Store, Found, error) {
	s, found := &Store{fs: fsys, dir: dir, next: 1}, Found{}
	if err := vfs.MkdirAllSync(fsys, dir); err != nil {
		return nil, found, err
	}
	generations, err := s.list()
	if err != nil {
		return nil, found, err
	}
	for _, g := range slices.Backward(generations) {
		s.next = max(s.next, g+1)
		st, info, err := s.read(g)
		var newer *NewerError
		switch {
		case errors.As(err, &newer):
			return nil, found, err
		case err != nil:
			if found.State == nil {
				found.Damaged = append(found.Damaged, err)
			}
			continue
		case found.State == nil:
			found.State = &st
		}
		if s.good = append(s.good, info); len(s.good) == 2 {
			break
		}
	}
	return s, found, nil
}

// list returns the generations that there are, ascending, and removes what an
// interrupted Write has left.
func (s *Store) list() ([]uint64, error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, name := range names {
		text, ours := strings.CutPrefix(name, prefix)
		if !ours {
			continue
		}
		if strings.HasSuffix(name, temporary) {
			if err := s.fs.Remove(s.path(name)); err != nil {
				return nil, err
			}
			continue
		}
		if g, err := strconv.ParseUint(text, 16, 64); err == nil && name == nameOf(g) && g < 1<<63 {
			out = append(out, g)
		}
	}
	slices.Sort(out)
	return out, nil
}

func nameOf(generation uint64) string { return fmt.Sprintf("%s%016x", prefix, generation) }

func (s *Store) path(name string) string { return path.Join(filepath.ToSlash(s.dir), name) }

func (s *Store) read(generation uint64) (State, Info, error) {
	name := nameOf(generation)
	b, err := vfs.ReadFile(s.fs, s.path(name), headerSize+MaxLocalBytes+MaxImageBytes)
	if err != nil {
		return State{}, Info{}, err
	}
	h, st, err := decode(b)
	var newer *NewerError
	switch {
	case errors.As(err, &newer):
		newer.Name = name
	case err == nil && h.generation != generation:
		err = damaged("it says that it is %s", nameOf(h.generation))
	}
	if err != nil {
		return State{}, Info{}, fmt.Errorf("%s: %w", name, err)
	}
	return st, h.info(), nil
}

func (h *header) info() Info {
	return Info{Generation: h.generation, Index: h.index, Next: h.next, Bytes: int64(h.imageSize), Sum: h.imageSum}
}

// Write makes st durable as the newest file, and then removes those before the last
// two. An error of the removal alone is not one of Write: the next one tries again.
func (s *Store) Write(st State) error {
	generation := s.next
	s.next++
	b, h, err := encode(generation, &st)
	if err == nil {
		err = vfs.WriteFile(s.fs, s.path(nameOf(generation)), b)
	}
	if err != nil {
		return fmt.Errorf("state file %s in %s: %w", nameOf(generation), s.dir, err)
	}
	s.mu.Lock()
	s.good = append([]Info{h.info()}, s.good[:min(len(s.good), 1)]...)
	keep := slices.Clone(s.good)
	s.mu.Unlock()
	s.prune(keep)
	return nil
}

// prune removes all files but those to keep.
func (s *Store) prune(keep []Info) {
	generations, err := s.list()
	if err != nil {
		return
	}
	removed := false
	for _, g := range generations {
		if !slices.ContainsFunc(keep, func(i Info) bool { return i.Generation == g }) {
			if err := s.fs.Remove(s.path(nameOf(g))); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return
			}
			removed = true
		}
	}
	if removed {
		_ = s.fs.SyncDir(s.dir) // else they are back after a crash, and go next time
	}
}

// Newest describes the newest good file; ok is false while there is none.
func (s *Store) Newest() (i Info, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.good) == 0 {
		return i, false
	}
	return s.good[0], true
}

// Floor describes the older of two good files: the log needs not reach back further
// than that. ok is false while there are no two.
func (s *Store) Floor() (i Info, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.good) < 2 {
		return i, false
	}
	return s.good[1], true
}

// ReadImage reads up to limit bytes of a file's image, from pos on. Whoever puts the
// pieces together checks the whole against Info.Sum. A generation that is gone gives
// fs.ErrNotExist.
func (s *Store) ReadImage(i Info, pos int64, limit int) (b []byte, err error) {
	f, err := s.fs.Open(s.path(nameOf(i.Generation)))
	if err != nil {
		return nil, fmt.Errorf("state file %s: %w", nameOf(i.Generation), err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if pos < 0 || pos > i.Bytes || limit < 1 || size < headerSize+i.Bytes {
		return nil, fmt.Errorf("state file %s: %w", nameOf(i.Generation), damaged("bytes %d and on of an image of %d in a file of %d", pos, i.Bytes, size))
	}
	b = make([]byte, min(int64(limit), i.Bytes-pos))
	if n, err := f.ReadAt(b, size-i.Bytes+pos); n < len(b) {
		return nil, fmt.Errorf("state file %s: read at %d: %w", nameOf(i.Generation), pos, err)
	}
	return b, nil
}
