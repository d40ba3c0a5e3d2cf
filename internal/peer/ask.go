package peer

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"

	"github.com/logq/logq/internal/protocol"
)

// Asker is a broker that asks another one before the two know each other.
type Asker struct {
	Self      protocol.BrokerID
	Who       Introduction
	ClusterID string
	TLS       *tls.Config                                              // as in Options
	Dial      func(ctx context.Context, addr string) (net.Conn, error) // default: net.Dialer
}

// Ask sends one question to whichever broker is at HOST:PORT and returns its
// answer, by Options.Answer there. ctx should have a deadline. A *GreetingError says
// why the question was not taken.
func (a *Asker) Ask(ctx context.Context, addr string, body []byte) ([]byte, error) {
	if len(body) > MaxQuestion {
		return nil, fmt.Errorf("ask %s: %w", addr, errTooLarge)
	}
	dial := a.Dial
	if dial == nil {
		dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	nc, err := dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("ask %s: dial: %w", addr, err)
	}
	if a.TLS != nil {
		cfg := a.TLS.Clone()
		if cfg.ServerName == "" {
			cfg.ServerName, _, _ = net.SplitHostPort(addr)
		}
		nc = tls.Client(nc, cfg)
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	answer, err := a.converse(nc, body)
	_ = nc.Close() // the answer is here, or err is the reason
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", addr, tlsHint(err))
	}
	return answer, nil
}

func (a *Asker) converse(nc net.Conn, body []byte) ([]byte, error) {
	h := hello{class: classAsk, from: a.Self, cluster: a.ClusterID, who: a.Who}
	if _, err := nc.Write(h.encode()); err != nil {
		return nil, fmt.Errorf("greet: %w", err)
	}
	br := bufio.NewReader(nc)
	if err := readVerdict(br); err != nil {
		return nil, err
	}
	if err := writeNote(nc, body); err != nil {
		return nil, err
	}
	return readNote(br, MaxAnswer)
}

// answer takes a question and answers it, within a request's time.
func (t *Transport) answer(nc net.Conn, br *bufio.Reader, h *hello) {
	ctx, cancel := context.WithTimeout(t.ctx, t.o.HandshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	body, err := readNote(br, MaxQuestion)
	if err == nil {
		note := t.o.Answer(ctx, h.from, h.who, body)
		if err = ctx.Err(); err == nil { // else nobody waits for it
			err = writeNote(nc, note)
		}
	}
	if err != nil && !t.closed.Load() {
		t.log.Debug("a question was not answered", "from", h.from, "remote", nc.RemoteAddr().String(), "error", err)
	}
	_ = nc.Close() // nothing more comes
}

// writeNote writes n 4 | body n | CRC 4.
func writeNote(w io.Writer, body []byte) error {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, len(body)+8), uint32(len(body)))
	b = append(b, body...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	_, err := w.Write(b)
	return err
}

func readNote(r io.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if uint64(n) > uint64(limit) {
		return nil, &FrameError{What: fmt.Sprintf("a note of %d bytes, the limit is %d", n, limit)}
	}
	rest := make([]byte, n+4)
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, fmt.Errorf("the answer is cut short: %w", err)
	}
	if crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, rest[:n]) != binary.LittleEndian.Uint32(rest[n:]) {
		return nil, &FrameError{What: "a note is damaged (CRC mismatch)"}
	}
	return rest[:n], nil
}
