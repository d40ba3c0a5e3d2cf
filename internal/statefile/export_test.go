package statefile

import (
	"hash/crc32"

	"github.com/logq/logq/internal/vfs"
)

// SetVersion makes a file one of another version.
func SetVersion(fsys vfs.FS, name string, v uint16) error {
	f, err := fsys.OpenReadWrite(name)
	if err != nil {
		return err
	}
	b := make([]byte, headerSize)
	if _, err := f.ReadAt(b, 0); err != nil {
		return err
	}
	le.PutUint16(b[4:], v)
	le.PutUint32(b[headerSize-4:], crc32.Checksum(b[:headerSize-4], castagnoli))
	_, err = f.WriteAt(b, 0)
	return err
}
