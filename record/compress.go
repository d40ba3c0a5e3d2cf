package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codec is a batch's compression; the values are Kafka's attribute bits.
type Codec uint8

// The codecs.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// String names the codec.
func (c Codec) String() string {
	if int(c) < len(codecNames) {
		return codecNames[c]
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// ParseCodec is the inverse of String.
func ParseCodec(s string) (Codec, error) {
	for i, n := range codecNames {
		if n == s {
			return Codec(i), nil
		}
	}
	return None, fmt.Errorf("unknown compression %q; use zstd, snappy, lz4, gzip or none", s)
}

var (
	zstdEncoders sync.Map // level → *zstd.Encoder; EncodeAll is safe for concurrent use
	zstdDecoders sync.Map // cap → *zstd.Decoder
	lz4Writers   = sync.Pool{New: func() any { return lz4.NewWriter(nil) }}
	lz4Readers   = sync.Pool{New: func() any { return lz4.NewReader(nil) }}
)

func zstdEncoder(level int) (*zstd.Encoder, error) {
	if e, ok := zstdEncoders.Load(level); ok {
		return e.(*zstd.Encoder), nil
	}
	l := zstd.SpeedFastest
	if level != 0 {
		l = zstd.EncoderLevelFromZstd(level)
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(l), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(1<<20), zstd.WithZeroFrames(true))
	if err != nil {
		return nil, err
	}
	got, _ := zstdEncoders.LoadOrStore(level, e)
	return got.(*zstd.Encoder), nil
}

func compress(dst, src []byte, c Codec, level int) ([]byte, error) {
	switch c {
	case None:
		return append(dst, src...), nil
	case Zstd:
		e, err := zstdEncoder(level)
		if err != nil {
			return dst, err
		}
		return e.EncodeAll(src, dst), nil
	case Snappy:
		return append(dst, snappy.Encode(nil, src)...), nil
	case Gzip:
		if level == 0 {
			level = gzip.DefaultCompression
		}
		w := bytes.NewBuffer(dst)
		z, err := gzip.NewWriterLevel(w, level)
		if err != nil {
			return dst, err
		}
		_, err = z.Write(src)
		err = errors.Join(err, z.Close()) // Close writes the rest
		return w.Bytes(), err
	case LZ4:
		w := bytes.NewBuffer(dst)
		z := lz4Writers.Get().(*lz4.Writer)
		defer lz4Writers.Put(z)
		z.Reset(w)
		_, err := z.Write(src)
		err = errors.Join(err, z.Close()) // Close writes the rest
		return w.Bytes(), err
	}
	return dst, &UnsupportedCodecError{Codec: c}
}

func decompress(dst, src []byte, c Codec, limit int) ([]byte, error) {
	switch c {
	case Zstd:
		d, ok := zstdDecoders.Load(limit)
		if !ok {
			n, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(uint64(limit)))
			if err != nil {
				return nil, err
			}
			d, _ = zstdDecoders.LoadOrStore(limit, n)
		}
		out, err := d.(*zstd.Decoder).DecodeAll(src, dst)
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			return nil, &DecodedTooLargeError{Max: limit}
		}
		return out, wrapCorrupt(err)
	case Snappy:
		return unsnappy(dst, src, limit)
	case Gzip:
		z, err := gzip.NewReader(bytes.NewReader(src))
		if err != nil {
			return nil, wrapCorrupt(err)
		}
		return readAll(dst, z, limit)
	case LZ4:
		z := lz4Readers.Get().(*lz4.Reader)
		defer lz4Readers.Put(z)
		z.Reset(bytes.NewReader(src))
		return readAll(dst, z, limit)
	}
	return nil, &UnsupportedCodecError{Codec: c}
}

func wrapCorrupt(err error) error {
	if err == nil {
		return nil
	}
	return &CorruptError{What: "records don't decompress: " + err.Error()}
}

func readAll(dst []byte, r io.Reader, limit int) ([]byte, error) {
	w := bytes.NewBuffer(dst)
	n, err := io.Copy(w, io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, wrapCorrupt(err)
	}
	if n > int64(limit) {
		return nil, &DecodedTooLargeError{Max: limit}
	}
	return w.Bytes(), nil
}

var xerial = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

func unsnappy(dst, src []byte, limit int) ([]byte, error) {
	one := func(dst, src []byte) ([]byte, error) {
		n, err := snappy.DecodedLen(src)
		if err != nil {
			return nil, wrapCorrupt(err)
		}
		if n+len(dst) > limit {
			return nil, &DecodedTooLargeError{Max: limit}
		}
		out, err := snappy.Decode(nil, src)
		return append(dst, out...), wrapCorrupt(err)
	}
	if !bytes.HasPrefix(src, xerial) {
		return one(dst, src)
	}
	if len(src) < 16 {
		return nil, &CorruptError{What: "short snappy header"}
	}
	var err error
	for src = src[16:]; len(src) > 0; {
		if len(src) < 4 {
			return nil, &CorruptError{What: "short snappy block"}
		}
		n := binary.BigEndian.Uint32(src)
		if uint64(n) > uint64(len(src)-4) {
			return nil, &CorruptError{What: "short snappy block"}
		}
		if dst, err = one(dst, src[4:4+n]); err != nil {
			return nil, err
		}
		src = src[4+n:]
	}
	return dst, nil
}
