package natsplane

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
)

// subjectHeader keeps the subject of a message that came over a binding.
const subjectHeader = "Nats-Subject"

// SetBindings makes the bound subjects those of want: new ones are subscribed,
// others dropped. Each message on one becomes a record; who publishes with a
// reply subject gets a JetStream-shaped acknowledgement. A binding that overlaps
// subjects of logq or NATS, or an earlier one in want, is left out, and the error
// names it; the others are made.
func (p *Plane) SetBindings(want []Binding) error {
	valid, err := checkBindings(want)
	errs := []error{err}
	p.mu.Lock()
	defer p.mu.Unlock()
	for b, sub := range p.bound {
		if !slices.Contains(valid, b) {
			delete(p.bound, b)
			if err := p.edge.unsubscribe(sub); err != nil && !p.gate.IsShut() {
				errs = append(errs, fmt.Errorf("unbind %s from topic %s: %w", b.Subject, b.Topic, err))
			}
		}
	}
	for _, b := range valid {
		if p.bound[b] != nil || p.gate.IsShut() {
			continue
		}
		sub, err := p.edge.subscribe(b.Subject, func(m *nats.Msg) { p.store(b, m) })
		if err != nil {
			errs = append(errs, fmt.Errorf("bind %s to topic %s: %w", b.Subject, b.Topic, err))
			continue
		}
		p.bound[b] = sub
	}
	if !p.gate.IsShut() {
		errs = append(errs, p.edge.nc.FlushTimeout(flushTimeout))
	}
	return errors.Join(errs...)
}

// checkBindings returns the bindings that can be made. The metadata has checked
// them too; this is the side that would do the damage.
func checkBindings(want []Binding) (valid []Binding, err error) {
	var errs []error
	for _, b := range want {
		if why := bindingFault(b, valid); why != "" {
			errs = append(errs, fmt.Errorf("subject %q is not bound to topic %s: it %s", b.Subject, b.Topic, why))
			continue
		}
		valid = append(valid, b)
	}
	return valid, errors.Join(errs...)
}

func bindingFault(b Binding, others []Binding) string {
	tokens := strings.Split(b.Subject, ".")
	for i, t := range tokens {
		if t == "" || strings.ContainsAny(t, " \t\r\n") || t == ">" && i < len(tokens)-1 {
			return "is not a valid subject"
		}
	}
	switch first := tokens[0]; {
	case first == "*" || first == ">":
		return "starts with a wildcard, which would catch logq's own subjects"
	case first == "logq" || first[0] == '$' || first[0] == '_':
		return "is reserved for logq and NATS"
	}
	for _, o := range others {
		if overlap(tokens, strings.Split(o.Subject, ".")) {
			return fmt.Sprintf("shares messages with %q, which is bound to topic %s", o.Subject, o.Topic)
		}
	}
	return ""
}

// overlap reports whether some subject matches both patterns.
func overlap(a, b []string) bool {
	for i := range min(len(a), len(b)) {
		if a[i] == ">" || b[i] == ">" {
			return true
		}
		if a[i] != b[i] && a[i] != "*" && b[i] != "*" {
			return false
		}
	}
	return len(a) == len(b)
}

// store turns a message on a bound subject into a pub. The subject goes along as
// a header, because with a wildcard it says more than the topic.
func (p *Plane) store(b Binding, m *nats.Msg) {
	req := &protocol.Request{Op: protocol.OpPub, Topic: b.Topic, Partition: protocol.AnyPartition, Body: m.Data}
	if err := readHeaders(req, m.Header); err != nil {
		p.stats.malformed.Add(1)
		p.answer(p.edge.nc, m.Reply, protocol.OpPub, b.Topic, protocol.ErrorResponse(err))
		return
	}
	req.Headers = append(req.Headers, protocol.Header{Name: subjectHeader, Value: []byte(m.Subject)})
	p.hand(p.edge.nc, m.Reply, req)
}
