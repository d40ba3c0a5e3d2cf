package protocol

import "encoding/binary"

// Request is an operation as listeners hand it to the broker's service and as brokers forward it to each other.
type Request struct {
	Op         Op
	Topic      string    // operations on a partition
	Partition  Partition // operations on a partition; [AnyPartition] for pub
	Epoch      uint64    // produce: the leader's term that the client expects; 0 = any
	DeadlineMs uint32    // how long the client still waits, in milliseconds; 0 = [DefaultDeadlineMs]
	Hops       uint8     // how often it was forwarded
	Key        []byte    // pub: the record's key; nil = none
	Headers    []Header  // pub: the record's headers
	Body       []byte    // batches, the plain message, or JSON
}

// Response is the answer to a [Request]. Which fields are set depends on the operation; when Err is set, no other is.
type Response struct {
	Err           *Error
	Partition     Partition // produce, pub: where it went
	Epoch         uint64    // produce, fetch, offsets: the leader's term
	BaseOffset    int64     // produce, pub: the first record's offset; offsets: the answer
	LastOffset    int64     // produce, pub: the last record's offset
	HighWatermark int64     // fetch
	LogStart      int64     // fetch
	NextOffset    int64     // fetch: what to ask for next
	TimestampMs   int64     // offsets: of the record found by time, else -1
	Body          []byte    // fetch: batches as they lie in the log; metadata and admin: JSON
}

// ErrorResponse wraps an error, which must not be nil; an error without code becomes [UnknownServerError].
func ErrorResponse(err error) *Response { return &Response{Err: AsError(err)} }

// ProduceReply returns the JSON shape of the answer to a produce request for the topic.
func (r *Response) ProduceReply(topic string) ProduceReply {
	return ProduceReply{Topic: topic, Partition: r.Partition, BaseOffset: r.BaseOffset, LastOffset: r.LastOffset, Epoch: Epoch(r.Epoch)}
}

// PubAck returns the JSON shape of the answer to a pub request for the topic, error included.
func (r *Response) PubAck(topic string) PubAck {
	if r.Err != nil {
		return PubAck{Stream: topic, Partition: int32(r.Partition), Offset: -1, Error: r.Err.API()}
	}
	return PubAck{Stream: topic, Seq: uint64(r.BaseOffset) + 1, Partition: int32(r.Partition), Offset: r.BaseOffset}
}

// OffsetsReply returns the JSON shape of the answer to an offsets request.
func (r *Response) OffsetsReply() OffsetsReply {
	return OffsetsReply{Offset: r.BaseOffset, TimestampMs: r.TimestampMs, Epoch: Epoch(r.Epoch)}
}

// Versions of the binary forms. A broker refuses a version it does not know.
const (
	requestVersion  = 1
	responseVersion = 1
)

// AppendTo appends the binary form to dst and returns the extended slice:
//
//	version u8 | op u8 | hops u8 | flags u8 (bit 0: has key) | epoch, deadline_ms, partition+1 uvarint |
//	topic | key, if there is one | count of headers uvarint, each name | value | body
//
// where topic, key, name, value and body are each a length (uvarint) and bytes.
func (r *Request) AppendTo(dst []byte) []byte {
	var flags byte
	if r.Key != nil {
		flags |= 1
	}
	dst = append(dst, requestVersion, byte(r.Op), r.Hops, flags)
	dst = binary.AppendUvarint(dst, r.Epoch)
	dst = binary.AppendUvarint(dst, uint64(r.DeadlineMs))
	dst = binary.AppendUvarint(dst, uint64(uint32(r.Partition+1)))
	dst = appendString(dst, r.Topic)
	if r.Key != nil {
		dst = appendBytes(dst, r.Key)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Headers)))
	for i := range r.Headers {
		dst = appendString(dst, r.Headers[i].Name)
		dst = appendBytes(dst, r.Headers[i].Value)
	}
	return appendBytes(dst, r.Body)
}

// Decode reads what [Request.AppendTo] wrote and nothing more; it aliases src. The error is a *[DecodeError]; r is then
// undefined. Topic and partition are not validated beyond their size.
func (r *Request) Decode(src []byte) error {
	d := decoder{what: "request", src: src}
	d.version(requestVersion)
	*r = Request{Op: Op(d.byte()), Hops: d.byte()}
	flags := d.byte()
	r.Epoch = d.uvarint("epoch", 1<<63)
	r.DeadlineMs = uint32(d.uvarint("deadline", 1<<32-1))
	r.Partition = Partition(d.uvarint("partition", MaxPartitions)) - 1
	r.Topic = string(d.bytes("topic", MaxTopicBytes))
	if flags&1 != 0 {
		r.Key = d.bytes("key", MaxKeyBytes)
	}
	if n := d.count("headers", MaxHeaders); n > 0 {
		r.Headers = make([]Header, n)
		for i := range r.Headers {
			r.Headers[i] = Header{Name: string(d.bytes("header name", MaxKeyBytes)), Value: d.bytes("header value", MaxRequestBytes)}
		}
	}
	r.Body = d.bytes("body", MaxRequestBytes)
	if d.err == nil && !r.Op.Valid() {
		d.fail("operation %d is not known", uint8(r.Op))
	}
	if d.err == nil && flags&^1 != 0 {
		d.fail("flags %#x are not known", flags)
	}
	return d.done()
}

// AppendTo appends the binary form to dst and returns the extended slice:
//
//	version u8 | flags u8 (bit 0: error, bit 1: retriable) |
//	error: code, leader varint | outcome u8 | message | leader URL
//	else: partition, epoch, base, last, high watermark, log start, next, timestamp varint | body
func (r *Response) AppendTo(dst []byte) []byte {
	if e := r.Err; e != nil {
		flags := byte(1)
		if e.Retriable {
			flags |= 2
		}
		dst = append(dst, responseVersion, flags)
		dst = binary.AppendVarint(dst, int64(e.Code))
		dst = binary.AppendVarint(dst, int64(e.Leader))
		dst = append(dst, byte(e.Outcome))
		dst = appendString(dst, e.Message[:min(len(e.Message), maxErrorTextBytes)])
		return appendString(dst, e.LeaderURL[:min(len(e.LeaderURL), maxErrorTextBytes)])
	}
	dst = append(dst, responseVersion, 0)
	for _, v := range [...]int64{int64(r.Partition), int64(r.Epoch), r.BaseOffset, r.LastOffset, r.HighWatermark, r.LogStart, r.NextOffset, r.TimestampMs} {
		dst = binary.AppendVarint(dst, v)
	}
	return appendBytes(dst, r.Body)
}

// Decode reads what [Response.AppendTo] wrote and nothing more; it aliases src. The error is a *[DecodeError]; r is then
// undefined. The outcome of an error is taken from the wire; a value that is not known becomes [Unknown].
func (r *Response) Decode(src []byte) error {
	d := decoder{what: "response", src: src}
	d.version(responseVersion)
	flags := d.byte()
	*r = Response{}
	if flags&1 != 0 {
		code := Code(d.varint("code", -1<<15, 1<<15-1))
		e := Error{Code: code, Name: code.String(), Retriable: flags&2 != 0}
		e.Leader = BrokerID(d.varint("leader", 0, 1<<16-1))
		if o := Outcome(d.byte()); o == NotWritten || o == Done {
			e.Outcome = o
		}
		e.Message = string(d.bytes("message", maxErrorTextBytes))
		e.LeaderURL = string(d.bytes("leader url", maxErrorTextBytes))
		r.Err = &e
		return d.done()
	}
	const least, most = -1 << 63, 1<<63 - 1
	r.Partition = Partition(d.varint("partition", -1, MaxPartitions))
	r.Epoch = uint64(d.varint("epoch", least, most))
	for _, v := range [...]*int64{&r.BaseOffset, &r.LastOffset, &r.HighWatermark, &r.LogStart, &r.NextOffset, &r.TimestampMs} {
		*v = d.varint("offset", least, most)
	}
	r.Body = d.bytes("body", MaxResponseBytes)
	if d.err == nil && flags != 0 {
		d.fail("flags %#x are not known", flags)
	}
	return d.done()
}
