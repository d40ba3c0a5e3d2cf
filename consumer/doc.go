// Package consumer reads records from logq topics.
//
//	c, err := consumer.New(nc, "events", consumer.WithStart(consumer.Earliest())) // nc is a *nats.Conn
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	for r, err := range c.Records(ctx) {
//		if err != nil {
//			return err
//		}
//		fmt.Printf("%d/%d %s=%s\n", r.Partition, r.Offset, r.Key, r.Value)
//	}
//
// # What is delivered
//
//	promise                                   how it is kept
//	--------------------------------------    -----------------------------------------------------------
//	committed records only: what was read     brokers serve nothing above the high watermark
//	never changes and never disappears
//	each offset once, in order, per           every batch must continue where the last one ended; a gap,
//	partition, none skipped                   a repetition or a wrong checksum is fetched again, and is a
//	                                          *CorruptError if it stays
//	progress or an error                      a partition that is behind and does not move is resolved anew,
//	                                          then reported as a *StalledError
//	position kept over everything             leader changes, lost connections and restarted brokers are
//	                                          retried at the same offset
//
// Between partitions there is no order; they take turns batch by batch. Where to go on after a restart of the program is
// the caller's to remember: store [Consumer.Position], or the offset of the last record plus one, with the results, and start
// with [AtOffset].
//
// A record that a producer stored twice (its Ack said MaybeDuplicate) is there twice, at two offsets.
//
// # Errors
//
// Records yields an error in place of a record. Errors of one partition do not stop the others:
//
//	*StalledError      the partition is tried further; the error comes again while nothing moves
//	*OutOfRangeError   the offset is not in the log; the partition stops until Seek, unless WithOutOfRange says more
//	*CorruptError      the data is damaged, also when fetched again; the partition stops until Seek
//	*Error             the broker refuses for good: no such topic, no right to it; the partition stops
//	context's error    the iteration ends; the next Records goes on where it was
//	ErrClosed, ErrBusy the iteration ends
//
// A loop that returns on every error is right for most programs. One that goes on gets the other partitions' records, and
// ends when none is left. A new call of Records tries partitions that had stopped again.
//
// # Contract
//
//  1. A yielded record belongs to the caller, for as long as it is kept. Records of a batch share memory: who keeps a few of
//     many for long should copy them, or the whole batch stays.
//  2. One Records at a time. Seek, Position, HighWatermark and Close may be called at any time, from the loop too.
//  3. Breaking out of the loop loses nothing: the next Records goes on with the next record.
//  4. Call Close. The connection given to New stays open.
//
// # Limits
//
// Per partition, memory is bounded by [WithPrefetch] plus one batch, decompressed, and two fetch replies of [WithMaxBytes]; a
// batch decompresses to 64 MiB at most. The partitions of a topic are those at the time of the first Records.
package consumer
