package consumer

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// Option changes a default of a [Consumer].
type Option interface{ apply(*options) }

type option func(*options)

func (f option) apply(o *options) { f(o) }

type options struct {
	partitions []int32 // nil = all
	start      Start
	untilEnd   bool
	maxBytes   int
	maxWait    time.Duration
	prefetch   int
	stall      time.Duration
	outOfRange OutOfRange
	logger     *slog.Logger
}

func defaults() options {
	return options{maxBytes: protocol.DefaultFetchBytes, maxWait: 5 * time.Second, prefetch: 512 << 10, stall: 30 * time.Second}
}

// Start is where a partition is read from at first. The zero value is [Earliest].
type Start struct {
	at     string // of protocol's; "" = earliest
	offset int64
	time   time.Time
}

const atOffset = "offset"

// Earliest starts with the first record that is still there.
func Earliest() Start { return Start{} }

// Latest starts with what is committed after the first call of Records.
func Latest() Start { return Start{at: protocol.AtLatest} }

// AtOffset starts with the record at an offset, in every partition.
func AtOffset(offset int64) Start { return Start{at: atOffset, offset: offset} }

// AtTime starts with the first record whose timestamp is t or later, and with what comes if there is none.
func AtTime(t time.Time) Start { return Start{at: protocol.AtTime, time: t} }

// OutOfRange says what to do about an offset that is not in the log.
type OutOfRange uint8

// The policies.
const (
	FailOutOfRange     OutOfRange = iota // yield an [OutOfRangeError]
	EarliestOutOfRange                   // go on with the first record that is there
	LatestOutOfRange                     // go on with what is committed from now on
)

// WithPartitions reads only these partitions. Default: all.
func WithPartitions(partitions ...int32) Option {
	return option(func(o *options) {
		o.partitions = slices.Compact(slices.Sorted(slices.Values(partitions)))
	})
}

// WithStart sets where to start. Default: [Earliest].
func WithStart(s Start) Option { return option(func(o *options) { o.start = s }) }

// WithUntilEnd ends the iteration when every partition has reached the high watermark that it had at the first call of
// Records. Default: it goes on with what comes.
func WithUntilEnd() Option { return option(func(o *options) { o.untilEnd = true }) }

// WithMaxBytes sets how much is fetched from a partition at a time, in bytes as stored; one batch is fetched even if it is
// larger. From 1 to 32 MiB, brokers may allow less; default 1 MiB.
func WithMaxBytes(n int) Option { return option(func(o *options) { o.maxBytes = n }) }

// WithMaxWait sets how long a broker waits for something to come before it answers that there is nothing. From 0 to 1
// minute; default 5 s. It does not delay records.
func WithMaxWait(d time.Duration) Option { return option(func(o *options) { o.maxWait = d }) }

// WithPrefetch sets how much of each partition is kept ready for the caller, in bytes as stored; one batch always is.
// Default 512 KiB.
func WithPrefetch(n int) Option { return option(func(o *options) { o.prefetch = n }) }

// WithStallTimeout sets how long a partition may be behind, or out of reach, without moving until that is an error. At
// least 1 ms; default 30 s.
func WithStallTimeout(d time.Duration) Option { return option(func(o *options) { o.stall = d }) }

// WithOutOfRange sets what to do about an offset that is not in the log: retention has dropped it, or it was never
// written. Default: [FailOutOfRange].
func WithOutOfRange(p OutOfRange) Option { return option(func(o *options) { o.outOfRange = p }) }

// WithLogger sets who is told of retries and resets. Default: nobody.
func WithLogger(l *slog.Logger) Option { return option(func(o *options) { o.logger = l }) }

// validate reports all faults at once.
func (o *options) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	const longest = protocol.MaxFetchWaitMs * time.Millisecond
	check(len(o.partitions) == 0 || o.partitions[0] >= 0, "partition %v: they count from 0", o.partitions)
	check(o.start.at != atOffset || o.start.offset >= 0, "start offset %d: they count from 0", o.start.offset)
	check(o.maxBytes > 0 && o.maxBytes <= protocol.MaxFetchBytes, "fetch size %d: want 1 to %d bytes", o.maxBytes, protocol.MaxFetchBytes)
	check(o.maxWait >= 0 && o.maxWait <= longest, "wait %v: want 0 to %v", o.maxWait, longest)
	check(o.prefetch > 0, "prefetch %d: want at least 1 byte", o.prefetch)
	check(o.stall >= time.Millisecond, "stall timeout %v: want at least 1ms", o.stall)
	check(o.outOfRange <= LatestOutOfRange, "policy %d for offsets out of range is not known", o.outOfRange)
	if o.logger == nil {
		o.logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(errs...)
}
