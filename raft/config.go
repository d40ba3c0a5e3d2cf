package raft

import (
	"errors"
	"fmt"
	"slices"
)

// Defaults and limits.
const (
	// DefaultElectionTicks and DefaultHeartbeatTicks suit ticks of 50 to 100 ms.
	DefaultElectionTicks  = 8
	DefaultHeartbeatTicks = 2
	// DefaultMaxMessageBytes is 1 MiB: larger messages only delay others.
	DefaultMaxMessageBytes = 1 << 20
	// DefaultMaxInflightBytes is what one follower may have unacknowledged.
	DefaultMaxInflightBytes = 4 << 20
	// DefaultMaxInflightMessages is small on purpose: a deep pipeline hides
	// latency only until it defeats batching.
	DefaultMaxInflightMessages = 4
	// DefaultMaxUncommittedBytes bounds what a leader accepts beyond its commit
	// index.
	DefaultMaxUncommittedBytes = 32 << 20

	maxInflightMessages = 1 << 10
	maxPendingReads     = 1 << 12
	maxElectionTicks    = 1 << 20
)

// Options configure a Core. Zero sizes and ticks take the defaults above.
type Options struct {
	// Group and ID name the group and this replica.
	Group GroupID
	ID    ReplicaID
	// Voters are the members with which the group was made. A configuration in the
	// log replaces them; a replica that joined later has none and learns who belongs
	// to the group from the log.
	Voters []ReplicaID
	// Seed, with Group and ID, fixes all random choices.
	Seed uint64
	// ElectionTicks is the shortest election timeout; each is drawn from
	// [ElectionTicks, 2×ElectionTicks). It is also how long a follower sticks to a
	// silent leader, how long a leader goes on without hearing a majority, and how
	// long a transfer of leadership may take.
	ElectionTicks int
	// HeartbeatTicks is the time between heartbeats, less than ElectionTicks.
	HeartbeatTicks int
	// MaxMessageBytes bounds the entries of one MsgAppend, in bytes by Log.Fit;
	// a single larger entry still goes, alone.
	MaxMessageBytes int
	// MaxInflightBytes and MaxInflightMessages bound what is sent to one follower
	// and not acknowledged; the bytes may be exceeded by the last message.
	MaxInflightBytes    int
	MaxInflightMessages int
	// MaxUncommittedBytes bounds the own proposals that are not committed, in bytes
	// by the sizes given to Propose. One proposal is always allowed.
	MaxUncommittedBytes int
	// Priority bends the first election timeout after a leader was heard: above 0
	// it is drawn from the first quarter of the range, so that this replica nearly
	// always comes first; below 0 from behind the range. Later timeouts are drawn
	// as if it were 0, so it never stands in the way of an election.
	Priority int
	// Lease, if not 0, lets a leader answer reads without asking for as long after a
	// heartbeat that a majority has answered, in the unit of SetClock. It must be less
	// than ElectionTicks ticks by the fastest clock of any replica, all of which need
	// the option: voters that have just started wait an election timeout with it.
	Lease uint64
	// Quiesce lets groups in which nothing happens be quiet; see Core.Quiet for what
	// the driver owes then.
	Quiesce bool
}

// Log answers from memory what the core asks about the bytes of the log that it
// has ordered written.
type Log interface {
	// Fit returns how much of the entries [lo, hi), of which there is at least one,
	// fits maxBytes: the entries [lo, end), at least one, of the given total size.
	Fit(lo, hi Index, maxBytes int) (end Index, bytes int)
}

// LogState describes the log at boot. Everything in it is durable.
type LogState struct {
	// Prev is the entry before the first one, zero for a log from the beginning.
	Prev EntryID
	// Last is the index of the last entry, Prev.Index when there is none.
	Last Index
	// Terms are the term starts of the entries, both columns ascending.
	Terms []TermStart
	// Commit is an index known to be committed, 0 for Prev.Index.
	Commit Index
	// Configs are the configurations in the log, ascending: the one in force at Prev
	// if that isn't Options.Voters, then those of the entries.
	Configs []ConfigEntry
	// Promised, if not zero, is the end of a log that was durable here, of which
	// what is behind Last is lost; of its term no more need be known than an upper
	// bound. Until the log is as up-to-date again the replica votes only for
	// candidates that are, and its own vote for itself doesn't count.
	Promised EntryID
	// Damaged is the first entry that can't be read, 0 if all can, and Unsettled the
	// first above Commit; see Core.SetDamaged.
	Damaged, Unsettled Index
	// LostConfig is the index of the configuration in force if that stands in a damaged
	// entry and so isn't among Configs, 0 if it is known. Who belongs to the group isn't
	// known then, and the replica doesn't campaign until LearnConfig tells it.
	LostConfig Index
	// WriteTerm is the highest leader term under which any of it was written, at
	// least the last entry's: the log may be ahead of the hard state. 0: unknown.
	WriteTerm Term
}

// LastTerm returns the term of the last entry, or Prev's.
func (s *LogState) LastTerm() Term {
	if len(s.Terms) == 0 {
		return s.Prev.Term
	}
	return s.Terms[len(s.Terms)-1].Term
}

func (o *Options) setDefaults() {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&o.ElectionTicks, DefaultElectionTicks)
	set(&o.HeartbeatTicks, DefaultHeartbeatTicks)
	set(&o.MaxMessageBytes, DefaultMaxMessageBytes)
	set(&o.MaxInflightBytes, DefaultMaxInflightBytes)
	set(&o.MaxInflightMessages, DefaultMaxInflightMessages)
	set(&o.MaxUncommittedBytes, DefaultMaxUncommittedBytes)
}

// validate reports all faults at once.
func (o *Options) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.ID != 0, "raft: options: ID is 0, which is nobody")
	check(len(o.Voters) <= MembersMax, "raft: options: %d voters, at most %d", len(o.Voters), MembersMax)
	for i, v := range o.Voters {
		check(v != 0, "raft: options: voter %d of %v is 0, which is nobody", i, o.Voters)
		check(!slices.Contains(o.Voters[:i], v), "raft: options: voter %d appears twice in %v", v, o.Voters)
	}
	check(o.HeartbeatTicks >= 1, "raft: options: HeartbeatTicks is %d, want at least 1", o.HeartbeatTicks)
	check(o.ElectionTicks > o.HeartbeatTicks && o.ElectionTicks <= maxElectionTicks,
		"raft: options: ElectionTicks is %d, want more than HeartbeatTicks (%d) and at most %d", o.ElectionTicks, o.HeartbeatTicks, maxElectionTicks)
	check(o.MaxMessageBytes >= 1, "raft: options: MaxMessageBytes is %d, want at least 1", o.MaxMessageBytes)
	check(o.MaxInflightBytes >= 1, "raft: options: MaxInflightBytes is %d, want at least 1", o.MaxInflightBytes)
	check(o.MaxInflightMessages >= 1 && o.MaxInflightMessages <= maxInflightMessages,
		"raft: options: MaxInflightMessages is %d, want 1 to %d", o.MaxInflightMessages, maxInflightMessages)
	check(o.MaxUncommittedBytes >= 1, "raft: options: MaxUncommittedBytes is %d, want at least 1", o.MaxUncommittedBytes)
	return errors.Join(errs...)
}

// validate reports all faults at once.
func (s *LogState) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check((s.Prev.Index == 0) == (s.Prev.Term == 0), "raft: log state: the entry before the first is %v; index and term are both 0 or neither", s.Prev)
	check(s.Last >= s.Prev.Index, "raft: log state: last index %d is before the log's start after %d", s.Last, s.Prev.Index)
	check((len(s.Terms) == 0) == (s.Last == s.Prev.Index), "raft: log state: %d term starts for the entries after %d to %d", len(s.Terms), s.Prev.Index, s.Last)
	check(s.Commit == 0 || s.Commit >= s.Prev.Index && s.Commit <= s.Last,
		"raft: log state: commit index %d is outside [%d, %d]: the log has lost committed entries", s.Commit, s.Prev.Index, s.Last)
	for _, i := range [...]Index{s.Damaged, s.Unsettled} {
		check(i == 0 || i > s.Prev.Index && i <= s.Last, "raft: log state: damaged entry %d is outside (%d, %d]", i, s.Prev.Index, s.Last)
	}
	check(s.Unsettled == 0 || s.Damaged != 0 && s.Damaged <= s.Unsettled, "raft: log state: the first damaged entry is %d, the first above the commit index %d", s.Damaged, s.Unsettled)
	check((s.Promised.Index == 0) == (s.Promised.Term == 0), "raft: log state: promised is %v; index and term are both 0 or neither", s.Promised)
	check(s.LostConfig == 0 || s.Damaged != 0 && s.LostConfig >= s.Damaged && s.LostConfig <= s.Last,
		"raft: log state: the configuration of entry %d is lost, which isn't damaged", s.LostConfig)
	for i, e := range s.Configs {
		check(e.Index <= s.Last && (i == 0 || e.Index > max(s.Prev.Index, s.Configs[i-1].Index)),
			"raft: log state: configuration of entry %d, of which the log has (%d, %d]", e.Index, s.Prev.Index, s.Last)
		if err := e.Config.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("raft: log state: entry %d: %w", e.Index, err))
		}
	}
	before := TermStart{Term: s.Prev.Term}
	for i, t := range s.Terms {
		switch {
		case i == 0:
			check(t.First == s.Prev.Index+1 && t.Term >= max(1, s.Prev.Term), "raft: log state: first term start %v doesn't follow %v", t, s.Prev)
		default:
			check(t.First > before.First && t.Term > before.Term, "raft: log state: term start %v after %v", t, before)
		}
		check(t.First <= s.Last, "raft: log state: term start %v is behind the last index %d", t, s.Last)
		before = t
	}
	return errors.Join(errs...)
}
