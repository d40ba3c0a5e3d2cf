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
	greetingVersion = 3
	maxClusterID    = 255
	maxDirectory    = 255
	maxReason       = 1024
	// fencedBit in the length of a verdict's reason says that the caller must not go on.
	fencedBit = 1 << 15
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// class is what a connection is for.
type class uint8

const (
	classControl class = 1
	classBulk    class = 2
	// classAsk is a connection for one question, see Ask.
	classAsk class = 3
)

func (c class) String() string {
	switch c {
	case classControl:
		return "control"
	case classBulk:
		return "bulk"
	default:
		return "ask"
	}
}

// Introduction is what a broker says of itself beside its number: which data
// directory it runs on, and which state of that.
type Introduction struct {
	// Directory is a random id, made with the directory. "": not known.
	Directory string
	// Incarnation is what the cluster has given the directory: later ones of the same
	// broker have higher numbers. 0 for those that the cluster began with.
	Incarnation uint64
	// Generation rises with each start, and now and then while the broker runs, so that
	// an old copy of a directory is told by a lower one.
	Generation uint64
}

// hello opens a connection: who calls, whom it wants, in which cluster.
type hello struct {
	class   class
	from    protocol.BrokerID
	to      protocol.BrokerID // 0 with classAsk: whoever is there
	cluster string            // "" until known
	who     Introduction
}

// encode: magic 8 | version 1 | class 1 | from 2 | to 2 | n 1 | cluster n |
// incarnation 8 | generation 8 | m 1 | directory m | CRC 4.
func (h *hello) encode() []byte {
	b := append([]byte(greetingMagic), greetingVersion, byte(h.class))
	b = binary.LittleEndian.AppendUint16(b, uint16(h.from))
	b = binary.LittleEndian.AppendUint16(b, uint16(h.to))
	b = append(b, byte(len(h.cluster)))
	b = append(b, h.cluster...)
	b = binary.LittleEndian.AppendUint64(b, h.who.Incarnation)
	b = binary.LittleEndian.AppendUint64(b, h.who.Generation)
	directory := h.who.Directory[:min(len(h.who.Directory), maxDirectory)]
	b = append(b, byte(len(directory)))
	b = append(b, directory...)
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
	n := int(fixed[14])
	rest := make([]byte, n+2*8+1, n+2*8+1+maxDirectory+4)
	if _, err := io.ReadFull(r, rest); err != nil {
		return h, fmt.Errorf("read greeting: %w", err)
	}
	end := len(rest) + int(rest[len(rest)-1])
	rest = rest[:end+4]
	if _, err := io.ReadFull(r, rest[n+2*8+1:]); err != nil {
		return h, fmt.Errorf("read greeting: %w", err)
	}
	if crc32.Update(crc32.Checksum(fixed[:], castagnoli), castagnoli, rest[:end]) != binary.LittleEndian.Uint32(rest[end:]) {
		return h, &GreetingError{Reason: "the greeting is damaged (CRC mismatch)"}
	}
	return hello{
		class:   class(fixed[9]),
		from:    protocol.BrokerID(binary.LittleEndian.Uint16(fixed[10:])),
		to:      protocol.BrokerID(binary.LittleEndian.Uint16(fixed[12:])),
		cluster: string(rest[:n]),
		who: Introduction{
			Incarnation: binary.LittleEndian.Uint64(rest[n:]), Generation: binary.LittleEndian.Uint64(rest[n+8:]),
			Directory: string(rest[n+2*8+1 : end]),
		},
	}, nil
}

// writeVerdict answers a hello; an empty reason accepts.
func writeVerdict(w io.Writer, reason string) error { return writeAnswer(w, reason, false) }

// writeAnswer writes a verdict, fenced if the caller must not go on:
// magic 8 | version 1 | n 2, with fencedBit | reason n | CRC 4.
func writeAnswer(w io.Writer, reason string, fenced bool) error {
	reason = reason[:min(len(reason), maxReason)]
	n := uint16(len(reason))
	if fenced {
		n |= fencedBit
	}
	b := append([]byte(greetingMagic), greetingVersion)
	b = binary.LittleEndian.AppendUint16(b, n)
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
	length := binary.LittleEndian.Uint16(fixed[9:])
	n := int(length &^ fencedBit)
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
		return &GreetingError{Reason: string(rest[:n]), Fenced: length&fencedBit != 0}
	}
	return nil
}

// judge says why a hello is refused, nil if it isn't.
func (t *Transport) judge(h *hello) *GreetingError {
	if h.class == classAsk && h.to == 0 && h.from != t.o.Self && t.o.Answer != nil {
		return nil // what is asked is judged by who answers
	}
	if t.o.Judge != nil && h.from != t.o.Self && h.to == t.o.Self && t.strange(h.from, h.cluster) == "" {
		if reason := t.o.Judge(h.from, h.who); reason != "" {
			return &GreetingError{Reason: reason, Fenced: true}
		}
	}
	if reason := t.mismatch(h); reason != "" {
		return &GreetingError{Reason: reason}
	}
	return nil
}

// mismatch says which of a hello's parts doesn't fit, "" if all do.
func (t *Transport) mismatch(h *hello) string {
	switch {
	case h.to != t.o.Self && h.class != classAsk:
		return fmt.Sprintf("this is broker %d, not %d; check the addresses in --peers", t.o.Self, h.to)
	case h.from == t.o.Self:
		return fmt.Sprintf("two brokers call themselves %d; give each its own --id", h.from)
	case h.class == classAsk:
		return fmt.Sprintf("broker %d takes no questions of brokers that aren't its peers", t.o.Self)
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
