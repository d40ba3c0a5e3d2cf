package multiraft

import (
	"sync/atomic"
	"time"

	"github.com/logq/logq/segments"
)

// Stats are counters since the start, for metrics.
type Stats struct {
	// Flushes are group commits; FlushNanos the time spent in them.
	Flushes, FlushErrors, FlushNanos uint64
	// HungFlushes are under way now, for longer than half an election timeout.
	HungFlushes int
	// JournalSaves are syncs of the journal, JournalEntries the hard states in
	// them.
	JournalSaves, JournalEntries, JournalErrors, JournalNanos uint64
	// Dropped messages met a full inbox; Strays a group that isn't open here.
	Dropped, Strays uint64
	// BadFrames are append messages whose entries failed their checks.
	BadFrames uint64
	// RecoveryBytes were read from disk and sent to replicas far behind;
	// RecoveryRefused are messages put off, since a bound was reached;
	// RecoveringGroups have sent many such bytes lately.
	RecoveryBytes, RecoveryRefused uint64
	RecoveringGroups               int
	// ColdReadErrors are failed reads of old entries for followers.
	ColdReadErrors uint64
	// Damaged places were found in logs; Repairs were written in their place, of
	// RepairedBytes; RepairErrors failed. ScrubbedBytes were read in the search for
	// damage; Scrubs are complete rounds.
	Damaged, Repairs, RepairedBytes, RepairErrors uint64
	ScrubbedBytes, Scrubs                         uint64
	// Failed replicas were taken out of service.
	Failed uint64
	// Tails are the entries in memory.
	Tails segments.MemoryStats
	// Groups are open now; of them Awake need ticks, the others are quiet or out of
	// service.
	Groups, Awake int
}

type stats struct {
	flushes, flushErrors, flushNanos          atomic.Uint64
	saves, saveEntries, saveErrors, saveNanos atomic.Uint64
	dropped, strays, badFrames                atomic.Uint64
	coldReadErrors, failed                    atomic.Uint64
	recoveryBytes, recoveryRefused            atomic.Uint64
	damaged, repairs, repairErrors            atomic.Uint64
	repairedBytes, scrubbedBytes, scrubs      atomic.Uint64
	recovering                                atomic.Int64
	hung                                      atomic.Int64
}

func (s *stats) flushed(d time.Duration, err error) {
	s.flushes.Add(1)
	s.flushNanos.Add(uint64(d))
	if err != nil {
		s.flushErrors.Add(1)
	}
}

func (s *stats) saved(n int, d time.Duration, err error) {
	s.saves.Add(1)
	s.saveEntries.Add(uint64(n))
	s.saveNanos.Add(uint64(d))
	if err != nil {
		s.saveErrors.Add(1)
	}
}

// Stats returns the counters.
func (h *Host) Stats() Stats {
	s := &h.stats
	h.mu.RLock()
	groups := len(h.groups)
	h.mu.RUnlock()
	awake := groups
	for _, x := range h.shards {
		awake -= int(x.resting.Load())
	}
	return Stats{
		Awake:         max(0, awake),
		Tails:         h.memory.Stats(),
		HungFlushes:   int(s.hung.Load()),
		RecoveryBytes: s.recoveryBytes.Load(), RecoveryRefused: s.recoveryRefused.Load(), RecoveringGroups: int(s.recovering.Load()),
		Flushes: s.flushes.Load(), FlushErrors: s.flushErrors.Load(), FlushNanos: s.flushNanos.Load(),
		JournalSaves: s.saves.Load(), JournalEntries: s.saveEntries.Load(),
		JournalErrors: s.saveErrors.Load(), JournalNanos: s.saveNanos.Load(),
		Dropped: s.dropped.Load(), Strays: s.strays.Load(), BadFrames: s.badFrames.Load(),
		Damaged: s.damaged.Load(), Repairs: s.repairs.Load(), RepairedBytes: s.repairedBytes.Load(), RepairErrors: s.repairErrors.Load(),
		ScrubbedBytes: s.scrubbedBytes.Load(), Scrubs: s.scrubs.Load(),
		ColdReadErrors: s.coldReadErrors.Load(), Failed: s.failed.Load(), Groups: groups,
	}
}
