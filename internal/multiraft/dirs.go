package multiraft

import (
	"errors"
	"fmt"
	"io/fs"
)

// Dirs returns the names of the directories of replicas that there are, open or not.
// It reads the disk.
func (h *Host) Dirs() ([]string, error) {
	names, err := h.o.FS.List(h.o.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the replicas on this broker: %w", err)
	}
	return names, nil
}
