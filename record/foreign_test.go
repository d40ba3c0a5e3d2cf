package record_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/logq/logq/record"
	"github.com/pierrec/lz4/v4"
)

// foreign compresses as other producers do: with other code where there is some,
// and with the options that clients in the field use.
type foreign struct {
	name  string
	codec record.Codec
	pack  func(tb testing.TB, src []byte) []byte
}

var foreigners = []foreign{
	{"none", record.None, func(_ testing.TB, src []byte) []byte { return src }},
	{"gzip", record.Gzip, packGzip},
	{"gzip members", record.Gzip, func(tb testing.TB, src []byte) []byte {
		return append(packGzip(tb, src[:len(src)/2]), packGzip(tb, src[len(src)/2:])...)
	}},
	{"snappy block", record.Snappy, func(_ testing.TB, src []byte) []byte { return s2.EncodeSnappyBest(nil, src) }},
	{"snappy-java", record.Snappy, func(_ testing.TB, src []byte) []byte { return packXerial(src, 32<<10) }},
	{"snappy-java small blocks", record.Snappy, func(_ testing.TB, src []byte) []byte { return packXerial(src, 7) }},
	{"lz4 as kafka", record.LZ4, packLZ4(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false))},
	{"lz4 with checksums", record.LZ4, packLZ4(lz4.BlockSizeOption(lz4.Block256Kb), lz4.ChecksumOption(true), lz4.BlockChecksumOption(true))},
	{"lz4 best", record.LZ4, packLZ4(lz4.CompressionLevelOption(lz4.Level9))},
	{"lz4 linked", record.LZ4, packLZ4Linked},
	{"zstd", record.Zstd, packZstd(true)},
	{"zstd without size", record.Zstd, packZstd(false)},
	{"zstd checksum", record.Zstd, packZstd(true, zstd.WithEncoderCRC(true), zstd.WithEncoderLevel(zstd.SpeedBestCompression))},
	{"zstd frames", record.Zstd, func(tb testing.TB, src []byte) []byte {
		pack := packZstd(true)
		return append(pack(tb, src[:len(src)/3]), pack(tb, src[len(src)/3:])...)
	}},
}

func packGzip(tb testing.TB, src []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(src)
	must(tb, err)
	must(tb, z.Close())
	return b.Bytes()
}

// packXerial is snappy-java's framing.
func packXerial(src []byte, block int) []byte {
	out := []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
	for len(src) > 0 {
		n := min(len(src), block)
		b := s2.EncodeSnappy(nil, src[:n])
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(b))), b...)
		src = src[n:]
	}
	return out
}

func packLZ4(o ...lz4.Option) func(testing.TB, []byte) []byte {
	return func(tb testing.TB, src []byte) []byte {
		var b bytes.Buffer
		z := lz4.NewWriter(&b)
		must(tb, z.Apply(o...))
		_, err := z.Write(src)
		must(tb, err)
		must(tb, z.Close())
		return b.Bytes()
	}
}

// packLZ4Linked makes a frame whose blocks refer to the ones before, as the lz4
// program does, by hand: a block is either stored, or one match without literals
// and the literals that must end a block.
func packLZ4Linked(_ testing.TB, src []byte) []byte {
	const least, tail = 16, 12 // bytes of a match, of the literals
	out := []byte{0x04, 0x22, 0x4d, 0x18, 0x40, 0x40, 0xc0}
	le := binary.LittleEndian
	seen := map[string]int{} // where 16 bytes have been
	for start := 0; start < len(src); {
		match, at := 0, 0
		if len(src)-start >= least+tail {
			var ok bool
			if at, ok = seen[string(src[start:start+least])]; ok && start-at < 64<<10 {
				for match < min(len(src)-start, 64<<10)-tail && src[at+match] == src[start+match] {
					match++
				}
			}
		}
		end := start + match + tail
		if match < least {
			end = min(len(src), start+least)
			out = le.AppendUint32(out, uint32(end-start)|1<<31)
			out = append(out, src[start:end]...)
		} else {
			block := le.AppendUint16([]byte{byte(min(match-4, 15))}, uint16(start-at))
			if rest := match - 4 - 15; rest >= 0 {
				block = append(block, bytes.Repeat([]byte{255}, rest/255)...)
				block = append(block, byte(rest%255))
			}
			block = append(append(block, tail<<4), src[end-tail:end]...)
			out = append(le.AppendUint32(out, uint32(len(block))), block...)
		}
		for ; start < end; start++ {
			seen[string(src[start:min(start+least, len(src))])] = start
		}
	}
	return le.AppendUint32(out, 0)
}

func packZstd(sized bool, o ...zstd.EOption) func(testing.TB, []byte) []byte {
	return func(tb testing.TB, src []byte) []byte {
		var b bytes.Buffer
		z, err := zstd.NewWriter(&b, append([]zstd.EOption{zstd.WithEncoderConcurrency(1)}, o...)...)
		must(tb, err)
		if sized {
			return z.EncodeAll(src, nil)
		}
		for len(src) > 0 { // written in pieces and flushed, the size can't be known
			n := min(len(src), 50000)
			_, err = z.Write(src[:n])
			must(tb, err)
			must(tb, z.Flush())
			src = src[n:]
		}
		must(tb, z.Close())
		return b.Bytes()
	}
}

// unpack decompresses as other consumers do.
func unpack(tb testing.TB, c record.Codec, src []byte) []byte {
	tb.Helper()
	var r io.Reader
	var err error
	switch c {
	case record.None:
		return src
	case record.Gzip:
		r, err = gzip.NewReader(bytes.NewReader(src))
	case record.Snappy:
		out, err := s2.Decode(nil, src)
		must(tb, err)
		return out
	case record.LZ4:
		r = lz4.NewReader(bytes.NewReader(src))
	case record.Zstd:
		var z *zstd.Decoder
		if z, err = zstd.NewReader(bytes.NewReader(src)); err == nil {
			defer z.Close()
		}
		r = z
	}
	must(tb, err)
	out, err := io.ReadAll(r)
	must(tb, err)
	return out
}
