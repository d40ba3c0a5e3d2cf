package segments

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// window reads a file front to back through a buffer that is reused.
type window struct {
	r    io.ReaderAt
	size int64 // of the file, or where reading shall end
	buf  []byte
	pos  int64 // of buf in the file
	step int   // bytes to read at a time
}

// windows keeps buffers between reads.
var windows = sync.Pool{New: func() any { return new(window) }}

// windowBytesMin is what a window reads first; the step doubles up to its limit.
const windowBytesMin = 16 << 10

func openWindow(r io.ReaderAt, size int64) *window {
	w := windows.Get().(*window)
	w.r, w.size, w.buf, w.pos, w.step = r, size, w.buf[:0], 0, windowBytesMin
	return w
}

// close gives the buffer back, unless it grew for one large frame.
func (w *window) close() {
	w.r = nil
	if cap(w.buf) <= 4*scanBytes {
		windows.Put(w)
	}
}

// forget has the next call read anew.
func (w *window) forget() { w.buf = w.buf[:0] }

// bytes returns n bytes at pos, fewer at the end of the file. They are valid
// until the next call.
func (w *window) bytes(pos int64, n int) ([]byte, error) {
	n = int(max(min(int64(n), w.size-pos), 0))
	if pos >= w.pos && pos+int64(n) <= w.pos+int64(len(w.buf)) {
		return w.buf[pos-w.pos:][:n], nil
	}
	want := int(max(min(int64(max(n, w.step)), w.size-pos), 0))
	w.step = min(2*w.step, scanBytes)
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.buf = w.buf[:want]
	w.pos = pos
	got, err := w.r.ReadAt(w.buf, pos)
	if got == want || errors.Is(err, io.EOF) {
		err = nil // a file that shrinks meanwhile ends early
	}
	w.buf = w.buf[:got]
	if err != nil {
		w.buf = w.buf[:0]
		return nil, err
	}
	return w.buf[:min(n, got)], nil
}

// frame returns the frame at pos if it is whole and all its checksums are good,
// else what is wrong with it.
func (w *window) frame(pos int64, s, local salt) (b []byte, reason string, err error) {
	b, err = w.bytes(pos, FrameHeaderSize)
	if err != nil {
		return nil, "", err
	}
	if len(b) < FrameHeaderSize {
		return nil, "the file ends within a frame header", nil
	}
	if reason = checkHeader(b, s); reason != "" {
		return nil, reason, nil
	}
	if reason = checkLocal(b, local); reason != "" {
		return nil, reason, nil
	}
	size := FrameHeaderSize + payloadLen(b)
	if b, err = w.bytes(pos, size); err != nil {
		return nil, "", err
	}
	if len(b) < size {
		return nil, "the file ends within a frame", nil
	}
	return b, checkPayload(b), nil
}

var zeros [4096]byte

func allZero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}

// rest is what a search finds behind the end of the log.
type rest struct {
	garbage int64 // bytes from the end of the log to the last that is not zero
	frames  int   // valid headers of this segment with later indexes
	durable Index // the highest durable mark in them
	index   Index // of the first of them
	pos     int64
	lastPos int64
}

// search looks from pos to the end of the file for what lies behind the end of
// the log: headers of this segment with an index above x and a write term not
// below write.
func (w *window) search(pos int64, s, local salt, x Index, write Term) (r rest, err error) {
	from := pos
	for pos < w.size {
		b, err := w.bytes(pos, scanBytes)
		if err != nil {
			return r, err
		}
		if len(b) == 0 {
			break
		}
		if !allZero(b) {
			r.garbage = pos + int64(len(bytes.TrimRight(b, "\x00"))) - from
			r.scan(b, pos, s, local, x, write)
		}
		if len(b) < scanBytes {
			break
		}
		pos += int64(len(b) - FrameHeaderSize + 1)
	}
	return r, nil
}

var magicBytes = []byte{frameMagic & 0xff, frameMagic >> 8 & 0xff, frameMagic >> 16 & 0xff, frameMagic >> 24}

func indexMagic(b []byte) int { return bytes.Index(b, magicBytes) }

func (r *rest) scan(b []byte, pos int64, s, local salt, x Index, write Term) {
	for at := 0; ; {
		n := indexMagic(b[at:])
		if n < 0 || at+n+FrameHeaderSize > len(b) {
			return
		}
		h := b[at+n:]
		if checkHeader(h, s) == "" && checkLocal(h, local) == "" {
			f, l := getFrame(h), getLocal(h)
			if f.Index > x && l.WriteTerm >= write && (r.frames == 0 || pos+int64(at+n) > r.lastPos) {
				r.lastPos = pos + int64(at+n)
				if r.frames == 0 {
					r.index, r.pos = f.Index, r.lastPos
				}
				r.frames++
				r.durable = max(r.durable, l.DurableThrough)
			}
		}
		at += n + 1
	}
}
