package segments_test

import (
	"errors"
	"path"
	"testing"

	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/segments"
)

// seedLog makes a log of a few entries of two terms and returns its frames and files.
func seedLog(t testing.TB) (raw []byte, o segments.Options, mem *vfs.Mem) {
	mem = vfs.NewMem()
	o = options(mem)
	l, _, err := segments.Open(o)
	must(t, err)
	appendN(t, l, 1, 3, 50)
	must(t, l.Flush())
	must(t, l.Append(noop(l, 2), segments.Local{WriteTerm: 2, Commit: 3}))
	appendN(t, l, 2, 2, 30)
	must(t, l.Flush())
	raw, err = l.ReadFrames(nil, 1, l.Last()+1)
	must(t, err)
	must(t, l.Close())
	return raw, o, mem
}

func FuzzParseFrame(f *testing.F) {
	raw, _, _ := seedLog(f)
	f.Add(raw)
	f.Add(raw[146:])
	f.Add(raw[:95])
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, n, err := segments.ParseFrame(testID, b)
		view, vn, verr := segments.ViewFrame(b)
		if err != nil {
			var fe *segments.FrameError
			if !errors.As(err, &fe) || fe.Reason == "" || n != 0 {
				t.Fatalf("error %v with size %d", err, n)
			}
			return
		}
		if n != fr.Size() || n > len(b) || fr.Kind == 0 || fr.Next() < fr.BaseOffset {
			t.Fatalf("accepted %+v, %d of %d bytes", fr, n, len(b))
		}
		if verr != nil || vn != n || !sameFrame(view, fr) {
			t.Fatalf("ViewFrame differs: %+v, %d, %v", view, vn, verr)
		}
		if err := segments.CheckFrames(testID, b[:n], fr.Index, fr.Index+1, fr.Term); err != nil {
			t.Fatalf("ParseFrame accepts what CheckFrames refuses: %v", err)
		}
	})
}

func FuzzCheckFrames(f *testing.F) {
	raw, _, _ := seedLog(f)
	f.Add(raw, uint64(1), uint64(4), uint64(1))
	f.Add(raw[438:], uint64(4), uint64(7), uint64(2))
	f.Add([]byte{}, uint64(1), uint64(1), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, lo, hi, term uint64) {
		if segments.CheckFrames(testID, b, segments.Index(lo), segments.Index(hi), segments.Term(term)) != nil {
			return
		}
		for i := lo; i < hi; i++ {
			fr, n, err := segments.ParseFrame(testID, b)
			if err != nil || fr.Index != segments.Index(i) || fr.Term != segments.Term(term) {
				t.Fatalf("entry %d: %+v, %v", i, fr, err)
			}
			b = b[n:]
		}
		if len(b) != 0 {
			t.Fatalf("%d bytes more than [%d,%d)", len(b), lo, hi)
		}
	})
}

// FuzzOpen opens a log whose file holds anything, and uses it.
func FuzzOpen(f *testing.F) {
	_, o, mem := seedLog(f)
	img := imageOf(f, mem, o.Dir)
	name := img.only(f)
	whole := img[name][:5400]
	f.Add(whole, uint16(0), []byte{})
	f.Add(whole, uint16(4200), []byte("garbage"))
	f.Add(whole[:4300], uint16(4096), []byte{0, 0, 0, 0})
	f.Add(whole, uint16(4096), whole[4242:4500]) // frames in the wrong place
	f.Add([]byte{}, uint16(0), []byte{})
	f.Fuzz(func(t *testing.T, content []byte, at uint16, patch []byte) {
		b := append([]byte(nil), content...)
		if n := int(at) + len(patch); n > len(b) {
			b = append(b, make([]byte, n-len(b))...)
		}
		copy(b[at:], patch)
		o := o
		o.FS = image{name: b}.disk(t, o.Dir)
		_, inspectErr := segments.Inspect(o.FS, path.Join(o.Dir, name), func(segments.FrameInfo) error { return nil })
		l, _, err := segments.Open(o)
		if err != nil {
			var newer *segments.VersionError
			if !errors.Is(err, segments.ErrCorrupt) && !errors.Is(err, segments.ErrNotOurs) && !errors.As(err, &newer) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if l.Last() > 0 && inspectErr != nil && !errors.Is(inspectErr, segments.ErrCorrupt) {
			t.Fatalf("Inspect refuses what Open reads: %v", inspectErr)
		}
		if len(l.Damage()) > 0 {
			_, err := l.ReadFrames(nil, l.First(), l.Last()+1)
			if !errors.Is(err, segments.ErrCorrupt) {
				t.Fatalf("damage %v, and a read gives %v", l.Damage(), err)
			}
			must(t, l.Close())
			return
		}
		before := entries(t, l)
		term := max(l.LastTerm(), 1) + 1<<40
		must(t, l.Append(next(l, term, 10), segments.Local{WriteTerm: 1 << 63}))
		must(t, l.Flush())
		must(t, l.Close())
		l, rec, err := segments.Open(o)
		must(t, err)
		if len(entries(t, l)) != len(before)+1 || rec.Truncated+rec.StaleSuffix != 0 {
			t.Fatalf("%d entries after one more to %d, %+v", l.Last(), len(before), rec)
		}
		must(t, l.Close())
	})
}
