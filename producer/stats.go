package producer

import "sync/atomic"

// Stats are counts since the producer was made.
type Stats struct {
	Acked          uint64 // records acknowledged
	AckedBytes     uint64 // their keys and values
	WireBytes      uint64 // their batches, compressed
	MaybeDuplicate uint64 // acknowledged records that may be stored twice
	NotWritten     uint64 // records that failed and are not stored
	Unknown        uint64 // records that failed and may be stored
	Batches        uint64 // batches decided
	Requests       uint64 // tries
	Retries        uint64 // tries that were repeated
	UnknownTries   uint64 // those among them whose outcome is unknown
	BufferWaits    uint64 // calls that waited for room in the buffer
	BufferedBytes  int64  // not decided at present
}

type counters struct {
	acked, ackedBytes, wireBytes, duplicate, notWritten, unknown atomic.Uint64
	batches, requests, retries, unknownTries, bufferWaits        atomic.Uint64
}

// decided counts a batch.
func (c *counters) decided(b *batch, v verdict) {
	n := uint64(len(b.callbacks))
	c.batches.Add(1)
	switch {
	case v.err == nil:
		c.acked.Add(n)
		c.ackedBytes.Add(uint64(b.values))
		c.wireBytes.Add(uint64(len(b.sealed)))
		if v.unknown {
			c.duplicate.Add(n)
		}
	case v.err.Outcome == NotWritten:
		c.notWritten.Add(n)
	default:
		c.unknown.Add(n)
	}
}

// Stats returns the counts as they are.
func (p *Producer) Stats() Stats {
	c := &p.stats
	return Stats{
		Acked: c.acked.Load(), AckedBytes: c.ackedBytes.Load(), WireBytes: c.wireBytes.Load(), MaybeDuplicate: c.duplicate.Load(),
		NotWritten: c.notWritten.Load(), Unknown: c.unknown.Load(), Batches: c.batches.Load(), Requests: c.requests.Load(),
		Retries: c.retries.Load(), UnknownTries: c.unknownTries.Load(), BufferWaits: c.bufferWaits.Load(), BufferedBytes: p.budget.used.Load(),
	}
}
