package record

import "encoding/binary"

// DecoderOptions configure a Decoder.
type DecoderOptions struct {
	MaxBytes int // cap of a batch's decompressed bytes; default DefaultDecodedMax
}

// Decoder walks the records of a batch without an allocation per record.
type Decoder struct {
	max     int
	scratch []byte
	buf     []byte
	left, i int
	base    Offset
	baseTS  int64
	rec     Record
	err     error
}

// NewDecoder returns a decoder.
func NewDecoder(o DecoderOptions) *Decoder {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultDecodedMax
	}
	return &Decoder{max: o.MaxBytes}
}

// Reset starts on b.
func (d *Decoder) Reset(b Batch) error {
	d.left, d.i, d.err = b.Count(), 0, nil
	d.base, d.baseTS = b.BaseOffset(), b.BaseTimestamp()
	d.buf = b.Records()
	if b.Codec() != None {
		d.scratch, d.err = decompress(d.scratch[:0], d.buf, b.Codec(), d.max)
		d.buf = d.scratch
	}
	return d.err
}

// Err returns why Next stopped, nil at the end of the batch.
func (d *Decoder) Err() error { return d.err }

// Record returns the current record, valid until Next or Reset.
func (d *Decoder) Record() *Record { return &d.rec }

func (d *Decoder) fail(what string) bool {
	d.err = &CorruptError{What: what}
	return false
}

// Next moves to the next record.
func (d *Decoder) Next() bool {
	if d.err != nil {
		return false
	}
	if d.left == 0 {
		if len(d.buf) != 0 {
			return d.fail("bytes after the last record")
		}
		return false
	}
	n, k := binary.Varint(d.buf)
	if k <= 0 || n < 6 || n > int64(len(d.buf)-k) {
		return d.fail("record length")
	}
	p := parser{b: d.buf[k : k+int(n)]}
	d.buf = d.buf[k+int(n):]
	p.skip(1)
	d.rec.Timestamp = d.baseTS + p.varint()
	if p.varint() != int64(d.i) {
		return d.fail("offset delta")
	}
	d.rec.Offset = d.base + Offset(d.i)
	d.rec.Key, d.rec.Value = p.bytes(), p.bytes()
	headers := p.varint()
	if p.bad || headers < 0 || headers > int64(len(p.b)) {
		return d.fail("record fields")
	}
	d.rec.Headers = d.rec.Headers[:0]
	for range headers {
		d.rec.Headers = append(d.rec.Headers, Header{Key: p.bytes(), Value: p.bytes()})
	}
	if p.bad || len(p.b) != 0 {
		return d.fail("record headers")
	}
	d.i++
	d.left--
	return true
}

type parser struct {
	b   []byte
	bad bool
}

func (p *parser) skip(n int) {
	if len(p.b) < n {
		p.bad = true
		return
	}
	p.b = p.b[n:]
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.b)
	if n <= 0 {
		p.bad = true
		return 0
	}
	p.b = p.b[n:]
	return v
}

func (p *parser) bytes() []byte {
	n := p.varint()
	if p.bad || n < -1 || n > int64(len(p.b)) {
		p.bad = true
		return nil
	}
	if n == -1 {
		return nil
	}
	v := p.b[:n:n]
	p.b = p.b[n:]
	return v
}

// Check verifies b and walks all its records.
func (d *Decoder) Check(b Batch) error {
	if err := b.Verify(); err != nil {
		return err
	}
	if err := d.Reset(b); err != nil {
		return err
	}
	for d.Next() {
	}
	return d.Err()
}
