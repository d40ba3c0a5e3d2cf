package peer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logq/logq/internal/peer"
	"github.com/logq/logq/internal/protocol"
)

// logged collects log lines.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func cluster(id string) func() string { return func() string { return id } }

// TestGreetingIsRefused: each mismatch is refused by the side that is called,
// and both sides say what it is and what to do, once.
func TestGreetingIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		hello  []byte
		answer string // what the caller is told; "" = cut off without
	}{
		"another broker's address": {peer.Hello(1, 2, 3, ""), "this is broker 1, not 3; check the addresses in --peers"},
		"the same id":              {peer.Hello(1, 1, 1, ""), "two brokers call themselves 1"},
		"not configured":           {peer.Hello(1, 9, 1, ""), "broker 9 is not in the --peers of broker 1"},
		"another cluster":          {peer.Hello(1, 2, 1, "blue"), "broker 1 belongs to cluster red, broker 2 to cluster blue"},
		"unknown class":            {peer.Hello(7, 2, 1, ""), "connection class 7 is unknown"},
		"newer version":            {change(peer.Hello(1, 2, 1, ""), 8, 4), "version 4, this broker speaks 3; run the same release"},
		"damaged":                  {change(peer.Hello(1, 2, 1, "red"), 16, 'x'), "damaged"},
		"http":                     {[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP is on the other side"},
		"tls":                      {[]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "TLS is on the other side; either both"},
		"nats":                     {[]byte("CONNECT {\"verbose\":false}\r\n"), "NATS is on the other side"},
		"zeros":                    {make([]byte, 4096), "does not speak the logq peer protocol"},
		"kafka":                    {[]byte("\x00\x00\x00\x17\x00\x12\x00\x03\x00\x00\x00\x01\x00\x08consumer"), "does not speak"},
		"an early end":             {[]byte("LOGQPEER\x01\x01"), ""},
		"half of the magic":        {[]byte("LOGQ"), ""},
		"nothing":                  {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logged
				o := quiet()
				o.ClusterID, o.Logger, o.HandshakeTimeout = cluster("red"), log.logger(), 2*time.Second
				tr, f := against(t, o)
				for range 3 {
					conn, err := f.net.dial(t.Context(), "one")
					if err != nil {
						t.Fatal(err)
					}
					start := time.Now()
					go func() { _, _ = conn.Write(c.hello) }()
					err = peer.ReadVerdict(conn)
					if d := time.Since(start); d > 2*time.Second {
						t.Errorf("cut off after %v", d)
					}
					var refused *peer.GreetingError
					switch {
					case c.answer == "" && errors.As(err, &refused):
						t.Errorf("refused with %v, want a silent end", err)
					case c.answer != "" && (!errors.As(err, &refused) || !strings.Contains(refused.Reason, c.answer)):
						t.Errorf("got %v, want %q", err, c.answer)
					}
					if _, err := io.ReadAll(conn); err != nil {
						t.Errorf("the connection stays: %v", err)
					}
					conn.Close()
				}
				synctest.Wait()
				if n := strings.Count(log.String(), "turned a connection"); n != 1 {
					t.Errorf("logged %d times:\n%s", n, log.String())
				}
				if s := tr.Stats(); s.Refused != 3 {
					t.Errorf("%d refusals counted", s.Refused)
				}
				abrupt(t, tr)
			})
		})
	}
}

func change(b []byte, at int, to byte) []byte {
	b[at] = to
	return b
}

// TestGreetingAnswers plays what may be found at a peer's address.
func TestGreetingAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer []byte
		want   string
	}{
		"a refusal":     {verdict("go away"), "peer connection refused: go away"},
		"http":          {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "HTTP is on the other side"},
		"tls":           {[]byte("\x15\x03\x01\x00\x02\x02\x16\x00\x00\x00"), "TLS is on the other side"},
		"nats":          {[]byte("INFO {\"server_id\":\"x\"}\r\n"), "NATS is on the other side; clients belong on the port of --listen"},
		"newer version": {change(verdict(""), 8, 9), "version 9, this broker speaks 3"},
		"damaged":       {change(verdict("why"), 12, 'x'), "damaged"},
		"long refusal":  {verdict(strings.Repeat("x", 5000)), "xxxx"},
		"nothing":       {nil, "hung up, or was silent"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logged
				o := quiet()
				o.Logger = log.logger()
				tr, f := against(t, o)
				for range 8 {
					conn, err := f.l.Accept()
					if err != nil {
						t.Fatal(err)
					}
					if _, _, _, _, err := peer.ReadHello(conn); err != nil {
						t.Fatal(err)
					}
					go swallow(conn)
					_, _ = conn.Write(c.answer)
					conn.Close()
				}
				synctest.Wait()
				if text := log.String(); !strings.Contains(text, c.want) || strings.Count(text, "no connection to a peer") != 2 {
					t.Errorf("want %q once for each class:\n%s", c.want, text)
				}
				if tr.Connected(2) || tr.Stats().DialErrors == 0 {
					t.Error("connected all the same")
				}
				abrupt(t, tr)
			})
		})
	}
}

func verdict(reason string) []byte {
	var b bytes.Buffer
	_ = peer.WriteVerdict(&b, reason)
	return b.Bytes()
}

// TestSlowLoris: a greeting that drips, or never begins, is cut off when the
// handshake's time is over, and other brokers connect meanwhile.
func TestSlowLoris(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet()
		o.HandshakeTimeout = 3 * time.Second
		tr, f := against(t, o)
		hello := peer.Hello(1, 2, 1, "")
		var wg sync.WaitGroup
		start := time.Now()
		for range 20 {
			conn, err := f.net.dial(t.Context(), "one")
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				tick := time.NewTicker(time.Second)
				defer tick.Stop()
				for _, b := range hello {
					if _, err := conn.Write([]byte{b}); err != nil {
						break
					}
					<-tick.C
				}
				conn.Close()
			})
		}
		good := f.call(1)
		wg.Wait()
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("cut off after %v", d)
		}
		if _, err := good.Write(peer.AppendFrame(nil, peer.FramePing, nil, nil)); err != nil {
			t.Errorf("the good connection: %v", err)
		}
		if typ, _, _, err := peer.NewFrameReader(good, 100).Next(); err != nil || typ != peer.FramePong {
			t.Errorf("the good connection: type %d, %v", typ, err)
		}
		abrupt(t, tr)
	})
}

// TestGreetingFlood opens more silent connections than may greet at once: they
// are bounded, and gone when their time is over.
func TestGreetingFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet()
		o.HandshakeTimeout = time.Second
		tr, f := against(t, o)
		var conns []net.Conn
		for range 200 {
			conn, err := f.net.dial(t.Context(), "one")
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		synctest.Wait()
		if n := tr.Stats().Refused; n != 200-64 {
			t.Errorf("%d were cut off at once", n)
		}
		for _, c := range conns {
			swallow(c)
			c.Close()
		}
		f.call(1).Close()
		abrupt(t, tr)
	})
}

// TestGarbageAfterGreeting: what is no frame ends that connection and nothing
// else, and no length makes the broker take memory for it.
func TestGarbageAfterGreeting(t *testing.T) {
	noise := make([]byte, 4096)
	_, _ = rand.Read(noise)
	noise[8] = 0xee
	good := peer.AppendFrame(nil, peer.FrameGossip, []byte("hello"), nil)
	huge := bytes.Clone(good)
	binary.LittleEndian.PutUint32(huge, 1<<31)
	foreign := peer.AppendFrame(nil, peer.FrameRaft, heartbeat(3, 1), nil)
	for name, bytesIn := range map[string][]byte{
		"noise": noise, "zeros": make([]byte, 64), "huge length": huge,
		"flipped byte":          change(bytes.Clone(good), peer.FrameHeader+1, 'x'),
		"head over the frame":   change(bytes.Clone(good), 4, 200),
		"message that is none":  peer.AppendFrame(nil, peer.FrameRaft, []byte("nonsense"), nil),
		"message and more":      peer.AppendFrame(nil, peer.FrameRaft, append(heartbeat(2, 1), 0), nil),
		"in another's name":     foreign,
		"request without id":    peer.AppendFrame(nil, peer.FrameRequest, []byte("short"), nil),
		"reply without id":      peer.AppendFrame(nil, peer.FrameReply, nil, nil),
		"refusal with too much": peer.AppendFrame(nil, peer.FrameRefused, make([]byte, 9), nil),
		"ping with a body":      peer.AppendFrame(nil, peer.FramePing, nil, []byte("x")),
		"gossip with a rest":    peer.AppendFrame(nil, peer.FrameGossip, []byte("x"), []byte("x")),
		"other cluster's ping":  peer.AppendFrame(nil, peer.FramePing, []byte("blue"), nil),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder()
				o := quiet()
				o.Handler, o.ClusterID = r, cluster("red")
				tr, f := against(t, o)
				bad, fine := f.call(1), f.call(2)
				go func() { _, _ = bad.Write(bytesIn) }()
				if _, err := bad.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("not cut off: %v", err)
				}
				if _, err := fine.Write(good); err != nil {
					t.Fatal(err)
				}
				if got := <-r.gossip; string(got) != "hello" {
					t.Errorf("gossip %q", got)
				}
				abrupt(t, tr)
				bad.Close()
			})
		})
	}
}

// TestClusterLearnedLater: two brokers greet before either has a cluster; when
// they turn out to be of different ones, the next keep-alive ends it.
func TestClusterLearnedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		ids := map[protocol.BrokerID]*string{1: new(string), 2: new(string)}
		var mu sync.Mutex
		start := func(self protocol.BrokerID, addr string, peers map[protocol.BrokerID]string) *peer.Transport {
			tr, err := peer.New(peer.Options{
				Self: self, Peers: peers, Listener: n.listen(addr), Dial: n.dial, Handler: newRecorder(),
				ClusterID: func() string {
					mu.Lock()
					defer mu.Unlock()
					return *ids[self]
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			tr.Start()
			return tr
		}
		a := start(1, "one", map[protocol.BrokerID]string{2: "two"})
		b := start(2, "two", map[protocol.BrokerID]string{1: "one"})
		after(t, time.Second)
		if !a.Connected(2) || !b.Connected(1) {
			t.Fatal("not connected without a cluster")
		}
		mu.Lock()
		*ids[1] = "red"
		mu.Unlock()
		after(t, 3*time.Second)
		if !a.Connected(2) || a.Stats().Dials != 2 {
			t.Fatal("cut while one side has no cluster")
		}
		mu.Lock()
		*ids[2] = "blue"
		mu.Unlock()
		after(t, 5*time.Second)
		if a.Connected(2) || b.Connected(1) {
			t.Fatal("connected across clusters")
		}
		abrupt(t, a)
		abrupt(t, b)
	})
}

// after lets virtual time pass.
func after(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	<-ctx.Done()
	synctest.Wait()
}

func FuzzReadHello(f *testing.F) {
	f.Add(peer.Hello(1, 2, 3, "cluster"))
	f.Add(peer.HelloAs(2, 3, peer.Introduction{Directory: "d", Incarnation: 7, Generation: 1 << 60}))
	f.Add([]byte("LOGQPEER\x01\x01\x01\x00\x02\x00\xff"))
	f.Fuzz(func(t *testing.T, src []byte) {
		if again, err := peer.Reread(bytes.NewReader(src)); err == nil && !bytes.HasPrefix(src, again) {
			t.Fatalf("%q is read as %q", src, again)
		}
		if err := peer.ReadVerdict(bytes.NewReader(src)); err == nil && !bytes.HasPrefix(src, verdict("")) {
			t.Fatalf("%q is taken for a yes", src)
		}
	})
}
