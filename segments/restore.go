package segments

import (
	"errors"
	"fmt"
)

// fileHeader returns the header block of s as it should be; l.mu is held.
func (l *Log) fileHeader(s *segment) FileHeader {
	return FileHeader{
		Identity: l.o.Identity, ID: s.id, BaseIndex: s.base, BaseOffset: s.baseOffset,
		BasePrevTerm: s.basePrev, Created: s.created, Config: s.config, Start: s.starts,
	}
}

// writeHeader writes the header block of a file that is there once more. A crash in
// between leaves a damaged header, which the next Open writes again.
func (l *Log) writeHeader(s *segment) (err error) {
	f, err := l.o.FS.OpenReadWrite(s.path)
	if err != nil {
		return fmt.Errorf("segments: open %s: %w", s.path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	l.mu.RLock()
	h := l.fileHeader(s)
	l.mu.RUnlock()
	if _, err := f.WriteAt(h.encode(), 0); err != nil {
		return fmt.Errorf("segments: write the header of %s again: %w", s.path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("segments: sync %s: %w", s.path, err)
	}
	return nil
}
