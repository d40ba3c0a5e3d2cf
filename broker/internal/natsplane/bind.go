package natsplane

import (
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
)

// SetBindings makes the bound subjects those of want: new ones are subscribed,
// others dropped. Each message on one becomes a record; who publishes with a
// reply subject gets a JetStream-shaped acknowledgement.
func (p *Plane) SetBindings(want []Binding) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for b, sub := range p.bound {
		if !slices.Contains(want, b) {
			delete(p.bound, b)
			if err := sub.Unsubscribe(); err != nil && !p.shut.Load() {
				errs = append(errs, fmt.Errorf("unbind %s from topic %s: %w", b.Subject, b.Topic, err))
			}
		}
	}
	for _, b := range want {
		if p.bound[b] != nil || p.shut.Load() {
			continue
		}
		sub, err := p.edge.Subscribe(b.Subject, func(m *nats.Msg) { p.store(b, m) })
		if err == nil {
			err = sub.SetPendingLimits(pendingMessages, pendingBytes)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("bind %s to topic %s: %w", b.Subject, b.Topic, err))
			continue
		}
		p.bound[b] = sub
	}
	if !p.shut.Load() {
		errs = append(errs, p.edge.FlushTimeout(flushTimeout))
	}
	return errors.Join(errs...)
}

// store turns a message on a bound subject into a pub. The subject goes along as
// a header, because with a wildcard it says more than the topic.
func (p *Plane) store(b Binding, m *nats.Msg) {
	req := &protocol.Request{Op: protocol.OpPub, Topic: b.Topic, Partition: protocol.AnyPartition, Body: m.Data}
	if err := readHeaders(req, m.Header); err != nil {
		p.stats.malformed.Add(1)
		p.answer(p.edge, m.Reply, protocol.OpPub, b.Topic, protocol.ErrorResponse(err))
		return
	}
	req.Headers = append(req.Headers, protocol.Header{Name: bindingHeader, Value: []byte(m.Subject)})
	p.hand(p.edge, m.Reply, req)
}
