package natsplane

import "sync/atomic"

// Stats are counters since the start, and gauges.
type Stats struct {
	// Requests were handed over; Malformed had a subject or header that says
	// nothing; Throttled met the limit of requests under way; Unheard were refused
	// without a reply subject to say so; ReplyErrors are answers that could not be
	// sent.
	Requests, Malformed, Throttled, Unheard, ReplyErrors uint64
	// Underway are requests that are not answered yet.
	Underway int64
	// Connections of clients now.
	Connections int
	// SlowConsumers were cut off because they read too slowly.
	SlowConsumers int64
	// Reconnects of the broker's own connections; each has lost requests.
	Reconnects uint64
	// InMessages and the others went through the server, in either direction.
	InMessages, OutMessages, InBytes, OutBytes int64
}

type counters struct{ requests, malformed, throttled, unheard, replyErrors atomic.Uint64 }

// Stats returns the counters. What the server counts is zero once it is stopped.
func (p *Plane) Stats() Stats {
	c := &p.stats
	out := Stats{
		Requests: c.requests.Load(), Malformed: c.malformed.Load(), Throttled: c.throttled.Load(),
		Unheard: c.unheard.Load(), ReplyErrors: c.replyErrors.Load(), Underway: p.gate.Inside(),
		Connections: max(0, p.server.NumClients()-len(p.conns())), SlowConsumers: p.server.NumSlowConsumers(),
	}
	for _, nc := range p.conns() {
		out.Reconnects += nc.Stats().Reconnects
	}
	if v, err := p.server.Varz(nil); err == nil {
		out.InMessages, out.OutMessages, out.InBytes, out.OutBytes = v.InMsgs, v.OutMsgs, v.InBytes, v.OutBytes
	}
	return out
}
