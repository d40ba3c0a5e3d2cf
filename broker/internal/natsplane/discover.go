package natsplane

import (
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/micro"

	"github.com/logq/logq/internal/protocol"
)

// discover serves metadata and administration as a NATS micro service, so that
// `nats micro ls` shows the broker and its statistics.
func (p *Plane) discover() error {
	s, err := micro.AddService(p.reads, micro.Config{
		Name: serviceName, Version: p.o.Version, Metadata: p.o.Metadata,
		Description:        "a replicated append-only log; metadata and administration",
		QueueGroupDisabled: true,
	})
	if err != nil {
		return fmt.Errorf("start service discovery: %w", err)
	}
	p.micro = s
	for name, e := range map[string]struct {
		op      protocol.Op
		subject string
	}{
		"meta":           {protocol.OpMeta, protocol.MetaSubject},
		"topic-create":   {protocol.OpTopicCreate, protocol.TopicCreateSubject},
		"topic-list":     {protocol.OpTopicList, protocol.TopicListSubject},
		"topic-describe": {protocol.OpTopicDescribe, protocol.TopicDescribeSubject},
		"topic-delete":   {protocol.OpTopicDelete, protocol.TopicDeleteSubject},
		"cluster-status": {protocol.OpClusterStatus, protocol.ClusterStatusSubject},
	} {
		err := s.AddEndpoint(name, p.endpoint(e.op), micro.WithEndpointSubject(e.subject))
		if err != nil {
			return fmt.Errorf("start service endpoint %s: %w", e.subject, err)
		}
	}
	return nil
}

// endpoint hands a micro request over and answers it when the handler does.
func (p *Plane) endpoint(op protocol.Op) micro.Handler {
	return micro.HandlerFunc(func(m micro.Request) {
		req := &protocol.Request{Op: op, Body: m.Data()}
		if v := m.Headers().Get(protocol.HeaderDeadlineMs); v != "" {
			if n, err := strconv.ParseUint(v, 10, 32); err == nil {
				req.DeadlineMs = uint32(n)
			}
		}
		p.hand(p.reads, m.Reply(), req)
	})
}
