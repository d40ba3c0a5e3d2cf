package powerloss

import (
	"bytes"
	"testing"
)

// stored is a partition as a broker would have it.
type stored struct {
	l      *Ledger
	values [][]byte
}

// send sends a record, and stores it.
func (s *stored) send() uint64 {
	id, v := s.l.Send("t", 0, 20)
	s.values = append(s.values, v)
	return id
}

func (s *stored) read() []Breaches {
	r := s.l.Read("t")
	for i, v := range s.values {
		r.Add(0, int64(i), v)
	}
	r.End()
	return s.l.Breaches()
}

func TestLedger(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(s *stored)
		want map[Kind]int64
	}{
		{"nothing happens", func(*stored) {}, nil},
		{"all acknowledged are lost", func(s *stored) { s.values = nil }, map[Kind]int64{Lost: 3}},
		{"the last acknowledged is lost", func(s *stored) { s.values = s.values[:2] }, map[Kind]int64{Lost: 1}},
		{"two change places", func(s *stored) { s.values[0], s.values[1] = s.values[1], s.values[0] }, map[Kind]int64{Lost: 2}},
		{"a bit flips", func(s *stored) { s.values[1][12] ^= 1 }, map[Kind]int64{Invented: 1, Lost: 1}},
		{"bytes are missing", func(s *stored) { s.values[1] = s.values[1][:15] }, map[Kind]int64{Invented: 1, Lost: 1}},
		{"an empty value", func(s *stored) { s.values[1] = nil }, map[Kind]int64{Invented: 1, Lost: 1}},
		{"never sent", func(s *stored) { s.values = append(s.values, bytes.Repeat([]byte{9}, 20)) }, map[Kind]int64{Invented: 1}},
		{"of another partition", func(s *stored) {
			_, v := s.l.Send("t", 1, 20)
			s.values = append(s.values, v)
		}, map[Kind]int64{Invented: 1}},
		{"pending and there", func(s *stored) { s.send() }, nil},
		{"pending and not there", func(s *stored) { s.l.Send("t", 0, 20) }, nil},
		{"unknown and there twice", func(s *stored) {
			s.l.Failed(s.send(), true)
			s.values = append(s.values, s.values[3])
		}, nil},
		{"not written and not there", func(s *stored) {
			id, _ := s.l.Send("t", 0, 20)
			s.l.Failed(id, false)
		}, nil},
		{"not written and there", func(s *stored) { s.l.Failed(s.send(), false) }, map[Kind]int64{Returned: 1}},
		{"there twice", func(s *stored) { s.values = append(s.values, s.values[0]) }, map[Kind]int64{Twice: 1}},
		{"perhaps there twice", func(s *stored) {
			id := s.send()
			s.l.Acked(id, 3, true)
			s.values = append(s.values, s.values[3])
		}, nil},
		{"acknowledged elsewhere than it is", func(s *stored) { s.l.Acked(s.send(), 7, false) }, map[Kind]int64{Lost: 1}},
		{"two acknowledged at one place", func(s *stored) { s.l.Acked(s.send(), 2, false) }, map[Kind]int64{Lost: 2}},
		{"seen and there", func(s *stored) {
			s.send()
			s.l.Saw("t", 0, 3, s.values[3])
		}, nil},
		{"seen and not there", func(s *stored) {
			_, v := s.l.Send("t", 0, 20)
			s.l.Saw("t", 0, 3, v)
		}, map[Kind]int64{Unseen: 1}},
		{"seen and another is there", func(s *stored) {
			_, v := s.l.Send("t", 0, 20)
			s.l.Saw("t", 0, 3, v)
			s.send()
		}, map[Kind]int64{Unseen: 1}},
		{"seen in one reading and not in the next", func(s *stored) {
			s.send()
			s.read()
			s.values = s.values[:3]
		}, map[Kind]int64{Unseen: 1}},
		{"seen with other bytes", func(s *stored) { s.l.Saw("t", 0, 0, []byte("12345678rubbish")) }, map[Kind]int64{Invented: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &stored{l: NewLedger(1)}
			for i := range 3 {
				s.l.Acked(s.send(), int64(i), false)
			}
			tc.do(s)
			found := s.read()
			if len(found) != len(tc.want) {
				t.Errorf("found %v, want %v", found, tc.want)
			}
			for _, b := range found {
				if b.Count != tc.want[b.Kind] || len(b.First) == 0 {
					t.Errorf("%s: %+v, want %d", b.Kind, b, tc.want[b.Kind])
				}
			}
		})
	}
}

func TestReadingFindsGaps(t *testing.T) {
	s := &stored{l: NewLedger(1)}
	for i := range 5 {
		s.l.Acked(s.send(), int64(i), false)
	}
	r := s.l.Read("t")
	for _, off := range []int64{0, 3, 4} {
		r.Add(0, off, s.values[off])
	}
	if n := r.End(); n != 5 {
		t.Errorf("%d records", n)
	}
	found := s.l.Breaches()
	if len(found) != 2 || found[0].Kind != Lost || found[0].Count != 2 || found[1].Kind != Gap || found[1].Count != 1 {
		t.Errorf("found %v", found)
	}
	if n := s.l.AckedCount(); n != 5 {
		t.Errorf("%d acknowledged", n)
	}
}
