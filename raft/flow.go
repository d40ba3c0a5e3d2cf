package raft

import "github.com/logq/logq/internal/invariants"

// stepReply takes a follower's answer to an append or a heartbeat.
func (c *Core) stepReply(m *Message) error {
	if c.role != RoleLeader {
		return ErrStale
	}
	p := c.peer(m.From)
	if !m.Reject && m.HintIndex > c.view.last {
		return &ProtocolError{From: m.From, Type: m.Type, Term: m.Term, What: "it has verified more than this leader's log"}
	}
	p.active = true
	if m.Type == MsgAppendReply && m.Reject {
		c.refused(p, m)
		return nil
	}
	if p.advance(m.Index) {
		c.maybeCommit()
		c.handOver(p)
		c.sendDue = true
	}
	c.tickRound(p)
	if m.Type == MsgHeartbeatReply {
		c.heartbeatAnswered(p, m)
	} else if !p.replicating {
		p.replicate(m.HintIndex + 1)
		c.sendDue = true
	}
	return nil
}

// refused looks for the end of the common prefix, from the follower's hint.
func (c *Core) refused(p *progress, m *Message) {
	if m.Context < p.epoch || m.Context > p.seq {
		return // of an append before the last change of course
	}
	if m.Index <= p.match {
		if m.Context > p.matchSeq {
			// It had acknowledged that entry before it was asked this: its disk has lost
			// something. Count on nothing there until it says anew what it has.
			p.match = 0
		} else {
			// Appends overtook each other, and what they held beyond match may be lost.
			p.probe(p.match+1, true)
			c.sendDue = true
			return
		}
	}
	i, sure := c.view.resolve(EntryID{Term: m.HintTerm, Index: m.HintIndex}, m.HintFirst)
	c.quiet = false
	jumped := p.jumping
	p.probe(min(i+1, m.Index), sure)
	// What it lacks may be no longer in this log. Who refuses even a jump, which
	// nobody does, is asked again at the pace of heartbeats.
	p.jumping = m.HintIndex < c.view.prev.Index
	if jumped && p.jumping {
		p.waiting, p.probeBeat = true, c.lead.beats
		return
	}
	c.sendDue = true
}

// heartbeatAnswered confirms reads and looks for lost appends. Whoever lost
// them, nobody may ever say so; without this, a follower whose window is full of
// them would wait for ever.
func (c *Core) heartbeatAnswered(p *progress, m *Message) {
	if m.Context > c.lead.round {
		return
	}
	if m.Context > p.round {
		p.round = m.Context
		c.renewLease()
		c.confirmReads()
	}
	c.hushed(p, m)
	if m.Context < c.lead.beat || p.beat == c.lead.beat {
		return // late, or this heartbeat was dealt with
	}
	p.beat = c.lead.beat
	switch {
	case !p.replicating:
		// The probe left before the heartbeat, and neither it nor its answer is here:
		// ask again. One with entries gets an interval more, for slow links.
		patience := uint64(0)
		if p.sure && p.next <= c.view.last {
			patience = 1
		}
		if p.waiting && c.lead.beats > p.probeBeat+patience {
			p.waiting = false
			c.sendDue = true
		}
	case m.HintIndex < p.markMatch:
		// It had more when the heartbeat left, so it has restarted: ask what it has.
		p.probe(p.match+1, false)
		c.sendDue = true
	case m.HintIndex+1 < p.sent && m.HintIndex <= p.heard:
		// What was sent a whole interval before this heartbeat has not arrived, and
		// nothing else has since the last one.
		p.probe(max(m.HintIndex, p.match)+1, true)
		c.sendDue = true
	case p.waiting:
		p.waiting = false
		c.sendDue = true
	}
	p.heard = m.HintIndex
}

// sendAppends sends p what its window allows.
func (c *Core) sendAppends(p *progress) {
	if p.next <= c.view.prev.Index || p.jumping && p.next != c.view.prev.Index+1 {
		p.probe(c.view.prev.Index+1, false)
		p.jumping = true
	}
	if !p.replicating {
		if !p.waiting {
			c.sendProbe(p)
		}
		return
	}
	for p.next <= c.view.last && !p.waiting &&
		p.window.len() < c.o.MaxInflightMessages && p.windowBytes < c.o.MaxInflightBytes {
		hi, bytes := c.fit(p.next, min(c.o.MaxMessageBytes, c.o.MaxInflightBytes-p.windowBytes))
		p.push(p.next, hi, bytes)
		c.sendAppend(p, hi)
		p.next = hi
	}
}

// sendProbe sends the one append of a probing leader. It doesn't move next: if
// it is refused or lost, the next one starts there again.
func (c *Core) sendProbe(p *progress) {
	p.waiting, p.probeBeat = true, c.lead.beats
	if p.jumping {
		c.sendJump(p)
		return
	}
	hi := p.next
	if p.sure && p.next <= c.view.last {
		hi, _ = c.fit(p.next, c.o.MaxMessageBytes)
	}
	c.sendAppend(p, hi)
}

// sendAppend sends the entries [p.next, hi), or none.
func (c *Core) sendAppend(p *progress, hi Index) {
	prev, ok := c.view.term(p.next - 1)
	if !ok {
		invariants.Assertf(false, "no entry before %d in a log of [%d, %d]", p.next, c.view.prev.Index, c.view.last)
	}
	p.seq++
	m := Message{
		Type: MsgAppend, Index: p.next - 1, LogTerm: prev, Commit: c.commit,
		Lo: p.next, Hi: hi, Context: p.seq,
	}
	if hi > p.next {
		m.EntryTerm, _ = c.view.term(p.next)
	}
	c.send(p.id, m)
}

// fit returns how many entries from lo on go into one message of at most limit
// bytes: of one term, at least one. The driver is asked about those that it has
// in its log; what is staged for the next Ready it hasn't seen yet.
func (c *Core) fit(lo Index, limit int) (hi Index, bytes int) {
	end := c.view.end(c.view.run(lo))
	written := end
	if c.staged.Lo < c.staged.Hi {
		written = min(end, c.staged.Lo)
	}
	hi = lo
	if lo < written {
		hi, bytes = c.sizes.Fit(lo, written, limit)
		if hi <= lo || hi > written {
			invariants.Assertf(false, "Fit(%d, %d, %d) returns %d", lo, written, limit, hi)
		}
		if hi < written {
			return hi, bytes
		}
	}
	for ; hi < end; hi++ {
		size := c.stagedBy[hi-c.staged.Lo]
		if hi > lo && bytes+size > limit {
			break
		}
		bytes += size
	}
	return hi, bytes
}

// Sent tells what became of a message to a replica that the transport took or
// could not take. ok = false takes back the newest append in the window and
// holds further ones until the replica is heard; ok = true says that it can be
// reached again. Calling it is not needed for correctness: what is lost
// unnoticed is found by heartbeats.
func (c *Core) Sent(to ReplicaID, ok bool) {
	p := c.peer(to)
	if c.fault != nil || c.role != RoleLeader || p == nil {
		return
	}
	if ok {
		c.sendDue = c.sendDue || p.waiting
		p.waiting = false
	} else {
		p.unsend()
	}
	c.check()
}
