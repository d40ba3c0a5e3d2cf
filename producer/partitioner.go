package producer

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/logq/logq/internal/protocol"
)

// Partitioner chooses among a topic's partitions, 0 to partitions-1, by a record's key, which may be nil. With -1 it leaves
// the choice to the producer, which spreads. It is called from the goroutines that produce, and must not keep the key.
type Partitioner func(topic string, key []byte, partitions int) int32

// ByKey is Kafka's default: records with a key go by its murmur2 hash, so that all clients of all protocols agree; records
// without are spread.
func ByKey(_ string, key []byte, partitions int) int32 {
	if key == nil {
		return -1
	}
	return int32(protocol.PartitionForKey(key, partitions))
}

// stickyBytes is how much goes to one partition before records without a key move on to another: enough for batches that
// compress well, little enough to keep all partitions busy.
const stickyBytes = 64 << 10

// sticky is where records without a key go at present.
type sticky struct {
	current atomic.Int32
	left    atomic.Int64 // bytes until the next change
}

// next returns the partition for a record of a size, moving on when the present one had its share. Of two partitions
// drawn, the one with less to do is taken: so slow and leaderless ones get little, without a measure of time.
func (s *sticky) next(size int64, parts []*partition) *partition {
	if s.left.Add(-size) < 0 {
		s.left.Store(stickyBytes)
		a, b := rand.IntN(len(parts)), rand.IntN(len(parts))
		if parts[b].pending.Load() < parts[a].pending.Load() {
			a = b
		}
		s.current.Store(int32(a))
	}
	return parts[s.current.Load()]
}
