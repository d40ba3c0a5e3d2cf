// Package producer stores records in logq topics.
//
//	p, err := producer.New(nc) // nc is a *nats.Conn: TLS, credentials and reconnects are nats.go's
//	if err != nil {
//		return err
//	}
//	defer p.Close(ctx)
//	ack, err := p.Produce(ctx, producer.Record{Topic: "events", Partition: -1, Key: []byte("user-17"), Value: []byte("signed in")})
//
// [Producer.Produce] waits for the acknowledgement; [Producer.ProduceAsync] hands over and calls back, and is what reaches
// millions of records a second. Both may be mixed and called from any number of goroutines.
//
// # What an outcome means
//
//	call back with            the record is                       a retry by you
//	----------------------    --------------------------------    ------------------------------
//	nil                       on the disks of a majority, at      not needed
//	                          the Ack's offset, for good
//	nil, MaybeDuplicate       the same, and perhaps at an         not needed
//	                          earlier or later offset as well
//	*Error, NotWritten        not stored, and never will be       cannot duplicate
//	*Error, Unknown           stored, or not, or will be soon     may duplicate
//
// A record is sent again until it is acknowledged, refused for good, or its delivery timeout ends. Where a try ended with
// an unknown outcome (no answer, connection lost), sending again may store it twice: that is at-least-once, and MaybeDuplicate
// and [Stats] say where it may have happened. With [WithRetryUnknown] false such records are reported as Unknown and not
// sent again: at-most-once.
//
// # Order
//
// Records of one partition are stored in the order in which they were handed over, and called back in that order: one
// request is under way per partition, and what follows goes out only when it is decided. That holds over leader changes,
// lost connections and restarts of brokers, because each request names the term of the leader that it was meant for, and
// later leaders refuse it. A record that fails does not hold back what follows. Between partitions there is no order.
//
// Two things can break the order that a reader sees, and both are reported: a second copy of a record with MaybeDuplicate may
// stand after its successors, and so may a record that was reported as Unknown.
//
// # Batches
//
// While nothing is under way for a partition, a record goes out at once; while a request is, records gather for the next.
// So batches are small and fast when there is little to do, and large when there is much, without a setting. [WithLinger]
// trades latency for larger ones. A batch is compressed once, here, and stored and served as it is.
//
// Records with a key go to the partition that Kafka's clients would choose (murmur2); those without go to one partition for
// some kilobytes and then to another that has less to do. [Record.Partition] and [WithPartitioner] decide otherwise.
//
// # Contract
//
//  1. Keys, values and headers are copied; reuse them when the call has returned. The callback of a call that returned an
//     error is not called; every other is called exactly once.
//  2. Callbacks run on the partition's goroutine and hold up its next batch: hand over what takes long. They must not call
//     Produce, Flush or Close, which wait for what callbacks hold up. ProduceAsync is allowed, and may block when the buffer
//     is full.
//  3. Call Close. It waits for what was handed over, until its context ends; then what is left fails, typed as ever. The
//     connection given to New stays open.
//
// # Limits
//
// What is handed over and not decided is bounded by [WithBufferBytes]; ProduceAsync waits when it is reached, until its
// context ends. A record fits in one batch, about a megabyte. The number of a topic's partitions is read when the topic is
// first used.
package producer
