// Package broker runs one logq broker inside a Go program.
//
//	b, err := broker.New(broker.Config{ID: 1, DataDir: "data", Listen: "127.0.0.1:4222"})
//	if err != nil { … }
//	if err := b.Start(ctx); err != nil { … }
//	defer b.Close(ctx)
//	nc, err := nats.Connect(b.ClientURL())
//
// There are no globals: several brokers can live in one process.
//
// # What a broker is
//
//	clients ── NATS ──▶ natsplane ──▶ service ──▶ multiraft ──▶ replica = raft core + segments
//	                                     │            │
//	other brokers ◀──────── peer ────────┴────────────┘        httpd: health, metrics
//
// One produce: a client sends a batch to logq.v1.produce.<partition>.<topic>. The
// embedded NATS server hands it to the service, which checks it and gives it to
// the partition's Raft group if this broker leads it, else forwards it to the
// one that does. The leader sets offset and term in place, writes the batch into
// its log and sends it to the followers at the same time; when a majority has it
// on disk, fsynced, it is committed and the client gets its offset.
//
// One fetch: the service reads whole batches, as they were produced, from the
// tail in memory or from the segment files, never beyond what is committed; when
// there is nothing yet, it waits as long as the client asked for.
//
// # Contract
//
// New checks the configuration and does nothing else. Start takes the data
// directory (one live broker at a time), opens listeners and replicas, and
// returns when requests are answered; a broker that can't reach a majority
// answers them with typed errors. Close hands leaderships over, answers what is
// under way and stops; with a context that is done it stops at once, as in a
// crash. Done is closed when the broker can't go on, with the reason in Err: a
// failed journal, or a data directory that the cluster does not accept: that of
// another cluster, of a broker that was removed or is registered with another
// directory, or an old copy. Damage or a failing disk under one partition takes that replica out of service and
// leaves the broker running.
//
// # Joining and leaving
//
// A cluster begins with the brokers in Config.Peers, the same on each. Later ones join by Config.Join, on an empty
// data directory, and know the others from it afterwards. A broker that was removed, or whose directory is not the one that
// the cluster knows, stops with ErrFenced.
//
// # The data directory
//
//	LOCK          held while a broker runs
//	broker.json   whose directory this is: broker, cluster, a random id of its own
//	journal/      Raft hard state of all groups, in two copies
//	partitions/   one directory of segment files per replica
package broker
