package segments

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
)

// These tests are white-box: they hold encoders and decoders of footers against the
// golden bytes and against damaged ones.

func goldenFooter() (*footer, sparse) {
	return &footer{
			first: 17, last: 19, firstOffset: 41, nextOffset: 43, prevTerm: 4, lastTerm: 6, write: 7, durable: 19, commit: 18, config: 19,
			maxTime: 1700000000001, end: 4096 + 96 + 300, frames: 0xfeedf00d, open: true,
			terms: []TermStart{{5, 17}, {6, 19}}, configs: []ConfigAt{{19, []byte("voters 1 2 3")}},
		}, sparse{
			{index: 17, offset: 41, pos: 4096, before: noTime}, {index: 19, offset: 43, pos: 4396, before: 1700000000001},
		}
}

var goldenSalt = goldenID.salt().forSegment(goldenSegment)

// split takes a footer's index from its info and trailer.
func split(b []byte, marks int) (index, info []byte) {
	n := len(indexMagicText) + marks*markSize
	return b[:n], b[n:]
}

func TestGoldenFooter(t *testing.T) {
	ft, x := goldenFooter()
	raw := golden(t, "footer", ft.encode(x, goldenSalt))
	index, info := split(raw, len(x))
	size := footPos(ft.end) + int64(len(raw))
	got, err := decodeFooter(info, size, goldenSalt)
	if err != nil || !reflect.DeepEqual(got, ft) {
		t.Fatalf("decoded %+v, %v; want %+v", got, err, ft)
	}
	marks, err := decodeSparse(index, got, goldenSalt)
	if err != nil || !reflect.DeepEqual(marks, x) {
		t.Fatalf("decoded %v, %v", marks, err)
	}
	if !bytes.Equal(got.encode(marks, goldenSalt), raw) {
		t.Error("encoded again the footer differs")
	}
	if ft.term(16) != 4 || ft.term(17) != 5 || ft.term(18) != 5 || ft.term(19) != 6 {
		t.Error("terms of its entries")
	}
}

// TestFooterDamage: no footer is taken for good with a flipped bit, of another length,
// in another place, or with the salt of another segment.
func TestFooterDamage(t *testing.T) {
	ft, x := goldenFooter()
	raw := ft.encode(x, goldenSalt)
	size := footPos(ft.end) + int64(len(raw))
	index, info := split(raw, len(x))
	refused := func(what string, err error) {
		t.Helper()
		var fault footFault
		if !errors.As(err, &fault) || fault == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range info {
		b := bytes.Clone(info)
		b[i] ^= 0x10
		_, err := decodeFooter(b, size, goldenSalt)
		refused(fmt.Sprint("info, byte ", i), err)
		_, err = decodeFooter(info[:i], size, goldenSalt)
		refused(fmt.Sprint("info, the first bytes ", i), err)
		_, err = decodeFooter(info[len(info)-i:], size, goldenSalt)
		refused(fmt.Sprint("info, the last bytes ", i), err)
	}
	for i := range index {
		b := bytes.Clone(index)
		b[i] ^= 0x10
		_, err := decodeSparse(b, ft, goldenSalt)
		refused(fmt.Sprint("index, byte ", i), err)
		_, err = decodeSparse(index[:i], ft, goldenSalt)
		refused(fmt.Sprint("index, the first bytes ", i), err)
	}
	_, err := decodeFooter(info, size+1, goldenSalt)
	refused("another place", err)
	other := goldenID.salt().forSegment(goldenSegment + 1)
	_, err = decodeFooter(info, size, other)
	refused("another segment", err)
	_, err = decodeSparse(index, ft, other)
	refused("index of another segment", err)
}

// TestFooterContent: fields that contradict each other are refused, also with a good
// checksum.
func TestFooterContent(t *testing.T) {
	for what, change := range map[string]func(ft *footer){
		"no entries":               func(ft *footer) { ft.last = 16 },
		"index 0":                  func(ft *footer) { ft.first = 0 },
		"offsets fall":             func(ft *footer) { ft.nextOffset = 40 },
		"offset below 0":           func(ft *footer) { ft.firstOffset = -1 },
		"end in the header":        func(ft *footer) { ft.end = 4096 },
		"end too near":             func(ft *footer) { ft.end = 4096 + 2*96 },
		"end too far":              func(ft *footer) { ft.end = 1 << 62 },
		"end below 0":              func(ft *footer) { ft.end = -4096 },
		"write term":               func(ft *footer) { ft.write = 5 },
		"durable":                  func(ft *footer) { ft.durable = 20 },
		"commit":                   func(ft *footer) { ft.commit = 20 },
		"config":                   func(ft *footer) { ft.config = 20 },
		"config that isn't last":   func(ft *footer) { ft.config = 18 },
		"no terms":                 func(ft *footer) { ft.terms = nil },
		"terms begin late":         func(ft *footer) { ft.terms[0].First = 18 },
		"terms fall":               func(ft *footer) { ft.terms[0].Term = 6 },
		"term before the previous": func(ft *footer) { ft.prevTerm = 6 },
		"terms behind the end":     func(ft *footer) { ft.terms[1].First = 20 },
		"another last term":        func(ft *footer) { ft.lastTerm = 7 },
		"config before the first":  func(ft *footer) { ft.configs[0].Index = 16 },
		"configs out of order":     func(ft *footer) { ft.configs = append(ft.configs, ft.configs[0]) },
		"everything":               func(ft *footer) { ft.first, ft.last = 1, 1<<64-1 },
	} {
		ft, x := goldenFooter()
		change(ft)
		raw := ft.encode(x, goldenSalt)
		_, info := split(raw, len(x))
		if got, err := decodeFooter(info, footPos(ft.end)+int64(len(raw)), goldenSalt); err == nil {
			t.Errorf("%s: accepted %+v", what, got)
		}
	}
	for what, x := range map[string]sparse{
		"none":            {},
		"late":            {{index: 18, offset: 41, pos: 4096}},
		"not at the base": {{index: 17, offset: 41, pos: 4097}},
		"another offset":  {{index: 17, offset: 42, pos: 4096}},
		"index twice":     {{index: 17, offset: 41, pos: 4096}, {index: 17, offset: 41, pos: 4300}},
		"too near":        {{index: 17, offset: 41, pos: 4096}, {index: 18, offset: 41, pos: 4100}},
		"offset falls":    {{index: 17, offset: 41, pos: 4096}, {index: 18, offset: 40, pos: 4300}},
		"time falls":      {{index: 17, offset: 41, pos: 4096, before: 5}, {index: 18, offset: 41, pos: 4300, before: 4}},
		"behind the end":  {{index: 17, offset: 41, pos: 4096}, {index: 18, offset: 41, pos: 4490}},
		"index too high":  {{index: 17, offset: 41, pos: 4096}, {index: 20, offset: 41, pos: 4300}},
		"offset too high": {{index: 17, offset: 41, pos: 4096}, {index: 18, offset: 44, pos: 4300}},
	} {
		ft, _ := goldenFooter()
		raw := ft.encode(x, goldenSalt)
		index, info := split(raw, len(x))
		_, err := decodeFooter(info, footPos(ft.end)+int64(len(raw)), goldenSalt)
		if err == nil {
			_, err = decodeSparse(index, ft, goldenSalt)
		}
		if err == nil {
			t.Errorf("index %s: accepted", what)
		}
	}
}

func TestThinned(t *testing.T) {
	for n := 1; n < 40; n++ {
		x := make(sparse, n)
		for k := range x {
			x[k] = mark{index: Index(k + 1), pos: int64(k)}
		}
		got := x.thinned(8)
		if len(got) > 8 || len(got) < min(n, 5) || got[0] != x[0] || n <= 8 && len(got) != n {
			t.Errorf("%d marks: %v", n, got)
		}
		for k := 1; k < len(got); k++ {
			if d := got[k].index - got[k-1].index; d != got[1].index-got[0].index {
				t.Errorf("%d marks: %v", n, got)
			}
		}
	}
}

// FuzzFooter: whatever the bytes are, with a good checksum at that, the decoder doesn't
// fail otherwise than by a footFault, and what it accepts is encoded to the same.
func FuzzFooter(f *testing.F) {
	ft, x := goldenFooter()
	_, info := split(ft.encode(x, goldenSalt), len(x))
	f.Add(info, int64(8192))
	f.Add(info[:footInfoSize], int64(1<<40))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		try := func(b []byte) {
			got, err := decodeFooter(b, size, goldenSalt)
			var fault footFault
			if err != nil {
				if !errors.As(err, &fault) || got != nil {
					t.Fatalf("%v with %v", err, got)
				}
				return
			}
			if got.last < got.first || got.infoPos()+int64(len(b)) != size || got.term(got.last) != got.lastTerm {
				t.Fatalf("accepted %+v", got)
			}
			again := *got
			_, info := split(again.encode(make(sparse, got.marks), goldenSalt), got.marks)
			le.PutUint32(info[posIndexCRC:], got.marksCRC)
			le.PutUint32(info[len(info)-4:], uint32(goldenSalt.over(info[:len(info)-4])))
			if !bytes.Equal(info, b) {
				t.Fatalf("%x is encoded again to %x", b, info)
			}
		}
		try(b)
		if len(b) < footInfoSize+trailerSize {
			return
		}
		// The same with a trailer that fits, and in the place that it says.
		b = bytes.Clone(b)
		tr := b[len(b)-trailerSize:]
		le.PutUint32(tr[posInfoLen:], uint32(len(b)-trailerSize))
		le.PutUint32(tr[posFootVersion:], footVersion)
		copy(tr[posFootMagic:], footMagic)
		le.PutUint32(tr[posFootCRC:], uint32(goldenSalt.over(b[:len(b)-4])))
		end, marks := int64(le.Uint64(b[posEnd:])), int64(le.Uint32(b[posMarks:]))
		if end > 0 && end < 1<<50 {
			size = footPos(end) + int64(len(indexMagicText)) + marks*markSize + int64(len(b))
		}
		try(b)
	})
}

func FuzzSparse(f *testing.F) {
	ft, x := goldenFooter()
	index, _ := split(ft.encode(x, goldenSalt), len(x))
	f.Add(index)
	f.Add(index[:len(indexMagicText)+markSize])
	f.Add([]byte(indexMagicText))
	f.Fuzz(func(t *testing.T, b []byte) {
		ft, _ := goldenFooter()
		ft.marks, ft.marksCRC = (len(b)-len(indexMagicText))/markSize, uint32(goldenSalt.over(b))
		if ft.marks < 1 {
			return // decodeFooter has refused that
		}
		x, err := decodeSparse(b, ft, goldenSalt)
		if err != nil {
			return
		}
		if !bytes.Equal(x.encode(), b) {
			t.Fatal("encoded again the index differs")
		}
		for range 50 {
			i := ft.first + Index(rand.N(3))
			if m := x.floor(i); m.index > i || m.index < ft.first || x.ceil(i+1, ft.end) <= m.pos {
				t.Fatalf("entry %d is looked for at %+v", i, m)
			}
			if m := x.floorOffset(ft.firstOffset + 1); m.offset > ft.firstOffset+1 {
				t.Fatalf("offset is looked for at %+v", m)
			}
		}
	})
}
