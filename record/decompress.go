package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// decompress appends to dst, which is empty but has capacity, what src holds, and
// returns it, at most limit bytes. It takes memory for what is there, as it finds
// it, or for what a frame claims to hold, up to limit: a bomb is stopped while it
// is decompressed. On an error the returned slice is only good for its memory.
func decompress(dst, src []byte, c Codec, limit int) ([]byte, error) {
	switch c {
	case Gzip:
		return decompressGzip(dst, src, limit)
	case Snappy:
		return decompressSnappy(dst, src, limit)
	case LZ4:
		return decompressLZ4(dst, src, limit)
	case Zstd:
		return decompressZstd(dst, src, limit)
	}
	return dst, &UnsupportedCodecError{Codec: c}
}

// undecodable is what a damaged stream gives.
func undecodable(c Codec, err error) error {
	return &CorruptError{What: c.String() + " doesn't decompress", Record: -1, Err: err}
}

// reserve returns dst with room for n more bytes, or for as many as limit, which
// is for all of dst, allows. First memory is exact, so that who keeps it keeps no more than needed; later
// memory grows by doubling.
func reserve(dst []byte, n, limit int) []byte {
	n = min(n, limit-len(dst))
	if cap(dst)-len(dst) >= n {
		return dst
	}
	size := len(dst) + n
	if cap(dst) > 0 {
		size = min(max(size, 2*cap(dst)), limit)
	}
	grown := make([]byte, len(dst), size)
	copy(grown, dst)
	return grown
}

var gzipReaders sync.Pool // of *gzipReader

type gzipReader struct {
	z   gzip.Reader
	src bytes.Reader
}

func decompressGzip(dst, src []byte, limit int) ([]byte, error) {
	r := pooled[gzipReader](&gzipReaders)
	defer func() {
		r.src.Reset(nil)
		gzipReaders.Put(r)
	}()
	r.src.Reset(src)
	if err := r.z.Reset(&r.src); err != nil {
		return dst, undecodable(Gzip, err)
	}
	// The last four bytes tell the size, if src is one member and nobody lied; deflate
	// reaches a ratio of 1032 at most. One byte more finds the end without growing.
	hint := min(int(binary.LittleEndian.Uint32(src[len(src)-4:])), len(src)*1032, limit) + 1
	dst = reserve(dst, hint, limit+1)
	for {
		n, err := r.z.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > limit:
			return dst, &DecodedTooLargeError{Max: limit}
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst, undecodable(Gzip, err)
		case len(dst) == cap(dst):
			dst = reserve(dst, max(len(dst), 512), limit+1)
		}
	}
}
