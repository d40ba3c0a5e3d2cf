package broker

import "github.com/logq/logq/broker/internal/httpd"

// samples are the broker's metrics at this moment.
func (b *Broker) samples() []httpd.Sample {
	var out []httpd.Sample
	count := func(name, help string, v uint64, labels ...string) {
		out = append(out, httpd.Sample{Name: name, Help: help, Counter: true, Value: float64(v), Labels: pairs(labels)})
	}
	gauge := func(name, help string, v float64, labels ...string) {
		out = append(out, httpd.Sample{Name: name, Help: help, Value: v, Labels: pairs(labels)})
	}
	b.serviceSamples(count, gauge)
	b.hostSamples(count, gauge)
	b.wireSamples(count, gauge)
	return out
}

type (
	counter func(name, help string, v uint64, labels ...string)
	gauge   func(name, help string, v float64, labels ...string)
)

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

func (b *Broker) serviceSamples(count counter, set gauge) {
	s := b.service.Stats()
	for _, op := range s.Ops {
		const help = "Requests answered, by operation and outcome."
		count("logq_requests_total", help, op.Done, "operation", op.Op, "outcome", "done")
		count("logq_requests_total", help, op.NotWritten, "operation", op.Op, "outcome", "not_written")
		count("logq_requests_total", help, op.Unknown, "operation", op.Op, "outcome", "unknown")
		set("logq_request_seconds_sum", "Seconds that all answers together took.", op.Seconds, "operation", op.Op)
	}
	count("logq_appended_bytes_total", "Bytes of batches and messages made durable on a majority.", s.AppendedBytes)
	count("logq_fetched_bytes_total", "Bytes of batches in fetch replies.", s.FetchedBytes)
	count("logq_forwarded_total", "Requests forwarded to another broker.", s.Forwarded)
	count("logq_forward_errors_total", "Forwarded requests without an answer.", s.ForwardErrors)
	count("logq_bad_batches_total", "Batches that failed their check.", s.BadBatches)
	const throttled = "Requests refused because too much was under way, by bound."
	count("logq_throttled_total", throttled, s.ThrottledBroker, "bound", "broker")
	count("logq_throttled_total", throttled, s.ThrottledTopic, "bound", "partition")
	count("logq_throttled_total", throttled, s.ThrottledRequests, "bound", "requests")
	set("logq_inflight_bytes", "Bytes of appends under way.", float64(s.InflightBytes))
	set("logq_inflight_requests", "Requests under way.", float64(s.Requests))
	set("logq_topics", "Topics of the cluster.", float64(s.Topics))
	set("logq_partitions", "Partitions of all topics.", float64(s.Partitions))
	set("logq_replicas", "Replicas on this broker.", float64(s.Replicas))
	set("logq_replicas_failed", "Replicas on this broker that are out of service.", float64(s.ReplicasFailed))
	set("logq_partitions_led", "Partitions that this broker leads.", float64(s.Led))
	set("logq_partitions_leaderless", "Partitions without a leader known here.", float64(s.Leaderless))
	set("logq_brokers_alive", "Brokers heard lately, this one included.", float64(s.BrokersAlive))
	controller := 0.0
	if s.Controller {
		controller = 1
	}
	set("logq_controller", "1 if this broker is the controller.", controller)
}

func (b *Broker) hostSamples(count counter, set gauge) {
	h := b.host.Stats()
	count("logq_flushes_total", "Group commits of segments.", h.Flushes)
	count("logq_flush_errors_total", "Group commits that failed.", h.FlushErrors)
	set("logq_flush_seconds_sum", "Seconds spent in group commits.", float64(h.FlushNanos)/1e9)
	count("logq_journal_saves_total", "Syncs of the journal.", h.JournalSaves)
	count("logq_journal_entries_total", "Hard states saved in them.", h.JournalEntries)
	set("logq_journal_seconds_sum", "Seconds spent in saves of the journal.", float64(h.JournalNanos)/1e9)
	count("logq_raft_dropped_total", "Messages of peers dropped by a full inbox.", h.Dropped)
	count("logq_raft_strays_total", "Messages of peers for groups that aren't open here.", h.Strays)
	count("logq_raft_bad_frames_total", "Append messages whose entries failed their checks.", h.BadFrames)
}

func (b *Broker) wireSamples(count counter, set gauge) {
	t := b.transport.Stats()
	const sent, received, dropped = "Bytes sent to peers.", "Bytes received from peers.", "Frames for peers that were dropped."
	count("logq_peer_sent_bytes_total", sent, t.Control.BytesSent, "class", "control")
	count("logq_peer_sent_bytes_total", sent, t.Bulk.BytesSent, "class", "bulk")
	count("logq_peer_received_bytes_total", received, t.Control.BytesReceived, "class", "control")
	count("logq_peer_received_bytes_total", received, t.Bulk.BytesReceived, "class", "bulk")
	count("logq_peer_dropped_total", dropped, t.Control.Dropped, "class", "control")
	count("logq_peer_dropped_total", dropped, t.Bulk.Dropped, "class", "bulk")
	set("logq_peers_connected", "Peers with both connections up.", float64(t.Connected))
	p := b.plane.Stats()
	count("logq_nats_requests_total", "Requests taken from clients.", p.Requests)
	count("logq_nats_malformed_total", "Client messages with a bad subject or header.", p.Malformed)
	set("logq_nats_connections", "Client connections.", float64(p.Connections))
}
