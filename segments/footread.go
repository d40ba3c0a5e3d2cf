package segments

import (
	"errors"
	"io"

	"github.com/logq/logq/internal/vfs"
)

// readFooter reads the footer at the end of a file. A footFault says that there is none
// that can be used.
func readFooter(f vfs.File, s salt) (*footer, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	block := vfs.NewBlock()
	defer vfs.FreeBlock(block)
	n := min(size-FileHeaderSize, blockBytes)
	if n < footInfoSize+trailerSize {
		return nil, errNoFooter
	}
	b := block[:n]
	if err := readFull(f, b, size-n); err != nil {
		return nil, err
	}
	info, err := infoLen(b[n-trailerSize:])
	if err != nil {
		return nil, err
	}
	all := int64(info + trailerSize)
	if all > size-FileHeaderSize {
		return nil, footFault("longer than its file")
	}
	if all <= n {
		return decodeFooter(b[n-all:], size, s)
	}
	long := make([]byte, all)
	if err := readFull(f, long, size-all); err != nil {
		return nil, err
	}
	return decodeFooter(long, size, s)
}

// readSparse reads the sparse index that ft describes.
func readSparse(f vfs.File, ft *footer, s salt) (sparse, error) {
	b := make([]byte, int(ft.infoPos()-footPos(ft.end)))
	if err := readFull(f, b, footPos(ft.end)); err != nil {
		return nil, err
	}
	return decodeSparse(b, ft, s)
}

// readFull reads all of b, or says that the file is shorter.
func readFull(f vfs.File, b []byte, pos int64) error {
	n, err := f.ReadAt(b, pos)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return footFault("the file is shorter now")
	}
	return err
}

// footerBegins says whether what lies behind frames that end at end was meant for a
// footer: in its place and nothing before it.
func (w *window) footerBegins(end int64) (bool, error) {
	pos := footPos(end)
	n := len(indexMagicText)
	b, err := w.bytes(end, int(pos-end)+n)
	if err != nil || len(b) < int(pos-end)+n {
		return false, err
	}
	return allZero(b[:pos-end]) && string(b[pos-end:]) == indexMagicText, nil
}
