package peer

import (
	"bufio"
	"io"

	"github.com/logq/logq/internal/protocol"
)

// Greeting as another broker would write it, for tests that play one.
func Hello(cl uint8, from, to uint16, cluster string) []byte {
	h := hello{class: class(cl), from: protocol.BrokerID(from), to: protocol.BrokerID(to), cluster: cluster}
	return h.encode()
}

// ReadVerdict, WriteVerdict and ReadHello are the rest of a greeting.
var (
	ReadVerdict  = readVerdict
	WriteVerdict = writeVerdict
)

// ReadHello returns the class, the caller and whom it wants.
func ReadHello(r io.Reader) (class uint8, from, to uint16, cluster string, err error) {
	h, err := readHello(r)
	return uint8(h.class), uint16(h.from), uint16(h.to), h.cluster, err
}

// Reread returns a greeting as it was understood.
func Reread(r io.Reader) ([]byte, error) {
	h, err := readHello(r)
	return h.encode(), err
}

// HelloAs is Hello of a broker that says more of itself.
func HelloAs(from, to uint16, who Introduction) []byte {
	h := hello{class: classControl, from: protocol.BrokerID(from), to: protocol.BrokerID(to), who: who}
	return h.encode()
}

// Frame types, for tests that play a peer.
const (
	FrameRaft    = uint8(frameRaft)
	FrameRequest = uint8(frameRequest)
	FrameReply   = uint8(frameReply)
	FrameRefused = uint8(frameRefused)
	FrameGossip  = uint8(frameGossip)
	FramePing    = uint8(framePing)
	FramePong    = uint8(framePong)
	FrameBatch   = uint8(frameBatch)
	FramePulse   = uint8(framePulse)

	FrameHeader = frameHeader
	RequestHead = requestHead
)

// AppendFrame appends a whole frame.
func AppendFrame(dst []byte, t uint8, head, body []byte) []byte {
	dst = appendHeader(dst, frameType(t), len(body), head)
	return append(append(dst, head...), body...)
}

// FrameReader reads frames with a limit.
type FrameReader struct{ fr frameReader }

// NewFrameReader reads frames from r.
func NewFrameReader(r io.Reader, limit int) *FrameReader {
	return &FrameReader{frameReader{r: bufio.NewReader(r), limit: limit}}
}

// Next returns the next frame.
func (r *FrameReader) Next() (t uint8, head, body []byte, err error) {
	f, err := r.fr.next()
	return uint8(f.t), f.head, f.body, err
}
