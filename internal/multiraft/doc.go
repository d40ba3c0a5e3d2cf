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
//	              old entries ◀── readers ◀──┤            │
//	              segment flushes ◀─ disk workers ────────┤
//	              hard states ◀─── journal writer ────────┘
//
// A shard is one goroutine. It drains its inbox, steps replicas (package
// replica), sends what may go at once, and hands disk work to others; it never
// touches a disk or blocks on a socket, so that heartbeats of all its groups go
// out in time however slow a disk is. What one round of the loop has for a broker,
// messages with entries aside, leaves as one batch (Links): the heartbeats of all
// groups cost one write. A replica has at most one flush and one
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
// # Members
//
// A replica opened without Spec.Voters belongs to nothing yet. Group.ProposeConfig,
// on the leader, makes it a learner; the leader sends it the log, or the log's start
// and what follows if retention has dropped the rest (Group.Trim), and reports when
// it has caught up (Status.Peers); then another ProposeConfig makes it a voter. Host.Remove
// deletes a replica that is no member any more. A replica id is never used again
// once its data is lost: the broker joins with another one.
//
// # Disks that hang
//
// A disk may hang without an error (docs/internals/raft.md, D7). Ticks come all the
// same, since a shard waits for no disk; the core counts them from the moment a
// write is handed out, to segments or journal, and hands leadership over. Flushes
// that hang don't count against Options.DiskWorkers, so that groups on other disks
// go on.
//
// # Quiet groups
//
// A group in which nothing happens is quiet (raft.Core.Quiet): its replicas get no
// ticks and send nothing. In place of their heartbeats each broker sends the others
// one pulse per heartbeat interval, on the connection that carries its small
// messages, when all its shards have turned since the last one. A pulse of broker A
// says to B: whatever my replicas have told yours on this connection about being
// quiet still holds, but for the groups listed here.
//
// Quiet only changes who is waited for, and so never what is committed or who may
// lead: a replica that is quiet when it should not be delays an election, and
// nothing else. So what has to be shown is that none stays so. A follower on B
// agrees to be quiet only while the pulses of the broker A of its leader are heard.
// It could then wait for a leader in vain in these cases, and in each it wakes:
//
//   - A is dead, cut off, stopped, or one of its shards is stuck: no pulse comes for
//     an election timeout, counted in B's ticks, so that a B that was stopped itself
//     does not blame A.
//   - A has restarted, or messages on their way from A were lost: they share one
//     ordered connection with the pulses, so the connection has ended. Its end, and
//     the beginning of the next, wake what depends on A, and nothing new agrees to be
//     quiet before the first pulse on it.
//   - A lives, and its replica leads no more: deposed, stepped down, out of service,
//     closed. Whoever gave its word notes to whom and in which term, and when term,
//     leader or service change, the group is listed in the next pulse. If that can't be
//     queued, no pulse is.
//
// A quiet leader checks its quorum no more. It depends on its followers' brokers in
// the same way, and wakes, heartbeats and checks when it loses one without which the
// others are no majority (raft.Core.PeerDown); else it is quiet without that one, so
// that a dead broker doesn't keep the groups it shared awake. A follower that has
// lost trust campaigns; its pre-vote wakes a quiet leader, whose heartbeat settles
// it. A leader that was deposed behind a partition learns it by the next message of
// the new term, as ever. A follower that is woken counts its silence from the last
// heartbeat at the earliest, and until then takes part in no election, so leases of
// leaders hold.
//
// When a broker is lost or returns, at most Options.WakesPerSecond groups wake, in
// the same order on all brokers: the elections of 5,000 groups don't run at once, and
// their replicas find each other awake. A Transport that is no Links, and
// Options.KeepAwake, leave everything awake.
//
// # Bounds
//
// Each shard's inbox is bounded in bytes: beyond it, messages from peers are
// dropped (Raft sends again) and appends get raft.ErrBusy. Disk and journal
// queues hold at most one item per replica. Entries that must be read from disk for
// replicas far behind are sent for Options.RecoveryGroups groups at once, at
// Options.RecoveryBytesPerSecond, and not to a broker for which more than 4 MiB wait
// already; what is over a bound is put off by a heartbeat interval.
//
// # Failure
//
// A failed write or sync, damage in the log, or a broken invariant takes one
// replica out of service (Status.Err); the host and its other replicas go on. A
// failed journal stops the host (Done, Err): no replica can vote or lead without
// it.
package multiraft
