package broker

import (
	"strconv"

	"github.com/logq/logq/broker/internal/httpd"
	"github.com/logq/logq/broker/internal/service"
	"github.com/logq/logq/internal/peer"
)

// scrape gathers the metrics of one moment.
type scrape []httpd.Sample

func (s *scrape) count(name, help string, v float64, labels ...string) {
	*s = append(*s, httpd.Sample{Name: name, Help: help, Counter: true, Value: v, Labels: pairs(labels)})
}

func (s *scrape) set(name, help string, v float64, labels ...string) {
	*s = append(*s, httpd.Sample{Name: name, Help: help, Value: v, Labels: pairs(labels)})
}

func pairs(kv []string) map[string]string {
	if len(kv) == 0 {
		return nil
	}
	m := make(map[string]string, len(kv)/2)
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// samples are the broker's metrics at this moment.
func (b *Broker) samples() []httpd.Sample {
	var s scrape
	s.set("logq_broker_info", "Who this is; always 1.", 1, "broker", strconv.Itoa(b.c.ID), "cluster", b.clusterID(), "version", Version)
	s.set("logq_ready", "1 if the broker serves.", truth(b.Ready() == nil))
	if free, total, err := b.fs.Usage(b.c.DataDir); err == nil {
		s.set("logq_disk_free_bytes", "Free bytes on the disk of the data directory.", float64(free))
		s.set("logq_disk_bytes", "Bytes on the disk of the data directory.", float64(total))
	}
	stats := b.service.Stats()
	requestSamples(&s, &stats)
	clusterSamples(&s, &stats)
	s.set("logq_direct_writes", "1 if segments are written past the page cache.", truth(b.direct))
	b.hostSamples(&s)
	b.peerSamples(&s)
	b.natsSamples(&s)
	return s
}

func requestSamples(out *scrape, s *service.Stats) {
	for _, op := range s.Ops {
		const help = "Requests answered, by operation and outcome."
		out.count("logq_requests_total", help, float64(op.Done), "operation", op.Op, "outcome", "done")
		out.count("logq_requests_total", help, float64(op.NotWritten), "operation", op.Op, "outcome", "not_written")
		out.count("logq_requests_total", help, float64(op.Unknown), "operation", op.Op, "outcome", "unknown")
		out.count("logq_request_seconds_total", "Seconds that all answers together took.", op.Seconds, "operation", op.Op)
	}
	out.count("logq_appended_bytes_total", "Bytes of batches and messages made durable on a majority.", float64(s.AppendedBytes))
	out.count("logq_fetched_bytes_total", "Bytes of batches in fetch replies.", float64(s.FetchedBytes))
	out.count("logq_follower_fetches_total", "Fetches answered by a replica that does not lead.", float64(s.FollowerFetches))
	out.count("logq_forwarded_total", "Requests forwarded to another broker.", float64(s.Forwarded))
	out.count("logq_forward_errors_total", "Forwarded requests without an answer.", float64(s.ForwardErrors))
	out.count("logq_bad_batches_total", "Batches that failed their check.", float64(s.BadBatches))
	out.count("logq_refused_total", "Requests refused because the broker was starting or stopping.", float64(s.Refused))
	const throttled = "Requests refused because too much was under way, by bound."
	out.count("logq_throttled_total", throttled, float64(s.ThrottledBroker), "bound", "broker")
	out.count("logq_throttled_total", throttled, float64(s.ThrottledTopic), "bound", "partition")
	out.count("logq_throttled_total", throttled, float64(s.ThrottledRequests), "bound", "requests")
	out.set("logq_inflight_bytes", "Bytes of appends under way.", float64(s.InflightBytes))
	const inflight = "Requests under way, by kind."
	out.set("logq_inflight_requests", inflight, float64(s.Requests), "kind", "all")
	out.set("logq_inflight_requests", inflight, float64(s.Fetches), "kind", "fetch")
	out.set("logq_inflight_requests", inflight, float64(s.Forwards), "kind", "forward")
	out.set("logq_inflight_requests", inflight, float64(s.Admin), "kind", "admin")
}

func clusterSamples(out *scrape, s *service.Stats) {
	out.set("logq_topics", "Topics of the cluster.", float64(s.Topics))
	out.set("logq_partitions", "Partitions of all topics.", float64(s.Partitions))
	out.set("logq_partitions_led", "Partitions that this broker leads.", float64(s.Led))
	out.set("logq_partitions_leaderless", "Partitions without a leader known here.", float64(s.Leaderless))
	out.set("logq_replicas", "Replicas on this broker.", float64(s.Replicas))
	out.set("logq_replicas_closed", "Replicas on this broker that are not open: they are being opened, or can't be.", float64(s.ReplicasClosed))
	out.set("logq_replicas_failed", "Replicas on this broker that are out of service.", float64(s.ReplicasFailed))
	out.count("logq_replicas_removed_total", "Replicas of deleted topics whose data was deleted.", float64(s.ReplicasRemoved))
	out.set("logq_metadata_next", "Next record of the cluster's metadata that this broker will fold.", float64(s.MetaNext))
	out.set("logq_metadata_log_start", "First record of the metadata in this broker's log.", float64(s.MetaLogStart))
	out.count("logq_metadata_state_files_total", "Files of the metadata's state that were written.", float64(s.StateFiles))
	out.count("logq_metadata_state_file_errors_total", "Attempts to write one that failed; the metadata's log grows meanwhile.", float64(s.StateFileErrors))
	out.count("logq_metadata_states_fetched_total", "States of the metadata that were fetched from another broker.", float64(s.StatesFetched))
	out.set("logq_brokers_alive", "Brokers heard of lately, this one included.", float64(s.BrokersAlive))
	out.set("logq_controller", "1 if this broker is the controller.", truth(s.Controller))
	out.count("logq_gossip_dropped_total", "Messages about leaderships that were not sent.", float64(s.GossipDropped))
	out.count("logq_gossip_bad_total", "Messages about leaderships that can't be read.", float64(s.BadGossip))
}

func (b *Broker) hostSamples(out *scrape) {
	h := b.host.Stats()
	out.count("logq_flushes_total", "Group commits of segments.", float64(h.Flushes))
	out.count("logq_flush_errors_total", "Group commits that failed.", float64(h.FlushErrors))
	out.count("logq_flush_seconds_total", "Seconds spent in group commits.", float64(h.FlushNanos)/1e9)
	out.set("logq_tail_bytes", "Memory that recent entries take.", float64(h.Tails.Used))
	out.set("logq_tail_limit_bytes", "What they may take, as far as they are durable.", float64(h.Tails.Limit))
	out.count("logq_journal_saves_total", "Syncs of the journal.", float64(h.JournalSaves))
	out.count("logq_journal_entries_total", "Hard states saved in them.", float64(h.JournalEntries))
	out.count("logq_journal_errors_total", "Saves of the journal that failed.", float64(h.JournalErrors))
	out.count("logq_journal_seconds_total", "Seconds spent in saves of the journal.", float64(h.JournalNanos)/1e9)
	out.count("logq_raft_dropped_total", "Messages of peers dropped by a full inbox.", float64(h.Dropped))
	out.count("logq_raft_strays_total", "Messages of peers for groups that aren't open here.", float64(h.Strays))
	out.count("logq_raft_bad_frames_total", "Append messages whose entries failed their checks.", float64(h.BadFrames))
	out.count("logq_raft_cold_read_errors_total", "Failed reads of old entries for followers.", float64(h.ColdReadErrors))
	out.set("logq_flushes_hung", "Group commits under way for longer than half an election timeout.", float64(h.HungFlushes))
	out.set("logq_raft_groups", "Replicas that are open.", float64(h.Groups))
	out.set("logq_raft_groups_awake", "Of these, those that need ticks; the others are quiet or out of service.", float64(h.Awake))
	out.count("logq_raft_failed_total", "Replicas that were taken out of service.", float64(h.Failed))
	out.count("logq_recovery_bytes_total", "Bytes read from disk and sent to replicas that are far behind.", float64(h.RecoveryBytes))
	out.count("logq_recovery_refused_total", "Messages with such bytes that were put off, since a bound was reached.", float64(h.RecoveryRefused))
	out.set("logq_recovery_groups", "Groups that have sent many such bytes lately.", float64(h.RecoveringGroups))
	out.count("logq_damaged_total", "Damaged places found in logs.", float64(h.Damaged))
	out.count("logq_repairs_total", "Repairs of damaged places from other replicas.", float64(h.Repairs))
	out.count("logq_repaired_bytes_total", "Bytes written by repairs.", float64(h.RepairedBytes))
	out.count("logq_repair_errors_total", "Repairs that failed; another replica is asked then.", float64(h.RepairErrors))
	out.count("logq_scrubbed_bytes_total", "Bytes read in the search for damage.", float64(h.ScrubbedBytes))
	out.count("logq_scrubs_total", "Complete rounds of that search.", float64(h.Scrubs))
	a := b.host.Activity()
	out.count("logq_raft_campaigns_total", "Elections that replicas here have begun.", float64(a.Campaigns))
	out.count("logq_raft_elected_total", "Elections that replicas here have won.", float64(a.Elected))
	out.count("logq_raft_deposed_total", "Leaders here that lead no more.", float64(a.Deposed))
	out.count("logq_raft_transfers_total", "Hand-overs of leadership that were asked for here.", float64(a.Transfers))
	const pulses = "Pulses to and from other brokers, which keep quiet groups quiet."
	out.count("logq_pulses_total", pulses, float64(a.PulsesSent), "direction", "sent")
	out.count("logq_pulses_total", pulses, float64(a.PulsesHeard), "direction", "heard")
	out.count("logq_pulses_dropped_total", "Pulses that could not be queued.", float64(a.PulsesDropped))
}

func (b *Broker) peerSamples(out *scrape) {
	t := b.transport.Stats()
	for _, c := range []struct {
		class string
		peer.ClassStats
	}{{"control", t.Control}, {"bulk", t.Bulk}} {
		out.count("logq_peer_sent_bytes_total", "Bytes sent to peers.", float64(c.BytesSent), "class", c.class)
		out.count("logq_peer_received_bytes_total", "Bytes received from peers.", float64(c.BytesReceived), "class", c.class)
		out.count("logq_peer_sent_frames_total", "Frames sent to peers.", float64(c.FramesSent), "class", c.class)
		out.count("logq_peer_received_frames_total", "Frames received from peers.", float64(c.FramesReceived), "class", c.class)
		out.count("logq_peer_dropped_total", "Frames for peers that were dropped.", float64(c.Dropped), "class", c.class)
	}
	out.count("logq_peer_dials_total", "Connections to peers that were made.", float64(t.Dials))
	out.count("logq_peer_dial_errors_total", "Attempts to connect to a peer that failed.", float64(t.DialErrors))
	out.count("logq_peer_refused_total", "Connections to the peer port that were turned away.", float64(t.Refused))
	out.set("logq_peers_connected", "Peers with both connections up.", float64(t.Connected))
}

func (b *Broker) natsSamples(out *scrape) {
	p := b.plane.Stats()
	out.count("logq_nats_requests_total", "Requests taken from clients.", float64(p.Requests))
	out.count("logq_nats_malformed_total", "Client messages with a bad subject or header.", float64(p.Malformed))
	out.count("logq_nats_throttled_total", "Client messages refused because too many requests were under way.", float64(p.Throttled))
	out.count("logq_nats_unheard_total", "Messages without a reply subject that were refused.", float64(p.Unheard))
	out.count("logq_nats_reply_errors_total", "Answers that could not be sent.", float64(p.ReplyErrors))
	out.count("logq_nats_slow_consumers_total", "Connections cut off because they read too slowly.", float64(p.SlowConsumers))
	out.count("logq_nats_broker_reconnects_total", "Times that the broker's own connections were cut.", float64(p.Reconnects))
	out.count("logq_nats_messages_total", "Messages through the NATS server.", float64(p.InMessages), "direction", "in")
	out.count("logq_nats_messages_total", "Messages through the NATS server.", float64(p.OutMessages), "direction", "out")
	out.count("logq_nats_bytes_total", "Bytes of messages through the NATS server.", float64(p.InBytes), "direction", "in")
	out.count("logq_nats_bytes_total", "Bytes of messages through the NATS server.", float64(p.OutBytes), "direction", "out")
	out.set("logq_nats_connections", "Client connections.", float64(p.Connections))
}
