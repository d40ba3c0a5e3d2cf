package segments

import (
	"errors"
	"fmt"

	"github.com/logq/logq/internal/vfs"
)

// survey reads the frames of a segment from the start and makes the footer that belongs
// behind them.
type survey struct {
	s           *segment // grows with each frame
	ft          *footer
	at          position
	salt, local salt
	interval    int64
	pace        func(bytes int) error
}

func newSurvey(s *segment, id salt, interval int) *survey {
	return &survey{
		s: s, at: position{s.base - 1, s.basePrev, s.baseOffset}, salt: id, local: s.salt, interval: int64(interval),
		ft: &footer{first: s.base, firstOffset: s.baseOffset, prevTerm: s.basePrev, maxTime: noTime},
	}
}

// run takes the frames of f up to index until, or if that is 0 to where they end; it
// returns why they do, "" at until.
func (v *survey) run(f vfs.File, until Index) (reason string, err error) {
	size, err := f.Size()
	if err != nil {
		return "", err
	}
	w := openWindow(&paced{r: f, pace: v.pace}, size)
	defer w.close()
	for v.at.index+1 != until {
		b, reason, err := w.frame(v.s.end, v.salt, v.local)
		if err != nil || reason != "" {
			return reason, err
		}
		fr, loc := getFrame(b), getLocal(b)
		if end := fits(&fr, &loc, v.at, v.s.write); end.reason != "" {
			return end.reason, nil
		}
		v.take(b, &fr, &loc)
	}
	return "", nil
}

func (v *survey) take(b []byte, f *Frame, loc *Local) {
	ft := v.ft
	if n := len(ft.terms); n == 0 || ft.terms[n-1].Term != f.Term {
		ft.terms = append(ft.terms, TermStart{Term: f.Term, First: f.Index})
	}
	if f.Kind == KindConfig {
		ft.configs = append(ft.configs, ConfigAt{f.Index, append([]byte(nil), b[FrameHeaderSize:]...)})
	}
	ft.durable, ft.commit = max(ft.durable, loc.DurableThrough), max(ft.commit, loc.Commit)
	ft.config = loc.Config
	v.s.add(b, v.interval)
	v.at = position{f.Index, f.Term, f.Next()}
}

// footer returns what was surveyed; nil if there is no frame.
func (v *survey) footer() *footer {
	if v.at.index < v.s.base {
		return nil
	}
	ft := v.ft
	ft.last, ft.lastTerm, ft.nextOffset = v.at.index, v.at.term, v.at.next
	ft.write, ft.maxTime, ft.end, ft.frames = v.s.write, v.s.maxTime, v.s.end, v.s.frames
	return ft
}

// survey reads the frames of s again, whose index or digest isn't known.
func (l *Log) survey(s *segment, until Index) (ft *footer, x sparse, err error) {
	f, err := l.o.FS.Open(s.path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	twin := &segment{
		id: s.id, base: s.base, baseOffset: s.baseOffset, basePrev: s.basePrev, path: s.path, salt: s.salt,
		next: s.base, end: FileHeaderSize, maxTime: noTime,
	}
	v := newSurvey(twin, l.salt, l.o.IndexInterval)
	v.pace = func(int) error { return nil }
	reason, err := v.run(f, until)
	if err == nil && reason != "" {
		err = &CorruptionError{Path: s.path, SegmentID: s.id, Offset: twin.end, Index: twin.next, Err: errors.New(reason)}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the frames again: %w", err)
	}
	return v.footer(), twin.marks, nil
}
