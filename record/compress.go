package record

import (
	"errors"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
)

// compress appends src, compressed, to dst.
func compress(dst, src []byte, c Codec, level int) ([]byte, error) {
	switch c {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return compressGzip(dst, src, level)
	case Snappy:
		return compressSnappy(dst, src), nil
	case LZ4:
		return compressLZ4(dst, src, level), nil
	case Zstd:
		return compressZstd(dst, src, level)
	}
	return dst, &UnsupportedCodecError{Codec: c}
}

// gzipWriters holds pools of writers by level; 0 is the library's default.
var gzipWriters [gzip.BestCompression + 1]sync.Pool

type gzipWriter struct {
	z   *gzip.Writer
	out appender
}

// appender is an io.Writer onto a slice.
type appender struct{ b []byte }

// Write appends p.
func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

func compressGzip(dst, src []byte, level int) ([]byte, error) {
	level = min(max(level, 0), gzip.BestCompression)
	pool := &gzipWriters[level]
	w, ok := pool.Get().(*gzipWriter)
	if !ok {
		if level == 0 {
			level = gzip.DefaultCompression
		}
		z, err := gzip.NewWriterLevel(nil, level)
		if err != nil {
			return dst, err
		}
		w = &gzipWriter{z: z}
	}
	defer pool.Put(w)
	w.out.b = dst
	w.z.Reset(&w.out)
	_, err := w.z.Write(src)
	err = errors.Join(err, w.z.Close()) // Close writes the rest
	dst, w.out.b = w.out.b, nil
	return dst, err
}

// compressSnappy writes one raw block. Java's client, librdkafka and franz-go read
// it as well as snappy-java's framing.
func compressSnappy(dst, src []byte) []byte {
	n := len(dst)
	dst = slices.Grow(dst, s2.MaxEncodedLen(len(src)))
	return dst[:n+len(s2.EncodeSnappy(dst[n:cap(dst)], src))]
}
