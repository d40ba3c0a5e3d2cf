package consumer

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// Option changes a default of a Consumer.
type Option interface{ apply(*options) }

type option func(*options)

func (f option) apply(o *options) { f(o) }

type options struct {
	partitions []int32
	start      Start
	untilEnd   bool
	maxBytes   int
	prefetch   int
	maxWait    time.Duration
	timeout    time.Duration
	stall      time.Duration
	outOfRange Policy
	nearby     bool
	logger     *slog.Logger
}

func defaults() options {
	return options{
		start: Earliest(), maxBytes: 1 << 20, prefetch: 2, maxWait: 5 * time.Second,
		timeout: 10 * time.Second, stall: time.Minute, outOfRange: Fail,
	}
}

// WithPartitions reads these partitions only. Default: all that the topic has when Records starts.
func WithPartitions(partitions ...int32) Option {
	return option(func(o *options) { o.partitions = slices.Clone(partitions) })
}

// WithStart sets where partitions are read from. Default: Earliest.
func WithStart(s Start) Option { return option(func(o *options) { o.start = s }) }

// WithUntilEnd ends Records at the high watermarks that were seen when it first started. Default: it waits for more.
func WithUntilEnd() Option { return option(func(o *options) { o.untilEnd = true }) }

// WithMaxBytes sets how much one fetch asks for, 1 KiB to 7 MiB; a single larger batch comes all the same. Default 1 MiB.
func WithMaxBytes(n int) Option { return option(func(o *options) { o.maxBytes = n }) }

// WithPrefetch sets how many fetches per partition are kept ahead of the caller, 1 to 64. Default 2.
func WithPrefetch(n int) Option { return option(func(o *options) { o.prefetch = n }) }

// WithMaxWait sets how long a broker holds a fetch when there is nothing to read, up to a minute. Default 5 s.
func WithMaxWait(d time.Duration) Option { return option(func(o *options) { o.maxWait = d }) }

// WithStallTimeout sets how long a partition may fail to be read before Records gives up. Default 1 minute.
func WithStallTimeout(d time.Duration) Option { return option(func(o *options) { o.stall = d }) }

// WithOutOfRange sets what happens when the offset to read is not in the log. Default: Fail.
func WithOutOfRange(p Policy) Option { return option(func(o *options) { o.outOfRange = p }) }

// WithNearbyReplica reads from the broker that the NATS connection leads to, if it has a replica with the records wanted;
// otherwise that broker gets them from the leader. It spares a line between sites, and the leader. Records are the same, in
// the same order, and come a little later: when that replica knows that they are committed. Where a partition ends, which
// WithUntilEnd and Latest need, is still the leader's word.
func WithNearbyReplica() Option { return option(func(o *options) { o.nearby = true }) }

// WithLogger sets where retries are logged. Default: nowhere.
func WithLogger(l *slog.Logger) Option { return option(func(o *options) { o.logger = l }) }

// Policy says where to go on when an offset is out of range.
type Policy uint8

// The policies.
const (
	Fail       Policy = iota // end with *OutOfRangeError
	ToEarliest               // at the log start
	ToLatest                 // at the high watermark
)

// Start is where reading begins. The zero value is Earliest.
type Start struct {
	kind   startKind
	offset int64
	time   time.Time
}

type startKind uint8

const (
	startEarliest startKind = iota
	startLatest
	startOffset
	startTime
)

// Earliest starts at the first record that there is.
func Earliest() Start { return Start{} }

// Latest starts after the last record committed when Records starts.
func Latest() Start { return Start{kind: startLatest} }

// AtOffset starts at an offset, 0 or more.
func AtOffset(n int64) Start { return Start{kind: startOffset, offset: n} }

// AtTime starts at the first record whose timestamp is t or later, or after the last record if there is none.
func AtTime(t time.Time) Start { return Start{kind: startTime, time: t} }

func (o *options) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.maxBytes >= 1<<10 && o.maxBytes <= 7<<20, "max bytes %d: want 1 KiB to 7 MiB", o.maxBytes)
	check(o.prefetch >= 1 && o.prefetch <= 64, "prefetch %d: want 1 to 64", o.prefetch)
	check(o.maxWait > 0 && o.maxWait <= time.Minute, "max wait %v: want above 0, up to a minute", o.maxWait)
	check(o.stall > 0, "stall timeout %v: want above 0", o.stall)
	check(o.outOfRange <= ToLatest, "out-of-range policy %d is unknown", o.outOfRange)
	check(o.start.kind != startOffset || o.start.offset >= 0, "start offset %d: offsets count from 0", o.start.offset)
	seen := make(map[int32]bool)
	for _, p := range o.partitions {
		check(p >= 0 && p < protocol.MaxPartitions && !seen[p], "partition %d is out of range or named twice", p)
		seen[p] = true
	}
	return errors.Join(errs...)
}
