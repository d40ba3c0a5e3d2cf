package natsplane

import (
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/logq/logq/internal/protocol"
)

const (
	serviceName       = "logq"
	discoverySubjects = "$SRV.>"
)

// endpoints are the operations that are served as a micro service.
var endpoints = []struct {
	name, subject string
	op            protocol.Op
}{
	{"meta", protocol.MetaSubject, protocol.OpMeta},
	{"topic-create", protocol.TopicCreateSubject, protocol.OpTopicCreate},
	{"topic-list", protocol.TopicListSubject, protocol.OpTopicList},
	{"topic-describe", protocol.TopicDescribeSubject, protocol.OpTopicDescribe},
	{"topic-delete", protocol.TopicDeleteSubject, protocol.OpTopicDelete},
	{"cluster-status", protocol.ClusterStatusSubject, protocol.OpClusterStatus},
	{"topic-reassign", protocol.TopicReassignSubject, protocol.OpTopicReassign},
	{"topic-alter", protocol.TopicAlterSubject, protocol.OpTopicAlter},
	{"broker-drain", protocol.BrokerDrainSubject, protocol.OpBrokerDrain},
	{"broker-add", protocol.BrokerAddSubject, protocol.OpBrokerAdd},
	{"broker-remove", protocol.BrokerRemoveSubject, protocol.OpBrokerRemove},
}

// discover serves metadata and administration as a NATS micro service, so that
// `nats micro ls` shows the broker and its statistics.
func (p *Plane) discover() error {
	s, err := micro.AddService(p.reads.nc, micro.Config{
		Name: serviceName, Version: p.o.Version, Metadata: p.o.Metadata,
		Description:        "a replicated append-only log; metadata and administration",
		QueueGroupDisabled: true, // one broker, one answer: nobody to share the work with
	})
	if err != nil {
		return fmt.Errorf("start service discovery: %w", err)
	}
	p.micro = s
	for _, e := range endpoints {
		err := s.AddEndpoint(e.name, p.endpoint(e.op), micro.WithEndpointSubject(e.subject))
		if err != nil {
			return fmt.Errorf("start service endpoint %s: %w", e.subject, err)
		}
	}
	return nil
}

// endpoint hands a micro request over. It is answered past the micro package,
// which takes a request for answered when its callback returns.
func (p *Plane) endpoint(op protocol.Op) micro.Handler {
	return micro.HandlerFunc(func(m micro.Request) {
		req := &protocol.Request{Op: op, Body: m.Data()}
		if err := readHeaders(req, nats.Header(m.Headers())); err != nil {
			p.stats.malformed.Add(1)
			p.answer(p.reads.nc, m.Reply(), op, "", protocol.ErrorResponse(err))
			return
		}
		p.hand(p.reads.nc, m.Reply(), req)
	})
}
