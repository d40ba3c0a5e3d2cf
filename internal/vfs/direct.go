package vfs

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"sync"
	"unsafe"
)

// BlockSize is what direct files are read and written by: position, length and memory
// address of every buffer must be multiples of it, bytes.
const BlockSize = 4096

// ErrNoDirect says that a file can't be written past the page cache: neither tmpfs nor
// macOS nor some network file systems do.
var ErrNoDirect = fmt.Errorf("vfs: no direct writes on this file system: %w", errors.ErrUnsupported)

// AlignedBuffer returns n zeroed bytes that lie in memory as they will lie in a file at
// pos: their address is congruent to pos modulo [BlockSize], so that the whole blocks
// among them may be given to a direct file.
func AlignedBuffer(n int, pos int64) []byte {
	b := make([]byte, n+BlockSize)
	at := AlignTo(b, pos)
	return b[at : at+n : at+n]
}

// AlignTo returns where in b, within the first block, a buffer for pos begins; see
// [AlignedBuffer].
func AlignTo(b []byte, pos int64) int {
	return int((uintptr(pos) - uintptr(unsafe.Pointer(unsafe.SliceData(b)))) % BlockSize)
}

// Aligned says that b lies in memory as in a file at pos; see [AlignedBuffer].
func Aligned(b []byte, pos int64) bool {
	return (uintptr(unsafe.Pointer(unsafe.SliceData(b)))-uintptr(pos))%BlockSize == 0
}

// blocks keeps single blocks between uses.
var blocks = sync.Pool{New: func() any { b := AlignedBuffer(BlockSize, 0); return (*[BlockSize]byte)(b) }}

// NewBlock returns an aligned block from a pool; its content is undefined. FreeBlock
// gives it back.
func NewBlock() *[BlockSize]byte { return blocks.Get().(*[BlockSize]byte) }

// FreeBlock puts b back into the pool; nil does nothing.
func FreeBlock(b *[BlockSize]byte) {
	if b != nil {
		blocks.Put(b)
	}
}

// ProbeDirect finds out whether files in dir, which must exist, can be written past
// the page cache: it writes a block to a file of its own, reads it back and removes it.
// An error is one of the file system that has nothing to do with direct writes.
func ProbeDirect(fsys FS, dir string) (ok bool, err error) {
	name := path.Join(filepath.ToSlash(dir), "direct.probe")
	if err := fsys.RemoveAll(name); err != nil {
		return false, err
	}
	f, err := fsys.Create(name)
	if err != nil {
		return false, err
	}
	err = f.Close()
	if err == nil {
		ok = probe(fsys, name)
	}
	return ok, errors.Join(err, fsys.Remove(name))
}

func probe(fsys FS, name string) bool {
	f, err := fsys.OpenDirect(name)
	if err != nil {
		return false
	}
	out, in := NewBlock(), NewBlock()
	defer FreeBlock(out)
	defer FreeBlock(in)
	for i := range out {
		out[i] = byte(i % 251)
	}
	err = f.WriteSync([][]byte{out[:]}, BlockSize)
	if err == nil {
		_, err = f.ReadAt(in[:], BlockSize)
	}
	return errors.Join(err, f.Close()) == nil && *in == *out
}
