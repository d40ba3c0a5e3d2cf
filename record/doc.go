// Package record is the Kafka RecordBatch v2 codec: Builder makes batches, Batch
// reads their headers in place, Decoder walks their records.
package record
