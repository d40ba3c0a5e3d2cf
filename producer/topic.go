package producer

import (
	"context"
	"fmt"
	"maps"

	"github.com/logq/logq/internal/client"
	"github.com/logq/logq/internal/protocol"
)

// topic is a topic in use. Immutable but for sticky.
type topic struct {
	name   string
	parts  []*partition
	spread sticky
}

// topic returns a topic in use, nil if it was not used yet.
func (p *Producer) topic(name string) *topic { return (*p.topics.Load())[name] }

// lookUp asks for a topic's partitions and puts it in use. It waits until ctx ends, the producer is closed, or the delivery
// timeout passes.
func (p *Producer) lookUp(ctx context.Context, name string, fresh bool) (*topic, error) {
	ctx, cancel := p.accepting(ctx)
	defer cancel()
	ctx, cancelTimeout := context.WithTimeout(ctx, p.o.deliveryTimeout)
	defer cancelTimeout()
	var wait client.Backoff
	for {
		n, err := p.cluster.Partitions(ctx, name, fresh)
		if err == nil {
			return p.use(name, n)
		}
		if !client.Retriable(err) || client.Pause(ctx, wait.Next()) != nil {
			if end := context.Cause(ctx); end != nil {
				return nil, fmt.Errorf("%w; the topic's partitions are not known: %w", end, err)
			}
			return nil, err
		}
	}
}

// use puts a topic with n partitions in use, or adds the partitions that it got since.
func (p *Producer) use(name string, n int) (*topic, error) {
	if n <= 0 {
		return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q has no partitions", name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	old := p.topic(name)
	if old != nil && len(old.parts) >= n {
		return old, nil
	}
	t := &topic{name: name}
	if old != nil {
		t.parts = append(t.parts, old.parts...)
	}
	for i := len(t.parts); i < n; i++ {
		t.parts = append(t.parts, &partition{p: p, topic: name, id: int32(i), wake: make(chan struct{}, 1)})
	}
	topics := maps.Clone(*p.topics.Load())
	topics[name] = t
	p.topics.Store(&topics)
	return t, nil
}

// choose returns the partition for a record.
func (p *Producer) choose(ctx context.Context, t *topic, r *Record, size int64) (*partition, error) {
	id := r.Partition
	if id == -1 {
		if id = p.o.partitioner(t.name, r.Key, len(t.parts)); id == -1 {
			return t.spread.next(size, t.parts), nil
		}
	}
	if id >= 0 && int(id) >= len(t.parts) { // it may have more by now
		var err error
		if t, err = p.lookUp(ctx, t.name, true); err != nil {
			return nil, err
		}
	}
	if id < 0 || int(id) >= len(t.parts) {
		return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "topic %q has the partitions 0 to %d", t.name, len(t.parts)-1)
	}
	return t.parts[id], nil
}
