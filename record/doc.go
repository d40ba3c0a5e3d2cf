// Package record is the codec of Kafka's RecordBatch v2, the one format in which
// records travel from producer to disk to consumer. [Builder] makes batches,
// [Batch] reads and places them without decoding, [Decoder] walks their records.
//
// Produce:
//
//	b := record.NewBuilder(record.BuilderOptions{Codec: record.Zstd, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
//	err := b.Append(record.Record{Timestamp: now, Value: line}) // ErrFull: Seal, then again
//	batch, err := b.Seal(nil)
//
// Take in and place, on the broker:
//
//	batch, rest, err := record.Next(body)
//	err = batch.Verify() // or Decoder.Check, which looks at every record
//	batch.Assign(nextOffset, leaderEpoch)
//
// Consume:
//
//	d := record.NewDecoder(record.DecoderOptions{})
//	for err := d.Reset(batch); err == nil && d.Next(); {
//		use(d.Record()) // valid until the next Next
//	}
//	err = d.Err()
//
// # The format
//
// All integers are big-endian; the records hold zigzag varints.
//
//	 0               8       12      16 17      21   23      27
//	+---------------+-------+-------+--+-------+----+-------+---------------
//	| base offset   |length |leader |2 |CRC-32C|attr|last   | base timestamp …
//	|               |       |epoch  |  |       |    |delta  |
//	+---------------+-------+-------+--+-------+----+-------+---------------
//	 27              35              43              51   53      57      61
//	+---------------+---------------+---------------+----+-------+-------+--
//	| base          | max           | producer id   |ep. |base   |count  | records,
//	| timestamp     | timestamp     |               |    |seq.   |       | compressed
//	+---------------+---------------+---------------+----+-------+-------+--
//
// length counts what follows it. The CRC covers everything from the attributes
// on, so that a leader writes base offset and leader epoch into a sealed batch
// ([Batch.Assign]) and nothing else changes: the bytes that a producer compressed
// are the bytes on every disk and at every consumer. A record is
//
//	length, attributes (0), timestamp delta, offset delta,
//	key length (-1: null), key, value length (-1: null), value,
//	number of headers, and for each: key length, key, value length, value
//
// # Contract
//
// A slice is a Batch when [Next] has cut it, [Builder.Seal] has made it, or
// [Batch.Verify] has passed; other methods of Batch need a whole header and index
// out of range without one. [Decoder.Reset] takes any bytes.
//
// Check a batch once, where it enters: Verify for its frame and CRC, Decoder.Check
// for its records too. Decoding what wasn't checked is safe in memory and time,
// but may yield records that nobody wrote.
//
// Concurrency: a Builder and a Decoder belong to one goroutine at a time; any
// number may read a Batch, while Assign needs it alone. Coders are pooled and
// shared behind the scenes.
//
// Buffers: a Builder copies what it is given. Next and Batch alias their input. A
// Decoder's Record aliases the batch, or the decoder's own memory if the batch is
// compressed, and is valid until the next Next; see [Decoder.Record] for what may
// be kept. Builder, Decoder and the slice given to Seal are made to be used again:
// then nothing is allocated per record, and nothing per batch but by gzip's and
// zstd's coders now and then.
//
// Errors are typed. [ErrShort]: read more. [ErrFull]: seal first. [*CorruptError]:
// the bytes are damaged and stay so. [*TooLargeError] and [*DecodedTooLargeError]:
// a limit. [*UnsupportedCodecError]: refuse the batch.
//
// # Limits
//
// A batch has at most MaxBatchBytes, uncompressed as well; only a record that
// fits no batch goes alone, with up to MaxRecordBytes, if its batch is small
// enough compressed. A decoder takes at most DecoderOptions.MaxBytes for a batch,
// and stops a decompression bomb while it decompresses. Counts and lengths are
// held against the bytes that are there before anything is allocated for them.
//
// # Departures from Kafka
//
//   - Offset deltas are 0, 1, 2, … and the last offset delta is count-1: logq has
//     no compaction, offsets are dense. Verify refuses other batches; a Decoder
//     alone reads them, as long as the deltas ascend.
//   - Records that a codec hardly shrinks are stored uncompressed, from 1 KiB on.
//   - Snappy is written as one raw block, which Java's client, librdkafka and
//     franz-go read; they and we also read snappy-java's framing. LZ4 frames have
//     independent blocks, the only ones that Java reads; we read linked ones too.
//     Of zstd and gzip streams any number may follow each other.
//   - Attribute bits of control and transactional batches are readable and not
//     judged: who may write such batches is the broker's to decide.
//   - Unused bits of attributes are passed over, as in Kafka. Magic 0 and 1, the
//     message sets before Kafka 0.11, are refused.
package record
