package service

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/logq/logq/internal/meta"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/statefile"
)

// Options configures a [Service]. Zero values stand for the defaults named.
type Options struct {
	ID      protocol.BrokerID   // this broker, required
	Brokers []protocol.BrokerID // the brokers with which the cluster began, or those known to one that joined it, this one included; empty = this one alone
	Intro                       // what this broker says of its data directory
	// Known is what this broker knew of the others when it stopped, by which they are judged too until the metadata is known
	// again.
	Known     map[protocol.BrokerID]Intro
	ClusterID string      // id to give a new cluster; empty = random
	Host      Host        // required
	Peers     Peers       // required if there are other brokers
	Network   Network     // told which brokers there are; nil = they are always the same
	OnFenced  func(error) // told, once, that the broker must not go on with its data directory; nil = nobody
	States    States      // where the metadata's state is kept
	// Defaults are in force for topics that say nothing else; those that are 0 take the defaults named there.
	Defaults meta.Settings
	Logger   *slog.Logger // nil = none

	// WalkCompressed has the leader decompress every batch and check each record, as it does with uncompressed ones. Worth
	// its cost (a CPU-second a gigabyte) where producers are not trusted to compress what they say.
	WalkCompressed bool

	InflightBytes          int64         // appends under way on the broker, bytes; default 256 MiB
	PartitionInflightBytes int64         // appends under way in one partition, bytes; default 32 MiB
	FetchBytes             int64         // bytes of fetch replies being made; default 256 MiB
	MaxFetchBytes          int           // largest fetch reply, give or take one batch; default protocol.MaxFetchBytes
	MaxFetches             int           // fetches under way or waiting; default 4096
	MaxForwards            int           // requests forwarded or waiting for a leader; default 4096
	MaxAdmin               int           // metadata and admin requests under way; default 256
	Repliers               int           // goroutines that hand out the replies of appends; default 4
	DefaultDeadline        time.Duration // of requests that name none; default protocol.DefaultDeadlineMs
	LeaderWait             time.Duration // how long a request waits for a leader, within its deadline; default 3 s
	PollInterval           time.Duration // how often leaderships are looked at; default 50 ms
	GossipInterval         time.Duration // default 500 ms
	AliveTimeout           time.Duration // a broker not heard of for so long is not alive; default 4 gossip intervals
	RetryMin, RetryMax     time.Duration // back-off of background work; defaults 100 ms, 5 s
	MoveInterval           time.Duration // between the steps of moving replicas; default 200 ms
	BalanceInterval        time.Duration // how often leaders are compared with those preferred; default 5 s
}

// States says where and how often the folded metadata is written down. Its log is trimmed to what two files cover, so both
// limits also bound that log: it holds up to three times as much, and one segment.
type States struct {
	Store *statefile.Store // nil = nowhere: the log is kept whole
	Found statefile.Found  // what opening the store has found
	// Records and Bytes of the log are folded since the last file when the next one is due; defaults 10,000 and 4 MiB. The
	// one bounds how long a restart folds (a few hundred milliseconds), the other disk and what a follower is sent. A state
	// that is larger than the log since then waits until a quarter of its size has come, so that a large cluster does
	// not write it again for every few records.
	Records int64
	Bytes   int64
	// SegmentBytes is the size of the metadata's segments; default 1 MiB, since only whole ones are dropped.
	SegmentBytes int64
}

const (
	defaultStateRecords     = 10_000
	defaultStateBytes       = 4 << 20
	defaultMetaSegmentBytes = 1 << 20

	defaultInflightBytes          = 256 << 20
	defaultPartitionInflightBytes = 32 << 20
	defaultFetchBytes             = 256 << 20
	defaultMaxFetches             = 4096
	defaultMaxForwards            = 4096
	defaultMaxAdmin               = 256
	defaultRepliers               = 4
	defaultLeaderWait             = 3 * time.Second
	defaultPollInterval           = 50 * time.Millisecond
	defaultGossipInterval         = 500 * time.Millisecond
	aliveGossips                  = 4 // gossip intervals without a word until a broker is not alive
	defaultRetryMin               = 100 * time.Millisecond
	defaultRetryMax               = 5 * time.Second

	// openers is how many replicas are opened at a time: each may scan the tail of its log.
	openers = 8
	// openRetryMax is the longest pause between attempts to open a replica.
	openRetryMax = 30 * time.Second
	// callOverheadBytes is what a request counts in the byte budgets beside its payload.
	callOverheadBytes = 512
	// metaReadBytes is how much of the metadata is read at a time.
	metaReadBytes = 1 << 20
	// keptResults is how many results of applied metadata records are kept for who proposed them.
	keptResults = 1024
	// syncTimeout bounds how long list and describe wait to see the controller's latest metadata.
	syncTimeout = time.Second
)

func orDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// complete checks the options and fills the defaults in. All faults are reported at once.
func (o *Options) complete() error {
	orDefault(&o.InflightBytes, defaultInflightBytes)
	orDefault(&o.PartitionInflightBytes, defaultPartitionInflightBytes)
	orDefault(&o.FetchBytes, defaultFetchBytes)
	orDefault(&o.MaxFetchBytes, protocol.MaxFetchBytes)
	orDefault(&o.MaxFetches, defaultMaxFetches)
	orDefault(&o.MaxForwards, defaultMaxForwards)
	orDefault(&o.MaxAdmin, defaultMaxAdmin)
	orDefault(&o.Repliers, defaultRepliers)
	orDefault(&o.DefaultDeadline, protocol.DefaultDeadlineMs*time.Millisecond)
	orDefault(&o.LeaderWait, defaultLeaderWait)
	orDefault(&o.PollInterval, defaultPollInterval)
	orDefault(&o.GossipInterval, defaultGossipInterval)
	orDefault(&o.AliveTimeout, aliveGossips*o.GossipInterval)
	orDefault(&o.RetryMin, defaultRetryMin)
	orDefault(&o.RetryMax, defaultRetryMax)
	orDefault(&o.MoveInterval, defaultMoveInterval)
	orDefault(&o.BalanceInterval, defaultBalanceInterval)
	orDefault(&o.States.Records, defaultStateRecords)
	orDefault(&o.States.Bytes, defaultStateBytes)
	orDefault(&o.States.SegmentBytes, defaultMetaSegmentBytes)
	o.Defaults = o.Defaults.Or(defaultSettings)
	if len(o.Brokers) == 0 {
		o.Brokers = []protocol.BrokerID{o.ID}
	}
	o.Brokers = slices.Sorted(slices.Values(o.Brokers))
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	if e := o.Defaults.Check("option Defaults"); e != nil {
		errs = append(errs, e)
	}
	if o.ID == 0 {
		errs = append(errs, errors.New("option ID must be from 1 to 65535"))
	}
	if !slices.Contains(o.Brokers, o.ID) {
		errs = append(errs, fmt.Errorf("option Brokers %v must contain this broker, %d", o.Brokers, o.ID))
	}
	if len(slices.Compact(slices.Clone(o.Brokers))) != len(o.Brokers) || o.Brokers[0] == 0 && o.ID != 0 {
		errs = append(errs, fmt.Errorf("option Brokers %v must be distinct ids from 1 to 65535", o.Brokers))
	}
	if o.Host == nil {
		errs = append(errs, errors.New("option Host is missing"))
	}
	if o.Peers == nil && len(o.Brokers) > 1 {
		errs = append(errs, errors.New("option Peers is missing, and there are other brokers"))
	}
	limits := [...]int64{
		o.InflightBytes, o.PartitionInflightBytes, o.FetchBytes, int64(o.MaxFetchBytes), int64(o.MaxFetches), int64(o.MaxForwards), int64(o.MaxAdmin),
		int64(o.Repliers), int64(o.DefaultDeadline), int64(o.LeaderWait), int64(o.PollInterval), int64(o.GossipInterval), int64(o.AliveTimeout), int64(o.RetryMin), int64(o.RetryMax),
		int64(o.MoveInterval), int64(o.BalanceInterval), o.States.Records, o.States.Bytes, o.States.SegmentBytes,
	}
	if slices.Min(limits[:]) < 0 {
		errs = append(errs, errors.New("limits and times must not be negative"))
	}
	if o.MaxFetchBytes > protocol.MaxFetchBytes || int64(o.MaxFetchBytes) > o.FetchBytes {
		errs = append(errs, fmt.Errorf("option MaxFetchBytes %d must not be over %d nor over FetchBytes %d", o.MaxFetchBytes, protocol.MaxFetchBytes, o.FetchBytes))
	}
	return errors.Join(errs...)
}
