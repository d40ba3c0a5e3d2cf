package httpd_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/logq/logq/broker/internal/httpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get(url)
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

func TestEndpoints(t *testing.T) {
	var notReady error
	s, err := httpd.Start(httpd.Options{
		Listen: "127.0.0.1:0", Ready: func() error { return notReady },
		Samples: func() []httpd.Sample {
			return []httpd.Sample{
				{Name: "logq_appended_bytes_total", Help: "Bytes.", Counter: true, Value: 7},
				{Name: "logq_requests_total", Help: "Requests.", Counter: true, Labels: map[string]string{"op": "pub"}, Value: 2},
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	for path, want := range map[string]string{
		"/livez": "ok", "/readyz": "ok", "/debug/pprof/cmdline": "httpd", "/metrics": "logq_appended_bytes_total 7",
	} {
		if code, body := get(t, s.URL()+path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200q, want %q in it", path, code, body, want)
		}
	}
	if _, body := get(t, s.URL()+"/metrics"); !strings.Contains(body, `logq_requests_total{op="pub"} 2`) {
		t.Errorf("no labelled metric in %.300q", body)
	}
	notReady = errors.New("no controller is known")
	if code, body := get(t, s.URL()+"/readyz"); code != 503 || !strings.Contains(body, "no controller") {
		t.Errorf("/readyz: %d %q", code, body)
	}
	if code, _ := get(t, s.URL()+"/other"); code != 404 {
		t.Errorf("/other: %d", code)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := httpd.Start(httpd.Options{Listen: l.Addr().String()}); err == nil || !strings.Contains(err.Error(), "--http") {
		t.Errorf("got %v", err)
	}
}
