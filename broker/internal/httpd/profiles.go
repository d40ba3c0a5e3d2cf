package httpd

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"time"
)

// local lets only clients on this machine through. One that came through a proxy
// has its own address here, and is none.
func (s *Server) local(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" || r.Header.Get("Via") != ""
		if proxied || !fromLoopback(r) {
			text(w, http.StatusForbidden, "profiles are for clients on the broker's machine: log in there, or forward a port\n")
			return
		}
		h.ServeHTTP(w, r)
	})
}

func fromLoopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// profiles answers the paths that `go tool pprof` and `go tool trace` ask for.
func (s *Server) profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/{$}", func(w http.ResponseWriter, _ *http.Request) {
		var b strings.Builder
		for _, p := range pprof.Profiles() {
			fmt.Fprintf(&b, "%d\t%s\n", p.Count(), p.Name())
		}
		text(w, http.StatusOK, b.String()+"\tprofile?seconds=30\n\ttrace?seconds=1\nadd ?debug=1 for text\n")
	})
	mux.HandleFunc("/debug/pprof/profile", s.timed(pprof.StartCPUProfile, pprof.StopCPUProfile))
	mux.HandleFunc("/debug/pprof/trace", s.timed(trace.Start, trace.Stop))
	mux.HandleFunc("/debug/pprof/{name}", func(w http.ResponseWriter, r *http.Request) {
		p := pprof.Lookup(r.PathValue("name"))
		if p == nil {
			text(w, http.StatusNotFound, "no such profile; /debug/pprof/ lists them\n")
			return
		}
		debug, _ := strconv.Atoi(r.FormValue("debug")) // 0, the binary form, if it is none
		if debug == 0 {
			attachment(w, r.PathValue("name"))
		} else {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		}
		_ = p.WriteTo(w, debug) // a client that has gone needs no profile
	})
	return mux
}

// timed answers with what is recorded for as long as the client asks.
func (s *Server) timed(start func(io.Writer) error, stop func()) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d := defaultProfile
		if v := r.FormValue("seconds"); v != "" {
			n, err := strconv.ParseFloat(v, 64)
			d = time.Duration(n * float64(time.Second))
			if err != nil || d <= 0 || d > maxProfile {
				text(w, http.StatusBadRequest, fmt.Sprintf("seconds is %.20q: want a number above 0, at most %v\n", v, maxProfile.Seconds()))
				return
			}
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d + writeTimeout)); err != nil {
			text(w, http.StatusInternalServerError, err.Error()+"\n")
			return
		}
		attachment(w, "profile")
		if err := start(w); err != nil {
			w.Header().Del("Content-Disposition")
			text(w, http.StatusConflict, "a profile is being taken already: "+err.Error()+"\n")
			return
		}
		defer stop()
		wait(d, r.Context(), s.ctx)
	}
}

// wait ends after d, or with the first of the contexts.
func wait(d time.Duration, a, b context.Context) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-a.Done():
	case <-b.Done():
	}
}

func attachment(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}
