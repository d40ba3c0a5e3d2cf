package producer

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// Option changes a default of a [Producer].
type Option interface{ apply(*options) }

type option func(*options)

func (f option) apply(o *options) { f(o) }

type options struct {
	codec           record.Codec
	batchBytes      int
	linger          time.Duration
	bufferBytes     int64
	deliveryTimeout time.Duration
	requestTimeout  time.Duration
	partitioner     Partitioner
	retryUnknown    bool
	logger          *slog.Logger
}

const (
	// largestBatch leaves room in a batch for records that grow when they are compressed.
	largestBatch  = record.MaxBatchBytes - 8<<10
	smallestBatch = 1 << 10
	// longestTimeout is the longest that a broker works on a request.
	longestTimeout = protocol.MaxDeadlineMs * time.Millisecond
)

func defaults() options {
	return options{
		codec: record.Zstd, batchBytes: largestBatch, bufferBytes: 64 << 20, deliveryTimeout: 2 * time.Minute,
		requestTimeout: 10 * time.Second, partitioner: ByKey, retryUnknown: true,
	}
}

// WithCodec sets the compression of batches. Default: [record.Zstd].
func WithCodec(c record.Codec) Option { return option(func(o *options) { o.codec = c }) }

// WithBatchBytes sets up to which size, in bytes before compression, records gather in a batch; a larger record goes out
// alone. From 1 KiB to 1 MiB less 8 KiB, which is the default.
func WithBatchBytes(n int) Option { return option(func(o *options) { o.batchBytes = n }) }

// WithLinger sets how long a record may wait for others to share its batch when nothing is under way for its partition.
// Default 0: it goes out at once. Flush, Close, a full batch and a full buffer end the wait.
func WithLinger(d time.Duration) Option { return option(func(o *options) { o.linger = d }) }

// WithBufferBytes bounds what is handed over and not decided, in bytes of keys, values and headers with some overhead. At
// least 1 MiB; default 64 MiB.
func WithBufferBytes(n int64) Option { return option(func(o *options) { o.bufferBytes = n }) }

// WithDeliveryTimeout sets how long the producer tries to store a record, leader changes and retries included, counted from
// when its batch was begun. After it the record is reported as not written, or as unknown if a try ended so. Default 2
// minutes.
func WithDeliveryTimeout(d time.Duration) Option {
	return option(func(o *options) { o.deliveryTimeout = d })
}

// WithRequestTimeout sets how long one try may take until its outcome counts as unknown. From 1 ms to 5 minutes; default 10 s.
// A leader that was replaced while it hangs is noticed sooner.
func WithRequestTimeout(d time.Duration) Option {
	return option(func(o *options) { o.requestTimeout = d })
}

// WithPartitioner sets how the partition of a record with Partition -1 is chosen. Default: [ByKey].
func WithPartitioner(f Partitioner) Option { return option(func(o *options) { o.partitioner = f }) }

// WithRetryUnknown sets whether a try whose outcome is unknown is repeated, which may store records twice. Default: true,
// at-least-once.
func WithRetryUnknown(retry bool) Option { return option(func(o *options) { o.retryUnknown = retry }) }

// WithLogger sets who is told of retries and lost connections. Default: nobody.
func WithLogger(l *slog.Logger) Option { return option(func(o *options) { o.logger = l }) }

// validate reports all faults at once.
func (o *options) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.codec <= record.Zstd, "codec %s: want none, gzip, snappy, lz4 or zstd", o.codec)
	check(o.batchBytes >= smallestBatch && o.batchBytes <= largestBatch, "batch size %d: want %d to %d bytes", o.batchBytes, smallestBatch, largestBatch)
	check(o.bufferBytes >= record.MaxBatchBytes, "buffer of %d bytes: want at least %d, room for one batch", o.bufferBytes, record.MaxBatchBytes)
	check(o.linger >= 0, "linger %v: want 0 or more", o.linger)
	check(o.deliveryTimeout > 0, "delivery timeout %v: want more than 0", o.deliveryTimeout)
	check(o.requestTimeout >= time.Millisecond && o.requestTimeout <= longestTimeout, "request timeout %v: want %v to %v", o.requestTimeout, time.Millisecond, longestTimeout)
	check(o.partitioner != nil, "the partitioner is nil")
	if o.logger == nil {
		o.logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(errs...)
}
