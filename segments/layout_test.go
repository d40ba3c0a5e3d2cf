package segments

import (
	"errors"
	"path"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
)

// White-box: these tests make files that no Log would write.

// craft writes a segment file with the given frames, one behind the other.
func craft(t *testing.T, mem *vfs.Mem, h FileHeader, frames ...goldenFrame) {
	t.Helper()
	if err := mem.MkdirAll("p"); err != nil {
		t.Fatal(err)
	}
	h.Identity = goldenID
	b := h.encode()
	for _, g := range frames {
		f := make([]byte, g.frame.Size())
		putFrame(f, &g.frame, goldenID.salt())
		copy(f[FrameHeaderSize:], g.frame.Payload)
		putLocal(f, &g.local, goldenID.salt().forSegment(h.ID))
		b = append(b, f...)
	}
	file, err := mem.Create(path.Join("p", fileName(h.BaseIndex, h.ID)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt(append(b, make([]byte, 1000)...), 0)
	if err = errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// entry makes a data frame of one record.
func entry(i Index, term, prev, write Term, offset record.Offset, durable Index) goldenFrame {
	return goldenFrame{
		frame: Frame{Kind: KindData, Index: i, Term: term, PrevTerm: prev, BaseOffset: offset, Records: 1, Payload: []byte("payload")},
		local: Local{WriteTerm: write, DurableThrough: durable},
	}
}

func openCrafted(mem *vfs.Mem) (*Log, Recovery, error) {
	return Open(Options{FS: mem, Dir: "p", Identity: goldenID})
}

// TestScanEnds: valid frames that don't continue the log end it.
func TestScanEnds(t *testing.T) {
	first := []goldenFrame{entry(1, 1, 0, 1, 0, 0), entry(2, 2, 1, 3, 1, 0)}
	tests := []struct {
		name  string
		third goldenFrame
		stale bool
		taken bool
	}{
		{"continues", entry(3, 2, 2, 3, 2, 0), false, true},
		{"write term falls", entry(3, 2, 2, 2, 2, 0), true, false},
		{"previous term differs", entry(3, 2, 1, 3, 2, 0), true, false},
		{"index skipped", entry(4, 2, 2, 3, 2, 0), false, false},
		{"index again", entry(2, 2, 2, 3, 2, 0), false, false},
		{"offset skipped", entry(3, 2, 2, 3, 3, 0), false, false},
		{"offset again", entry(3, 2, 2, 3, 1, 0), false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mem := vfs.NewMem()
			craft(t, mem, FileHeader{ID: 5, BaseIndex: 1}, append(first, tt.third)...)
			l, rec, err := openCrafted(mem)
			if err != nil {
				t.Fatal(err)
			}
			want := Index(2)
			if tt.taken {
				want = 3
			}
			if l.Last() != want || (rec.StaleSuffix > 0) != tt.stale || (rec.Truncated > 0) != (!tt.stale && !tt.taken) {
				t.Errorf("last %d, want %d; %+v", l.Last(), want, rec)
			}
		})
	}
}

// TestEvidence: what a later frame proves about the place where the scan ended.
func TestEvidence(t *testing.T) {
	hole := entry(9, 9, 9, 9, 99, 0) // ends the scan in the place of entry 3
	tests := []struct {
		name    string
		later   goldenFrame
		corrupt bool
	}{
		{"of the same group commit", entry(4, 2, 2, 3, 3, 2), false},
		{"of a later group commit", entry(4, 2, 2, 3, 3, 3), true},
		{"of a later one and a newer term", entry(5, 4, 2, 4, 4, 4), true},
		{"of an overwritten log", entry(4, 2, 2, 2, 3, 3), false},
		{"of an earlier place", entry(2, 2, 1, 3, 1, 7), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mem := vfs.NewMem()
			craft(t, mem, FileHeader{ID: 5, BaseIndex: 1}, entry(1, 1, 0, 1, 0, 0), entry(2, 2, 1, 3, 1, 0), hole, tt.later)
			l, rec, err := openCrafted(mem)
			if err == nil {
				err = damageOf(l)
			}
			if tt.corrupt != errors.Is(err, ErrCorrupt) || !tt.corrupt && (err != nil || l.Last() != 2) {
				t.Errorf("got %v, %+v", err, rec)
			}
		})
	}
}

// damageOf returns the error that a read of a damaged log gives.
func damageOf(l *Log) error {
	if len(l.Damage()) == 0 {
		return nil
	}
	_, err := l.ReadFrames(nil, l.First(), l.Last()+1)
	return err
}

// TestContinuity: a segment must continue the one before it exactly.
func TestContinuity(t *testing.T) {
	tests := []struct {
		name   string
		second FileHeader
		first  goldenFrame // of the second
		ok     bool
	}{
		{"continues", FileHeader{ID: 6, BaseIndex: 3, BaseOffset: 2, BasePrevTerm: 2}, entry(3, 2, 2, 3, 2, 2), true},
		{"index skipped", FileHeader{ID: 6, BaseIndex: 4, BaseOffset: 2, BasePrevTerm: 2}, entry(4, 2, 2, 3, 2, 2), false},
		{"another previous term", FileHeader{ID: 6, BaseIndex: 3, BaseOffset: 2, BasePrevTerm: 1}, entry(3, 2, 1, 3, 2, 2), false},
		{"another offset", FileHeader{ID: 6, BaseIndex: 3, BaseOffset: 5, BasePrevTerm: 2}, entry(3, 2, 2, 3, 5, 2), false},
		{"the same base twice", FileHeader{ID: 6, BaseIndex: 1}, entry(1, 2, 0, 3, 0, 0), false},
		{"the first one is longer", FileHeader{ID: 6, BaseIndex: 2, BaseOffset: 1, BasePrevTerm: 1}, entry(2, 4, 1, 4, 1, 0), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mem := vfs.NewMem()
			craft(t, mem, FileHeader{ID: 5, BaseIndex: 1}, entry(1, 1, 0, 1, 0, 0), entry(2, 2, 1, 3, 1, 0))
			craft(t, mem, tt.second, tt.first)
			l, _, err := openCrafted(mem)
			if err == nil {
				err = damageOf(l)
			}
			if tt.ok {
				if err != nil || l.Last() != tt.first.frame.Index {
					t.Errorf("got %v", err)
				}
				return
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v, want a corruption", err)
			}
		})
	}
}

// TestLogStart: a log that was trimmed begins where its first file says.
func TestLogStart(t *testing.T) {
	mem := vfs.NewMem()
	craft(t, mem, FileHeader{ID: 5, BaseIndex: 100, BaseOffset: 70, BasePrevTerm: 4, Start: true}, entry(100, 4, 4, 6, 70, 99), entry(101, 6, 4, 6, 71, 99))
	l, rec, err := openCrafted(mem)
	if err != nil {
		t.Fatal(err)
	}
	i, term := l.PrevOfFirst()
	if l.First() != 100 || l.Last() != 101 || l.StartOffset() != 70 || l.NextOffset() != 72 || i != 99 || term != 4 || rec.WriteTerm != 6 {
		t.Errorf("first %d, last %d, offsets %d to %d, before the first %d of term %d, %+v", l.First(), l.Last(), l.StartOffset(), l.NextOffset(), i, term, rec)
	}
	if term, ok := l.Term(99); term != 4 || !ok {
		t.Errorf("term of the entry before the first: %d, %v", term, ok)
	}
	var oor *OutOfRangeError
	if _, _, err := l.ReadBatches(nil, 69, 72, 100); !errors.As(err, &oor) || oor.Start != 70 {
		t.Errorf("read below the start: %v", err)
	}
	// Emptied, the first file stays: it alone knows where the log begins.
	if err := l.Truncate(100); err != nil {
		t.Fatal(err)
	}
	if l.Last() != 0 || l.NextOffset() != 70 || l.LastTerm() != 4 {
		t.Errorf("emptied: last %d, next %d, term %d", l.Last(), l.NextOffset(), l.LastTerm())
	}
	if err := errors.Join(l.Flush(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if l, _, err = openCrafted(mem.Crash(vfs.CrashOptions{Keep: 1})); err != nil || l.First() != 100 || l.NextOffset() != 70 {
		t.Errorf("opened again: %v", err)
	}
}

func TestHeaderFaults(t *testing.T) {
	good := FileHeader{Identity: goldenID, ID: 5, BaseIndex: 7}
	tests := []struct {
		name   string
		change func(b []byte)
		other  bool // another version
	}{
		{"no magic", func(b []byte) { b[0] = 'x' }, false},
		{"header size", func(b []byte) { le.PutUint32(b[posHeaderSize:], 512) }, false},
		{"flags", func(b []byte) { b[posFileFlags] = 1 }, false},
		{"base index 0", func(b []byte) { le.PutUint64(b[posBaseIndex:], 0) }, false},
		{"offset negative", func(b []byte) { le.PutUint64(b[posFileOffset:], 1<<63) }, false},
		{"newer version", func(b []byte) { le.PutUint32(b[posFileVersion:], fileVersion+1) }, true},
		{"older version", func(b []byte) { le.PutUint32(b[posFileVersion:], fileVersion-1) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := good.encode()
			tt.change(b)
			var newer *VersionError
			if _, err := decodeHeader(b); err == nil {
				t.Error("accepted without a new checksum")
			} else if errors.As(err, &newer) {
				t.Error("a flipped bit in the version is damage, not a newer version")
			}
			le.PutUint32(b[posHeaderCRC:], uint32(salt(0).over(b[:posHeaderCRC])))
			_, err := decodeHeader(b)
			var fault headerFault
			if errors.As(err, &newer) != tt.other || errors.As(err, &fault) == tt.other {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := decodeHeader(good.encode()[:100]); err == nil {
		t.Error("a piece of a header was accepted")
	}
}

// TestIDs: an ID is above all that are present, and above those of an earlier
// term that are not.
func TestIDs(t *testing.T) {
	l := &Log{}
	tests := []struct {
		max   ID
		write Term
		want  ID
	}{
		{0, 1, 1 << 24}, {1 << 24, 1, 1<<24 + 1}, {1<<24 + 9, 2, 2 << 24}, {7 << 24, 2, 7<<24 + 1}, {5, 1 << 50, (1<<40 - 1) << 24},
	}
	for _, tt := range tests {
		l.maxID = tt.max
		if got := l.newID(tt.write); got != tt.want {
			t.Errorf("after %s in term %d: %s, want %s", tt.max, tt.write, got, tt.want)
		}
	}
}
