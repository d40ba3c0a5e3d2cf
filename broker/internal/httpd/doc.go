// Package httpd serves a broker's health, metrics and profiles over HTTP:
//
//	s, err := httpd.Start(httpd.Options{Listen: "127.0.0.1:8222", Ready: svc.Ready, Samples: f})
//	defer s.Close(ctx)
//
// /livez answers 200 while the process lives. /readyz answers 200 when the
// broker can serve, else 503 with the reason. /metrics is Prometheus' text
// format. /debug/pprof is answered to peers on the loopback interface only,
// whatever address the listener has: profiles show what the process holds.
//
// Requests have time limits, so that a slow or silent client holds nothing for
// long.
package httpd
