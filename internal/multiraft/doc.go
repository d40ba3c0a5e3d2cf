// Package multiraft hosts the replicas of one broker: it owns their goroutines,
// gives them time, disk and network, and lets many appends share one disk sync.
//
// Start with New and Start, open each replica with Open, append through the
// Group it returns, and Close at the end:
//
//	h, err := multiraft.New(multiraft.Options{…})
//	h.Start()
//	g, err := h.Open(ctx, multiraft.Spec{…})
//	g.Append(batch, 0, deadline, func(r multiraft.AppendResult) { … })
//	h.Close(ctx)
//
// # Who runs what
//
//	transport readers, service ──events──▶ shard (one goroutine, owns its replicas)
//	                                         │            ▲
//	              messages ◀── Transport ◀───┤            │ completions
//	              cold appends ◀─ readers ◀──┤            │
//	              segment flushes ◀─ disk workers ────────┤
//	              hard states ◀─── journal writer ────────┘
//
// A shard is one goroutine. It drains its inbox, steps replicas (package
// replica), sends what may go at once, and hands disk work to others; it never
// touches a disk or blocks on a socket, so that heartbeats of all its groups go
// out in time however slow a disk is. What one round of the loop has for a broker,
// messages with entries aside, leaves as one batch (BatchTransport): the heartbeats
// of all groups cost one write. A replica has at most one flush and one
// hard state on the way; what is appended meanwhile goes with the next: this is
// the group commit. The journal writer puts the hard states of all groups that
// wait into one Save: a thousand votes cost one sync.
//
// # Contract
//
// Callbacks (done functions) run on a shard goroutine, or on the caller's when
// an input is refused at once; they must not block and not call back into the
// Group except through another goroutine or another Append. Every Append and
// Latest gets exactly one call. Readers (Read, OffsetForTime, Status, WaitFor)
// may be called from anywhere.
//
// Options.OnChange tells of new leaders and failures, so that nobody needs to poll.
//
// # Bounds
//
// Each shard's inbox is bounded in bytes: beyond it, messages from peers are
// dropped (Raft sends again) and appends get raft.ErrBusy. Disk and journal
// queues hold at most one item per replica.
//
// # Failure
//
// A failed write or sync, damage in the log, or a broken invariant takes one
// replica out of service (Status.Err); the host and its other replicas go on. A
// failed journal stops the host (Done, Err): no replica can vote or lead without
// it.
package multiraft
