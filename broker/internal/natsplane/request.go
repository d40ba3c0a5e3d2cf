package natsplane

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/logq/logq/internal/protocol"
)

// request takes one message off a subscription and hands it over. m.Data is fresh
// for each message: nats.go copies the payload out of its read buffer or reads it
// straight into a buffer of its own, and keeps neither. So the request owns it.
func (p *Plane) request(nc *nats.Conn, m *nats.Msg) {
	op, part, topic, err := protocol.ParseSubject(m.Subject)
	if err != nil {
		p.refuse(nc, m, err)
		return
	}
	req := &protocol.Request{Op: op, Topic: topic, Partition: part, Body: m.Data}
	if err := readHeaders(req, m.Header); err != nil {
		p.refuse(nc, m, err)
		return
	}
	p.hand(nc, m.Reply, req)
}

// stray answers a request for an operation that does not exist.
func (p *Plane) stray(m *nats.Msg) {
	_, _, _, err := protocol.ParseSubject(m.Subject)
	if err == nil {
		err = protocol.Errorf(protocol.InvalidRequest, "subject %q is not served by this broker", m.Subject)
	}
	p.refuse(p.strays.nc, m, err)
}

// readHeaders takes over what the headers say.
func readHeaders(req *protocol.Request, h nats.Header) error {
	if len(h) == 0 {
		return nil
	}
	deadline, err := number(h, protocol.HeaderDeadlineMs, 32)
	if err != nil {
		return err
	}
	req.DeadlineMs = uint32(deadline)
	if req.Epoch, err = number(h, protocol.HeaderEpoch, 63); err != nil {
		return err
	}
	if req.Op != protocol.OpPub {
		return nil
	}
	if k, ok := h[protocol.HeaderKey]; ok && len(k) > 0 {
		req.Key = []byte(k[0])
	}
	// In a fixed order, so that the same message always makes the same record.
	for _, name := range slices.Sorted(maps.Keys(h)) {
		// The server's word on who asks is not part of the message.
		if strings.HasPrefix(name, protocol.HeaderPrefix) || name == server.ClientInfoHdr {
			continue
		}
		if err := checkCondition(name, h[name], req.Topic); err != nil {
			return err
		}
		for _, v := range h[name] {
			req.Headers = append(req.Headers, protocol.Header{Name: name, Value: []byte(v)})
		}
	}
	return nil
}

func number(h nats.Header, name string, bits int) (uint64, error) {
	v := h.Get(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, bits)
	if err != nil {
		return 0, protocol.Errorf(protocol.InvalidRequest, "header %s is %.40q, want a decimal number below 2^%d", name, v, bits)
	}
	return n, nil
}

// Headers by which a JetStream publisher sets a condition, or asks the server to do
// something. To store such a message as if they weren't there would break what the
// publisher relies on. Others, Nats-Msg-Id among them, are stored.
const (
	expectedStream = "Nats-Expected-Stream"
	expectedPrefix = "Nats-Expected-"
)

var unsupported = []string{"Nats-Rollup", "Nats-TTL", "Nats-Incr", "Nats-Batch-", "Nats-Schedule", "Nats-Required-Api-Level"}

func checkCondition(name string, values []string, topic string) error {
	if name == expectedStream {
		if len(values) == 1 && values[0] == topic {
			return nil
		}
		return protocol.Errorf(protocol.InvalidRequest, "header %s is %.80q, but the subject's topic is %q", name, values, topic)
	}
	if strings.HasPrefix(name, expectedPrefix) || slices.ContainsFunc(unsupported, func(p string) bool { return strings.HasPrefix(name, p) }) {
		return protocol.Errorf(protocol.InvalidRequest, "header %.80q sets a condition that logq does not know; the message is not stored", name)
	}
	return nil
}

// hand gives req to the handler and sends its answer to inbox, if there is one.
func (p *Plane) hand(nc *nats.Conn, inbox string, req *protocol.Request) {
	op, topic := req.Op, req.Topic
	if e := p.enter(); e != nil {
		p.answer(nc, inbox, op, topic, &protocol.Response{Err: e})
		return
	}
	p.o.Handler.Handle(p.ctx, req, func(r *protocol.Response) {
		defer p.gate.Leave()
		p.answer(nc, inbox, op, topic, r)
	})
}

// enter counts a request in, or says why not.
func (p *Plane) enter() *protocol.Error {
	if !p.gate.Enter() {
		return protocol.Errorf(protocol.BrokerNotAvailable, "the broker is stopping; ask another one")
	}
	if n := p.gate.Inside(); n > int64(p.o.MaxRequests) {
		p.gate.Leave()
		p.stats.throttled.Add(1)
		return protocol.Errorf(protocol.ThrottlingQuotaExceeded, "the broker has %d requests under way, the limit is %d; send more slowly", n, p.o.MaxRequests)
	}
	p.stats.requests.Add(1)
	return nil
}

// refuse answers what could not be made a request of.
func (p *Plane) refuse(nc *nats.Conn, m *nats.Msg, err error) {
	p.stats.malformed.Add(1)
	op := protocol.Op(0)
	if strings.HasPrefix(m.Subject, protocol.SubjectPrefix+"pub.") {
		op = protocol.OpPub // its publishers read acknowledgements only
	}
	p.answer(nc, m.Reply, op, "", protocol.ErrorResponse(err))
}
