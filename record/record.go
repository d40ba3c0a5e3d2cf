package record

// Header is one header of a record: a name, which may come more than once in a
// record, and a value, of which nil is null. A nil Key is the empty name.
type Header struct{ Key, Value []byte }

// Record is one record. A nil Key or Value is null, which is not the same as
// empty.
type Record struct {
	// Offset is the position in the partition; a Builder ignores it.
	Offset Offset
	// Timestamp is in ms since the epoch, as its producer set it, or the time of the
	// append if the batch says so.
	Timestamp  int64
	Key, Value []byte
	Headers    []Header
}
