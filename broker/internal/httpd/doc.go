// Package httpd is the HTTP side of a broker: health, metrics, profiles.
//
//	s, err := httpd.Start(httpd.Options{Listen: "127.0.0.1:8222", Ready: svc.Ready, Samples: f})
//	err = s.Close(ctx)
//
// Paths, all for GET and HEAD:
//
//	/livez          200 as long as the process answers
//	/readyz         200 when the broker serves, else 503 with the reason as text
//	/metrics        Prometheus text or OpenMetrics, from a registry of its own
//	/debug/pprof/   profiles; answered to clients on this machine only
//
// # Contract
//
// Ready and Samples are called from several goroutines at a time and must not
// block. Start listens before it returns, so that a port in use is its error. Close
// ends running requests with its context. Nothing here changes anything, and nothing
// shows a record, so the port needs no credentials; keep it off public networks all
// the same, as it tells how busy the broker is.
//
// # Departures
//
// The handlers of net/http/pprof are not used: importing that package puts them
// on the default mux of whatever program embeds a broker. A request that came
// through a proxy is not taken for one from this machine.
//
// # Bounds
//
// Connections, header sizes and all times are bounded in limits.go.
package httpd
