// Package service carries out the operations of logq: it stands between the listeners, which speak a protocol, and the
// host, which runs the replicas. It knows no transport.
//
// Make a [Service] with [New], start it when the listeners' addresses are known, and hand it every request:
//
//	s, err := service.New(service.Options{ID: 1, Brokers: ids, Host: service.NewHost(host), Peers: peers, Logger: log})
//	err = s.Start(ctx, protocol.BrokerInfo{URL: "nats://…", Peer: "…", Rack: "…"})
//	s.Handle(ctx, request, func(r *protocol.Response) { … })
//	err = s.Close(ctx) // before the host and the peers
//
// What other brokers send goes to [Service.HandleForwarded] and [Service.HandleGossip].
//
// # The life of a request
//
//	listener ──▶ Handle ──▶ led here, one batch ──────────────────▶ replica ──▶ repliers ──▶ reply
//	                 │  └──▶ plain message ──▶ gather of the partition ──┘           │
//	                 └──▶ anything that waits: a goroutine ◀──── not the leader ─────┘
//	                        │ finds the leader, waits for one,
//	                        └ forwards, reads, polls
//
// An append for a partition that is led here costs no goroutine. Everything that has to wait (for a leader, for another
// broker, for data, for the controller) has a goroutine of its own, and their number is bounded.
//
// # Contract
//
// Handle, HandleForwarded and HandleGossip never block and may be called from any goroutine. They own what they are given.
// Every reply function is called exactly once. Every error is a *[protocol.Error] whose outcome is right: not written means
// that nothing of the request is in any log, and never will be. An outcome that is unknown is never tried again by the
// service, except for topic administration, whose commands are idempotent by topic id.
//
// Every request has a deadline (its own, or a default) and is answered by it. Past its deadline a request is refused before
// it is appended.
//
// # Who leads what
//
// Each replica here knows its leader; beside that every broker tells the others every half second, and at once when it
// changes, what it leads (gossip). The higher term wins, and a broker that was not heard of for two seconds leads nothing.
// None of this decides anything: the replica that gets a request refuses it when it does not lead.
//
// # The cluster's metadata
//
// The group __meta has a replica on every broker, of which up to five vote; its leader is the controller. Every broker follows its
// committed records, folds them (package meta), and opens or removes its own replicas accordingly. A topic that the broker
// does not know is asked of the controller before a client hears that it does not exist. Commands are fenced with the term
// in which they were decided.
//
// The folded state is written to files ([States]), and the log trimmed to what they cover. A broker whose log begins after
// what it has folded fetches the state from another one. docs/internals/metadata.md has the rules and the reasons.
//
// # Which brokers there are
//
// The metadata says it. The service has the transport follow the registered brokers ([Network]), judges those that call by the
// data directory that they come with ([Service.Judge]), answers those that want to join ([Service.Answer]), and tells its own
// broker when the cluster doesn't accept its directory any more. docs/internals/membership.md has the rules.
//
// # Limits
//
// Bytes of appends under way, per broker and per partition; bytes of fetch replies being made; numbers of fetches, of
// forwarded or waiting requests, and of admin requests. What does not fit is refused with THROTTLING_QUOTA_EXCEEDED (not
// written), never queued. All are in [Options].
package service
