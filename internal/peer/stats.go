package peer

import "sync/atomic"

// ClassStats count what went over one class of connections.
type ClassStats struct {
	FramesSent, BytesSent, FramesReceived, BytesReceived uint64
	// Writes are system calls: what gathers while one runs leaves with the next.
	Writes uint64
	// Dropped were refused by a full queue or for want of a connection.
	Dropped uint64
}

// Stats are counters since the start.
type Stats struct {
	Control, Bulk ClassStats
	// Dials are connections greeted, DialErrors failed tries, Refused connections
	// of others that were turned away.
	Dials, DialErrors, Refused uint64
	// Connected is the number of peers with both connections up.
	Connected int
}

type classStats struct {
	framesOut, bytesOut, framesIn, bytesIn, writes, dropped atomic.Uint64
}

func (s *classStats) sent(frames int, bytes int64) {
	s.writes.Add(1)
	s.framesOut.Add(uint64(frames))
	s.bytesOut.Add(uint64(bytes))
}

func (s *classStats) received(bytes int) {
	s.framesIn.Add(1)
	s.bytesIn.Add(uint64(bytes))
}

func (s *classStats) snapshot() ClassStats {
	return ClassStats{
		FramesSent: s.framesOut.Load(), BytesSent: s.bytesOut.Load(),
		FramesReceived: s.framesIn.Load(), BytesReceived: s.bytesIn.Load(), Writes: s.writes.Load(), Dropped: s.dropped.Load(),
	}
}

type stats struct {
	control, bulk              classStats
	dials, dialErrors, refused atomic.Uint64
}

func (s *stats) of(c class) *classStats {
	if c == classControl {
		return &s.control
	}
	return &s.bulk
}

// Stats returns the counters.
func (t *Transport) Stats() Stats {
	s := Stats{
		Control: t.stats.control.snapshot(), Bulk: t.stats.bulk.snapshot(),
		Dials: t.stats.dials.Load(), DialErrors: t.stats.dialErrors.Load(), Refused: t.stats.refused.Load(),
	}
	for id := range *t.links.Load() {
		if t.Connected(id) {
			s.Connected++
		}
	}
	return s
}
