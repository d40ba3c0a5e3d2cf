package journal

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/logq/logq/internal/vfs"
)

// Engine is the seam to the library, for tests that put failures there.
type Engine = engine

// WithEngine returns options whose engines pass through wrap.
func WithEngine(o Options, wrap func(dir string, e Engine) Engine) Options {
	o.open = func(dir string, segmentBytes int) (engine, error) {
		e, err := openWAL(dir, segmentBytes)
		if err != nil {
			return nil, err
		}
		return wrap(dir, e), nil
	}
	return o
}

// DecodeFramed and AppendRecord are the codec, for fuzzing and golden bytes.
var (
	DecodeFramed = decodeFramed
	AppendRecord = appendRecord
)

// FramedSize is the size of a record of n bytes in the library's file.
var FramedSize = framedSize

// Decide returns what recovery would, without changing anything.
func Decide(fsys vfs.FS, dir string) ([]Entry, []string, error) {
	const owner = 3
	w := &WAL{o: Options{Dir: dir, FS: fsys}}
	var scans [2]*scan
	for i := range scans {
		s, err := scanPair(fsys, w.dir(i), owner)
		if err != nil {
			return nil, nil, err
		}
		scans[i] = s
	}
	v, err := decide(scans)
	if err != nil {
		return nil, nil, err
	}
	return v.state.entries(), v.warnings, nil
}

// Reseal gives the record in rec, which ends with it, a right checksum.
func Reseal(rec []byte) {
	end := recordHeaderSize + int(binary.LittleEndian.Uint32(rec[24:]))
	binary.LittleEndian.PutUint32(rec[end:], crc32.Checksum(rec[:end], castagnoli))
	copy(rec[end+4:], recordEnd)
}

// Parts of a decoded record.
func (r record) Kind() recordKind   { return r.kind }
func (r record) Generation() uint64 { return r.generation }
func (r record) Owner() uint64      { return r.owner }

// Entries returns the entries of a decoded record.
func Entries(r record) []Entry { return r.entries }

// ParseSegment parses a segment file of owner 3.
func ParseSegment(data []byte) { _, _, _ = parseSegment(data, 3) }
