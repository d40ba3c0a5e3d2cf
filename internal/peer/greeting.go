package peer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/logq/logq/internal/protocol"
)

const (
	greetingMagic   = "LOGQPEER"
	greetingVersion = 2
	maxClusterID    = 255
	maxReason       = 1024
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// class is what a connection is for.
type class uint8

const (
	classControl class = 1
	classBulk    class = 2
)

func (c class) String() string {
	if c == classControl {
		return "control"
	}
	return "bulk"
}

// hello opens a connection: who calls, whom it wants, in which cluster.
type hello struct {
	class   class
	from    protocol.BrokerID
	to      protocol.BrokerID
	cluster string // "" until known
}

// encode: magic 8 | version 1 | class 1 | from 2 | to 2 | n 1 | cluster n | CRC 4.
func (h *hello) encode() []byte {
	b := append([]byte(greetingMagic), greetingVersion, byte(h.class))
	b = binary.LittleEndian.AppendUint16(b, uint16(h.from))
	b = binary.LittleEndian.AppendUint16(b, uint16(h.to))
	b = append(b, byte(len(h.cluster)))
	b = append(b, h.cluster...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// errNotPeer says what kind of stranger began like this.
func errNotPeer(begins []byte) error {
	what := "something that does not speak the logq peer protocol"
	remedy := "is this the right port?"
	switch {
	case len(begins) >= 3 && (begins[0] == 0x15 || begins[0] == 0x16) && begins[1] == 3:
		what, remedy = "TLS", "either both brokers or none must use TLS between peers"
	case bytes.HasPrefix(begins, []byte("INFO {")), bytes.HasPrefix(begins, []byte("CONNECT ")):
		what, remedy = "NATS", "clients belong on the port of --listen, --peers names the peer ports"
	default:
		for _, method := range []string{"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "PRI ", "HTTP/"} {
			if bytes.HasPrefix(begins, []byte(method)) {
				what, remedy = "HTTP", "the port of --http is the one for that"
			}
		}
	}
	return &GreetingError{Reason: what + " is on the other side; " + remedy}
}

// readMagic fills fixed, and stops at the first byte that no greeting has.
func readMagic(r io.Reader, fixed []byte) error {
	n := len(greetingMagic)
	if got, err := io.ReadFull(r, fixed[:n]); err != nil {
		if !strings.HasPrefix(greetingMagic, string(fixed[:got])) {
			return errNotPeer(fixed[:got])
		}
		return fmt.Errorf("the other side hung up, or was silent, in place of a greeting: %w", err)
	}
	if string(fixed[:n]) != greetingMagic {
		return errNotPeer(fixed[:n])
	}
	if _, err := io.ReadFull(r, fixed[n:]); err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	return nil
}

func readHello(r io.Reader) (h hello, err error) {
	var fixed [15]byte
	if err := readMagic(r, fixed[:]); err != nil {
		return h, err
	}
	if fixed[8] != greetingVersion {
		return h, &GreetingError{Reason: fmt.Sprintf("peer protocol version %d, this broker speaks %d; run the same release on both", fixed[8], greetingVersion)}
	}
	rest := make([]byte, int(fixed[14])+4)
	if _, err := io.ReadFull(r, rest); err != nil {
		return h, fmt.Errorf("read greeting: %w", err)
	}
	n := len(rest) - 4
	if crc32.Update(crc32.Checksum(fixed[:], castagnoli), castagnoli, rest[:n]) != binary.LittleEndian.Uint32(rest[n:]) {
		return h, &GreetingError{Reason: "the greeting is damaged (CRC mismatch)"}
	}
	return hello{
		class:   class(fixed[9]),
		from:    protocol.BrokerID(binary.LittleEndian.Uint16(fixed[10:])),
		to:      protocol.BrokerID(binary.LittleEndian.Uint16(fixed[12:])),
		cluster: string(rest[:n]),
	}, nil
}

// writeVerdict answers a hello; an empty reason accepts.
// magic 8 | version 1 | n 2 | reason n | CRC 4.
func writeVerdict(w io.Writer, reason string) error {
	reason = reason[:min(len(reason), maxReason)]
	b := append([]byte(greetingMagic), greetingVersion)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(reason)))
	b = append(b, reason...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	_, err := w.Write(b)
	return err
}

func readVerdict(r io.Reader) error {
	var fixed [11]byte
	if err := readMagic(r, fixed[:]); err != nil {
		return err
	}
	n := int(binary.LittleEndian.Uint16(fixed[9:]))
	if fixed[8] != greetingVersion || n > maxReason {
		return &GreetingError{Reason: fmt.Sprintf("peer protocol version %d, this broker speaks %d; run the same release on both", fixed[8], greetingVersion)}
	}
	rest := make([]byte, n+4)
	if _, err := io.ReadFull(r, rest); err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	if crc32.Update(crc32.Checksum(fixed[:], castagnoli), castagnoli, rest[:n]) != binary.LittleEndian.Uint32(rest[n:]) {
		return &GreetingError{Reason: "the answer to the greeting is damaged (CRC mismatch)"}
	}
	if n > 0 {
		return &GreetingError{Reason: string(rest[:n])}
	}
	return nil
}

// judge says why a hello is refused, "" if it isn't.
func (t *Transport) judge(h *hello) string {
	switch {
	case h.to != t.o.Self:
		return fmt.Sprintf("this is broker %d, not %d; check the addresses in --peers", t.o.Self, h.to)
	case h.from == t.o.Self:
		return fmt.Sprintf("two brokers call themselves %d; give each its own --id", h.from)
	case t.linksOf(h.from) == nil:
		return fmt.Sprintf("broker %d is not in the --peers of broker %d, and was not added to the cluster, or is removed", h.from, t.o.Self)
	case h.class != classControl && h.class != classBulk:
		return fmt.Sprintf("connection class %d is unknown; run the same release on both", h.class)
	}
	return t.strange(h.from, h.cluster)
}

// strange says why a broker of that cluster is none of ours, "" as long as
// either side has no cluster yet.
func (t *Transport) strange(from protocol.BrokerID, cluster string) string {
	mine := t.clusterID()
	if mine == "" || cluster == "" || mine == cluster {
		return ""
	}
	return fmt.Sprintf("broker %d belongs to cluster %s, broker %d to cluster %s; point it at its own cluster or give it an empty data directory",
		t.o.Self, mine, from, cluster)
}
