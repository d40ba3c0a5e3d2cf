package natsplane

import (
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
)

// request takes one message off a subscription and hands it over.
func (p *Plane) request(nc *nats.Conn, m *nats.Msg) {
	op, part, topic, err := protocol.ParseSubject(m.Subject)
	if err != nil {
		p.refuse(nc, m, err)
		return
	}
	if op == protocol.OpMeta || !op.Partitioned() {
		return // the micro service answers these
	}
	req := &protocol.Request{Op: op, Topic: topic, Partition: part, Body: m.Data}
	if err := readHeaders(req, m.Header); err != nil {
		p.refuse(nc, m, err)
		return
	}
	p.hand(nc, m.Reply, req)
}

// readHeaders takes over what the headers say.
func readHeaders(req *protocol.Request, h nats.Header) error {
	if len(h) == 0 {
		return nil
	}
	number := func(name string, bits int) (uint64, error) {
		v := h.Get(name)
		if v == "" {
			return 0, nil
		}
		n, err := strconv.ParseUint(v, 10, bits)
		if err != nil {
			return 0, protocol.Errorf(protocol.InvalidRequest, "header %s is %.40q, want a decimal number", name, v)
		}
		return n, nil
	}
	deadline, err := number(protocol.HeaderDeadlineMs, 32)
	if err != nil {
		return err
	}
	req.DeadlineMs = uint32(deadline)
	if req.Epoch, err = number(protocol.HeaderEpoch, 63); err != nil {
		return err
	}
	if req.Op != protocol.OpPub {
		return nil
	}
	if k, ok := h[protocol.HeaderKey]; ok && len(k) > 0 {
		req.Key = []byte(k[0])
	}
	for name, values := range h {
		// The server's word on who asks is not part of the message.
		if strings.HasPrefix(name, protocol.HeaderPrefix) || name == server.ClientInfoHdr {
			continue
		}
		for _, v := range values {
			req.Headers = append(req.Headers, protocol.Header{Name: name, Value: []byte(v)})
		}
	}
	return nil
}

// hand gives req to the handler and sends its answer to inbox, if there is one.
func (p *Plane) hand(nc *nats.Conn, inbox string, req *protocol.Request) {
	if p.shut.Load() {
		p.answer(nc, inbox, req.Op, req.Topic, protocol.ErrorResponse(protocol.Errorf(protocol.BrokerNotAvailable, "the broker is stopping; ask another one")))
		return
	}
	p.due.Add(1)
	p.stats.requests.Add(1)
	op, topic := req.Op, req.Topic
	p.o.Handler.Handle(p.ctx, req, func(r *protocol.Response) {
		defer p.replied()
		p.answer(nc, inbox, op, topic, r)
	})
}

func (p *Plane) refuse(nc *nats.Conn, m *nats.Msg, err error) {
	p.stats.malformed.Add(1)
	p.answer(nc, m.Reply, 0, "", protocol.ErrorResponse(err))
}
