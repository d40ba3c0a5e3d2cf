package fakebroker

import (
	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/record"
)

// partition is one partition's log and who leads it. Guarded by Cluster.mu.
type partition struct {
	leader  protocol.BrokerID // 0 = none
	term    uint64
	start   record.Offset
	next    record.Offset
	batches []record.Batch // in order, dense from the first one's base offset
	changed chan struct{}  // closed and replaced when anything changes
}

func newPartition(leader protocol.BrokerID) *partition {
	return &partition{leader: leader, term: 1, changed: make(chan struct{})}
}

func (p *partition) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// append takes over the batch. With keep false only the offsets move on.
func (p *partition) append(b record.Batch, keep bool) (first, last record.Offset) {
	b.Assign(p.next, int32(p.term))
	first, last = p.next, p.next+record.Offset(b.Count())-1
	p.next = last + 1
	if keep {
		p.batches = append(p.batches, b)
	}
	p.wake()
	return first, last
}

// read returns whole batches from the one that contains an offset on: at least one if there is any, else up to a size.
func (p *partition) read(from record.Offset, maxBytes int) (body []byte, next record.Offset) {
	next = from
	i, n := p.find(from), 0
	first := i
	for ; i < len(p.batches) && (n == 0 || n+len(p.batches[i]) <= maxBytes); i++ {
		n += len(p.batches[i])
		next = p.batches[i].LastOffset() + 1
	}
	body = make([]byte, 0, n)
	for _, b := range p.batches[first:i] {
		body = append(body, b...)
	}
	return body, next
}

// find returns the position of the batch that contains an offset, or of the first after it.
func (p *partition) find(offset record.Offset) int {
	lo, hi := 0, len(p.batches)
	for lo < hi {
		if mid := (lo + hi) / 2; p.batches[mid].LastOffset() < offset {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// at returns the first offset whose batch reaches a time, by the batch's base and greatest timestamp.
func (p *partition) at(ms int64) (record.Offset, int64, bool) {
	d := record.NewDecoder(record.DecoderOptions{})
	for _, b := range p.batches[p.find(p.start):] {
		if b.MaxTimestamp() < ms || d.Reset(b) != nil {
			continue
		}
		for d.Next() {
			if r := d.Record(); r.Timestamp >= ms && r.Offset >= p.start {
				return r.Offset, r.Timestamp, true
			}
		}
	}
	return p.next, -1, false
}
