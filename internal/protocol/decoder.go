package protocol

import (
	"encoding/binary"
	"fmt"
)

// DecodeError says why a forwarded request or reply cannot be read: it was cut, damaged, or written by a version that is
// not known. The connection it came on is good; only this message is refused.
type DecodeError struct {
	What   string // "request" or "response"
	Offset int    // bytes read before the fault
	Reason string
}

// Error names the message, the place and the fault.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("protocol: bad %s at byte %d: %s", e.What, e.Offset, e.Reason)
}

// decoder reads a message front to back and keeps the first error.
type decoder struct {
	what string
	src  []byte
	pos  int
	err  *DecodeError
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = &DecodeError{What: d.what, Offset: d.pos, Reason: fmt.Sprintf(format, args...)}
	}
}

func (d *decoder) done() error {
	if d.err == nil && d.pos != len(d.src) {
		d.fail("%d bytes after the end", len(d.src)-d.pos)
	}
	if d.err != nil {
		return d.err
	}
	return nil
}

func (d *decoder) version(want byte) {
	if v := d.byte(); d.err == nil && v != want {
		d.fail("version %d; this broker knows %d only", v, want)
	}
}

func (d *decoder) byte() byte {
	if d.err != nil {
		return 0
	}
	if d.pos >= len(d.src) {
		d.fail("ends early")
		return 0
	}
	d.pos++
	return d.src[d.pos-1]
}

func (d *decoder) uvarint(name string, most uint64) uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.src[d.pos:])
	if n <= 0 || v > most {
		d.fail("%s is not a number up to %d", name, most)
		return 0
	}
	d.pos += n
	return v
}

func (d *decoder) varint(name string, least, most int64) int64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Varint(d.src[d.pos:])
	if n <= 0 || v < least || v > most {
		d.fail("%s is not a number from %d to %d", name, least, most)
		return 0
	}
	d.pos += n
	return v
}

// count reads the number of things that take at least two bytes each, so that a damaged count cannot make the caller
// allocate more than the message could fill.
func (d *decoder) count(name string, most uint64) int {
	n := d.uvarint(name, most)
	if d.err == nil && n > uint64(len(d.src)-d.pos)/2 {
		d.fail("%d %s do not fit", n, name)
		return 0
	}
	return int(n)
}

// bytes returns a part of src with its capacity cut, so that an append cannot reach what follows.
func (d *decoder) bytes(name string, most uint64) []byte {
	n := d.uvarint(name, most)
	if d.err != nil {
		return nil
	}
	if n > uint64(len(d.src)-d.pos) {
		d.fail("%s of %d bytes is cut short", name, n)
		return nil
	}
	end := d.pos + int(n)
	b := d.src[d.pos:end:end]
	d.pos = end
	return b
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
