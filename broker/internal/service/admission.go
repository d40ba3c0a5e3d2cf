package service

import (
	"sync/atomic"

	"github.com/logq/logq/internal/protocol"
)

// budget is a bound on bytes (or things) under way. It never waits: what does not fit is refused, so that overload is an
// error that the client sees and not a queue that grows.
type budget struct {
	limit int64
	used  atomic.Int64
	full  atomic.Uint64 // refusals
}

// take reserves n. A single thing larger than the limit is let in when nothing else is under way, so that a small limit
// slows down but never starves.
func (b *budget) take(n int64) bool {
	if used := b.used.Add(n); used > b.limit && used != n {
		b.used.Add(-n)
		b.full.Add(1)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// charge reserves the bytes of an append on the broker, and in the partition once that is known.
func (s *Service) charge(c *call) *protocol.Error {
	n := int64(len(c.req.Body) + len(c.req.Key) + callOverheadBytes)
	if !s.inflight.take(n) {
		return protocol.Errorf(protocol.ThrottlingQuotaExceeded, "broker %d has appends of %d bytes under way, the limit is %d; send more slowly", s.id, s.inflight.used.Load(), s.inflight.limit)
	}
	c.charged = n
	return nil
}

func (s *Service) chargePartition(c *call, p *partition) *protocol.Error {
	if c.part == p {
		return nil
	}
	if c.part != nil {
		c.part.inflight.give(c.charged)
		c.part = nil
	}
	if !p.inflight.take(c.charged) {
		s.stats.partitionThrottled.Add(1)
		return protocol.Errorf(protocol.ThrottlingQuotaExceeded, "partition %s has appends of %d bytes under way, the limit is %d; send more slowly", p, p.inflight.used.Load(), p.inflight.limit)
	}
	c.part = p
	return nil
}

func (s *Service) refund(c *call) {
	if c.charged == 0 {
		return
	}
	if c.part != nil {
		c.part.inflight.give(c.charged)
	}
	s.inflight.give(c.charged)
	c.charged, c.part = 0, nil
}
