package raft

import (
	"errors"
	"fmt"
	"slices"

	"github.com/logq/logq/internal/invariants"
)

// Jump replaces the whole log by an empty one that begins after Prev: the
// snapshot of a log is its start. What the driver needs beside it (the next
// offset, the configuration, its own state) came with the MsgJump. The old log
// stays on disk until the new one is durable; a crash leaves one or the other.
type Jump struct {
	Prev EntryID
}

// errTrim refuses a Trim that would drop what is not committed.
var errTrim = errors.New("raft: only committed entries can be trimmed")

// Trim tells that the log now begins with entry first: older ones were dropped
// by retention. first-1 must be committed; a log that begins later already stays.
func (c *Core) Trim(first Index) error {
	switch {
	case c.fault != nil:
		return ErrFaulted
	case first <= c.view.prev.Index+1:
		return nil
	case first-1 > c.commit || first-1 > c.view.durable:
		return fmt.Errorf("trim the log before entry %d, committed is %d and durable %d: %w", first, c.commit, c.view.durable, errTrim)
	}
	c.view.trim(first)
	if c.damaged < first {
		c.damaged = c.unsettled // the driver tells if there is more
	}
	c.check()
	return nil
}

// LearnCommitted tells of an entry that another replica knows to be committed, such
// as the one before the start of its log, which it has trimmed. If this log holds it
// too, all before is committed as well (Log Matching). A replica with damage that
// nobody can mend any more needs it: to drop what retention has dropped elsewhere it
// must know that it is committed, and without it there may be no leader to tell.
func (c *Core) LearnCommitted(e EntryID) {
	if c.fault == nil && e.Index > c.commit && c.view.has(e) {
		c.commitTo(e.Index)
		c.check()
	}
}

// trim drops the entries below first.
func (l *logView) trim(first Index) {
	t, ok := l.term(first - 1)
	if !ok {
		invariants.Assertf(false, "trim before %d of a log of (%d, %d]", first, l.prev.Index, l.last)
	}
	k := l.run(first) // -1 if nothing is left
	if k < 0 {
		k = len(l.terms)
	}
	l.terms = slices.Delete(l.terms, 0, k)
	if len(l.terms) > 0 {
		l.terms[0].First = first
	}
	l.prev = EntryID{Term: t, Index: first - 1}
}

// sendJump tells p to begin its log where this one begins: what it needs next is
// not here any more.
func (c *Core) sendJump(p *progress) {
	p.seq++
	c.send(p.id, Message{
		Type: MsgJump, Index: c.view.prev.Index, LogTerm: c.view.prev.Term, Commit: c.commit, Context: p.seq,
	})
}

// stepJump is InstallSnapshot (§7) for a log whose snapshot is its start. A jump
// to where this log has been already changes nothing: neither commit index nor log
// ever go back.
func (c *Core) stepJump(m *Message, configs []ConfigEntry) error {
	if err := c.heardLeader(m); err != nil {
		return err
	}
	prev := EntryID{Term: m.LogTerm, Index: m.Index}
	switch {
	case c.view.has(prev):
	case m.Index <= c.commit:
		if m.Index >= c.view.prev.Index {
			return &ProtocolError{From: m.From, Type: m.Type, Term: m.Term, What: "it begins its log after another entry where one is committed"}
		}
	case m.Index <= c.follow.verified:
		return &ProtocolError{From: m.From, Type: m.Type, Term: m.Term, What: "it begins its log after another entry than it has sent itself"}
	case len(configs) != 1:
		return &ProtocolError{From: m.From, Type: m.Type, Term: m.Term, What: "the configuration is missing"}
	default:
		c.install(prev, configs[0])
	}
	c.follow.verified = max(c.follow.verified, m.Index)
	c.follow.accepted, c.follow.context = true, m.Context
	c.commitTo(min(m.Commit, c.follow.verified))
	if c.installing == 0 {
		c.acknowledge()
	}
	return nil
}

// install begins the log anew after prev.
func (c *Core) install(prev EntryID, config ConfigEntry) {
	c.view = logView{prev: prev, last: prev.Index, durable: prev.Index, terms: c.view.terms[:0]}
	// Writes on their way were to the old log.
	for k := range c.writes.len() {
		w := c.writes.at(k)
		w.through = min(w.through, prev.Index)
	}
	c.damaged, c.unsettled, c.lostConfig = 0, 0, 0
	c.installing, c.jump = installDue, Jump{Prev: prev}
	// What became of own proposals up to there is not known here any more: neither
	// committed nor lost.
	open := c.own[:0]
	for _, r := range c.own {
		if r.Lo = max(r.Lo, prev.Index+1); r.Lo < r.Hi {
			open = append(open, r)
		}
	}
	c.own = open
	c.commitTo(prev.Index)
	c.configs = append(c.configs[:0], ConfigEntry{Index: config.Index, Config: config.Config.Clone()})
	c.seatAll()
}

// installDue stands for the number of a write that was not handed out yet.
const installDue = ^uint64(0)
