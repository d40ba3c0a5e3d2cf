package segments

import (
	"fmt"

	"github.com/logq/logq/record"
)

// OffsetForTime returns offset and timestamp of the first record, in order of
// offsets, whose timestamp is at or above ts (milliseconds since the epoch),
// among the batches that end at or below until; ok is false if there is none.
// Timestamps come from producers and need not ascend. Errors are those of
// ReadFrames, and of a batch that can't be decoded.
func (l *Log) OffsetForTime(ts int64, until record.Offset) (o record.Offset, at int64, ok bool, err error) {
	err = l.stable(func() error {
		o, at, ok = 0, 0, false
		dec := record.NewDecoder(record.DecoderOptions{})
		for i := Index(0); ; {
			lo, hi := l.timeRange(ts, i)
			if lo == 0 {
				return nil
			}
			for i = lo; i < hi; {
				more, next, err := l.visit(i, func(b []byte) (bool, error) {
					switch {
					case Index(le.Uint64(b[posIndex:])) >= hi:
						return false, nil
					case frameNext(b) > until:
						hi = 0 // nor does any later one end below it
						return false, nil
					case Kind(b[posKind]) != KindData || int64(le.Uint64(b[posMaxTimestamp:])) < ts:
						return true, nil
					}
					var err error
					o, at, ok, err = firstAtTime(dec, b[FrameHeaderSize:], ts)
					return !ok, err
				})
				if err != nil || ok || hi == 0 {
					return err
				}
				if i = next; !more || next == 0 {
					break
				}
			}
			i = hi
		}
	})
	return o, at, ok, err
}

// timeRange returns entries [lo, hi), at or above i, that may hold the first
// batch with a timestamp of at least ts; lo is 0 if none can.
func (l *Log) timeRange(ts int64, i Index) (lo, hi Index) {
	var u lookup
	for {
		if lo, hi = l.lookUpTime(ts, i, &u); !u.again(l) {
			return lo, hi
		}
	}
}

func (l *Log) lookUpTime(ts int64, i Index, u *lookup) (lo, hi Index) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, s := range l.segs {
		if s.next <= i || s.maxTime < ts || s.next == s.base {
			continue
		}
		x, ok := u.index(l, s)
		if !ok || len(x) == 0 {
			return 0, 0
		}
		for k := max(x.floorTime(ts), 0); k < len(x); k++ {
			lo, hi = x[k].index, s.next
			if k+1 < len(x) {
				hi = x[k+1].index
			}
			if lo >= i {
				return lo, hi
			}
		}
	}
	return 0, 0
}

// firstAtTime finds the first record of a batch at or after ts.
func firstAtTime(dec *record.Decoder, b record.Batch, ts int64) (o record.Offset, at int64, ok bool, err error) {
	if err := dec.Reset(b); err != nil {
		return 0, 0, false, fmt.Errorf("segments: decode batch at offset %d: %w", b.BaseOffset(), err)
	}
	for dec.Next() {
		if r := dec.Record(); r.Timestamp >= ts {
			return r.Offset, r.Timestamp, true, nil
		}
	}
	if err := dec.Err(); err != nil {
		return 0, 0, false, fmt.Errorf("segments: decode batch at offset %d: %w", b.BaseOffset(), err)
	}
	return 0, 0, false, nil
}
