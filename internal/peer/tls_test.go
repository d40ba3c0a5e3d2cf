package peer_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// mutual returns a configuration that shows a certificate of this authority and
// wants one.
func (a *authority) mutual(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

// joined starts brokers 1 and 2 with these configurations, without waiting.
func joined(t *testing.T, a, b *tls.Config, in *recorder) (ta, tb *peer.Transport, log *logged) {
	t.Helper()
	log = new(logged)
	la, lb := listen(t), listen(t)
	o := peer.Options{HandshakeTimeout: time.Second, Logger: log.logger()}
	oa, ob := o, o
	oa.Self, oa.Peers, oa.Listener, oa.Handler, oa.TLS = 1, map[protocol.BrokerID]string{2: lb.Addr().String()}, la, newRecorder(), a
	ob.Self, ob.Peers, ob.Listener, ob.Handler, ob.TLS = 2, map[protocol.BrokerID]string{1: la.Addr().String()}, lb, in, b
	return start(t, oa), start(t, ob), log
}

func TestMutualTLS(t *testing.T) {
	ca := newAuthority(t)
	in := newRecorder()
	ta, _, _ := joined(t, ca.mutual(t), ca.mutual(t), in)
	connected(t, ta, 2)
	big := bytes.Repeat([]byte("entries"), 300_000)
	for i := range 20 {
		if !ta.Send(2, appendMessage(i), [][]byte{big[:5000], big[5000:5010], big[5010:]}) {
			t.Fatal("dropped")
		}
	}
	for range 20 {
		if got := <-in.frames; !bytes.Equal(got, big) {
			t.Fatalf("%d other bytes", len(got))
		}
	}
}

func TestTLSMismatch(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	for name, c := range map[string]struct {
		a, b *tls.Config
		want string
	}{
		"only one side":        {nil, ca.mutual(t), "either both brokers or none must use TLS"},
		"another authority":    {stranger.mutual(t), ca.mutual(t), "certificate"},
		"no certificate shown": {&tls.Config{RootCAs: ca.mutual(t).RootCAs}, ca.mutual(t), "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			ta, tb, log := joined(t, c.a, c.b, newRecorder())
			eventually(t, "message with "+c.want, func() bool { return strings.Contains(log.String(), c.want) })
			if ta.Connected(2) || tb.Connected(1) {
				t.Error("connected all the same")
			}
		})
	}
}

// TestAskTLS: questions go over mutual TLS too; a stranger's certificate asks nothing.
func TestAskTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := quiet()
	o.Self, o.Listener, o.Handler, o.TLS = 1, l, newRecorder(), ours.mutual(t)
	o.Answer = func(_ context.Context, from protocol.BrokerID, _ peer.Introduction, body []byte) []byte {
		return fmt.Appendf(nil, "%d %s", from, body)
	}
	tr, err := peer.New(o)
	if err != nil {
		t.Fatal(err)
	}
	tr.Start()
	defer abrupt(t, tr)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for name, tt := range map[string]struct {
		cfg *tls.Config
		ok  bool
	}{"ours": {ours.mutual(t), true}, "a stranger's": {theirs.mutual(t), false}, "none": {nil, false}} {
		asker := peer.Asker{Self: 9, TLS: tt.cfg}
		got, err := asker.Ask(ctx, l.Addr().String(), []byte("hello"))
		if (err == nil) != tt.ok || tt.ok && string(got) != "9 hello" {
			t.Errorf("certificate %s: %q, %v", name, got, err)
		}
	}
}
