package journal_test

import (
	"bytes"
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logq/logq/internal/journal"
)

func sample() []journal.Entry {
	return []journal.Entry{
		{Key: journal.Key{Group: [20]byte{1, 2, 3, 19: 20}, Kind: 1}, Value: []byte("value")},
		{Key: journal.Key{Group: [20]byte{0xff}, Kind: 2}, Value: []byte{}},
		{Key: journal.Key{Kind: 3}},
	}
}

func framed(rec []byte) []byte {
	prefix := journal.FramedSize(len(rec)) - len(rec)
	n := len(rec)
	var out []byte
	for range prefix - 1 {
		out = append(out, byte(n)|0x80)
		n >>= 7
	}
	return append(append(out, byte(n)), rec...)
}

// TestRecordGolden holds the bytes of a record: journals of earlier versions
// must stay readable.
func TestRecordGolden(t *testing.T) {
	rec := journal.AppendRecord(nil, 2, 0x0102030405060708, owner, sample())
	golden(t, filepath.Join("testdata", "record.hex"), hex.Dump(rec))
	r, n, err := journal.DecodeFramed(framed(rec))
	if err != nil || n != journal.FramedSize(len(rec)) {
		t.Fatalf("decode: %d of %d, %v", n, journal.FramedSize(len(rec)), err)
	}
	again := journal.AppendRecord(nil, 2, 0x0102030405060708, owner, journal.Entries(r))
	if !bytes.Equal(again, rec) {
		t.Fatalf("decoded and encoded again:\n%s", hex.Dump(again))
	}
}

// TestRecordDamage flips every bit and cuts at every length: no such record
// decodes.
func TestRecordDamage(t *testing.T) {
	good := framed(journal.AppendRecord(nil, 1, 7, owner, sample()))
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if _, _, err := journal.DecodeFramed(bad); err == nil {
				t.Fatalf("byte %d, bit %d is not noticed", i, bit)
			}
		}
		if _, _, err := journal.DecodeFramed(good[:i]); err == nil {
			t.Fatalf("cut at %d is not noticed", i)
		}
	}
	if _, _, err := journal.DecodeFramed(make([]byte, 4096)); err == nil {
		t.Fatal("zeros decode")
	}
}

// TestRecordBadFields are records with a right checksum and fields that no
// journal writes.
func TestRecordBadFields(t *testing.T) {
	for what, change := range map[string]func(b []byte){
		"kind 0":              func(b []byte) { b[5] = 0 },
		"kind 3":              func(b []byte) { b[5] = 3 },
		"reserved":            func(b []byte) { b[7] = 1 },
		"generation 0":        func(b []byte) { clear(b[8:16]) },
		"too many entries":    func(b []byte) { b[28] = 200 },
		"too few entries":     func(b []byte) { b[28] = 2 },
		"flags":               func(b []byte) { b[32+21] = 2 },
		"deleted, with value": func(b []byte) { b[32+21] = 1 },
		"value too long":      func(b []byte) { b[32+25] = 0x7f },
		"value over the rest": func(b []byte) { b[32+22] = 0xff },
	} {
		rec := journal.AppendRecord(nil, 1, 7, owner, sample())
		change(rec)
		journal.Reseal(rec)
		if _, _, err := journal.DecodeFramed(framed(rec)); err == nil {
			t.Errorf("%s: decodes", what)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(framed(journal.AppendRecord(nil, 1, 7, owner, sample())))
	f.Add(framed(journal.AppendRecord(nil, 2, 1, 0, nil)))
	f.Add([]byte(strings.Repeat("LQJr", 30)))
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, b := range [][]byte{src, framed(resealed(src))} {
			r, n, err := journal.DecodeFramed(b)
			if err != nil {
				continue
			}
			if again := framed(journal.AppendRecord(nil, r.Kind(), r.Generation(), r.Owner(), journal.Entries(r))); !bytes.Equal(again, b[:n]) {
				t.Fatalf("not the only encoding:\n%s\n%s", hex.Dump(b[:n]), hex.Dump(again))
			}
		}
		journal.ParseSegment(src) // must not panic, whatever follows damage
	})
}

// resealed gives src the checksum that it needs to get past the first check.
func resealed(src []byte) []byte {
	rec := bytes.Clone(src)
	if len(rec) < 40 {
		return rec
	}
	copy(rec, "LQJr\x01")
	rec = append(rec[:32:32], rec[32:]...)
	n := len(rec) - 40
	rec[24], rec[25], rec[26], rec[27] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	journal.Reseal(rec)
	return rec
}
