package consumer

import (
	"time"

	"github.com/logq/logq/record"
)

// Record is one record. It belongs to who got it.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp time.Time // with milliseconds
	// Key and Value are nil for null, which is not the same as empty.
	Key, Value []byte
	Headers    []record.Header
}
