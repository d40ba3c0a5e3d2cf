package raft

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/logq/logq/internal/invariants"
)

// Refusals of a change of configuration.
type (
	// ConfigChangedError: the configuration is not the one that the caller saw.
	ConfigChangedError struct {
		// At is the index of the current one.
		At Index
	}
	// NotCaughtUpError: a replica may vote only when it is a learner that has caught
	// up with the leader's log; until then it would hold up commits (diss. §4.2.1).
	NotCaughtUpError struct{ ID ReplicaID }
)

// Error names the current configuration's entry.
func (e *ConfigChangedError) Error() string {
	return fmt.Sprintf("raft: the configuration has changed, the current one is entry %d: look at it and decide anew", e.At)
}

// Error names the replica.
func (e *NotCaughtUpError) Error() string {
	return fmt.Sprintf("raft: replica %d can't vote yet: it must be a learner that has caught up, try again later", e.ID)
}

// seat is how a replica votes.
type seat struct{ in, out bool } // in Voters, in Outgoing

func (s seat) votes() bool { return s.in || s.out }

// config returns the configuration in force: the newest in the log, committed or
// not (§6: "a server always uses the latest configuration in its log").
func (c *Core) config() *ConfigEntry { return &c.configs[len(c.configs)-1] }

// ProposeConfig changes who belongs to the group, as leader: to the given voters
// and learners, both ascending. at is the index of the configuration that the
// caller has seen (Status.ConfigIndex). A change of voters goes through a joint
// state, in which both sets must agree, and which the leader leaves by itself with
// a second entry; the change is done when Status shows the new configuration not
// joint and committed. The new configuration is in force at once. The returned
// index is that of its entry; if nothing changes, that of the current one.
//
// Errors, which all mean that nothing was written: *NotLeaderError;
// ErrNotServing before an entry of this term is committed (raft-dev, 2015: two
// changes from one old configuration may both find majorities); ErrConfigPending
// while a change is not committed or the joint state not left; *ConfigChangedError,
// *NotCaughtUpError, *ConfigError; ErrTransferring, ErrReadyFirst, ErrFaulted.
func (c *Core) ProposeConfig(at Index, voters, learners []ReplicaID) (Index, error) {
	now := c.config()
	to := Config{Voters: slices.Clone(voters), Learners: slices.Clone(learners)}
	switch {
	case c.fault != nil:
		return 0, ErrFaulted
	case c.role != RoleLeader:
		return 0, &NotLeaderError{Leader: c.leader, Term: c.hard.Term}
	case c.lead.transfer.to != 0:
		return 0, ErrTransferring
	case !c.serving():
		return 0, ErrNotServing
	case now.Index > c.commit || now.Config.Joint():
		return 0, ErrConfigPending
	case at != now.Index:
		return 0, &ConfigChangedError{At: now.Index}
	case c.staged.Lo < c.staged.Hi || c.truncate != 0:
		return 0, ErrReadyFirst
	case len(voters) == 0:
		return 0, &ConfigError{Config: to, What: "there is no voter"}
	case to.Equal(now.Config):
		return now.Index, nil
	}
	if err := to.Validate(); err != nil {
		return 0, err
	}
	for _, id := range voters {
		if !slices.Contains(now.Config.Voters, id) && !c.caughtUp(id) {
			return 0, &NotCaughtUpError{ID: id}
		}
	}
	if !slices.Equal(voters, now.Config.Voters) {
		to.Outgoing = now.Config.Voters
	}
	i := c.appendConfig(to)
	c.check()
	return i, nil
}

// appendConfig writes a config entry as leader.
func (c *Core) appendConfig(to Config) Index {
	i := c.view.last + 1
	c.stage(Entries{Lo: i, Hi: i + 1, Term: c.hard.Term, Kind: KindConfig})
	c.stagedConfig = to
	c.stagedBy = append(c.stagedBy, len(to.AppendTo(c.encoded[:0])))
	c.adopt(ConfigEntry{Index: i, Config: to})
	c.sendDue = true
	return i
}

// leaveDue: the joint state is committed, so that the old voters aren't needed
// any more. It waits for a transfer: an entry that the target hasn't got would cost
// it the election.
func (c *Core) leaveDue() bool {
	now := c.config()
	return c.role == RoleLeader && now.Config.Joint() && now.Index <= c.commit && c.serving() &&
		c.lead.transfer.to == 0 && c.staged.Lo == c.staged.Hi && c.truncate == 0
}

// adopt puts a configuration in force, from the moment its entry is in the log.
func (c *Core) adopt(e ConfigEntry) {
	if last := c.config(); e.Index <= last.Index || e.Index > c.view.last {
		invariants.Assertf(false, "configuration of entry %d after that of %d in a log up to %d", e.Index, last.Index, c.view.last)
	}
	c.configs = append(c.configs, e)
	c.quiet = false
	c.seatAll()
}

// LearnConfig tells of a configuration in the log that could not be read when the
// core started (see SetDamaged) and can be now. One that is known, or older than the
// committed one, changes nothing.
func (c *Core) LearnConfig(e ConfigEntry) {
	k, known := slices.BinarySearchFunc(c.configs, e.Index, func(have ConfigEntry, i Index) int { return cmp.Compare(have.Index, i) })
	if known || k == 0 || e.Index > c.view.last || c.fault != nil {
		return
	}
	c.configs = slices.Insert(c.configs, k, ConfigEntry{Index: e.Index, Config: e.Config.Clone()})
	c.settleConfigs()
	c.quiet = false
	c.seatAll()
	c.check()
}

// dropConfigs goes back to the configuration in force before entry i, which is
// truncated (diss. §4.1).
func (c *Core) dropConfigs(i Index) {
	n := len(c.configs)
	for n > 0 && c.configs[n-1].Index >= i {
		n--
	}
	if n == 0 {
		invariants.Assertf(false, "truncation at %d leaves no configuration, the first is that of entry %d", i, c.configs[0].Index)
	}
	if n < len(c.configs) {
		clear(c.configs[n:])
		c.configs = c.configs[:n]
		c.seatAll()
	}
}

// settleConfigs forgets configurations that no truncation can bring back.
func (c *Core) settleConfigs() {
	n := 0
	for n+1 < len(c.configs) && c.configs[n+1].Index <= c.commit {
		n++
	}
	if n > 0 {
		c.configs = slices.Delete(c.configs, 0, n)
	}
}

// seatAll makes peers and seats those of the configuration in force. What is
// known of those who stay is kept.
func (c *Core) seatAll() {
	now := &c.config().Config
	ids := slices.Concat(now.Voters, now.Outgoing, now.Learners)
	slices.Sort(ids)
	peers := make([]progress, 0, len(ids))
	for _, id := range slices.Compact(ids) {
		if id == c.o.ID {
			continue
		}
		p := progress{id: id}
		if old := c.peer(id); old != nil {
			p = *old
		} else if c.role == RoleLeader {
			p.reset(c.view.last + 1)
			p.roundEnd, p.roundStart = c.view.last, c.lead.ticks
		}
		p.seat = seatOf(now, id)
		peers = append(peers, p)
	}
	c.peers = peers
	c.seat = seatOf(now, c.o.ID)
	c.joint = now.Joint()
	if t := &c.lead.transfer; t.to != 0 {
		if p := c.peer(t.to); p == nil || !p.seat.in {
			*t = transferState{}
		}
	}
}

func seatOf(c *Config, id ReplicaID) seat {
	return seat{in: slices.Contains(c.Voters, id), out: slices.Contains(c.Outgoing, id)}
}

// mayLead says whether this replica may campaign: it votes, or it did before a
// change that may not be committed. With two voters of which one is removed, the
// removed one may be the only one that has the entry; it must lead again, without
// counting itself, or nobody can (diss. §4.2.2). The same goes for a learner that
// has refused its vote to one who knows it as a voter already, since its own log is
// newer: those entries reached it alone before their leader was lost, and they stand
// in the way of every other candidate.
func (c *Core) mayLead() bool {
	if c.summoned && c.config().Config.Contains(c.o.ID) {
		return true
	}
	for i := range c.configs {
		if c.configs[i].Config.Votes(c.o.ID) {
			return true
		}
	}
	return false
}

// caughtUp says whether replica id may vote: a learner that has lately finished a
// round of catching up in less than an election timeout (diss. §4.2.1). The
// leader itself has by nature.
func (c *Core) caughtUp(id ReplicaID) bool {
	if id == c.o.ID {
		return true
	}
	p := c.peer(id)
	return p != nil && p.caughtUp
}

// tickRound counts the rounds of a replica that catches up: each ends when it has
// what the log held when the round began.
func (c *Core) tickRound(p *progress) {
	if p.caughtUp || p.match < p.roundEnd {
		return
	}
	p.caughtUp = c.lead.ticks-p.roundStart <= uint64(c.o.ElectionTicks)
	p.roundStart, p.roundEnd = c.lead.ticks, c.view.last
}

// retire ends the leadership of a replica that is no voter any more, once that is
// committed (diss. §4.2.2). Until then it leads without counting itself. The
// voter that is closest is told to go ahead.
func (c *Core) retire() {
	now := c.config()
	if c.role != RoleLeader || c.seat.votes() || max(now.Index, c.lead.noop) > c.commit {
		return
	}
	c.yield()
}
