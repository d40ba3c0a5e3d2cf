package httpd_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/logq/logq/broker/internal/httpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, o httpd.Options) *httpd.Server {
	t.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.Samples == nil {
		o.Samples = func() []httpd.Sample { return nil }
	}
	s, err := httpd.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

func ask(t *testing.T, method, url string, header http.Header) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestPaths(t *testing.T) {
	var why atomic.Pointer[error]
	s := start(t, httpd.Options{
		Ready: func() error {
			if e := why.Load(); e != nil {
				return *e
			}
			return nil
		},
		Samples: func() []httpd.Sample {
			return []httpd.Sample{
				{Name: "logq_requests_total", Help: "Requests.", Counter: true, Labels: map[string]string{"op": "produce"}, Value: 3},
				{Name: "logq_requests_total", Help: "Requests.", Counter: true, Labels: map[string]string{"op": "fetch"}, Value: 4},
				{Name: "logq_replicas", Help: "Replicas.", Value: 7},
			}
		},
	})
	notReady := errors.New("no controller is known")
	for _, c := range []struct {
		method, path string
		ready        *error
		status       int
		body         string
	}{
		{"GET", "/", nil, 200, "/readyz"},
		{"GET", "/livez", &notReady, 200, "ok"},
		{"GET", "/readyz", nil, 200, "ok"},
		{"GET", "/readyz", &notReady, 503, "no controller is known"},
		{"HEAD", "/readyz", &notReady, 503, ""},
		{"GET", "/metrics", nil, 200, `logq_requests_total{op="produce"} 3`},
		{"GET", "/metrics", nil, 200, "# TYPE logq_requests_total counter"},
		{"GET", "/metrics", nil, 200, "logq_replicas 7"},
		{"GET", "/metrics", nil, 200, "go_goroutines"},
		{"GET", "/debug/pprof/", nil, 200, "goroutine"},
		{"GET", "/debug/pprof/goroutine?debug=1", nil, 200, "goroutine profile"},
		{"GET", "/debug/pprof/nothing", nil, 404, "no such profile"},
		{"GET", "/debug/pprof/profile?seconds=0.01", nil, 200, ""},
		{"GET", "/debug/pprof/trace?seconds=0.01", nil, 200, "go 1."},
		{"GET", "/debug/pprof/profile?seconds=soon", nil, 400, "seconds"},
		{"GET", "/debug/pprof/profile?seconds=100000", nil, 400, "at most"},
		{"POST", "/livez", nil, 405, ""},
		{"GET", "/nothing", nil, 404, ""},
	} {
		why.Store(c.ready)
		status, body := ask(t, c.method, s.URL()+c.path, nil)
		if status != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s %s: %d %.200q, want %d and %q", c.method, c.path, status, body, c.status, c.body)
		}
	}
}

// TestProfilesAreLocal: a request that a proxy on this machine passes on is not
// from this machine.
func TestProfilesAreLocal(t *testing.T) {
	s := start(t, httpd.Options{})
	for _, h := range []string{"X-Forwarded-For", "Forwarded", "Via"} {
		status, body := ask(t, "GET", s.URL()+"/debug/pprof/goroutine", http.Header{h: {"10.0.0.1"}})
		if status != http.StatusForbidden || !strings.Contains(body, "machine") {
			t.Errorf("with %s: %d %q", h, status, body)
		}
	}
}

// TestProfilesAreLocalByAddress asks over an address of this machine that is not a
// loopback one.
func TestProfilesAreLocalByAddress(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, httpd.Options{Listen: "0.0.0.0:0"})
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip, ok := a.(*net.IPNet)
		if !ok || ip.IP.IsLoopback() || ip.IP.To4() == nil {
			continue
		}
		base := "http://" + net.JoinHostPort(ip.IP.String(), port)
		if status, _ := ask(t, "GET", base+"/debug/pprof/goroutine", nil); status != http.StatusForbidden {
			t.Errorf("a profile for %s: %d", ip.IP, status)
		}
		if status, _ := ask(t, "GET", base+"/livez", nil); status != http.StatusOK {
			t.Errorf("livez for %s: %d", ip.IP, status)
		}
	}
}

// TestBadMetrics: a metric that cannot be shown does not hide the others.
func TestBadMetrics(t *testing.T) {
	s := start(t, httpd.Options{Samples: func() []httpd.Sample {
		return []httpd.Sample{{Name: "bad", Value: 1, Labels: map[string]string{"": "\xff"}}, {Name: "logq_good", Help: "Good.", Value: 1}}
	}})
	status, body := ask(t, "GET", s.URL()+"/metrics", nil)
	if status != http.StatusOK || !strings.Contains(body, "logq_good 1") {
		t.Errorf("%d %.300s", status, body)
	}
}

func TestPortInUse(t *testing.T) {
	s := start(t, httpd.Options{})
	_, err := httpd.Start(httpd.Options{Listen: s.Addr(), Ready: func() error { return nil }})
	var e *httpd.ListenError
	if !errors.As(err, &e) || e.Addr != s.Addr() || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), "choose another") {
		t.Errorf("got %v", err)
	}
	if _, err := httpd.Start(httpd.Options{Listen: "127.0.0.1:0"}); err == nil {
		t.Error("started without Ready")
	}
}

// TestConnectionLimit: beyond the limit a connection is closed at once, and a place
// that comes free is given to the next.
func TestConnectionLimit(t *testing.T) {
	s := start(t, httpd.Options{})
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range 256 {
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("one too many: %v", err)
	}
	for _, c := range conns {
		c.Close()
	}
	conns = nil
	deadline := time.Now().Add(5 * time.Second)
	for {
		r, err := http.Get(s.URL() + "/livez")
		if err == nil {
			r.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("places do not come free: %v", err)
		}
	}
}

// TestCloseEndsProfiles: a profile that would take long ends with the server.
func TestCloseEndsProfiles(t *testing.T) {
	s := start(t, httpd.Options{})
	ended := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		r, err := http.Get(s.URL() + "/debug/pprof/trace?seconds=200")
		if err == nil {
			close(begun)
			_, err = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		} else {
			close(begun)
		}
		ended <- err
	}()
	<-begun
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the profile ended with %v", err)
	}
}

// TestAbruptClose cuts off what runs.
func TestAbruptClose(t *testing.T) {
	blocked := make(chan struct{})
	inside := make(chan struct{}, 1)
	s := start(t, httpd.Options{Ready: func() error {
		inside <- struct{}{}
		<-blocked
		return nil
	}})
	ended := make(chan error, 1)
	go func() {
		r, err := http.Get(s.URL() + "/readyz")
		if err == nil {
			r.Body.Close()
		}
		ended <- err
	}()
	<-inside
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the request was answered")
	}
	close(blocked)
}
