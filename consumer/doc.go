// Package consumer reads the committed records of a topic, in order per
// partition.
//
//	c, err := consumer.New(nc, "events", consumer.WithStart(consumer.Earliest()))
//	if err != nil { … }
//	defer c.Close()
//	for r, err := range c.Records(ctx) {
//		if err != nil { … }
//		use(r.Value)
//	}
//
// # What is promised
//
//	committed only    A record that was seen never changes and never disappears
//	                  before the topic's retention drops it.
//	no gap, no repeat Within a partition offsets rise by one from record to record,
//	                  across changes of leader, restarts of brokers and lost
//	                  connections. A breach is an error, never a silence.
//	checked           Every batch's checksum is verified before it is handed out.
//	progress or error When a partition has records to read and cannot be read for
//	                  WithStallTimeout, Records ends with a *StalledError.
//
// There is no order between partitions.
//
// All of this holds with WithNearbyReplica too: a replica that lags hands out what it
// knows to be committed, and leaves the rest to the leader.
//
// # Contract
//
// New starts nothing that reads; the first Records does. One Records runs at a
// time; it may be left and called again, and goes on where it was. Seek,
// Position and Close may be called from anywhere. Records belong to the caller.
// An error ends the sequence; all but those of Close and of the context are
// *Error, with the partition and the cause.
//
// Prefetching is bounded: at most WithPrefetch fetches of WithMaxBytes each wait
// per partition. The caller's NATS connection is the seed: connections to
// leaders are opened with its options, and closed by Close.
package consumer
