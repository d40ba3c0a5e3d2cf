package producer

import (
	"time"

	"github.com/logq/logq/record"
)

// Record is what is to be stored. The producer copies key, value and headers.
type Record struct {
	Topic string
	// Partition is where it goes; -1 leaves that to the partitioner.
	Partition int32
	// Key and Value may be nil, which is not the same as empty.
	Key, Value []byte
	Headers    []record.Header
	// Timestamp is stored in milliseconds. Zero stands for the present.
	Timestamp time.Time
}

// Ack says where a record is stored.
type Ack struct {
	Topic     string
	Partition int32
	// Offset is the record's offset, -1 together with an error.
	Offset int64
	// MaybeDuplicate: an earlier try ended with an unknown outcome, so that the record may be stored twice.
	MaybeDuplicate bool
}

// overhead is what a record takes in the buffer beside its own bytes.
const overhead = 32

// size is what a record takes in the buffer.
func (r *Record) size() int64 {
	n := overhead + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value) + overhead/4
	}
	return int64(n)
}
