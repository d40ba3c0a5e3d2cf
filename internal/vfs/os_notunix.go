//go:build !unix

package vfs

import (
	"errors"
	"fmt"
	"io"
)

func (osFS) Lock(name string) (io.Closer, error) {
	return nil, fmt.Errorf("vfs: lock %s: no file locks on this system: %w", name, errors.ErrUnsupported)
}

func (osFS) Usage(dir string) (free, total int64, err error) {
	return 0, 0, fmt.Errorf("vfs: usage of %s: %w", dir, errors.ErrUnsupported)
}
