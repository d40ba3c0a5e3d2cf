package multiraft

import "time"

// Defaults of Options.
const (
	defaultTick           = 50 * time.Millisecond
	defaultElectionTicks  = 8
	defaultHeartbeatTicks = 2
	defaultDiskWorkers    = 8
	defaultColdReaders    = 2
	defaultTailMemory     = 256 << 20
	defaultRecoveryGroups = 16
	defaultRecoveryRate   = 100 << 20
	defaultWakesPerSecond = 4000
	defaultScrubRate      = 8 << 20
	defaultScrubInterval  = 24 * time.Hour

	// maxSuspects bounds the places that wait to be looked at after a failed read.
	maxSuspects = 64

	// inboxBytes bounds what waits for one shard: messages with their entries and
	// batches to append.
	inboxBytes = 64 << 20

	// eventOverhead is what an event counts beside its payload.
	eventOverhead = 256

	// coldQueue bounds the append messages of one group that wait for entries to be
	// read from disk.
	coldQueue = 64

	// maxBacklog is what may wait on a bulk connection before recovery adds to it.
	maxBacklog = 4 << 20

	// smallRecovery is what a message may hold that needs no place among
	// Options.RecoveryGroups: a few times the distance of sparse index entries.
	smallRecovery = 128 << 10

	// recoveryIdle is how long a group keeps its place among those that catch others
	// up: longer than a follower takes to ask for more.
	recoveryIdle = 500 * time.Millisecond

	// maxBatch is how many small messages go to one broker at once.
	maxBatch = 512

	// showTicks is how often a group is shown in which there are only heartbeats.
	showTicks = 4

	// visitsPerTick is how many groups a shard looks at per tick after something has
	// changed about a broker, whether they wake or not: about a millisecond.
	visitsPerTick = 1000

	// maxWorkers bounds the goroutines of a pool with those whose jobs hang, each of
	// which holds a thread.
	maxWorkers = 256

	// abandonedAppend is how long an append with no deadline of its own waits.
	abandonedAppend = time.Minute
)
