package natsplane

import "sync/atomic"

// Stats are counters since the start, and gauges.
type Stats struct {
	// Requests were handed over; Malformed had a subject or header that says
	// nothing; Unheard were refused without a reply subject to say so.
	Requests, Malformed, Unheard, ReplyErrors uint64
	// Connections of clients now.
	Connections int
	// SlowConsumers were cut off because they read too slowly.
	SlowConsumers int64
}

type counters struct{ requests, malformed, unheard, replyErrors atomic.Uint64 }

// Stats returns the counters.
func (p *Plane) Stats() Stats {
	return Stats{
		Requests: p.stats.requests.Load(), Malformed: p.stats.malformed.Load(),
		Unheard: p.stats.unheard.Load(), ReplyErrors: p.stats.replyErrors.Load(),
		Connections: max(0, p.server.NumClients()-3), SlowConsumers: p.server.NumSlowConsumers(),
	}
}
