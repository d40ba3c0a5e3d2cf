package natsplane

import (
	"encoding/json"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/logq/logq/internal/protocol"
)

// answer publishes a response in the shape of its operation.
func (p *Plane) answer(nc *nats.Conn, inbox string, op protocol.Op, topic string, r *protocol.Response) {
	if inbox == "" {
		if r.Err != nil {
			p.stats.unheard.Add(1)
			p.log.Debug("a message without a reply subject was refused", "topic", topic, "error", r.Err)
		}
		return
	}
	m := message(op, topic, r)
	if len(m.Data) > MaxPayloadBytes {
		m = message(op, topic, protocol.ErrorResponse(protocol.Errorf(protocol.MessageTooLarge, "the reply has %d bytes, the limit is %d", len(m.Data), MaxPayloadBytes)))
	}
	m.Subject = inbox
	if err := nc.PublishMsg(m); err != nil {
		p.stats.replyErrors.Add(1)
		p.log.Debug("a reply was not sent", "operation", op.String(), "error", err)
	}
}

// message shapes a response: JSON in the body, and for a fetch the batches
// themselves, with the numbers in headers.
func message(op protocol.Op, topic string, r *protocol.Response) *nats.Msg {
	m := &nats.Msg{}
	if r.Err != nil {
		m.Header = errorHeader(r.Err)
	}
	switch {
	case op == protocol.OpPub:
		m.Data = encode(r.PubAck(topic))
	case r.Err != nil:
		m.Data = encode(protocol.ErrorReply{Error: r.Err})
	case op == protocol.OpProduce:
		m.Data = encode(r.ProduceReply(topic))
	case op == protocol.OpOffsets:
		m.Data = encode(r.OffsetsReply())
	case op == protocol.OpFetch:
		m.Header = nats.Header{
			protocol.HeaderHighWatermark: {strconv.FormatInt(r.HighWatermark, 10)},
			protocol.HeaderLogStart:      {strconv.FormatInt(r.LogStart, 10)},
			protocol.HeaderNextOffset:    {strconv.FormatInt(r.NextOffset, 10)},
			protocol.HeaderEpoch:         {strconv.FormatUint(r.Epoch, 10)},
		}
		m.Data = r.Body
	default:
		m.Data = r.Body
	}
	return m
}

// errorHeader carries the code, and what tools for micro services look at.
func errorHeader(e *protocol.Error) nats.Header {
	code := strconv.Itoa(int(e.Code))
	return nats.Header{protocol.HeaderError: {code}, micro.ErrorCodeHeader: {code}, micro.ErrorHeader: {e.Name}}
}

// encode can't fail: the shapes hold nothing that JSON has no word for.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		b, _ = json.Marshal(protocol.ErrorReply{Error: protocol.Errorf(protocol.UnknownServerError, "encode the reply: %v", err)})
	}
	return b
}
