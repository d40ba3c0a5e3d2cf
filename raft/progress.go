package raft

// progress is what a replica knows of one other member. Everything below vote
// belongs to the leadership of the current term and is cleared with it.
type progress struct {
	id   ReplicaID
	seat seat

	// vote is the peer's answer in the poll that is running.
	vote ballot

	// match is the end of the prefix that is durable at the peer and equals this
	// log: durable by definition, or counting it would commit what can be lost.
	// Invariant: match < next.
	match Index
	// next is the next entry to send. Invariant: next <= last+1.
	next Index

	// replicating: the common prefix is known and appends are pipelined up to the
	// window. Otherwise the leader probes: one append at a time.
	replicating bool
	// waiting holds further appends back: a probe is out, or the transport said
	// that it could not take one.
	waiting bool
	// jumping: it needs what this log doesn't hold any more and is told to begin its
	// own where this one begins.
	jumping bool
	// quiet: it agreed to be quiet in the newest round.
	quiet bool
	// down: the driver can't reach it; see PeerDown.
	down bool
	// sure: the next probe will be accepted unless something was lost, so it
	// carries entries; a guess doesn't.
	sure bool
	// active: the peer was heard since the last check of the quorum.
	active bool

	// window holds the appends with entries that are sent and not acknowledged.
	window      ring[inflight]
	windowBytes int // Invariant: the sum over window

	// seq numbers the appends to this peer. A refusal echoes its append's number.
	seq uint64
	// epoch: refusals of appends before this number are stale, since the leader
	// has started anew from another place since.
	epoch uint64
	// matchSeq is seq at the time when match last moved: who refuses an append
	// after that number at or below match has lost what it had acknowledged.
	matchSeq uint64

	// round is the newest heartbeat round that the peer has answered.
	round uint64
	// beat is the newest regular heartbeat whose answer was used to look for lost
	// appends, and the marks are the leader's view when regular heartbeats left:
	// the last one, and for sent the one before, which makes them an interval old.
	beat      uint64
	probeBeat uint64 // regular heartbeats before the last probe left
	heard     Index  // verified prefix in the answer to beat
	markMatch Index  // match when the last one left
	markSent  Index  // next when the last one left
	sent      Index  // next when the one before it left

	// A replica that catches up does so in rounds; see tickRound.
	roundEnd   Index  // it has finished the round when match gets here
	roundStart uint64 // ticks of the leadership when the round began
	caughtUp   bool
}

// inflight is one append with the entries [lo, hi) on its way.
type inflight struct {
	lo, hi Index
	bytes  int
}

// ballot is an answer in a poll.
type ballot uint8

const (
	ballotOpen ballot = iota
	ballotYes
	ballotNo
)

// reset forgets the leadership; next is where a new one begins to probe.
func (p *progress) reset(next Index) {
	*p = progress{id: p.id, seat: p.seat, vote: p.vote, down: p.down, next: next, sure: true, epoch: 1, window: p.window}
	p.window.clear()
}

// probe goes back to one append at a time, from next on.
func (p *progress) probe(next Index, sure bool) {
	p.replicating, p.sure = false, sure
	p.restart(next)
}

// replicate starts pipelining from next on.
func (p *progress) replicate(next Index) {
	p.replicating = true
	p.restart(next)
}

// restart sends from next on, as if nothing were on its way.
func (p *progress) restart(next Index) {
	p.waiting, p.jumping, p.quiet = false, false, false
	p.next = max(next, p.match+1)
	p.epoch = p.seq + 1
	p.window.clear()
	p.windowBytes = 0
	p.sent, p.markSent, p.markMatch = 0, 0, min(p.markMatch, p.match)
}

// advance raises match to m, frees the window up to it and says whether it
// moved. An older acknowledgement frees nothing.
func (p *progress) advance(m Index) bool {
	if m <= p.match {
		return false
	}
	p.match, p.matchSeq = m, p.seq
	p.next = max(p.next, m+1)
	for p.window.len() > 0 && p.window.front().hi-1 <= m {
		p.windowBytes -= p.window.popFront().bytes
		p.waiting = p.waiting && !p.replicating
	}
	return true
}

// push adds a sent append to the window.
func (p *progress) push(lo, hi Index, bytes int) {
	p.window.push(inflight{lo: lo, hi: hi, bytes: bytes})
	p.windowBytes += bytes
}

// unsend takes back the newest append, which the transport could not take, and
// holds further ones until the peer is heard.
func (p *progress) unsend() {
	p.waiting = true
	if p.replicating && p.window.len() > 0 {
		last := p.window.popBack()
		p.next = max(last.lo, p.match+1)
		p.windowBytes -= last.bytes
	}
}

// mark notes the state of things as a regular heartbeat leaves.
func (p *progress) mark() {
	p.markMatch = p.match
	p.sent = p.markSent
	p.markSent = p.next
}
