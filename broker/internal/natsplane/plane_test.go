package natsplane_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/logq/logq/broker/internal/natsplane"
	"github.com/logq/logq/internal/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handler answers with what it was asked, and remembers it.
type handler struct {
	mu    sync.Mutex
	asked []protocol.Request // guarded by mu
	reply func(*protocol.Request) *protocol.Response
}

func (h *handler) Handle(_ context.Context, req *protocol.Request, reply func(*protocol.Response)) {
	h.mu.Lock()
	h.asked = append(h.asked, *req)
	f := h.reply
	h.mu.Unlock()
	r := &protocol.Response{Partition: 0, BaseOffset: 41, LastOffset: 41, Epoch: 3, HighWatermark: 42, NextOffset: 42, Body: []byte("body")}
	if f != nil {
		r = f(req)
	}
	go reply(r)
}

func (h *handler) last() protocol.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked[len(h.asked)-1]
}

func start(t *testing.T, h *handler) (*natsplane.Plane, *nats.Conn) {
	t.Helper()
	p, err := natsplane.Start(natsplane.Options{Listen: "127.0.0.1:0", Name: "b1", Version: "0.1.0", Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	nc := connect(t, p)
	t.Cleanup(func() {
		nc.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return p, nc
}

func connect(t *testing.T, p *natsplane.Plane) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(p.ClientURL(), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

func request(t *testing.T, nc *nats.Conn, m *nats.Msg) *nats.Msg {
	t.Helper()
	r, err := nc.RequestMsg(m, 5*time.Second)
	if err != nil {
		t.Fatalf("%s: %v", m.Subject, err)
	}
	return r
}

func TestRequestsAndReplies(t *testing.T) {
	h := &handler{}
	_, nc := start(t, h)

	r := request(t, nc, &nats.Msg{Subject: protocol.ProduceSubject("a.b", 3), Data: []byte("batch"), Header: nats.Header{"Logq-Epoch": {"7"}, "Logq-Deadline-Ms": {"900"}}})
	var ack protocol.ProduceReply
	if err := json.Unmarshal(r.Data, &ack); err != nil || ack.BaseOffset != 41 || ack.Topic != "a.b" {
		t.Errorf("produce: %s, %v", r.Data, err)
	}
	if q := h.last(); q.Op != protocol.OpProduce || q.Topic != "a.b" || q.Partition != 3 || q.Epoch != 7 || q.DeadlineMs != 900 || string(q.Body) != "batch" {
		t.Errorf("produce handed over as %+v", q)
	}

	r = request(t, nc, &nats.Msg{Subject: protocol.FetchSubject("a", 0), Data: []byte(`{"offset":1}`)})
	if string(r.Data) != "body" || r.Header.Get(protocol.HeaderHighWatermark) != "42" || r.Header.Get(protocol.HeaderNextOffset) != "42" {
		t.Errorf("fetch: %q %v", r.Data, r.Header)
	}

	r = request(t, nc, &nats.Msg{Subject: protocol.PubSubject("a", protocol.AnyPartition), Data: []byte("hi"), Header: nats.Header{"Logq-Key": {"k"}, "X": {"1", "2"}}})
	var pub protocol.PubAck
	if err := json.Unmarshal(r.Data, &pub); err != nil || pub.Stream != "a" || pub.Seq != 42 || pub.Offset != 41 {
		t.Errorf("pub: %s, %v", r.Data, err)
	}
	if q := h.last(); string(q.Key) != "k" || len(q.Headers) != 2 || q.Partition != protocol.AnyPartition {
		t.Errorf("pub handed over as %+v", q)
	}

	for _, s := range []string{protocol.MetaSubject, protocol.TopicCreateSubject, protocol.TopicListSubject, protocol.TopicDescribeSubject, protocol.TopicDeleteSubject, protocol.ClusterStatusSubject} {
		if r := request(t, nc, &nats.Msg{Subject: s, Data: []byte("{}")}); string(r.Data) != "body" {
			t.Errorf("%s: %q", s, r.Data)
		}
	}
}

func TestErrorsAreTyped(t *testing.T) {
	h := &handler{reply: func(*protocol.Request) *protocol.Response {
		return protocol.ErrorResponse(protocol.Errorf(protocol.ThrottlingQuotaExceeded, "slowly"))
	}}
	_, nc := start(t, h)
	for _, m := range []*nats.Msg{
		{Subject: protocol.ProduceSubject("a", 0)}, {Subject: protocol.FetchSubject("a", 0)}, {Subject: protocol.OffsetsSubject("a", 0)}, {Subject: protocol.TopicListSubject},
	} {
		r := request(t, nc, m)
		var e protocol.ErrorReply
		if err := json.Unmarshal(r.Data, &e); err != nil || e.Error == nil || e.Error.Code != protocol.ThrottlingQuotaExceeded || r.Header.Get(protocol.HeaderError) != "89" {
			t.Errorf("%s: %q %v", m.Subject, r.Data, r.Header)
		}
	}
	for _, subject := range []string{
		"logq.v1.produce.x.t", "logq.v1.produce.0", "logq.v1.produce.0.a.>", "logq.v1.produce.0.*", "logq.v1.fetch._.t", "logq.v1.offsets.00.t",
		"logq.v1.nonsense", "logq.v1.nonsense.0.t", "logq.v1.admin.nonsense", "logq.v1.admin.topic.create.x", "logq.v1.meta.x", "logq.v1.produce",
	} {
		r := request(t, nc, &nats.Msg{Subject: subject})
		var e protocol.ErrorReply
		if err := json.Unmarshal(r.Data, &e); err != nil || e.Error == nil || e.Error.Outcome != protocol.NotWritten {
			t.Errorf("%s is answered with %q, %v", subject, r.Data, err)
		}
		if r.Header.Get(protocol.HeaderError) == "" || r.Header.Get("Nats-Service-Error-Code") == "" {
			t.Errorf("%s is answered with header %v", subject, r.Header)
		}
	}
	r := request(t, nc, &nats.Msg{Subject: "logq.v1.pub.zero.a"})
	var ack protocol.PubAck
	if err := json.Unmarshal(r.Data, &ack); err != nil || ack.Error == nil || ack.Error.ErrCode != protocol.APIErrCodeBase+uint16(protocol.InvalidRequest) {
		t.Errorf("a bad pub is answered with %q, %v", r.Data, err)
	}
	r = request(t, nc, &nats.Msg{Subject: protocol.MetaSubject, Header: nats.Header{"Logq-Deadline-Ms": {"soon"}}})
	if !strings.Contains(string(r.Data), "Logq-Deadline-Ms") {
		t.Errorf("a bad header is answered with %s", r.Data)
	}
	r = request(t, nc, &nats.Msg{Subject: protocol.ProduceSubject("a", 0), Header: nats.Header{"Logq-Epoch": {"soon"}}})
	if !strings.Contains(string(r.Data), "Logq-Epoch") {
		t.Errorf("a bad header is answered with %s", r.Data)
	}
}

func TestJetStreamPublishesOnABoundSubject(t *testing.T) {
	h := &handler{}
	p, nc := start(t, h)
	bind := []natsplane.Binding{{Subject: "orders.>", Topic: "orders"}}
	if err := p.SetBindings(bind); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "orders.eu.1", Data: []byte("o"), Header: nats.Header{"Nats-Msg-Id": {"1"}}})
	if err != nil || ack.Stream != "orders" || ack.Sequence != 42 {
		t.Fatalf("ack %+v, %v", ack, err)
	}
	q := h.last()
	names := map[string]string{}
	for _, hd := range q.Headers {
		names[hd.Name] = string(hd.Value)
	}
	if q.Topic != "orders" || names["Nats-Subject"] != "orders.eu.1" || names["Nats-Msg-Id"] != "1" {
		t.Errorf("stored as %+v", q)
	}
	if err := p.SetBindings(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Request("orders.eu.1", nil, 5*time.Second); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("after unbinding: %v", err)
	}
}

// TestClientsCannotReachEachOther: a client can neither read requests of others
// nor forge their answers, nor come in as the broker.
func TestClientsCannotReachEachOther(t *testing.T) {
	h := &handler{}
	p, nc := start(t, h)
	for _, subject := range []string{"logq.v1.>", ">", "orders.>", "$SRV.>"} {
		errs := make(chan error, 1)
		nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			select {
			case errs <- err:
			default:
			}
		})
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-errs:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("subscribe %s: %v", subject, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("a client may subscribe to %s", subject)
		}
	}
	for _, user := range []string{"broker", "edge"} {
		if c, err := nats.Connect(p.ClientURL(), nats.UserInfo(user, ""), nats.NoReconnect()); err == nil {
			c.Close()
			t.Errorf("a socket came in as %s", user)
		}
	}
}

func TestDiscovery(t *testing.T) {
	_, nc := start(t, &handler{})
	r, err := nc.Request("$SRV.INFO", nil, 5*time.Second)
	if err != nil || !strings.Contains(string(r.Data), `"name":"logq"`) || !strings.Contains(string(r.Data), "logq.v1.admin.topic.create") {
		t.Errorf("info: %v %v", r, err)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = natsplane.Start(natsplane.Options{Listen: l.Addr().String(), Handler: &handler{}})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
}

func TestCloseWaitsForReplies(t *testing.T) {
	release := make(chan struct{})
	h := &handler{reply: func(*protocol.Request) *protocol.Response {
		return &protocol.Response{BaseOffset: 1}
	}}
	slow := slowHandler{h, release}
	p, err := natsplane.Start(natsplane.Options{Listen: "127.0.0.1:0", Handler: slow, Version: "0.1.0"})
	if err != nil {
		t.Fatal(err)
	}
	nc := connect(t, p)
	defer nc.Close()
	inbox, got := nats.NewInbox(), make(chan *nats.Msg, 1)
	if _, err := nc.ChanSubscribe(inbox, got); err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest(protocol.ProduceSubject("a", 0), inbox, nil); err != nil {
		t.Fatal(err)
	}
	<-slow.release // taken
	closed := make(chan error, 1)
	go func() { closed <- p.Close(context.Background()) }()
	slow.release <- struct{}{}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	select {
	case <-got:
	case <-time.After(5 * time.Second):
		t.Error("the reply that was due did not come")
	}
}

type slowHandler struct {
	h       *handler
	release chan struct{}
}

func (s slowHandler) Handle(ctx context.Context, req *protocol.Request, reply func(*protocol.Response)) {
	go func() {
		s.release <- struct{}{}
		<-s.release
		s.h.Handle(ctx, req, reply)
	}()
}
