package service

import (
	"sync/atomic"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// Stats is a snapshot of the service's counters and gauges. Counters count since the start.
type Stats struct {
	Ops []OpStats // by operation

	AppendedBytes     uint64 // of batches and messages that are durable
	FetchedBytes      uint64 // in fetch replies
	FollowerFetches   uint64 // fetches answered by a replica that does not lead
	Forwarded         uint64 // requests sent on to another broker
	ForwardErrors     uint64 // of these, without an answer
	Refused           uint64 // requests while the broker was not open for any
	ThrottledBroker   uint64 // refusals because too many bytes were under way on the broker
	ThrottledTopic    uint64 // the same for a partition
	ThrottledRequests uint64 // refusals because too many requests were waiting
	BadBatches        uint64 // batches that failed their check
	BadGossip         uint64 // messages of other brokers that cannot be read
	GossipDropped     uint64 // messages to other brokers that were not sent
	ReplicasRemoved   uint64 // replicas of deleted topics whose data was deleted
	StateFiles        uint64 // files of the metadata's state that were written
	StateFileErrors   uint64 // attempts to write one that failed
	StatesFetched     uint64 // states of the metadata that were got from other brokers

	Requests      int64 // under way
	InflightBytes int64 // of appends under way
	Fetches       int64 // under way or waiting
	Forwards      int64 // forwarded or waiting for a leader
	Admin         int64 // metadata and admin requests under way

	Topics         int
	Partitions     int // of all topics
	Replicas       int // on this broker, without that of the metadata
	ReplicasClosed int // of these, not open: they are being opened, or cannot be
	ReplicasFailed int // of these, out of service
	Led            int // partitions that this broker leads and serves, without the metadata
	Leaderless     int // partitions without a leader that this broker knows of
	Controller     bool
	BrokersAlive   int

	MetaNext     int64 // the next record of the metadata to be folded
	MetaLogStart int64 // the first one in this broker's log of them
}

// OpStats counts the answers to one operation.
type OpStats struct {
	Op         string
	Done       uint64
	NotWritten uint64
	Unknown    uint64
	Seconds    float64 // that all answers together took
}

type counters struct {
	appendedBytes, fetchedBytes, forwarded, forwardErrors, refused atomic.Uint64
	partitionThrottled, badBatches, badGossip, gossipDropped       atomic.Uint64
	followerFetches                                                atomic.Uint64
	removed, stateFiles, stateFileErrors, statesFetched            atomic.Uint64
	ops                                                            [protocol.LastOp + 1]opCounters
}

type opCounters struct {
	outcomes [protocol.Done + 1]atomic.Uint64
	nanos    atomic.Int64
}

func (c *counters) answered(op protocol.Op, err *protocol.Error, d time.Duration) {
	if !op.Valid() {
		op = 0
	}
	outcome := protocol.Done
	if err != nil {
		outcome = min(err.Outcome, protocol.Done)
	}
	c.ops[op].outcomes[outcome].Add(1)
	c.ops[op].nanos.Add(int64(d))
}

// Stats returns the counters and gauges. It may be called at any time; it costs a look at every partition.
func (s *Service) Stats() Stats {
	c := &s.stats
	out := Stats{
		AppendedBytes: c.appendedBytes.Load(), FetchedBytes: c.fetchedBytes.Load(), FollowerFetches: c.followerFetches.Load(), Forwarded: c.forwarded.Load(), ForwardErrors: c.forwardErrors.Load(),
		Refused: c.refused.Load(), ThrottledBroker: s.inflight.full.Load(), ThrottledTopic: c.partitionThrottled.Load(),
		ThrottledRequests: s.fetches.full.Load() + s.forwards.full.Load() + s.admin.full.Load(),
		BadBatches:        c.badBatches.Load(), BadGossip: c.badGossip.Load(), GossipDropped: c.gossipDropped.Load(), ReplicasRemoved: c.removed.Load(),
		StateFiles: c.stateFiles.Load(), StateFileErrors: c.stateFileErrors.Load(), StatesFetched: c.statesFetched.Load(),
		Requests: s.gate.Inside(), InflightBytes: s.inflight.used.Load(), Fetches: s.fetches.used.Load(), Forwards: s.forwards.used.Load(), Admin: s.admin.used.Load(),
	}
	for op := protocol.OpProduce; op.Valid(); op++ {
		o := &c.ops[op]
		out.Ops = append(out.Ops, OpStats{
			Op: op.String(), Done: o.outcomes[protocol.Done].Load(), NotWritten: o.outcomes[protocol.NotWritten].Load(),
			Unknown: o.outcomes[protocol.Unknown].Load(), Seconds: time.Duration(o.nanos.Load()).Seconds(),
		})
	}
	s.gauges(&out)
	return out
}

func (s *Service) gauges(out *Stats) {
	t := s.table.Load()
	if t == nil {
		return
	}
	out.Topics, out.Partitions = len(t.topics), t.snap.PartitionCount()
	for _, p := range t.groups {
		if p == s.meta {
			continue
		}
		l := s.leaderOf(p)
		if l.broker == 0 {
			out.Leaderless++
		}
		if l.group != nil {
			out.Led++
		}
		if p.self() == 0 {
			continue
		}
		out.Replicas++
		if g := p.opened(); g == nil {
			out.ReplicasClosed++
		} else if g.Leader().Err != nil {
			out.ReplicasFailed++
		}
	}
	out.MetaNext = t.snap.Next()
	if g := s.meta.opened(); g != nil {
		out.MetaLogStart = int64(g.Status().LogStart)
	}
	out.Controller = s.leaderOf(s.meta).group != nil
	for _, id := range s.members(t.snap) {
		if s.alive(id) {
			out.BrokersAlive++
		}
	}
}
