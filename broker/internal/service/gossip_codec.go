package service

import (
	"encoding/binary"
	"fmt"

	"github.com/logq/logq/internal/protocol"
)

// gossip is what a broker tells the others about itself:
//
//	version u8 | flags u8 (bit 0: leaving) | generation u64 | cluster id | client URL | HTTP URL | peer address | rack | led
//
// where the texts are a length (uvarint) and bytes, and led is a count (uvarint) and as many entries of
//
//	group (20 bytes) | term | high watermark | log start | count of brokers in sync | each broker id
//
// with numbers as uvarints. An unknown version is ignored: gossip is sent again and nothing depends on any one message.
type gossip struct {
	clusterID string
	self      protocol.BrokerInfo // without id, which the connection tells, and without Alive
	leaving   bool
	// generation of the sender's data directory, see [Intro].
	generation uint64
	led        []led
}

// led is a partition that the sender leads.
type led struct {
	group         [20]byte
	term          uint64
	highWatermark uint64
	logStart      uint64
	insync        []protocol.BrokerID
}

const (
	gossipVersion   = 2
	gossipTextBytes = 1 << 10
	// gossipLeast is the least that an entry takes, so that a damaged count cannot make the decoder allocate more than the
	// message could fill.
	gossipLeast = 20 + 4
)

// DecodeError says why gossip of another broker cannot be read.
type DecodeError struct{ Reason string }

func (e *DecodeError) Error() string { return "service: bad message of another broker: " + e.Reason }

func (g *gossip) appendTo(dst []byte) []byte {
	var flags byte
	if g.leaving {
		flags = 1
	}
	dst = append(dst, gossipVersion, flags)
	dst = binary.LittleEndian.AppendUint64(dst, g.generation)
	for _, text := range [...]string{g.clusterID, g.self.URL, g.self.HTTP, g.self.Peer, g.self.Rack} {
		text = text[:min(len(text), gossipTextBytes)]
		dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
	}
	return appendLed(dst, g.led)
}

func appendLed(dst []byte, all []led) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	for i := range all {
		l := &all[i]
		dst = append(dst, l.group[:]...)
		for _, n := range [...]uint64{l.term, l.highWatermark, l.logStart, uint64(len(l.insync))} {
			dst = binary.AppendUvarint(dst, n)
		}
		for _, b := range l.insync {
			dst = binary.AppendUvarint(dst, uint64(b))
		}
	}
	return dst
}

func decodeGossip(src []byte) (*gossip, error) {
	d := gossipReader{src: src}
	if v := d.take(2); d.err == nil && v[0] != gossipVersion {
		d.fail("version %d is not known", v[0])
	} else if d.err == nil && v[1] > 1 {
		d.fail("flags %#x are not known", v[1])
	}
	g := new(gossip)
	if b := d.take(8); d.err == nil {
		g.generation = binary.LittleEndian.Uint64(b)
	}
	for _, text := range [...]*string{&g.clusterID, &g.self.URL, &g.self.HTTP, &g.self.Peer, &g.self.Rack} {
		*text = string(d.take(d.number(gossipTextBytes)))
	}
	g.led = d.led()
	if d.err != nil {
		return nil, d.err
	}
	g.leaving = src[1] == 1
	return g, nil
}

// gossipReader reads front to back and keeps the first error.
type gossipReader struct {
	src []byte
	err error
}

func (d *gossipReader) fail(format string, args ...any) {
	if d.err == nil {
		d.err = &DecodeError{Reason: fmt.Sprintf(format, args...)}
	}
}

func (d *gossipReader) take(n int) []byte {
	if d.err == nil && n > len(d.src) {
		d.fail("it is cut short")
	}
	if d.err != nil {
		return nil
	}
	b := d.src[:n]
	d.src = d.src[n:]
	return b
}

func (d *gossipReader) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.src)
	if n <= 0 || v > 1<<63-1 {
		d.fail("a number is malformed")
		return 0
	}
	d.src = d.src[n:]
	return v
}

func (d *gossipReader) number(most int) int {
	v := d.uvarint()
	if v > uint64(most) {
		d.fail("%d is over the limit of %d", v, most)
		return 0
	}
	return int(v)
}

// led reads the entries, which end the message.
func (d *gossipReader) led() []led {
	n := d.uvarint()
	if d.err == nil && n > uint64(len(d.src)/gossipLeast) {
		d.fail("%d partitions do not fit", n)
	}
	if d.err != nil || n == 0 {
		d.end()
		return nil
	}
	all := make([]led, n)
	for i := range all {
		l := &all[i]
		copy(l.group[:], d.take(len(l.group)))
		l.term, l.highWatermark, l.logStart = d.uvarint(), d.uvarint(), d.uvarint()
		if insync := d.number(protocol.MaxReplicas); insync > 0 {
			l.insync = make([]protocol.BrokerID, insync)
			for j := range l.insync {
				l.insync[j] = protocol.BrokerID(d.number(1<<16 - 1))
			}
		}
	}
	d.end()
	return all
}

func (d *gossipReader) end() {
	if d.err == nil && len(d.src) > 0 {
		d.fail("%d bytes after the end", len(d.src))
	}
}
