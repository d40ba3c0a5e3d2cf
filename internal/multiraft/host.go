package multiraft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/logq/logq/internal/journal"
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/raft"
	"github.com/logq/logq/segments"
)

// Transport carries messages to other brokers.
type Transport interface {
	// Send queues m with the entries in frames for broker to and never blocks;
	// false means dropped. m is copied; frames are immutable and may be kept.
	Send(to protocol.BrokerID, m *raft.Message, frames [][]byte) bool
}

// Options configure a Host. Broker, FS, Dir, Journal and Transport are needed;
// the rest has defaults.
type Options struct {
	Broker    protocol.BrokerID
	FS        vfs.FS
	Dir       string // one directory per group below it
	Journal   journal.Journal
	Transport Transport

	// Shards is the number of event loops; default GOMAXPROCS/3 rounded up, since
	// disk workers, readers and sockets need the rest.
	Shards int
	// Tick is the unit of the two below; default 50 ms.
	Tick time.Duration
	// ElectionTicks is the least time without a leader before an election; the
	// longest is twice that. HeartbeatTicks is the leader's interval. Defaults 8
	// and 2: an election after 400 to 800 ms of silence.
	ElectionTicks, HeartbeatTicks int
	// DiskWorkers bounds the flushes under way at once, those that hang aside; default
	// 8.
	DiskWorkers int
	// RecoveryBytesPerSecond bounds what is read from disk for replicas that are far
	// behind, of all groups together; default 100 MiB. RecoveryGroups bounds the groups
	// that have much to send at once; default 16. Live traffic isn't bounded, and goes
	// first.
	RecoveryBytesPerSecond int64
	RecoveryGroups         int
	// Direct has segments written past the page cache; see [vfs.ProbeDirect].
	Direct bool
	// TailBytes bounds the recent tail in memory of each log, TailMemory those of all
	// together; defaults that of segments and 256 MiB.
	TailBytes  int
	TailMemory int64
	// MaxUncommittedBytes is the quota of one group; default that of replica.
	MaxUncommittedBytes int
	// Lease, if not 0, lets leaders answer Latest at once for as long after a heartbeat
	// that a majority has answered; see raft.Options.Lease. All brokers of a cluster
	// must have it or none, and it must be at least two ticks shorter than an election
	// timeout: ticks are not in step, and clocks not equally fast.
	Lease time.Duration
	// KeepAwake lets idle groups send heartbeats. Otherwise, with a Transport that is
	// a Links, they are quiet.
	KeepAwake bool
	// ScrubBytesPerSecond is the rate at which all logs are read again in the search
	// for damage, one round each ScrubInterval; defaults 8 MiB and 24 hours. A negative
	// interval: only where a read has met damage.
	ScrubBytesPerSecond int64
	ScrubInterval       time.Duration
	// WakesPerSecond bounds how many quiet groups wake when another broker is lost or
	// returns, so that their elections don't all run at once; default 4,000.
	WakesPerSecond int
	// OnChange, if set, is told of the groups whose Status has a new role, leader,
	// term, readiness to serve or error, or that were just opened. One goroutine of
	// the host calls it, with each group at most once; what changes during a call
	// comes with the next one. The list is valid during the call, which may take its
	// time but must end before Close can.
	OnChange func([]*Group)
	// Seed feeds election timeouts. Give each broker another one.
	Seed   uint64
	Logger *slog.Logger // default: discard
}

func (o *Options) setDefaults() {
	if o.Shards == 0 {
		o.Shards = (runtime.GOMAXPROCS(0) + 2) / 3
	}
	if o.Tick == 0 {
		o.Tick = defaultTick
	}
	if o.ElectionTicks == 0 {
		o.ElectionTicks = defaultElectionTicks
	}
	if o.HeartbeatTicks == 0 {
		o.HeartbeatTicks = defaultHeartbeatTicks
	}
	if o.DiskWorkers == 0 {
		o.DiskWorkers = defaultDiskWorkers
	}
	if o.TailMemory == 0 {
		o.TailMemory = defaultTailMemory
	}
	if o.RecoveryBytesPerSecond == 0 {
		o.RecoveryBytesPerSecond = defaultRecoveryRate
	}
	if o.RecoveryGroups == 0 {
		o.RecoveryGroups = defaultRecoveryGroups
	}
	if o.ScrubBytesPerSecond == 0 {
		o.ScrubBytesPerSecond = defaultScrubRate
	}
	if o.ScrubInterval == 0 {
		o.ScrubInterval = defaultScrubInterval
	}
	if o.WakesPerSecond == 0 {
		o.WakesPerSecond = defaultWakesPerSecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func (o *Options) validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what))
		}
	}
	need(o.Broker != 0, "Broker must be at least 1")
	need(o.FS != nil, "FS is missing")
	need(o.Dir != "", "Dir is missing")
	need(o.Journal != nil, "Journal is missing")
	need(o.Transport != nil, "Transport is missing")
	need(o.Shards >= 0 && o.DiskWorkers >= 0, "Shards and DiskWorkers can't be negative")
	need(o.RecoveryBytesPerSecond >= 0 && o.RecoveryGroups >= 0, "RecoveryBytesPerSecond and RecoveryGroups can't be negative")
	need(o.TailBytes >= 0 && o.TailMemory >= 0, "TailBytes and TailMemory can't be negative")
	need(o.ScrubBytesPerSecond >= 0, "ScrubBytesPerSecond can't be negative")
	need(o.Tick >= 0 && o.WakesPerSecond >= 0, "Tick and WakesPerSecond can't be negative")
	return errors.Join(errs...)
}

// Spec names one replica to open.
type Spec struct {
	Group     raft.GroupID
	Topic     [16]byte
	Partition uint32
	// Name is the directory below Options.Dir: letters, digits, '.', '_', '-'.
	Name string
	Self raft.ReplicaID
	// Voters are those with which the group was made, Self among them. A replica that
	// joins a group later has none: a leader that has it as a learner sends it the
	// log, and in it who the members are. The same must be given whenever the replica
	// is opened again.
	Voters []raft.ReplicaID
	// Priority is that of raft.Options: above 0, this replica mostly comes
	// first when the group has lost its leader; below 0, last.
	Priority int
	// SegmentBytes is the size at which segments roll; 0: the default.
	SegmentBytes int64
}

// Host runs the replicas of one broker.
type Host struct {
	o        Options
	log      *slog.Logger
	ctx      context.Context // for logging only; never cancelled
	began    time.Time       // with its monotonic clock
	shards   []*shard
	disk     *pool[flush]
	memory   *segments.Memory
	journal  *queue[save]
	recovery *recovery
	scrub    *scrubber
	links    Links // o.Transport if it is one, else nil
	activity activity
	lanes    *lanes
	beat     *beat
	changes  *changes
	targets  *sync.Pool // of *[]*Group
	stats    stats

	wakesPerTick int // of one shard

	loops   sync.WaitGroup // shards
	workers sync.WaitGroup // disk workers, journal writer, readers

	mu      sync.RWMutex
	groups  map[raft.GroupID]*Group          // guarded by mu
	opening map[raft.GroupID]struct{}        // guarded by mu; being opened or removed
	hard    map[raft.GroupID]storedHardState // guarded by mu; as found in the journal, until opened
	closed  bool                             // guarded by mu

	failOnce sync.Once
	done     chan struct{} // closed when the host can't go on
	err      error         // set before done is closed
}

// New reads the hard states from the journal. It starts nothing.
func New(o Options) (*Host, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("multiraft options: %w", err)
	}
	o.setDefaults()
	if most := time.Duration(o.ElectionTicks-2) * o.Tick; o.Lease < 0 || o.Lease > most {
		return nil, fmt.Errorf("multiraft options: Lease is %v, want 0 to %v, two ticks less than an election timeout", o.Lease, most)
	}
	h := &Host{
		o: o, log: o.Logger, began: time.Now(), ctx: context.Background(),
		journal: newQueue[save](),
		memory:  segments.NewMemory(o.TailMemory),
		groups:  make(map[raft.GroupID]*Group),
		opening: make(map[raft.GroupID]struct{}),
		hard:    make(map[raft.GroupID]storedHardState),
		changes: newChanges(o.OnChange != nil),
		targets: newTargets(),
		done:    make(chan struct{}),
	}
	h.disk = newPool(o.DiskWorkers, o.Tick*time.Duration(o.ElectionTicks)/2, h.workers.Go, h.flush)
	if err := h.loadHardStates(); err != nil {
		return nil, err
	}
	h.links, _ = o.Transport.(Links)
	h.recovery = newRecovery(h)
	h.scrub = newScrubber(h)
	h.lanes = newLanes()
	h.beat = newBeat(h.links, h.lanes, o.Shards, &h.activity)
	h.wakesPerTick = max(1, int(int64(o.WakesPerSecond)*int64(o.Tick)/int64(time.Second))/o.Shards)
	for n := range o.Shards {
		h.shards = append(h.shards, newShard(h, n))
	}
	return h, nil
}

// Start starts the shards and workers. Close ends them.
func (h *Host) Start() {
	for _, s := range h.shards {
		h.loops.Go(s.run)
	}
	h.disk.start()
	h.recovery.readers.start()
	h.workers.Go(h.journalWriter)
	h.workers.Go(h.scrub.run)
	if h.o.OnChange != nil {
		h.workers.Go(func() { h.changes.tell(h.o.OnChange) })
	}
}

// Done is closed when the host can't go on: its journal failed. Err then says
// why.
func (h *Host) Done() <-chan struct{} { return h.done }

// Err returns the cause once Done is closed.
func (h *Host) Err() error {
	select {
	case <-h.done:
		return h.err
	default:
		return nil
	}
}

func (h *Host) fail(err error) {
	h.failOnce.Do(func() {
		h.err = fmt.Errorf("journal of the broker: %w", err)
		h.log.Log(h.ctx, slog.LevelError, "the journal failed, no replica can vote or lead", "error", err)
		close(h.done)
	})
}

// Group returns the open group with that id, or nil.
func (h *Host) Group(id raft.GroupID) *Group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.groups[id]
}

// Groups returns all open groups, in order of their names.
func (h *Host) Groups() []*Group {
	h.mu.RLock()
	all := make([]*Group, 0, len(h.groups))
	for _, g := range h.groups {
		all = append(all, g)
	}
	h.mu.RUnlock()
	slices.SortFunc(all, func(a, b *Group) int {
		if a.spec.Name < b.spec.Name {
			return -1
		}
		return 1
	})
	return all
}

func (h *Host) dirOf(name string) string { return path.Join(h.o.Dir, name) }

// shardOf spreads groups over shards by id, so that a group always meets the
// same shard.
func (h *Host) shardOf(id raft.GroupID) *shard { return h.shards[hashOf(id)%uint64(len(h.shards))] }

// hashOf is FNV-1a.
func hashOf(id raft.GroupID) uint64 {
	n := uint64(14695981039346656037)
	for _, b := range id {
		n = (n ^ uint64(b)) * 1099511628211
	}
	return n
}
