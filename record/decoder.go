package record

// DecoderOptions configure a Decoder.
type DecoderOptions struct {
	// MaxBytes bounds the memory that one batch may take: what its records decompress
	// to, and the table of a record's headers. Default DefaultDecodedMax.
	MaxBytes int
}

// Decoder walks the records of a batch. It keeps its memory for the next one, so
// that it allocates nothing per record and, once it has seen batches of their
// size, nothing per batch. It is not safe for concurrent use.
type Decoder struct {
	max     int
	scratch []byte // what a compressed batch was decompressed to

	// Of the batch that Reset was given.
	base       Offset
	baseTS     int64
	appendTime bool // every record's timestamp is maxTS
	maxTS      int64
	lastDelta  int64
	count      int
	dense      bool // offset deltas must be 0, 1, 2, …

	buf   []byte // the records
	pos   int    // of the next one in buf
	next  int    // its number
	delta int64  // offset delta of the record before it

	rec Record
	err error
}

// NewDecoder returns a decoder without a batch.
func NewDecoder(o DecoderOptions) *Decoder {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultDecodedMax
	}
	return &Decoder{max: o.MaxBytes}
}

// Reset starts on b and decompresses its records. Until the next Reset the decoder
// needs b's memory unchanged, if b isn't compressed, and its own.
//
// It doesn't check the CRC: Verify or Check does, once, where a batch arrives or is
// read from a disk. Damage can't do more than make it fail: with a *CorruptError,
// *UnsupportedCodecError, ErrShort or, past DecoderOptions.MaxBytes, a
// *DecodedTooLargeError. Next returns false then.
func (d *Decoder) Reset(b Batch) error {
	if d.err = d.reset(b); d.err != nil {
		d.count = 0
	}
	return d.err
}

func (d *Decoder) reset(b Batch) error {
	*d = Decoder{max: d.max, scratch: d.scratch, rec: Record{Headers: d.rec.Headers[:0]}}
	if cap(d.rec.Headers) > headersKeepMax {
		d.rec.Headers = nil
	}
	n, err := batchSize(b)
	switch {
	case err != nil:
		return err
	case n > len(b):
		return ErrShort
	case n < len(b):
		return batchCorrupt(b, "bytes after the batch")
	}
	d.base, d.lastDelta, d.count = b.BaseOffset(), int64(b.lastDelta()), b.Count()
	d.baseTS, d.maxTS, d.appendTime = b.BaseTimestamp(), b.MaxTimestamp(), b.AppendTime()
	d.delta = -1
	records := b.Records()
	if codec := b.Codec(); codec != None {
		if cap(d.scratch) > decodedKeepMax {
			d.scratch = nil
		}
		d.scratch, err = decompress(d.scratch[:0], records, codec, d.max)
		if err != nil {
			if c, ok := err.(*CorruptError); ok {
				c.BaseOffset = d.base
			}
			return err
		}
		records = d.scratch
	}
	switch {
	case d.count < 0:
		return batchCorrupt(b, "record count is negative")
	case d.count > len(records)/minRecordBytes:
		return batchCorrupt(b, "more records than bytes can hold")
	}
	d.buf = records
	return nil
}

// Err returns why Next returned false: nil at the end of the batch.
func (d *Decoder) Err() error { return d.err }

// Record returns the record that Next moved to. The Record, its table of headers
// and, for a compressed batch, every key and value in it are the decoder's memory
// and valid until the next Next or Reset; keys and values of an uncompressed batch
// are slices of the batch. A caller may keep keys and values after Next if it
// never calls Reset again.
func (d *Decoder) Record() *Record { return &d.rec }

// Next moves to the next record and says whether there is one. At the end, and
// at damage, it returns false; Err tells which.
func (d *Decoder) Next() bool {
	if d.next >= d.count {
		return d.end()
	}
	b, i := d.buf, d.pos
	size, ok := shortVarint(b, i)
	if i++; !ok {
		size, i = longVarint(b, i)
	}
	if i < 0 || size < minBodyBytes || size > int64(len(b)-i) {
		return d.corrupt("length is out of bounds")
	}
	d.pos = i + int(size)
	b = b[i:d.pos] // the record's own bytes: a field can't reach into the next one
	i = 1          // the first byte holds attributes, which have no bit yet
	tsDelta, ok := shortVarint(b, i)
	if i++; !ok {
		tsDelta, i = longVarint(b, i)
	}
	delta, ok := shortVarint(b, i)
	if i++; !ok {
		delta, i = longVarint(b, i)
	}
	if i < 0 || delta <= d.delta || delta > d.lastDelta || d.dense && delta != d.delta+1 {
		return d.corrupt("offset delta is out of order")
	}
	key, i := field(b, i)
	value, i := field(b, i)
	headers, ok := shortVarint(b, i)
	if i++; !ok {
		headers, i = longVarint(b, i)
	}
	if i < 0 {
		return d.corrupt("key, value or number of headers is out of bounds")
	}
	d.rec.Key, d.rec.Value, d.rec.Headers = key, value, d.rec.Headers[:0]
	if headers != 0 {
		if i = d.readHeaders(b, i, headers); i < 0 {
			return false
		}
	}
	if i != len(b) {
		return d.corrupt("bytes after the last header")
	}
	d.delta = delta
	d.next++
	d.rec.Offset = d.base + Offset(delta)
	d.rec.Timestamp = d.baseTS + tsDelta
	if d.appendTime {
		d.rec.Timestamp = d.maxTS
	}
	return true
}

// field reads a length and as many bytes at i and returns the position after them,
// -1 if they are not there. Length -1 is nil, for null.
func field(b []byte, i int) ([]byte, int) {
	n, ok := shortVarint(b, i)
	if i++; !ok {
		n, i = longVarint(b, i)
	}
	if i < 0 || n < -1 || n > int64(len(b)-i) {
		return nil, -1
	}
	if n < 0 {
		return nil, i
	}
	end := i + int(n)
	return b[i:end:end], end
}

// readHeaders reads n headers at i and returns the position after them, -1 if
// they are not there; the error is set then.
func (d *Decoder) readHeaders(b []byte, i int, n int64) int {
	if n < 0 || n > int64(len(b)-i)/minHeaderBytes {
		d.corrupt("number of headers is out of bounds")
		return -1
	}
	if n > int64(cap(d.rec.Headers)) {
		// The table takes up to 24 times the bytes it is made from.
		if n*headerTableBytes > int64(d.max-len(d.scratch)) {
			d.err = &DecodedTooLargeError{Max: d.max}
			d.count = 0
			return -1
		}
		d.rec.Headers = make([]Header, 0, n)
	}
	for range n {
		var key, value []byte
		key, i = field(b, i)
		value, i = field(b, i)
		if i < 0 || key == nil {
			d.corrupt("header is out of bounds or has no name")
			return -1
		}
		d.rec.Headers = append(d.rec.Headers, Header{Key: key, Value: value})
	}
	return i
}

// corrupt ends the walk at the record that Next was to move to.
func (d *Decoder) corrupt(what string) bool {
	d.err = &CorruptError{What: what, BaseOffset: d.base, Record: d.next}
	d.count = 0
	return false
}

// end is Next after the last record.
func (d *Decoder) end() bool {
	if d.err == nil && d.pos != len(d.buf) {
		d.err = &CorruptError{What: "bytes after the last record", BaseOffset: d.base, Record: -1}
	}
	return false
}

// Check is for batches that arrive from outside: everything that Verify checks,
// then every record, whose offset deltas must be 0, 1, 2, …, as a producer makes
// them. It leaves the decoder at the end of b.
//
// Errors are those of Verify, Reset and Next.
func (d *Decoder) Check(b Batch) error {
	d.count = 0 // whatever happens, nothing of the batch before is left
	if d.err = b.Verify(); d.err != nil {
		return d.err
	}
	if err := d.Reset(b); err != nil {
		return err
	}
	d.dense = true
	for d.Next() {
	}
	return d.err
}
