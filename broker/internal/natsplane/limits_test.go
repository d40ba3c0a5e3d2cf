package natsplane_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logq/logq/broker/internal/natsplane"
	"github.com/logq/logq/internal/protocol"
)

// stuckHandler never answers until it is released.
type stuckHandler struct {
	mu     sync.Mutex
	waits  []func(*protocol.Response) // guarded by mu
	taken  atomic.Int64
	notice chan struct{}
}

func (h *stuckHandler) Handle(_ context.Context, _ *protocol.Request, reply func(*protocol.Response)) {
	h.mu.Lock()
	h.waits = append(h.waits, reply)
	h.mu.Unlock()
	h.taken.Add(1)
	select {
	case h.notice <- struct{}{}:
	default:
	}
}

func (h *stuckHandler) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, reply := range h.waits {
		reply(&protocol.Response{})
	}
	h.waits = nil
}

// TestAbruptClose: with a context that is done nothing is waited for, and answers
// that come later do no harm.
func TestAbruptClose(t *testing.T) {
	h := &stuckHandler{notice: make(chan struct{}, 1)}
	p, err := natsplane.Start(natsplane.Options{Listen: "127.0.0.1:0", Handler: h, Version: "0.1.0"})
	if err != nil {
		t.Fatal(err)
	}
	nc := connect(t, p)
	defer nc.Close()
	if err := nc.PublishRequest(protocol.ProduceSubject("a", 0), nats.NewInbox(), nil); err != nil {
		t.Fatal(err)
	}
	<-h.notice
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Close(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 requests") {
		t.Errorf("close: %v", err)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Errorf("second close: %v", err)
	}
	h.release()
	if s := p.Stats(); s.ReplyErrors != 1 || s.Underway != 0 {
		t.Errorf("stats after a late answer: %+v", s)
	}
}

// TestTooManyRequests: beyond the limit the answer is a typed error, at once.
func TestTooManyRequests(t *testing.T) {
	const limit = 100
	h := &stuckHandler{notice: make(chan struct{}, 1)}
	p, err := natsplane.Start(natsplane.Options{Listen: "127.0.0.1:0", Handler: h, Version: "0.1.0", MaxRequests: limit})
	if err != nil {
		t.Fatal(err)
	}
	nc := connect(t, p)
	defer nc.Close()
	inbox := nats.NewInbox()
	refused, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	for range limit + 1 {
		if err := nc.PublishRequest(protocol.PubSubject("a", 0), inbox, nil); err != nil {
			t.Fatal(err)
		}
	}
	m, err := refused.NextMsg(10 * time.Second)
	if err != nil || m.Header.Get(protocol.HeaderError) != "89" {
		t.Fatalf("request %d: %v %v (%d taken)", limit+1, m, err, h.taken.Load())
	}
	h.release()
	if s := p.Stats(); s.Throttled != 1 || s.Requests != limit || s.Underway != 0 {
		t.Errorf("stats: %+v", s)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// stalled takes nothing until it is released: everything on the way fills up.
type stalled struct {
	handler
	release chan struct{}
}

func (h *stalled) Handle(ctx context.Context, req *protocol.Request, reply func(*protocol.Response)) {
	<-h.release
	h.handler.Handle(ctx, req, reply)
}

// TestFlood: of more than the buffers on the way can hold every request is
// answered, either by the handler or with "no responders", which means that it went
// nowhere; and the broker's own connections hold.
func TestFlood(t *testing.T) {
	for _, c := range []struct {
		name                string
		clients, each, size int
	}{
		{"large", 4, 24, 1 << 20},
		{"small", 2, 12_000, 1 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &stalled{release: make(chan struct{})}
			p, err := natsplane.Start(natsplane.Options{Listen: "127.0.0.1:0", Handler: h, Version: "0.1.0", MaxPendingBytes: 8 << 20})
			if err != nil {
				t.Fatal(err)
			}
			var answers, sent sync.WaitGroup
			var acks, refusals atomic.Int64
			sent.Add(c.clients)
			for range c.clients {
				answers.Go(func() { flood(t, p, c.each, c.size, sent.Done, &acks, &refusals) })
			}
			sent.Wait()
			close(h.release)
			answers.Wait()
			if err := p.Close(context.Background()); err != nil {
				t.Error(err)
			}
			s := p.Stats()
			t.Logf("%d acknowledged, %d without responder", acks.Load(), refusals.Load())
			if s.Reconnects != 0 || s.SlowConsumers != 0 || acks.Load() == 0 || refusals.Load() == 0 || uint64(acks.Load()) != s.Requests {
				t.Errorf("%d acknowledged, stats: %+v", acks.Load(), s)
			}
		})
	}
}

func flood(t *testing.T, p *natsplane.Plane, n, size int, sent func(), acks, refusals *atomic.Int64) {
	done := sync.OnceFunc(sent)
	defer done()
	nc, err := nats.Connect(p.ClientURL(), nats.NoReconnect())
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	inbox := nats.NewInbox()
	got := make(chan *nats.Msg, n)
	if _, err := nc.ChanSubscribe(inbox, got); err != nil {
		t.Error(err)
		return
	}
	payload := make([]byte, size)
	for range n {
		if err := nc.PublishRequest(protocol.ProduceSubject("a", 0), inbox, payload); err != nil {
			t.Error(err)
			return
		}
	}
	if err := nc.Flush(); err != nil {
		t.Error(err)
		return
	}
	done()
	for i := range n {
		select {
		case m := <-got:
			if m.Header.Get("Status") == "503" {
				refusals.Add(1)
			} else {
				acks.Add(1)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%d of %d requests are answered; %+v", i, n, p.Stats())
			return
		}
	}
}

// TestConditions: a condition of a JetStream publisher is never stored as if it
// had not been set.
func TestConditions(t *testing.T) {
	h := &handler{}
	p, nc := start(t, h)
	if err := p.SetBindings([]natsplane.Binding{{Subject: "orders.>", Topic: "orders"}}); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "orders.eu", nil, jetstream.WithExpectStream("orders"), jetstream.WithMsgID("7")); err != nil {
		t.Errorf("with the right stream expected: %v", err)
	}
	for name, opt := range map[string]jetstream.PublishOpt{
		"stream": jetstream.WithExpectStream("invoices"), "sequence": jetstream.WithExpectLastSequence(3),
		"id": jetstream.WithExpectLastMsgID("x"), "time to live": jetstream.WithMsgTTL(time.Hour),
	} {
		_, err := js.Publish(t.Context(), "orders.eu", nil, opt)
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.Code != 400 {
			t.Errorf("condition on %s: %v", name, err)
		}
	}
	for _, m := range []*nats.Msg{
		{Subject: "orders.eu", Header: nats.Header{"Nats-Rollup": {"all"}}},
		{Subject: protocol.PubSubject("orders", 0), Header: nats.Header{"Nats-Expected-Last-Subject-Sequence": {"3"}}},
	} {
		if r := request(t, nc, m); r.Header.Get(protocol.HeaderError) != "42" {
			t.Errorf("%v is answered with %s", m.Header, r.Data)
		}
	}
	if _, err := js.Publish(t.Context(), "nowhere", nil); !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("publish where nothing is bound: %v", err)
	}
}

// TestBindingsAreChecked: what must not be bound is left out, the rest is bound.
func TestBindingsAreChecked(t *testing.T) {
	h := &handler{}
	p, nc := start(t, h)
	want := []natsplane.Binding{{Subject: "good.>", Topic: "good"}}
	bad := []string{"logq.v1.produce.>", "logq.>", "logq", "$SYS.>", "$SRV.PING", "_INBOX.>", "_R_.>", ">", "*.x", "a..b", "a.>.b", "", "a b", "good.x", "*"}
	for _, s := range bad {
		want = append(want, natsplane.Binding{Subject: s, Topic: "bad"})
	}
	err := p.SetBindings(want)
	if err == nil {
		t.Fatal("everything was bound")
	}
	if got := strings.Count(err.Error(), "is not bound to topic bad"); got != len(bad) {
		t.Errorf("%d of %d are refused: %v", got, len(bad), err)
	}
	if r := request(t, nc, &nats.Msg{Subject: "good.x"}); h.last().Topic != "good" {
		t.Errorf("good.x went to %q, answered with %s", h.last().Topic, r.Data)
	}
	if r := request(t, nc, &nats.Msg{Subject: protocol.ProduceSubject("a", 0)}); h.last().Op != protocol.OpProduce {
		t.Errorf("produce was answered with %s", r.Data)
	}
}

// TestRecordHeaders: the order of a stored message's headers does not depend on a
// map's, and what the server and logq add is not stored.
func TestRecordHeaders(t *testing.T) {
	h := &handler{}
	_, nc := start(t, h)
	for range 20 {
		request(t, nc, &nats.Msg{Subject: protocol.PubSubject("a", 0), Header: nats.Header{
			"b": {"2"}, "A": {"1"}, "c": {"3", "4"}, "Nats-Msg-Id": {"9"}, "Logq-Deadline-Ms": {"100"},
		}})
		var got []string
		for _, hd := range h.last().Headers {
			got = append(got, hd.Name+"="+string(hd.Value))
		}
		if s := strings.Join(got, " "); s != "A=1 Nats-Msg-Id=9 b=2 c=3 c=4" {
			t.Fatalf("headers are stored as %s", s)
		}
	}
}

// TestForgedReplies: a client can publish neither to inboxes nor to the subjects
// over which the server brings answers back.
func TestForgedReplies(t *testing.T) {
	_, nc := start(t, &handler{})
	violations := make(chan error, 4)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err })
	for _, subject := range []string{"_INBOX.victim.1", "_R_.abc.x", "$SYS.REQ.SERVER.PING"} {
		if err := nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-violations:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("publish to %s: %v", subject, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("a client may publish to %s", subject)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := natsplane.Start(natsplane.Options{Listen: "nowhere"})
	if err == nil || !strings.Contains(err.Error(), "nowhere") || !strings.Contains(err.Error(), "Handler") {
		t.Errorf("got %v, want both faults", err)
	}
}

// TestTLS: with TLS a plain client is turned away, and the broker's own
// connections, which are in process, still work.
func TestTLS(t *testing.T) {
	server, client := certificates(t)
	h := &handler{}
	p, err := natsplane.Start(natsplane.Options{Listen: "127.0.0.1:0", Handler: h, Version: "0.1.0", TLS: server})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if !strings.HasPrefix(p.ClientURL(), "tls://") {
		t.Errorf("client URL %s", p.ClientURL())
	}
	nc, err := nats.Connect(p.ClientURL(), nats.Secure(client), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	r := request(t, nc, &nats.Msg{Subject: protocol.ProduceSubject("a", 0), Data: []byte("batch")})
	var ack protocol.ProduceReply
	if err := json.Unmarshal(r.Data, &ack); err != nil || ack.BaseOffset != 41 {
		t.Errorf("answered with %s, %v", r.Data, err)
	}
	if c, err := nats.Connect("nats://"+p.Addr(), nats.NoReconnect()); err == nil {
		c.Close()
		t.Error("a plain connection came in")
	}
}

// certificates returns both sides' configuration with a self-signed certificate.
func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12},
		&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}
